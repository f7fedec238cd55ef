"""trifuse sharpen: Sentinel-2's 20 m and 60 m bands at 10 m."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.methods import SharpenerOption
from trifuse.cli.options import PATH, Result, box, command, geotiff, names, output, plain
from trifuse.cli.reading import reading
from trifuse.cli.sampling import sharpness, with_blur


@click.command()
@click.argument("image", type=PATH)
@output(text="GeoTIFF to write; a quicklook, a STAC Item and a sidecar appear beside it.")
@click.option(
    "--method",
    cls=SharpenerOption,
    metavar="NAME",
    default="restore",
    show_default=True,
    help="How.",
)
@sharpness("auto")
@click.option("--bands", callback=names, help="Bands to write, e.g. B5,B11; default: all.")
@click.option("--bbox", callback=box, help="Area to write: west,south,east,north in degrees.")
@click.option(
    "--noise",
    type=click.FloatRange(0, 1),
    help="Standard deviation of the noise in reflectance; default: the metadata's, or 0.003.",
)
@click.option(
    "--mtf",
    type=click.FloatRange(0.01, 1),
    help="Modulation transfer of the 20 m and 60 m bands at Nyquist; default: found in the pixels.",
)
@click.option("--denoise", is_flag=True, help="Take the noise out of the 10 m bands too.")
@click.option("--force", is_flag=True, help="Sharpen even what the pixels say is sharp already.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option(
    "-t",
    "--dtype",
    type=click.Choice(["int16", "float32"]),
    default="int16",
    show_default=True,
    help="int16 ×1e-4 or float32.",
)
@command
@reading("image")
def sharpen(image: Any, output: Path, **options: Any) -> Result:
    """Bring all bands of IMAGE, a Sentinel-2 product, to 10 m.

    All bands together tell what the coarser ones lost; no network and no weights are needed.
    Statistics are learned from the image, block by block, so any size fits into memory. Bands
    that turn out to be sharp already are left alone.

    \b
    restore    multi-band restoration: the statistically best estimate (default)
    injection  the 10 m bands' detail is added, by a fitted weight
    bicubic    interpolation: no detail is added

    \b
    trifuse sharpen S2A_MSIL2A_….SAFE -o sharp.tif
    trifuse sharpen S2A_MSIL2A_….SAFE -o sharp.tif --bands B5,B11 --bbox 13,52,13.4,52.3
    """
    from trifuse.flows.sharpen import sharpen as sharpen_image

    done = sharpen_image(image, geotiff(output), **with_blur(options, "auto"))
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
