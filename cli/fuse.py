"""trifuse fuse: Sentinel-3's spectrum at Sentinel-2's pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.methods import MethodOption
from trifuse.cli.options import (
    PATH,
    Result,
    box,
    command,
    geotiff,
    names,
    numbers,
    output,
    plain,
    workers,
)
from trifuse.cli.reading import reading
from trifuse.cli.sampling import sharpness, with_blur


def _coregister(_: click.Context, __: click.Parameter, value: str) -> Any:
    if value in ("auto", "off"):
        return value
    return numbers(value, 2, "auto, off, or two numbers such as -30,45")


@click.command()
@click.option("--s2", required=True, type=PATH, help="Sharp image (HrMSI): .SAFE or GeoTIFF.")
@click.option(
    "--s3",
    required=True,
    type=PATH,
    help="Coarse image (LrHSI): .SEN3, or a GeoTIFF nested in S2's pixels.",
)
@output(text="GeoTIFF to write; a quicklook, a STAC Item and a sidecar appear beside it.")
@click.option("--bbox", callback=box, help="Area to fuse: west,south,east,north in degrees.")
@click.option("--like", type=PATH, help="Fuse the ground of this image.")
@click.option(
    "--coregister",
    callback=_coregister,
    default="auto",
    show_default=True,
    help="auto, off, or east,north in metres by which S3 is to be moved.",
)
@click.option("--s2-bands", callback=names, help="Names of S2's bands, where the file has none.")
@click.option("--s3-bands", callback=names, help="Names of S3's bands, where the file has none.")
@click.option("--bands", callback=names, help="Sentinel-3 bands to make, e.g. Oa08,Oa17.")
@click.option(
    "--method",
    cls=MethodOption,
    metavar="NAME",
    help="Default: what takes --weights, by their card; without weights refined.",
)
@click.option(
    "--weights",
    type=PATH,
    help="Of a network that fuses or refines (safetensors); for refined also none.",
)
@click.option(
    "--mtf",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.3,
    show_default=True,
    help="Modulation transfer of the coarse sensor at Nyquist.",
)
@sharpness()
@click.option("--s2-noise", type=click.FloatRange(0, 1), help="S2's noise, for physics.")
@click.option("--s3-noise", type=click.FloatRange(0, 1), help="S3's noise; default: found.")
@click.option(
    "--adapt",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Train refined's network on the scene for so long; kept if better.",
)
@click.option(
    "--consistency",
    type=click.Choice(["noise", "exact"]),
    default="noise",
    show_default=True,
    help="exact: the result degrades to S3 itself.",
)
@click.option("--uncertainty", is_flag=True, help="Also write standard deviations, <out>_std.tif.")
@click.option("--tile", type=click.IntRange(8), help="Edge of a tile in pixels.")
@click.option("--overlap", type=click.IntRange(0), help="Blend tiles over so many pixels.")
@click.option("--preset", type=click.Choice(["paper"]), help="Tiles of 150 blended over 20.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "--precision",
    type=click.Choice(["32", "bf16", "16"]),
    default="32",
    show_default=True,
    help="Of the network on a GPU.",
)
@click.option("--compile", is_flag=True, help="Compile the network: for large scenes.")
@workers
@click.option(
    "-t",
    "--dtype",
    type=click.Choice(["int16", "float32"]),
    default="int16",
    show_default=True,
    help="int16 ×1e-4 or float32.",
)
@command
@reading("s2", "s3", bands={"s2": "s2_bands", "s3": "s3_bands"})
def fuse(s2: Any, s3: Any, output: Path, **options: Any) -> Result:
    """Fuse a whole scene, tile by tile, and check it against its own S3 input.

    A shift of S3 against S2 is looked for on the data and heeded where it is reliable, at least
    0.05 S3 cells and at least three times its standard error; else nothing is moved. Images more
    than five minutes apart, or more than 5 % cloudy, are warned of.

    \b
    trifuse fuse --s2 S2A_MSIL2A_….SAFE --s3 S3A_SY_2_SYN_….SEN3 --bbox 13,52,13.4,52.3 -o fused.tif
    trifuse fuse --s2 s2.tif --s3 s3.tif -o fused.tif
    trifuse fuse --s2 counts.tif --scale s2=1e-4 --offset s2=-0.1 --s3 s3.tif -o fused.tif
    trifuse fuse --s2 s2.tif --s3 s3.tif --weights run/best.safetensors -o fused.tif
    """
    from trifuse.flows.fuse import fuse as fuse_images

    done = fuse_images(s2, s3, geotiff(output), **with_blur(options))
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
