"""Images as xarray has them, read: grids, coordinate systems and metadata of labelled arrays.

Where pixels lie is told by ``spatial_ref`` or any other grid mapping, by the attributes of odc-stac
and stackstac, and by the coordinates.
"""

from __future__ import annotations

import json
import logging
import math
import re
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

from trifuse.core.bands import Band, BandSet
from trifuse.core.errors import DataError, GridError, MetadataError
from trifuse.core.grid import Affine6, Grid

if TYPE_CHECKING:
    import xarray

    XArray = xarray.Dataset | xarray.DataArray

ROWS = ("y", "latitude", "lat", "northing", "Y")
COLUMNS = ("x", "longitude", "lon", "easting", "X")
"""What the axes of an image are called; the first is what is written."""

UNPLACED: Affine6 = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Transform of an image without coordinates: its own pixels."""

META = "trifuse_meta"
"""Attribute of the metadata that are no text or number, as JSON."""

MAPPING = "spatial_ref"
"""Variable that says where the pixels lie."""

RESERVED = {
    *("units", "standard_name", "long_name", "grid_mapping", "coordinates", "crs", META),
    *("_FillValue", "missing_value", "scale_factor", "add_offset", "dtype", "valid_range"),
    *("valid_min", "valid_max", "flag_values", "flag_meanings", "calendar", "ancillary_variables"),
}
"""Attributes that mean something of their own."""

_BY_BAND = ("usable", "detectors")
_FRACTION = 1e-3
_log = logging.getLogger(__name__)


def is_xarray(value: object) -> TypeGuard[XArray]:
    """Whether a value is a Dataset or DataArray; imports nothing."""
    package = sys.modules.get("xarray")
    return package is not None and isinstance(value, (package.Dataset, package.DataArray))


Pieces = tuple[np.ndarray, np.ndarray, BandSet, Grid, dict[str, Any], tuple[int, int]]


def pieces_of(array: XArray) -> Pieces:
    """Values of a labelled array, what they are made into a cube of, and its corner.

    Args:
        array: of floats, (band, y, x) in any order, or (y, x); or a Dataset of one such array.

    Returns:
        (band, y, x) float32 and (y, x) bool, north-up; bands, grid and metadata; (row, column) in
        the image that this is a part of.

    Raises:
        DataError: if it holds no floats, or more dimensions.
        GridError: if its coordinates are no regular grid.
        MetadataError: if a Dataset has none or several, or an array no axes of an image.
    """
    array = _image_of(array)
    where = str(array.name or "array")
    if array.dtype.kind != "f":
        raise DataError(f"holds {array.dtype}, not values", where=where, fix="use open_cube")
    if any(array.attrs.get(k, v) != v for k, v in (("scale_factor", 1), ("add_offset", 0))):
        raise DataError("is still to be scaled", where=where, fix="use open_cube")
    y, x = axes_of(array, where)
    others = [d for d in array.dims if d not in (y, x)]
    if len(others) > 1:
        raise DataError(
            f"has dimensions {', '.join(map(str, array.dims))}", where=where, fix="give band, y, x"
        )
    grid, flipped = grid_of(array, where)
    stack = array.transpose(*others, y, x)
    names = [str(n) for n in np.atleast_1d(array[others[0]].values)] if others else [where]
    rows = slice(None, None, -1 if flipped else 1)
    data = np.asarray(stack.values, np.float32).reshape(len(names), *grid.shape)[:, rows]
    if "valid" in array.coords:
        valid = np.asarray(array["valid"].transpose(y, x).values, bool)[rows]
    else:
        valid = np.asarray(np.isfinite(data).any(axis=0))
    made = np.ascontiguousarray(data), np.ascontiguousarray(valid)
    return (
        *made,
        _bands_of(array, names),
        grid,
        meta_of(array.attrs, len(names)),
        corner_of(array, grid),
    )


def _image_of(array: XArray) -> xarray.DataArray:
    """The one image of a Dataset, with what says where it lies; an array as it is."""
    if not hasattr(array, "data_vars"):
        return cast("xarray.DataArray", array)
    flat = {str(n) for n, v in array.data_vars.items() if v.ndim < 2}
    images = [str(n) for n in array.data_vars if str(n) not in flat]
    if len(images) != 1:
        raise MetadataError(
            f"holds {', '.join(images) or 'no images'}",
            where="dataset",
            fix="choose one, or give it to open_cube",
        )
    return array.set_coords(flat)[images[0]]


def axes_of(array: XArray, where: str) -> tuple[str, str]:
    """Names of the row and the column dimension.

    Raises:
        MetadataError: if it has none.
    """
    names = [str(d) for d in array.dims]
    y = next((n for n in ROWS if n in names), None)
    x = next((n for n in COLUMNS if n in names), None)
    if y is None or x is None:
        raise MetadataError(
            f"has dimensions {', '.join(names) or 'none'}", where=where, fix="call two y and x"
        )
    return y, x


def grid_of(array: XArray, where: str) -> tuple[Grid, bool]:
    """Where the pixels lie, north-up, and whether rows run from south to north.

    Coordinates are of pixel centres. Those of stackstac are of upper left corners by default,
    which only the transform beside them tells. That of ``spatial_ref`` tells the last digits of
    the corner, and the size of a single pixel; where it is of other pixels, or says nothing, the
    coordinates count alone.

    Raises:
        GridError: if an axis is not regular, or the image is rotated.
        MetadataError: if an axis of one pixel has no size.
    """
    y, x = axes_of(array, where)
    height, width = (int(array.sizes[d]) for d in (y, x))
    if y not in array.coords or x not in array.coords:
        return Grid("", UNPLACED, height, width), False
    stated, corners = _stated(array)
    west, right = _along(array[x].values, stated and (stated[2], stated[0]), corners, x, where)
    north, down = _along(array[y].values, stated and (stated[5], stated[4]), corners, y, where)
    if right < 0:
        raise GridError(f"{x} runs from east to west", where=where, fix=f"sort it by {x}")
    flipped = down > 0
    if flipped:
        north, down = north + down * height, -down
    if stated is None and MAPPING not in array.coords and "epsg" in array.coords:
        _log.warning(
            "%s: has lost the transform that stackstac gives, so x and y are taken for centres of "
            "pixels; they are corners unless it was asked for centres",
            where,
        )
    return Grid(crs_of(array), (right, 0.0, west, 0.0, down, north), height, width), flipped


def corner_of(array: XArray, grid: Grid) -> tuple[int, int]:
    """(row, column) at which a grid starts in the image whose transform is beside it."""
    stated, _ = _stated(array)
    if stated is None or not np.allclose(
        (stated[0], stated[4]), (grid.transform[0], grid.transform[4])
    ):
        return 0, 0
    south, east = grid.transform[5] - stated[5], grid.transform[2] - stated[2]
    return round(south / stated[4]), round(east / stated[0])


def crs_of(array: XArray) -> str:
    """``EPSG:n`` where there is a code, else WKT; empty where nothing tells it.

    Raises:
        MetadataError: if what should tell it names no coordinate system.
    """
    for told in _told_crs(array):
        if text := _crs_text(told):
            return text
    return ""


def meta_of(attributes: Mapping[Any, Any], count: int) -> dict[str, Any]:
    """Metadata in attributes, in plain JSON values: the inverse of what :func:`labelled` does.

    Args:
        attributes: of an array or Dataset.
        count: of bands; lists of other bands, of which some were chosen since, are left out.
    """
    plain = {
        str(k): v.item() if isinstance(v, np.generic) else v
        for k, v in attributes.items()
        if k not in RESERVED and isinstance(v, str | int | float | np.generic)
    }
    try:
        more = json.loads(str(attributes.get(META, "{}")))
    except ValueError:
        more = {}
    meta = {**plain, **(more if isinstance(more, dict) else {})}
    return {k: v for k, v in meta.items() if k not in _BY_BAND or len(v or ()) == count}


def _bands_of(array: xarray.DataArray, names: list[str]) -> BandSet:
    """Bands by name, with the wavelengths that :func:`labelled` writes, where they are there."""
    found = []
    for key in ("wavelength", "fwhm"):
        there = key in array.coords and array[key].size == len(names)
        values = np.atleast_1d(array[key].values) if there else [math.nan] * len(names)
        found.append([float(v) for v in values])
    return BandSet(tuple(map(Band, names, *found)))


def _stated(array: XArray) -> tuple[Affine6 | None, bool]:
    """The transform beside the coordinates, of the whole image that this may be a part of.

    The second value is whether it is one beside which coordinates may be corners.

    Raises:
        GridError: if it is rotated.
    """
    numbers: Any = None
    for variable in _mappings(array):
        text = str(variable.attrs.get("GeoTransform", ""))
        try:
            c, a, b, f, d, e = (float(v) for v in text.split())
        except ValueError:
            continue
        numbers = (a, b, c, d, e, f)
        break
    corners = numbers is None
    if numbers is None:
        told = array.attrs.get("transform")
        try:
            numbers = tuple(float(v) for v in tuple(told)[:6])  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None, False
    if len(numbers) != 6 or not all(map(math.isfinite, numbers)):
        return None, False
    if numbers[1] or numbers[3]:
        raise GridError("rotated grids are not supported", fix="warp the image to north-up")
    return numbers, corners


def _along(
    values: np.ndarray, stated: tuple[float, float] | None, corners: bool, axis: str, where: str
) -> tuple[float, float]:
    """Outer edge of the first pixel, and the step to the next."""
    values = np.asarray(values, float)
    if len(values) > 1:
        step = float(values[-1] - values[0]) / (len(values) - 1)
        if not step or not np.allclose(np.diff(values), step, rtol=1e-4, atol=0):
            raise GridError(f"{axis} is no regular axis", where=where, fix="resample it to one")
    elif stated is not None:
        step = stated[1]
    else:
        raise MetadataError(f"has one pixel along {axis} and does not tell its size", where=where)
    if stated is None:
        return float(values[0]) - step / 2, step
    start, size = stated
    if not math.isclose(abs(size), abs(step), rel_tol=1e-6 + _FRACTION / len(values)):
        return float(values[0]) - step / 2, step  # of other pixels: the image was resampled
    size = math.copysign(size, step)
    place = (float(values[0]) - start) / size
    if corners and abs(place - round(place)) < _FRACTION:  # as of stackstac
        backwards = size != stated[1]  # the upper left corner of rows from south to north
        return start + round(place) * size - (size if backwards else 0.0), size
    if abs(place - 0.5 - round(place - 0.5)) < _FRACTION:
        return start + round(place - 0.5) * size, size
    return float(values[0]) - step / 2, step


def _mappings(array: XArray) -> Iterator[Any]:
    """Variables that may be grid mappings, that which is named first."""
    named = []
    values = array.data_vars.values() if hasattr(array, "data_vars") else [array]
    for variable in values:
        for place in (variable.encoding, variable.attrs):
            if "grid_mapping" in place:
                named.append(str(place["grid_mapping"]).split(":")[0].split()[0])
    scalars = [str(n) for n, c in array.coords.items() if c.ndim == 0]
    if hasattr(array, "data_vars"):
        scalars += [str(n) for n, v in array.data_vars.items() if v.ndim == 0]
    for name in dict.fromkeys([*named, MAPPING, "crs", *scalars]):
        if name in scalars:
            yield array[name]


def _told_crs(array: XArray) -> Iterator[Any]:
    """All that may name the coordinate system, the best first."""
    for variable in _mappings(array):
        for key in ("crs_wkt", "spatial_ref"):
            yield variable.attrs.get(key)
    for name in ("epsg", "proj:code", "proj:epsg"):
        if name in array.coords and array[name].ndim == 0:
            yield array[name].item()
    for key in ("crs", "epsg", "proj:code", "proj:epsg"):
        yield array.attrs.get(key)
    for axis in (*ROWS, *COLUMNS):
        if axis in array.coords:
            yield array[axis].attrs.get("crs")


def _crs_text(told: Any) -> str:
    if told is None or (isinstance(told, float) and math.isnan(told)):
        return ""
    if hasattr(told, "to_wkt"):
        told = told.to_wkt()
    text = str(told).strip()
    if text.isdigit():
        text = f"EPSG:{text}"
    if not text:
        return ""
    crs = parsed_crs(text)
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else text if text.endswith("]") else str(crs.to_wkt())


def parsed_crs(text: str) -> Any:
    """A coordinate system; None for an empty text.

    Raises:
        MetadataError: if the text names none.
    """
    if not text:
        return None
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        # What takes any text would also take file names and addresses.
        if code := re.fullmatch(r"EPSG:(\d{4,6})", text, re.IGNORECASE):
            return CRS.from_epsg(int(code[1]))
        return CRS.from_proj4(text) if text.startswith("+") else CRS.from_wkt(text)
    except CRSError:
        raise MetadataError(
            f"{text[:60]!r} names no coordinate system", fix="give EPSG:n"
        ) from None
