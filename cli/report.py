"""trifuse report: one page on a fused image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, plain
from trifuse.cli.reading import reading


@click.command()
@click.argument("fused", type=PATH)
@click.option("-o", "--output", type=PATH, help="HTML page to write; default: FUSED.html.")
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

    \b
    trifuse report fused.tif
    trifuse report fused.tif --truth truth.tif -o page.html
    """
    from trifuse.flows.report import report as write_report

    done = write_report(fused, output, **options)
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
