"""trifuse interpolate: any date from series of several sensors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.methods import SeriesMethodOption
from trifuse.cli.options import PATH, Result, command, network_on_series, output, plain, workers


@click.command()
@click.argument("series", type=PATH)
@click.option(
    "--dates",
    required=True,
    metavar="DATES",
    help="2022-01-15,2022-02-01 or FIRST:LAST:STEP; steps 1M, 10D, 2W, L3A.",
)
@click.option(
    "--bands",
    default="all",
    show_default=True,
    help="all, or names: NDVI,B4,LST; landsat:B4 is Landsat's.",
)
@output(text="Folder for the images; run again to resume, or to add dates.")
@click.option(
    "--method",
    cls=SeriesMethodOption,
    metavar="NAME",
    help="Default: tamrf for a year of Sentinel-2 and Landsat or with weights, else prior.",
)
@network_on_series
@click.option(
    "-t",
    "--dtype",
    type=click.Choice(["int16", "float32"]),
    default="int16",
    show_default=True,
    help="int16 ×1e-4 (LST ×0.01 K) or float32.",
)
@click.option(
    "--quality/--no-quality",
    default=True,
    show_default=True,
    help="Days to the nearest clear images, and attention to them.",
)
@click.option("--uncertainty", is_flag=True, help="Also DATE_std.tif: the deviation of each band.")
@click.option(
    "--animation/--no-animation",
    default=True,
    show_default=True,
    help="A moving picture of the series (needs Pillow).",
)
@click.option(
    "--features",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="How features are kept between the stages.",
)
@workers
@command
def interpolate(series: Path, output: Path, dates: str, **options: Any) -> Result:
    """Predict cloud-free images at 10 m of any date from SERIES (see `trifuse series build`).

    A small network that comes along adds to an interpolation of clear pixels in which the sensors
    tell each other what they saw in between; --method prior is that interpolation alone, which
    other series than a year of Sentinel-2 and Landsat get anyway. Other methods are those that
    `trifuse evaluate tamrf SERIES` compares.

    \b
    trifuse interpolate SERIES --weights tamrf.ckpt --dates 2022-01-15:2022-12-15:1M \\
        --bands NDVI,B4,LST -o MONTHLY
    trifuse interpolate SERIES --dates 2022-06-21 --weights run/weights.safetensors -o DAY
    """
    from trifuse.flows.interpolate import interpolate as interpolate_series

    done = interpolate_series(series, output, dates=dates, **options)
    value = {**done.record, "folder": str(done.folder), "files": [str(f) for f in done.files]}
    return Result(done.text, plain(value))
