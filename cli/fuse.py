"""trifuse fuse: Sentinel-3's spectrum at Sentinel-2's pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, output, plain


@click.command()
@click.option("--s2", required=True, type=PATH, help="Sharp image (HrMSI).")
@click.option("--s3", required=True, type=PATH, help="Coarse image (LrHSI), nested to S2's grid.")
@output(text="GeoTIFF to write; a quicklook and a sidecar appear beside it.")
@click.option("--method", type=click.Choice(["bicubic", "regression", "network"]),
              help="Default: network with --weights, else regression.")  # fmt: skip
@click.option("--weights", type=PATH, help="Weights of a trained network (safetensors).")
@click.option("--mtf", type=click.FloatRange(0, 1, min_open=True), default=0.3, show_default=True,
              help="Modulation transfer of the coarse sensor at Nyquist.")  # fmt: skip
@click.option("--tile", type=click.IntRange(8), help="Edge of a tile in pixels.")
@click.option("--overlap", type=click.IntRange(0), help="Blend tiles over so many pixels.")
@click.option("--preset", type=click.Choice(["paper"]), help="Tiles of 150 blended over 20.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--precision", type=click.Choice(["32", "bf16", "16"]), default="32",
              show_default=True, help="Of the network on a GPU.")  # fmt: skip
@click.option("-t", "--dtype", type=click.Choice(["int16", "float32"]), default="int16",
              show_default=True, help="int16 ×1e-4 or float32.")  # fmt: skip
@command
def fuse(s2: Path, s3: Path, output: Path, **options: Any) -> Result:
    """Fuse a whole scene, tile by tile, and check it against its own S3 input.

    \b
    trifuse fuse --s2 s2.tif --s3 s3.tif -o fused.tif
    trifuse fuse --s2 s2.tif --s3 s3.tif --weights run/weights.safetensors -o fused.tif
    """
    from trifuse.fusing import fuse as fuse_images

    done = fuse_images(s2, s3, output, **options)
    return Result(done.text, plain({**done.record, "files": [str(f) for f in done.files]}))
