"""trifuse report: one page on a fused image, or on a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, plain
from trifuse.cli.reading import reading


@click.command()
@click.argument("fused", type=PATH)
@click.option(
    "-o", "--output", type=PATH, help="HTML page to write; default: FUSED.html or RUN/report.html."
)
@click.option("--s2", type=PATH, help="Sharp input; default: what the sidecar names.")
@click.option("--s3", type=PATH, help="Coarse input; default: what the sidecar names.")
@click.option("--truth", type=PATH, help="What the fused image should be.")
@click.option("--landcover", type=PATH, help="Map of classes (integers) on the same pixels.")
@click.option(
    "--legend",
    default="procedural",
    show_default=True,
    help="Of that map: procedural, chesapeake or nlcd.",
)
@command
@reading("s2", "s3", "truth")
def report(fused: Path, output: Path | None, **options: Any) -> Result:
    """Write one HTML page with the figures of the fusion literature.

    Composites, spectra, Fourier transforms, NDVI and its classes, the self-check, how clear the
    land cover looks; with a truth also metrics beside the baselines. The page refers to no other
    file.

    Of the folder of a training run: curves, validation images, and what it was trained on.

    \b
    trifuse report fused.tif
    trifuse report run
    trifuse report fused.tif --truth truth.tif -o page.html
    """
    from trifuse.flows.report import report as write_report
    from trifuse.flows.report_run import is_run, report_run

    if is_run(fused):
        given = {k: options[k] for k in ("overwrite", "dry_run")}
        if others := [f"--{k}" for k in ("s2", "s3", "truth", "landcover") if options[k]]:
            raise click.UsageError(f"{', '.join(others)} of a training run: leave it out")
        done = report_run(fused, output, **given)
    else:
        done = write_report(fused, output, **options)
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
