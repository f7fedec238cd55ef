"""trifuse store: what stores of triplets hold, and several as one."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, output, plain


@click.group()
def store() -> None:
    """Look at stores of triplets, check them, and merge them."""


@store.command()
@click.argument("path", metavar="STORE", type=PATH)
@command
def info(path: Path, overwrite: bool, dry_run: bool) -> Result:
    """Show counts, bands, and the ground of each split on a small map.

    \b
    trifuse store info store
    """
    from trifuse.flows.store import store_info

    found = store_info(path)
    return Result(found.text, plain(dict(found.record)))


@store.command()
@click.argument("path", metavar="STORE", type=PATH)
@command
def check(path: Path, overwrite: bool, dry_run: bool) -> Result:
    """Compare every file with its hash, and look for ground that is on two sides.

    Ends with code 11 if a file is damaged, or training, validation and test share ground or have
    equal triplets.

    \b
    trifuse store check store --json
    """
    from trifuse.flows.store import check_store

    found = check_store(path)
    return Result(found.text, plain(dict(found.record)))


@store.command()
@click.argument("stores", nargs=-1, required=True, type=PATH)
@output(text="Folder of the new store.")
@command
def merge(stores: tuple[Path, ...], output: Path, overwrite: bool, dry_run: bool) -> Result:
    """Make one store of several that were made in the same way; splits are dealt anew.

    \b
    trifuse store merge store-a store-b -o store
    """
    from trifuse.flows.store import merge_stores

    done = merge_stores(stores, output, overwrite=overwrite, dry_run=dry_run)
    return Result(done.text, plain(dict(done.record)))
