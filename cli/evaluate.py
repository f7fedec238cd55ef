"""trifuse evaluate: metrics of a fused cube, and of a network on series."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.methods import MethodOption, SeriesMethodOption
from trifuse.cli.options import PATH, Result, command, names, network_on_series, plain
from trifuse.cli.reading import reading

_TASKS = ("gap-filling", "band-sharpening", "fusion", "thermal")


class _WithDefault(click.Group):
    """A group that takes anything but the name of a command for arguments of ``fused``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ("-h", "--help")):
            args = ["fused", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_WithDefault)
def evaluate() -> None:
    """Score a fused cube (the default), or a network on series.

    \b
    trifuse evaluate FUSED --s3 S3                 as `trifuse evaluate fused`, see its help
    trifuse evaluate tamrf SERIES --task fusion
    """


@evaluate.command()
@click.argument("fused", required=False, type=PATH)
@click.option("--truth", type=PATH, help="The true high-resolution image (HrHSI).")
@click.option("--s2", type=PATH, help="The sharp input, to print the baselines.")
@click.option("--s3", type=PATH, help="The coarse input (.SEN3 too), for baselines and self-check.")
@click.option(
    "--mtf",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.3,
    show_default=True,
    help="Modulation transfer of the coarse sensor at Nyquist.",
)
@click.option(
    "--margin",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Pixels left out at each edge.",
)
@click.option(
    "--baselines",
    cls=MethodOption,
    callback=names,
    metavar="NAME,NAME",
    help="What stands beside it; default: bicubic,regression.",
)
@click.option("--per-band", is_flag=True, help="Also print the PSNR of each band.")
@command
@reading("fused", "truth", "s2", "s3")
def fused(
    fused: Any,
    truth: Any,
    s2: Any,
    s3: Any,
    mtf: float,
    margin: int,
    baselines: list[str] | None,
    per_band: bool,
    overwrite: bool,
    dry_run: bool,
) -> Result:
    """Score FUSED against a truth, or against its own S3 input.

    With --s2 and --s3 the table also has bicubic and the per-scene regression with residual
    correction, or the methods named. PSNR is the mean over bands of 20·log10(maximum of the true
    band / RMSE).

    \b
    trifuse evaluate fused.tif --truth truth.tif --s2 s2.tif --s3 s3.tif
    trifuse evaluate fused.tif --truth truth.tif --s2 s2.tif --s3 s3.tif --baselines gsa,sfim
    trifuse evaluate fused.tif --s3 s3.tif
    """
    from trifuse.flows.evaluate import evaluate as evaluate_images

    done = evaluate_images(
        fused, truth=truth, s2=s2, s3=s3, mtf=mtf, margin=margin, baselines=baselines
    )
    return Result(done.table(per_band=per_band), plain(dict(done.record)))


@evaluate.command()
@click.argument("series", type=PATH)
@click.option("--task", type=click.Choice(_TASKS), default=_TASKS[0], show_default=True)
@click.option(
    "--margin",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Metres left out at each edge.",
)
@click.option(
    "--methods",
    cls=SeriesMethodOption,
    callback=names,
    metavar="NAME,NAME",
    help="Rows of the table; default: tamrf (prior for series unlike those it was trained on) and, "
    "of hidden dates, nearest,linear,change,prior.",
)
@network_on_series
@click.option("--brisque", "with_brisque", is_flag=True, help="Of the sharpening tasks; needs piq.")
@click.option("--per-band", is_flag=True, help="Also print the RMSE of each band.")
@command
def tamrf(series: Path, per_band: bool, overwrite: bool, dry_run: bool, **options: Any) -> Result:
    """Score a network on SERIES beside methods that need none, all by one protocol.

    RMSE is over clear pixels, in what the sensor would have seen of the prediction: reflectance,
    and kelvin of temperatures (rmse_k). SAM is in degrees. FR is in dB; above 0 is sharper than
    the observation.

    \b
    trifuse evaluate tamrf SERIES --task gap-filling
    trifuse evaluate tamrf SERIES --task fusion --methods tamrf,prior,atprk
    trifuse evaluate tamrf SERIES --task thermal --weights run/weights.safetensors
    """
    from trifuse.flows.evaluate_series import evaluate_series

    done = evaluate_series(series, **options)
    return Result(done.table(per_band=per_band), plain(dict(done.record)))
