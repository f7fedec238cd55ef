"""trifuse inspect: what a product is."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, plain


@click.command()
@click.argument("product", nargs=-1, required=True, type=PATH)
@command
def inspect(product: tuple[Path, ...], overwrite: bool, dry_run: bool) -> Result:
    """Say what PRODUCT is: bands, grid, calibration used, share of valid pixels.

    Several files are the tiles of one image.

    \b
    trifuse inspect ENMAP01-____L2A-….ZIP
    trifuse inspect tiles/*.tif --json
    """
    from trifuse.products import describe, inspect_product

    facts = inspect_product(product[0] if len(product) == 1 else list(product))
    return Result(describe(facts), plain(facts))
