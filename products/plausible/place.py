"""Looks at where an image lies, against what its name and metadata say."""

from __future__ import annotations

import math
import re

from trifuse.core import Grid, GridError
from trifuse.products.plausible.seen import Seen
from trifuse.products.sentinel2.place import tile_crs

UTM = re.compile(r"EPSG:32([67])\d\d")
SQUARE = 100_000.0
"""Metres of a square of MGRS; tiles of Sentinel-2 reach 10 km further south and east."""
AROUND = 20_000.0
"""Metres that an image may miss the square by."""
MISSED = 2.0
"""Degrees of the great circle that an image may miss the centre of a scene by: half of the
diagonal of a scene is 1.2."""
_BANDS, _ROWS = "CDEFGHJKLMNPQRSTUVWX", "ABCDEFGHJKLMNPQRSTUV"
_COLUMNS = ("STUVWXYZ", "ABCDEFGH", "JKLMNPQR")


def tile(seen: Seen) -> str:
    """Zone, latitude and square of the MGRS tile."""
    name = str(seen.meta.get("tile") or "")
    expected = tile_crs(name)
    if not expected or UTM.fullmatch(seen.grid.crs) is None:
        return ""
    if seen.grid.crs != expected:
        return f"lies in {seen.grid.crs}, its tile {name} in {expected}"
    south = -80 + 8 * _BANDS.index(name[-3])
    low, high = _latitudes(seen.grid)
    if high < south - 1.5 or low > south + (12 if name[-3] == "X" else 8) + 1.5:
        return f"lies at {low:.1f} to {high:.1f}° N, its tile {name} beyond {south}° N"
    return _square(seen.grid, name)


def _square(grid: Grid, name: str) -> str:
    """Whether a grid touches the square of a tile; letters of rows repeat every 2000 km.

    Source: NGA.STND.0037, The Universal Grids and the Transverse Mercator and Polar Stereographic
    Map Projections (2014): lettering scheme AA of MGRS.
    """
    zone, column, row = int(name[:-3]), name[-2], name[-1]
    if column not in _COLUMNS[zone % 3] or row not in _ROWS:
        return f"its tile {name} is none of zone {zone}"
    west = SQUARE * (1 + _COLUMNS[zone % 3].index(column))
    south = SQUARE * ((_ROWS.index(row) - (0 if zone % 2 else 5)) % 20)
    left, bottom, right, top = grid.bounds
    away_x = max(west - right, left - (west + SQUARE))
    middle = (bottom + top) / 2
    away_y = abs((middle - south - SQUARE / 2 + 1e6) % 2e6 - 1e6) - (SQUARE + top - bottom) / 2
    if max(away_x, away_y) <= AROUND:
        return ""
    return (
        f"starts at {left:.0f}, {top:.0f}, {max(away_x, away_y) / 1000:.0f} km off the square of "
        f"its tile {name}"
    )


def path_row(seen: Seen) -> str:
    """Place of a Landsat scene by its path and row."""
    match = re.match(
        r"L[COTEM]\d\d_L2S[PR]_(\d{3})(\d{3})_", str(seen.meta.get("product_id") or "")
    )
    box = _box(seen.grid)
    if match is None or box is None:
        return ""
    lat, lon = scene_centre(int(match[1]), int(match[2]))
    west, south, east, north = box
    # of the image, the point nearest to the centre of the scene
    away = (lon - west) % 360
    width = east - west + (360 if east < west else 0)
    if away > width:
        away = width if away - width < 360 - away else 0.0
    apart = _apart(lat, lon, min(max(lat, south), north), west + away)
    if apart <= MISSED:
        return ""
    middle = (west + width / 2 + 180) % 360 - 180
    return (
        f"lies at {(south + north) / 2:.1f}° N, {middle:.1f}° E, its path {match[1]} and row "
        f"{match[2]} at {lat:.1f}° N, {lon:.1f}° E"
    )


def scene_centre(path: int, row: int) -> tuple[float, float]:
    """Latitude and longitude of a path and row of WRS-2, in degrees, to about 0.4.

    233 orbits of 98.2° in 16 days; path 1 goes down through the equator, at row 60 of 248, at
    64.6° W, and each path lies west of the one before.

    Source: Landsat 8 Data Users Handbook (USGS, LSDS-1574), WRS-2; NASA Langley ASDC, What is a
    MISR path (the longitude of path 1). The rest follows for a circular orbit.
    """
    along, tilt = math.radians((row - 60) * 360 / 248), math.radians(98.2)
    lat = -math.degrees(math.asin(math.sin(along) * math.sin(tilt)))
    east = math.degrees(math.atan2(math.cos(tilt) * math.sin(along), math.cos(along)))
    turned = math.degrees(along) * 16 / 233  # of the Earth meanwhile
    lon = -64.6 - (path - 1) * 360 / 233 + east - turned
    return lat, (lon + 180) % 360 - 180


def _apart(lat: float, lon: float, lat2: float, lon2: float) -> float:
    """Degrees of the great circle between two places."""
    a, b, across = math.radians(lat), math.radians(lat2), math.radians(lon2 - lon)
    half = math.sin((b - a) / 2) ** 2 + math.cos(a) * math.cos(b) * math.sin(across / 2) ** 2
    return math.degrees(2 * math.asin(min(1.0, math.sqrt(half))))


def _box(grid: Grid) -> tuple[float, float, float, float] | None:
    """West, south, east, north in degrees; None where there is no telling."""
    from rasterio.errors import RasterioError
    from rasterio.warp import transform_bounds

    from trifuse.products.files.raster import parse_crs

    try:
        crs = parse_crs(grid.crs)
        if crs is None:
            return None
        west, south, east, north = transform_bounds(crs, "EPSG:4326", *grid.bounds)
    except (RasterioError, GridError):
        return None
    box = (west, south, east, north)
    return box if all(map(math.isfinite, box)) else None


def _latitudes(grid: Grid) -> tuple[float, float]:
    """Of the south and north edge of a grid in UTM, to a tenth of a degree."""
    falsely = 1e7 if grid.crs.startswith("EPSG:327") else 0.0
    _, south, _, north = grid.bounds
    return (south - falsely) / 110_900, (north - falsely) / 110_900
