"""trifuse inspect: what a product is."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, names, plain


@click.command()
@click.argument("product", nargs=-1, required=True, type=PATH)
@click.option("--bands", callback=names, help="Names of the bands, where the file has none.")
@command
def inspect(
    product: tuple[Path, ...], bands: list[str] | None, overwrite: bool, dry_run: bool
) -> Result:
    """Say what PRODUCT is: bands, grid, calibration used, share of valid pixels.

    Of a stack of Sentinel-2's bands also how they came onto its pixels: from how coarse samples,
    where these start, by which kernel, and what metadata tell otherwise.

    Several files are the tiles of one image.

    \b
    trifuse inspect ENMAP01-____L2A-….ZIP
    trifuse inspect tiles/*.tif --json
    """
    from trifuse.flows.inspect import inspect as inspect_image
    from trifuse.products import describe

    given = product[0] if len(product) == 1 else list(product)
    facts = inspect_image(given, bands=bands)
    return Result(describe(facts), plain(facts))
