"""What the header of a GeoTIFF would say of bands that xarray holds: names, scales, fill values."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from trifuse.core import Grid
from trifuse.products.files.raster import Header

if TYPE_CHECKING:
    import xarray

CENTRES, WIDTHS = ("wavelength", "center_wavelength"), ("fwhm", "full_width_half_max")
"""Coordinates and attributes of a band's centre and width."""

_NUMBERED = re.compile(r"band_?\d+")


def label_of(label: Any) -> str:
    """A band's name; empty for a number, also such as rioxarray's ``band_1``, which is none."""
    text = label.strip() if isinstance(label, str) else ""
    return "" if _NUMBERED.fullmatch(text) else text


def header_of(planes: Sequence[tuple[Any, xarray.DataArray]], grid: Grid) -> Header:
    """What the header of a GeoTIFF with these bands would say."""
    count = len(planes)
    dtype = np.result_type(*(p.dtype if p.dtype.kind != "b" else np.uint8 for _, p in planes))
    attrs = [p.attrs for _, p in planes]
    several = [_per_band(planes, i) for i in range(count)]
    fill = [_fill(p) for _, p in planes]
    return Header(
        driver="xarray",
        height=grid.height,
        width=grid.width,
        count=count,
        dtype=str(dtype),
        nodata=tuple(fill),
        scales=tuple(_number(own, a, "scale_factor", 1.0) for own, a in _both(several, attrs)),
        offsets=tuple(_number(own, a, "add_offset", 0.0) for own, a in _both(several, attrs)),
        descriptions=tuple(str(own.get("long_name") or "").strip() for own in several),
        tags={},
        band_tags=tuple(
            _tags(label, plane, alone=count == 1 or not _shared(planes)) for label, plane in planes
        ),
        crs=grid.crs,
        transform=grid.transform,
        block=_block(planes[0][1]),
        mask=0,
        alpha=0,
        flipped=False,
        layout="xarray",
    )


def _both(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return zip(first, second, strict=True)


def _shared(planes: Sequence[tuple[Any, xarray.DataArray]]) -> bool:
    """Whether the bands have one set of attributes, that of the array that they are slices of."""
    return len(planes) > 1 and all(p.attrs == planes[0][1].attrs for _, p in planes)


_LISTS = {"long_name": "long_name", "scales": "scale_factor", "offsets": "add_offset"}


def _per_band(planes: Sequence[tuple[Any, xarray.DataArray]], i: int) -> dict[str, Any]:
    """What rioxarray lists in the attributes of an array with a value for each band."""
    made: dict[str, Any] = {}
    for key, meaning in _LISTS.items():
        value = planes[i][1].attrs.get(key)
        if isinstance(value, tuple | list | np.ndarray) and len(value) == len(planes):
            made[meaning] = value[i]
        elif key == "long_name" and isinstance(value, str) and not _shared(planes):
            made[meaning] = value
    return made


def _number(
    own: Mapping[str, Any], attributes: Mapping[str, Any], key: str, otherwise: float
) -> float:
    value = own.get(key, attributes.get(key, otherwise))
    try:
        return float(value)
    except (TypeError, ValueError):
        return otherwise


def _fill(plane: xarray.DataArray) -> float | None:
    """The fill value that may still stand among the values."""
    places = [plane.attrs] if plane.dtype.kind == "f" else [plane.attrs, plane.encoding]
    for place in places:
        for key in ("_FillValue", "nodata", "missing_value"):
            with contextlib.suppress(TypeError, ValueError):
                if (value := place.get(key)) is not None:
                    return float(value)
    return None


def _tags(label: Any, plane: xarray.DataArray, *, alone: bool) -> dict[str, str]:
    """Name and wavelength of a band, as a GeoTIFF's tags have them.

    Attributes of several bands together hold the wavelength of the first, so they are no one's.
    """
    tags = {"name": label_of(label)} if label_of(label) else {}
    for keys, word in ((CENTRES, "wavelength"), (WIDTHS, "fwhm")):
        for key in keys:
            coordinate = plane.coords.get(key)
            if coordinate is not None and coordinate.ndim == 0:
                value, units = coordinate.item(), str(coordinate.attrs.get("units", ""))
            elif alone and key in plane.attrs:
                value, units = plane.attrs[key], str(plane.attrs.get("wavelength_units", ""))
            else:
                continue
            with contextlib.suppress(TypeError, ValueError):
                tags[word] = str(float(value))
                if units:
                    tags["wavelength_units"] = units
                break
    return tags


def _block(plane: xarray.DataArray) -> tuple[int, int]:
    """(rows, columns) of what is read at once."""
    height, width = plane.shape
    sizes = plane.encoding.get("preferred_chunks", {})
    if plane.chunks is not None:
        height, width = (max(c) for c in plane.chunks)
    elif isinstance(sizes, Mapping):
        height, width = (int(sizes.get(d, n)) for d, n in zip(plane.dims, plane.shape, strict=True))
    return height, width
