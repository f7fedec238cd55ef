"""The ground that the sensors of a series share, as nested grids."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from trifuse.core import Box, Grid, OverlapError
from trifuse.products.files.regrid import box_in, overlap
from trifuse.products.series.find import Dated
from trifuse.products.series.sensors import SENSORS

CELL = 30.0
"""Areas are whole cells of this size, or of a swath's, so that all cover the same ground."""

LATLON = "EPSG:4326"


def area_grids(
    found: Mapping[str, Sequence[Dated]], bbox: Box | None = None, *, cell: float = CELL
) -> dict[str, Grid]:
    """Nested grids over the ground that all sensors, and the box, have in common.

    The system and lattice are those of the first sensor of :data:`SENSORS` that is given; of
    several systems the one with most products.

    Args:
        found: sensor → its products.
        bbox: west, south, east, north in degrees.
        cell: metres; the ground is whole cells of this size.

    Raises:
        OverlapError: if there is no such ground, not even one cell.
    """
    leader = next(found[name] for name in SENSORS if name in found)
    counts: dict[str, int] = {}
    for product in leader:
        counts[product.grid.crs] = counts.get(product.grid.crs, 0) + 1
    crs = max(sorted(counts), key=lambda c: counts[c])
    lattice = min((p for p in leader if p.grid.crs == crs), key=lambda p: p.name).grid
    west, north = lattice.bounds[0], lattice.bounds[3]
    area = (
        None
        if bbox is None
        else _snapped(box_in(crs, bbox, LATLON), west, north, cell, outward=True)
    )
    for sensor, products in found.items():
        boxes = [box_in(crs, p.grid.bounds, p.grid.crs) for p in products]
        if area is not None:
            boxes = [b for b in boxes if overlap(b, area)]
        ground = (
            (
                min(b[0] for b in boxes),
                min(b[1] for b in boxes),
                max(b[2] for b in boxes),
                max(b[3] for b in boxes),
            )
            if boxes
            else None
        )
        inner = None if ground is None else _snapped(ground, west, north, cell, outward=False)
        area = inner if area is None or inner is None else overlap(area, inner)
        if inner is None or area is None:
            raise OverlapError(
                f"the {sensor} products share no ground with "
                + ("the box" if bbox is not None else "the other sensor"),
                fix="give products and a box of one area",
            )
    assert area is not None
    height, width = round((area[3] - area[1]) / cell), round((area[2] - area[0]) / cell)
    coarse = Grid.from_origin(crs, area[0], area[3], cell, height, width)
    return {s: coarse.zoom_in(round(cell / SENSORS[s].gsd)) for s in found}


def _snapped(box: Box, west: float, north: float, cell: float, *, outward: bool) -> Box | None:
    """A box in whole cells of a lattice; None if it holds none."""
    low, high = (math.floor, math.ceil) if outward else (math.ceil, math.floor)
    slack = 1e-6 if not outward else -1e-6
    left, right = low((box[0] - west) / cell - slack), high((box[2] - west) / cell + slack)
    top, bottom = low((north - box[3]) / cell - slack), high((north - box[1]) / cell + slack)
    if right <= left or bottom <= top:
        return None
    return west + left * cell, north - bottom * cell, west + right * cell, north - top * cell
