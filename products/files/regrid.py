"""Any georeferenced source on a wanted grid: cut out where pixels coincide, else warped."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import rasterio
import rasterio.warp
from rasterio.enums import Resampling

from trifuse.core import Box, CubeSource, Grid, GridError, Window
from trifuse.products.files.raster import FAILURES, parse_crs

_RIM = 4
"""Source pixels around the ground asked for: what the cubic kernel sees, and curvature."""


def box_in(crs: str, box: Box, source_crs: str) -> Box:
    """The box around a box of another coordinate system.

    Raises:
        GridError: if one of the systems is unknown.
    """
    if crs == source_crs:
        return box
    to, own = parse_crs(crs), parse_crs(source_crs)
    if to is None or own is None:
        raise GridError("an image has no coordinate system", fix="assign it one")
    try:
        west, south, east, north = rasterio.warp.transform_bounds(own, to, *box, densify_pts=21)
    except FAILURES:
        west = south = east = north = math.inf
    if not all(map(math.isfinite, (west, south, east, north))):
        raise GridError(f"the box {box} has no place in {crs}", fix="give degrees west to east")
    return west, south, east, north


def overlap(a: Box, b: Box) -> Box | None:
    """The ground that two boxes share, if there is any."""
    west, south, east, north = (max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3]))
    return (west, south, east, north) if west < east and south < north else None


def read_on(source: CubeSource, grid: Grid, bands: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """A source on the pixels of a grid.

    Where the pixels coincide they are cut out as they are; else values are interpolated by cubic
    convolution and validity is that of the nearest pixel.

    Args:
        source: on any grid with a coordinate system.
        grid: wanted; it may leave the source.
        bands: wanted; a band that the source lacks is NaN.

    Returns:
        (band, y, x) float32, NaN outside; (y, x) bool.

    Raises:
        GridError: if the source has no coordinate system.
    """
    there = [b for b in bands if b in source.bands.names]
    data = np.full((len(bands), *grid.shape), np.nan, np.float32)
    valid = np.zeros(grid.shape, bool)
    rows = [i for i, b in enumerate(bands) if b in there]
    try:
        place = source.grid.locate(grid)
    except GridError:
        place = None
    if place is not None:
        inside = place.clip(*source.grid.shape)
        if 0 not in inside.shape:
            cube = source.read(inside, there)
            at = inside.shift(-place.row, -place.col).slices
            data[(rows, *at)] = cube.data
            valid[at] = cube.valid
        return data, valid
    window = _source_window(source.grid, grid)
    if 0 in window.shape:
        return data, valid
    cube = source.read(window, there)
    how = {
        "src_crs": parse_crs(source.grid.crs),
        "dst_crs": parse_crs(grid.crs),
        "src_transform": rasterio.Affine(*cube.grid.transform),
        "dst_transform": rasterio.Affine(*grid.transform),
    }
    warped = np.full((len(there), *grid.shape), np.nan, np.float32)
    rasterio.warp.reproject(
        cube.data, warped, resampling=Resampling.cubic, src_nodata=np.nan, dst_nodata=np.nan, **how
    )
    flags = np.zeros(grid.shape, np.uint8)
    rasterio.warp.reproject(
        cube.valid.astype(np.uint8), flags, resampling=Resampling.nearest, **how
    )
    data[rows] = warped
    return data, (flags > 0) & np.isfinite(warped).any(axis=0)


def _source_window(source: Grid, grid: Grid) -> Window:
    """The pixels of a source around the ground of another grid."""
    west, south, east, north = box_in(source.crs, grid.bounds, grid.crs)
    a, _, c, _, e, f = source.transform
    top, left = math.floor((north - f) / e) - _RIM, math.floor((west - c) / a) - _RIM
    bottom, right = math.ceil((south - f) / e) + _RIM, math.ceil((east - c) / a) + _RIM
    return Window(top, left, bottom - top, right - left).clip(*source.shape)
