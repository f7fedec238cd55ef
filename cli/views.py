"""trifuse views: a spectral cube as Sentinel-2 and Sentinel-3 would see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from trifuse.cli.options import PATH, Result, command, output, plain

ERRORS = (
    "clean",
    "real-world",
    "native-noise",
    "mtf20",
    "mtf45",
    "noise-half",
    "noise-double",
    "cloudy",
    "sharp-as-blurred",
)


@click.command()
@click.argument("enmap", nargs=-1, required=True, type=PATH)
@output(text="Folder for S2_HrMSI.tif, S3_LrHSI.tif and truth_HrHSI.tif.")
@click.option(
    "--errors",
    type=click.Choice(ERRORS),
    default="clean",
    show_default=True,
    help="Of the sensors: none, those of real ones, or a variant of them.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the errors drawn.")
@click.option(
    "--ratio",
    type=click.IntRange(2),
    default=10,
    show_default=True,
    help="Pixels of the scene per Sentinel-3 cell.",
)
@click.option(
    "--mtf",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.3,
    show_default=True,
    help="Modulation transfer of Sentinel-3 at Nyquist.",
)
@click.option("--s2", default="S2A_MSI", show_default=True, help="Response table of HrMSI.")
@click.option("--s3", default="S3A_SYN", show_default=True, help="Response table of LrHSI.")
@click.option(
    "--overlap",
    type=click.Choice(["vnir", "swir", "all"]),
    default="vnir",
    show_default=True,
    help="EnMAP detector that counts in the overlap.",
)
@click.option(
    "-t", "--dtype", type=click.Choice(["int16", "float32"]), default="int16", show_default=True
)
@command
def views(
    enmap: tuple[Path, ...], output: Path, overwrite: bool, dry_run: bool, **options: Any
) -> Result:
    """Make a Sentinel-2 and a Sentinel-3 image of a real EnMAP cube, with the truth beside them.

    So fusion can be tried on one's own scene, as clean as simulated or as real sensors see it.
    Several files are the tiles of one scene.

    \b
    trifuse views ENMAP01-____L2A-….ZIP -o pair --errors real-world
    trifuse fuse --s2 pair/S2_HrMSI.tif --s3 pair/S3_LrHSI.tif -o fused.tif
    trifuse evaluate fused.tif --truth pair/truth_HrHSI.tif
    """
    from trifuse.flows.views import NAMES, write_views

    given: Any = enmap[0] if len(enmap) == 1 else list(enmap)
    if dry_run:
        made = write_views(given, **options)
        names = ", ".join(str(output / n) for n in NAMES)
        return Result(f"{made.text}\ndry run: would write {names}", plain(dict(made.record)))
    made = write_views(given, output, overwrite=overwrite, **options)
    files = [str(f) for f in made.files]
    return Result(made.text, plain({**made.record, "files": files}))
