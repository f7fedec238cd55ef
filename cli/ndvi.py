"""trifuse ndvi: the map."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from trifuse.cli.options import PATH, Result, command, geotiff, names, numbers, output, plain
from trifuse.cli.reading import reading
from trifuse.core import ConfigError, Reading


def _points(_: click.Context, __: click.Parameter, value: tuple[str, ...]) -> Any:
    return tuple(numbers(text, 2, "lon,lat in degrees") for text in value)


@click.command()
@click.argument("cube", type=PATH)
@output(text="GeoTIFF to write; of a series, the folder.")
@click.option(
    "--definition",
    type=click.Choice(["s2", "paper", "bands"]),
    default="s2",
    show_default=True,
    help="Which red and near infrared.",
)
@click.option(
    "--red",
    "red_nm",
    type=float,
    help="Red wavelength in nm for --definition bands (default: 665).",
)
@click.option(
    "--nir",
    "nir_nm",
    type=float,
    help="Near infrared wavelength in nm for --definition bands (default: 865).",
)
@click.option("--bands", callback=names, help="Names of the bands, where the file has none.")
@click.option(
    "-t",
    "--dtype",
    type=click.Choice(["float32", "int16"]),
    default="float32",
    show_default=True,
    help="float32 with NaN, or int16 ×1e-4.",
)
@click.option(
    "--at",
    multiple=True,
    callback=_points,
    metavar="LON,LAT",
    help="Follow this point through a series; may be repeated.",
)
@click.option("--geojson", type=PATH, help="Follow these points and polygons through a series.")
@command
@reading("cube", bands={"cube": "bands"})
def ndvi(
    cube: Any,
    output: Path,
    definition: Literal["s2", "paper", "bands"],
    red_nm: float | None,
    nir_nm: float | None,
    dtype: Literal["float32", "int16"],
    at: tuple[tuple[float, float], ...],
    geojson: Path | None,
    overwrite: bool,
    dry_run: bool,
) -> Result:
    """Write the NDVI of CUBE, or of every date of a series (a folder with an index.json).

    A series that was stopped goes on where it stopped. With --at or --geojson, timeseries.csv
    has the NDVI of each place and date.

    \b
    s2     red and NIR as Sentinel-2's B4 and B8A would see the spectrum (default)
    paper  NIR is the mean of Oa17, S3, Oa18; red is the mean of S2, Oa08, Oa09
    bands  the single bands nearest to --red and --nir

    \b
    trifuse ndvi FUSED.tif -o NDVI.tif
    trifuse ndvi MINE.tif -o NDVI.tif --bands B2,B3,B4,B8
    trifuse ndvi COUNTS.tif -o NDVI.tif --scale 1e-4 --offset -0.1
    trifuse ndvi SERIES -o NDVI --at 13.05,52.4 --geojson fields.geojson
    """
    from trifuse.flows.ndvi import ndvi as map_ndvi
    from trifuse.flows.ndvi import ndvi_series
    from trifuse.products import is_series

    given = {"red_nm": red_nm, "nir_nm": nir_nm}
    wavelengths: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    if wavelengths and definition != "bands":
        raise click.UsageError("--red and --nir need --definition bands")
    if not isinstance(cube, Reading) and is_series(cube):
        course = ndvi_series(
            cube,
            output,
            definition=definition,
            at=at,
            geojson=geojson,
            dtype=dtype,
            overwrite=overwrite,
            dry_run=dry_run,
            **wavelengths,
        )
        return Result(course.text, plain({**course.record, "files": list(course.files)}))
    if at or geojson:
        raise ConfigError(
            "--at and --geojson follow places through a series, and this is none",
            where=cube.image if isinstance(cube, Reading) else cube,
            fix="give a folder with an index.json",
        )
    done = map_ndvi(
        cube,
        geotiff(output),
        definition=definition,
        dtype=dtype,
        overwrite=overwrite,
        dry_run=dry_run,
        **wavelengths,
    )
    return Result(done.text, plain(done.record))
