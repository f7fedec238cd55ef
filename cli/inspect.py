"""trifuse inspect: what a product is."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, names, plain, remote


@click.command()
@click.argument("product", nargs=-1, required=True, type=PATH)
@click.option("--bands", callback=names, help="Names of the bands, where the file has none.")
@remote
@command
def inspect(
    product: tuple[Path, ...],
    bands: list[str] | None,
    remote: bool | None,
    overwrite: bool,
    dry_run: bool,
) -> Result:
    """Say what PRODUCT is: bands, grid, calibration used, share of valid pixels.

    Several files are the tiles of one image.

    \b
    trifuse inspect ENMAP01-____L2A-….ZIP
    trifuse inspect tiles/*.tif --json
    trifuse inspect ITEM.json --remote
    """
    from trifuse.products import describe, inspect_product

    given = product[0] if len(product) == 1 else list(product)
    facts = inspect_product(given, bands=bands, remote=remote)
    return Result(describe(facts), plain(facts))
