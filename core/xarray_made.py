"""Images as xarray has them, made: labelled arrays after the CF conventions.

So rioxarray, QGIS and GDAL know where the pixels lie, also after ``to_netcdf``.

Source: NetCDF Climate and Forecast (CF) Metadata Conventions 1.11, sections 4, 5.6 and appendix F.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from trifuse.core.bands import BandSet
from trifuse.core.errors import MissingExtraError
from trifuse.core.grid import Grid, Window
from trifuse.core.xarray_read import MAPPING, META, RESERVED, parsed_crs

if TYPE_CHECKING:
    import xarray

CHUNK_BYTES = 64 << 20
"""About what one chunk of a lazy array holds."""


def require_xarray() -> Any:
    """The package.

    Raises:
        MissingExtraError: if it is not installed.
    """
    try:
        import xarray
    except ImportError:
        raise MissingExtraError(
            "xarray is not installed", fix="pip install 'trifuse[xarray]'"
        ) from None
    return xarray


def labelled(
    data: Any, valid: Any, bands: BandSet, grid: Grid, meta: Mapping[str, Any], name: str
) -> xarray.DataArray:
    """Pixels with labels after the CF conventions.

    Args:
        data: (band, y, x), in memory or of Dask.
        valid: (y, x) bool, likewise.
        bands: of the image.
        grid: of the image.
        meta: plain JSON values; those that are text or numbers become attributes as they are, all
            others one attribute of JSON text.
        name: of the array.
    """
    units = meta.get("band_units") or {}
    array: xarray.DataArray = require_xarray().DataArray(
        data,
        dims=("band", "y", "x"),
        coords={
            "band": ("band", list(bands.names), {"long_name": "spectral band"}),
            **_axes(grid),
            "wavelength": (
                "band",
                list(bands.centres),
                {"standard_name": "radiation_wavelength", "units": "nm"},
            ),
            "fwhm": ("band", list(bands.fwhms), {"long_name": "full width", "units": "nm"}),
            "valid": (("y", "x"), valid, {"long_name": "pixel is usable"}),
            MAPPING: ((), 0, _mapping(grid)),
        },
        attrs={**_attributes(meta), **({"crs": grid.crs} if grid.crs else {})},
        name=name,
    )
    if isinstance(units, Mapping) and any(n in units for n in bands.names):
        array = array.assign_coords(units=("band", [str(units.get(n, "1")) for n in bands.names]))
    else:
        array.attrs.update(_quantity(meta))
    if (time := _instant(meta.get("start_time"))) is not None:
        array = array.assign_coords(time=time)
    array.encoding["grid_mapping"] = MAPPING
    return array


def lazily(
    read: Callable[[Window], Any], shape: tuple[int, int, int], side: int | None
) -> tuple[Any, Any] | None:
    """(band, y, x) and (y, x) arrays of Dask that read blocks when they are computed.

    Args:
        read: gives a cube of a window.
        shape: of the whole.
        side: of a block in pixels; default: as :data:`CHUNK_BYTES` allows.

    Returns:
        None where Dask is not installed.
    """
    try:
        import dask
        import dask.array as da
    except ImportError:
        return None
    count, height, width = shape
    if side is None:
        side = max(256, int(math.sqrt(CHUNK_BYTES / 4 / count)) // 256 * 256)
    later = dask.delayed(read, pure=False)
    rows: list[list[Any]] = []
    masks: list[list[Any]] = []
    for top in range(0, height, side):
        rows.append([])
        masks.append([])
        for left in range(0, width, side):
            at = Window(top, left, min(side, height - top), min(side, width - left))
            block = later(at)  # one read serves values and mask
            rows[-1].append(da.from_delayed(block.data, (count, *at.shape), np.float32))
            masks[-1].append(da.from_delayed(block.valid, at.shape, np.bool_))
    return da.block(rows), da.block(masks)


def _axes(grid: Grid) -> dict[str, Any]:
    a, _, c, _, e, f = grid.transform
    degrees = _is_geographic(grid.crs)
    made = {}
    for axis, start, step, count in (("y", f, e, grid.height), ("x", c, a, grid.width)):
        about = {
            "axis": axis.upper(),
            "long_name": f"{axis} of the pixels' centres",
            "standard_name": f"projection_{axis}_coordinate",
            "units": "m",
        }
        if degrees:
            name, units = ("latitude", "degrees_north") if axis == "y" else ("longitude", "degrees")
            about |= {"standard_name": name, "units": units if axis == "y" else "degrees_east"}
        elif not grid.crs:
            about.pop("standard_name")
            about["units"] = "1"
        made[axis] = (axis, start + step * (np.arange(count) + 0.5), about)
    return made


def _mapping(grid: Grid) -> dict[str, Any]:
    """Attributes of the grid mapping variable."""
    a, b, c, d, e, f = grid.transform
    about: dict[str, Any] = {"GeoTransform": " ".join(repr(float(v)) for v in (c, a, b, f, d, e))}
    crs = parsed_crs(grid.crs)
    if crs is None:
        return about
    text = grid.crs if not grid.crs.startswith("EPSG:") else crs.to_wkt()
    about |= {"crs_wkt": text, "spatial_ref": text}
    if crs.is_geographic:
        about["grid_mapping_name"] = "latitude_longitude"
    facts = crs.to_dict()
    zone = re.fullmatch(r"EPSG:32([67])(\d\d)", grid.crs)
    if zone or facts.get("proj") in ("utm", "tmerc"):
        about |= _transverse_mercator(facts, south=bool(zone and zone[1] == "7"), zone=zone)
    return about


def _transverse_mercator(
    facts: Mapping[str, Any], *, south: bool, zone: re.Match[str] | None
) -> dict[str, Any]:
    """Parameters by appendix F of the conventions."""
    number = int(zone[2]) if zone else facts.get("zone")
    if number is not None:
        south = south or bool(facts.get("south"))
        lon, k, east, north = 6.0 * int(number) - 183, 0.9996, 5e5, 1e7 if south else 0.0
        lat = 0.0
    else:
        lon, k = float(facts.get("lon_0", 0)), float(facts.get("k", facts.get("k_0", 1)))
        lat = float(facts.get("lat_0", 0))
        east, north = float(facts.get("x_0", 0)), float(facts.get("y_0", 0))
    return {
        "grid_mapping_name": "transverse_mercator",
        "longitude_of_central_meridian": lon,
        "latitude_of_projection_origin": lat,
        "scale_factor_at_central_meridian": k,
        "false_easting": east,
        "false_northing": north,
    }


def _attributes(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as netCDF takes them: text and numbers; the rest as JSON in one text."""
    plain: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for key, value in meta.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = isinstance(value, str) or (number and math.isfinite(value) and abs(value) < 2**53)
        word = re.fullmatch(r"[A-Za-z]\w*", str(key)) is not None
        (plain if fits and word and key not in RESERVED else rest)[str(key)] = value
    if rest:
        plain[META] = json.dumps(rest, default=_json, ensure_ascii=False)
    return plain


def _json(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return dict(value) if isinstance(value, Mapping) else str(value)


def _quantity(meta: Mapping[str, Any]) -> dict[str, str]:
    """Unit and standard name of the values, as far as the image tells what they are."""
    known = {
        "reflectance": "surface_bidirectional_reflectance",
        "toa_reflectance": "toa_bidirectional_reflectance",
    }
    quantity = str(meta.get("quantity", "reflectance"))
    if quantity in known:
        return {"units": "1", "standard_name": known[quantity], "long_name": quantity}
    return {"long_name": quantity}


def _instant(told: Any) -> np.datetime64 | None:
    """A time in UTC, as numpy has it."""
    try:
        time = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(time, "ns")


def _is_geographic(crs: str) -> bool:
    return bool(crs) and bool(parsed_crs(crs).is_geographic)
