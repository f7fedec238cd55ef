"""trifuse evaluate: metrics of a fused cube."""

from __future__ import annotations

from pathlib import Path

import click

from trifuse.cli.options import PATH, Result, command, plain


@click.command()
@click.argument("fused", required=False, type=PATH)
@click.option("--truth", type=PATH, help="The true high-resolution image (HrHSI).")
@click.option("--s2", type=PATH, help="The sharp input, to print the baselines.")
@click.option("--s3", type=PATH, help="The coarse input, for baselines and self-check.")
@click.option("--mtf", type=click.FloatRange(0, 1, min_open=True), default=0.3, show_default=True,
              help="Modulation transfer of the coarse sensor at Nyquist.")  # fmt: skip
@click.option("--margin", type=click.IntRange(0), default=0, show_default=True,
              help="Pixels left out at each edge.")  # fmt: skip
@click.option("--per-band", is_flag=True, help="Also print the PSNR of each band.")
@command
def evaluate(
    fused: Path | None, truth: Path | None, s2: Path | None, s3: Path | None, mtf: float,
    margin: int, per_band: bool, overwrite: bool, dry_run: bool,
) -> Result:  # fmt: skip
    """Score FUSED against a truth, or against its own S3 input.

    With --s2 and --s3 the table also has bicubic and the per-scene regression with residual
    correction. PSNR is the mean over bands of 20·log10(maximum of the true band / RMSE).

    \b
    trifuse evaluate fused.tif --truth truth.tif --s2 s2.tif --s3 s3.tif
    trifuse evaluate fused.tif --s3 s3.tif
    """
    from trifuse.evaluating import evaluate as evaluate_images

    done = evaluate_images(fused, truth=truth, s2=s2, s3=s3, mtf=mtf, margin=margin)
    return Result(done.table(per_band=per_band), plain(dict(done.record)))
