"""trifuse fidelity: synthetic views against observed ones."""

from __future__ import annotations

from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, plain
from trifuse.cli.reading import reading


@click.command()
@click.option("--enmap", required=True, type=PATH, help="EnMAP L2A delivery, or such a cube.")
@click.option("--s2", type=PATH, help="Observed Sentinel-2 image.")
@click.option("--s3", type=PATH, help="Observed Sentinel-3 image.")
@click.option("--table", help="Response table; default: that of the observed satellite.")
@click.option(
    "--mtf",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.3,
    show_default=True,
    help="Modulation transfer at Nyquist of the coarser sensor.",
)
@command
@reading("enmap", "s2", "s3")
def fidelity(
    enmap: Any, s2: Any, s3: Any, table: str | None, mtf: float, overwrite: bool, dry_run: bool
) -> Result:
    """Is what EnMAP says Sentinel would see what Sentinel saw?

    Prints the spectral angle and the structural similarity of each band, and flags angles above
    5.7° (0.1 rad) and similarities below 0.8.

    \b
    trifuse fidelity --enmap ENMAP01-….ZIP --s2 S2A_MSIL2A_….SAFE
    trifuse fidelity --enmap ENMAP01-….ZIP --s3 S3A_SY_2_SYN_….SEN3
    """
    from trifuse.flows.fidelity import check_fidelity

    done = check_fidelity(enmap, s2=s2, s3=s3, table=table, mtf=mtf)
    return Result(done.text, plain(dict(done.record)))
