"""trifuse experiment: the experiments of the founding paper, as commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, output, plain


@click.group()
def experiment() -> None:
    """Repeat an experiment of Cristille et al. 2024 (doi:10.3390/rs16163107).

    Spectra, Fourier transforms and NDVI classes of any fused image: see trifuse report.
    """


@experiment.command("wide-field")
@output(text="Folder to write.")
@click.option(
    "--size",
    type=click.IntRange(120),
    default=2100,
    show_default=True,
    help="Edge in pixels of 10 m, whole Sentinel-3 cells.",
)
@click.option("--seed", type=int, default=4, show_default=True, help="4, 9, 14 … are dry country.")
@click.option("--ratio", type=click.IntRange(2), default=30, show_default=True)
@click.option("--method", metavar="NAME", help="As of trifuse fuse.")
@click.option("--weights", type=PATH, help="As of trifuse fuse.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@command
def wide(output: Path, dry_run: bool, **options: Any) -> Result:
    """Fuse 21 km of desert in 256 tiles and compare it with its Sentinel-3 image.

    \b
    trifuse experiment wide-field -o desert
    """
    from trifuse.flows.experiments import wide_field

    if dry_run:
        return Result(f"would write {output}")
    done = wide_field(output, **options)
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))


@experiment.command("shells")
@click.argument("cave", nargs=-1, required=True, type=PATH)
@output(text="Folder to write.")
@click.option("--enmap", multiple=True, type=PATH, help="Train on these deliveries too.")
@click.option(
    "--steps",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Updates of each network.",
)
@click.option(
    "--size",
    type=click.IntRange(120),
    default=240,
    show_default=True,
    help="Edge of the procedural scenes in pixels.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--set", "settings", multiple=True, help="Setting of the training, e.g. model.width=32."
)
@command
def shells(cave: tuple[Path, ...], output: Path, dry_run: bool, **options: Any) -> Result:
    """Compare the paper's network trained on Earth observation and on CAVE's images.

    \b
    trifuse experiment shells CAVE/*_ms -o shells
    """
    from trifuse.flows.experiments import shells as compare

    if dry_run:
        return Result(f"would write {output}")
    done = compare(output, list(cave), **options)
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
