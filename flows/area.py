"""The area asked for of an image, and what is learnt from around it.

A small area has few Sentinel-3 cells, and none that is seen by both images at its edges. So what
a fusion learns, it learns from the ground around as well.
"""

from __future__ import annotations

import math

from trifuse.core import Box, CubeSource, Grid, GridError, OverlapError, Window, checked_box
from trifuse.flows.inputs import Image, as_source

LATLON = "EPSG:4326"

EDGE = 1e-6
"""Pixels: an edge on a pixel's edge, but for rounding, takes no further pixel."""

LEARNT_CELLS = 40
"""Cells along each axis that are learnt from, at least, where the images show as many."""

RIM_CELLS = 4
"""Cells around any area that are learnt from."""


def area_of(source: CubeSource, bbox: Box | None, like: Image | None) -> Window:
    """The pixels of a source that an area touches; the window may leave the source.

    Args:
        source: any image.
        bbox: (west, south, east, north) in degrees; west may exceed east across the antimeridian.
        like: an image whose ground is meant, in place of ``bbox``.

    Raises:
        OverlapError: if the area lies outside the image.
        ConfigError: if it makes no sense.
        GridError: if the image has no coordinate system.
    """
    if bbox is not None:
        return _area(source, LATLON, checked_box(bbox))
    assert like is not None
    with as_source(like) as image:
        return _area(source, image.grid.crs, image.grid.bounds)


def window_of(source: CubeSource, bbox: Box) -> Window:
    """The pixels of a source that an area touches.

    Args:
        source: any image.
        bbox: (west, south, east, north) in degrees.

    Raises:
        OverlapError: if the area lies outside the image.
        ConfigError: if it makes no sense.
        GridError: if the image has no coordinate system.
    """
    return area_of(source, bbox, None).clip(*source.grid.shape)


def learnt_around(area: Window, shared: Window, ratio: int) -> Window:
    """The ground that is learnt from, for an area.

    Args:
        area: pixels asked for.
        shared: pixels that both images show, in whole cells.
        ratio: pixels per cell.

    Returns:
        Whole cells of ``shared``: the area, at least :data:`RIM_CELLS` around it, and more until
        there are :data:`LEARNT_CELLS` along each axis.

    Raises:
        OverlapError: if none of the area is shared.
    """
    rows = _learnt(area.row, area.height, shared.row, shared.height, ratio)
    cols = _learnt(area.col, area.width, shared.col, shared.width, ratio)
    return Window(rows[0], cols[0], rows[1], cols[1])


def _learnt(start: int, size: int, first: int, length: int, ratio: int) -> tuple[int, int]:
    """(start, length) of what is learnt from along an axis, in pixels."""
    cells = length // ratio
    low, high = (start - first) // ratio, -(-(start + size - first) // ratio)
    if high <= 0 or low >= cells:
        raise OverlapError(
            "none of the area is seen by both images", fix="give one that both of them cover"
        )
    low, high = max(0, low), min(cells, high)
    more = max(2 * RIM_CELLS, LEARNT_CELLS - (high - low))
    low = max(0, low - more // 2)
    high = min(cells, max(high + RIM_CELLS, low + LEARNT_CELLS))
    low = max(0, min(low, high - LEARNT_CELLS))  # what the image's end took is added before
    return first + low * ratio, (high - low) * ratio


def _area(source: CubeSource, crs: str, box: Box) -> Window:
    grid = source.grid
    if crs != grid.crs and not (crs and grid.crs):
        raise GridError("has no coordinate system to crop in", where=source.name)
    area = _touched(grid, crs, box)
    if area is None or 0 in area.clip(*grid.shape).shape:
        swapped = crs == LATLON and _is_there(grid, (box[1], box[0], box[3], box[2]))
        raise OverlapError(
            "the area lies outside the image",
            where=source.name,
            fix="give west,south,east,north: longitude and latitude seem to be swapped"
            if swapped
            else "give one that it covers",
        )
    return area


def _is_there(grid: Grid, box: Box) -> bool:
    area = _touched(grid, LATLON, box) if abs(box[1]) <= 90 and abs(box[3]) <= 90 else None
    return area is not None and 0 not in area.clip(*grid.shape).shape


def _touched(grid: Grid, crs: str, box: Box) -> Window | None:
    """The pixels that a box in some coordinate system touches; None if it has no place there."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    from trifuse.products import parse_crs

    if crs != grid.crs:
        try:
            box = transform_bounds(parse_crs(crs), parse_crs(grid.crs), *box, densify_pts=21)
        except RasterioError:
            return None
    west, south, east, north = box
    if not all(map(math.isfinite, box)):
        return None
    a, _, c, _, e, f = grid.transform
    rows = (math.floor((north - f) / e + EDGE), math.ceil((south - f) / e - EDGE))
    cols = (math.floor((west - c) / a + EDGE), math.ceil((east - c) / a - EDGE))
    return Window(rows[0], cols[0], max(0, rows[1] - rows[0]), max(0, cols[1] - cols[0]))
