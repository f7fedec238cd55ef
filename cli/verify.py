"""trifuse verify: is it whole?"""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, plain


@click.command()
@click.argument("path", nargs=-1, required=True, type=PATH)
@command
def verify(path: tuple[Path, ...], overwrite: bool, dry_run: bool) -> Result:
    """Compare what lies at PATH with what was recorded when it was written.

    PATH is a product (a GeoTIFF with its sidecar), a store, a series, weights, the folder of a
    run, or a folder of such. Files are read whole. The exit code is 17 if one is missing, cut
    short or changed, or work is unfinished.

    \b
    trifuse verify FUSED.tif
    trifuse verify STORE SERIES RUN --json
    """
    from trifuse.flows.verify import require_whole
    from trifuse.flows.verify import verify as check

    found = [check(p) for p in path]
    require_whole(found)
    lines = [f.text for f in found]
    return Result("\n".join(lines), plain({"whole": True, "found": [f.to_json() for f in found]}))
