"""An area in degrees of longitude and latitude, as people give one."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trifuse.core.errors import ConfigError

Box = tuple[float, float, float, float]
"""(west, south, east, north)."""


def checked_box(bbox: Sequence[float]) -> Box:
    """A box with its east beyond its west, also across the antimeridian.

    >>> checked_box((178, -18, -179, -16))
    (178.0, -18.0, 181.0, -16.0)

    Args:
        bbox: (west, south, east, north) in degrees, half the globe wide at most; west may exceed
            east where the box crosses the antimeridian.

    Raises:
        ConfigError: if it is no such box, with what may be meant.
    """
    if len(bbox) != 4 or not all(map(math.isfinite, bbox)):
        raise ConfigError(
            f"bbox of {', '.join(f'{v:g}' for v in bbox)}", fix="give west,south,east,north"
        )
    west, south, east, north = map(float, bbox)
    if why := _wrong(west, south, east, north):
        raise ConfigError(
            f"bbox of {west:g}, {south:g}, {east:g}, {north:g}: {why}",
            fix="give west,south,east,north in degrees of longitude and latitude",
        )
    return west, south, east + 360 if east < west else east, north


def _wrong(west: float, south: float, east: float, north: float) -> str:
    if not (-180 <= west <= 180 and -180 <= east <= 180):
        return "no longitudes"
    if not (-90 <= south <= 90 and -90 <= north <= 90):
        if max(abs(west), abs(east)) <= 90:
            return "no latitudes; are longitude and latitude swapped?"
        return "no latitudes"
    if south >= north:
        return "its south is not below its north"
    if west == east:
        return "it has no width"
    if east < west and east + 360 - west > 180:
        return "its west lies east of its east"
    if east - west > 180:
        return "wider than half the globe; across the antimeridian west exceeds east"
    return ""
