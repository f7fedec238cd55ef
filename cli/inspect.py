"""trifuse inspect: what a product is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, names, plain
from trifuse.cli.reading import reading
from trifuse.core import Reading


@click.command()
@click.argument("product", nargs=-1, required=True, type=PATH)
@click.option("--bands", callback=names, help="Names of the bands, where the file has none.")
@command
@reading("product")
def inspect(
    product: tuple[Any, ...], bands: list[str] | None, overwrite: bool, dry_run: bool
) -> Result:
    """Say what PRODUCT is: bands, grid, calibration used, share of valid pixels.

    Of a stack of Sentinel-2's bands also how they came onto its pixels: from how coarse samples,
    where these start, by which kernel, and what metadata tell otherwise.

    Several files are the tiles of one image.

    \b
    trifuse inspect ENMAP01-____L2A-….ZIP
    trifuse inspect tiles/*.tif --json
    trifuse inspect ITEM.json --remote
    trifuse inspect COUNTS.tif --scale 1e-4 --offset -0.1
    """
    from trifuse.flows.inspect import inspect as inspect_image
    from trifuse.products import describe

    said = product[0].options if isinstance(product[0], Reading) else {}
    paths: list[Path] = [p.image if isinstance(p, Reading) else p for p in product]
    facts = inspect_image(paths[0] if len(paths) == 1 else paths, bands=bands, **said)
    return Result(describe(facts), plain(facts))
