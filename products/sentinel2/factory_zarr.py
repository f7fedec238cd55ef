"""Small Sentinel-2 L2A products in the agency's Zarr form, made from any cube."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import Cube, MissingExtraError
from trifuse.products.files.factory import new_folder
from trifuse.products.sentinel2.factory import QUANTIFICATION, prepare
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.zarr import SCL, array_path


def write_sentinel2_zarr(
    folder: str | Path,
    cube: Cube,
    *,
    zarr_format: Literal[2, 3] = 2,
    dtype: Literal["uint16", "float32"] = "uint16",
    platform: Literal["S2A", "S2B", "S2C"] = "S2A",
    baseline: str = "05.11",
    scl: np.ndarray | None = None,
    tile: str = "33UUU",
    start: datetime | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a cube as a store: images, coordinates and classes, each at its own sampling.

    Args:
        folder: the store is made in here.
        cube: as of :func:`trifuse.products.sentinel2.factory.write_sentinel2_safe`, like what is
            not listed here.
        zarr_format: 2 or 3.
        dtype: counts with ``scale_factor`` and ``add_offset``, or reflectance with NaN.
        platform: satellite.
        baseline: processing baseline.
        scl: see there.
        tile: MGRS tile in the name.
        start: see there.
        overwrite: replace a store of the same name.

    Returns:
        The store.

    Raises:
        MissingExtraError: if the package zarr is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise MissingExtraError(
            "zarr is not installed", fix="pip install 'trifuse[zarr]'"
        ) from None
    made = prepare(cube, platform, baseline, None, scl, None, None, start)
    name = (
        f"{platform}_MSIL2A_{made.start:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}_R122"
        f"_T{tile}_20240622T000000"
    )
    target = Path(folder) / f"{name}.zarr"
    with new_folder(target, overwrite) as work:
        root = zarr.open_group(str(work), mode="w", zarr_format=zarr_format)
        root.attrs["stac_discovery"] = {
            "id": name,
            "properties": {
                "datetime": made.start.isoformat(),
                "platform": f"sentinel-2{platform[2].lower()}",
                "processing:version": baseline,
            },
        }
        root.attrs["other_metadata"] = {"horizontal_CRS_code": cube.grid.crs}
        for path, gsd in [(array_path(b), NATIVE[b]) for b in NATIVE] + [(SCL, 20)]:
            group, last = path.rsplit("/", 1)
            place = root.require_group(group)
            grid = made.grids[gsd]
            if "x" not in place:
                (size_y, size_x), (west, _, _, north) = grid.gsd, grid.bounds
                axes = {
                    "x": west + size_x * (np.arange(grid.width) + 0.5),
                    "y": north - size_y * (np.arange(grid.height) + 0.5),
                }
                for axis, values in axes.items():
                    _name_axes(place.create_array(axis, data=values, fill_value=np.nan), axis)
            if path == SCL:
                classes = place.create_array(last, data=made.classes(20), chunks=(16, 16))
                _name_axes(classes, "y", "x")
                continue
            band = next(b for b in NATIVE if array_path(b) == path)
            if dtype == "float32":
                plane = made.reflectance(band, gsd).astype(np.float32)
                array = place.create_array(
                    last, shape=plane.shape, dtype=dtype, chunks=(16, 16), fill_value=np.nan
                )
            else:
                plane = made.counts(band, gsd)
                array = place.create_array(
                    last, shape=plane.shape, dtype=dtype, chunks=(16, 16), fill_value=0
                )
                array.attrs.update(
                    {
                        "scale_factor": 1 / QUANTIFICATION,
                        "_FillValue": 0,
                        "add_offset": made.offsets[band] / QUANTIFICATION,
                    }
                )
            array[:] = plane
            _name_axes(array, "y", "x")
    return target


def _name_axes(array: Any, *names: str) -> None:
    """Name the dimensions, as xarray and GDAL look for them in format 2."""
    array.attrs["_ARRAY_DIMENSIONS"] = list(names)
