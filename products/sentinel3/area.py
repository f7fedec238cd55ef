"""Grids for swaths: coordinate systems in metres, projection, the area that is wanted."""

from __future__ import annotations

import math

import numpy as np
import rasterio.warp

from trifuse.align.swath import PIXEL
from trifuse.core import Box, ConfigError, DataError, Grid, GridError, checked_box
from trifuse.products.files.raster import crs_text, parse_crs
from trifuse.products.sentinel3.delivery import Delivery
from trifuse.products.sentinel3.geometry import Geolocation, unit_vectors

_NEAR = math.cos(math.radians(45))
_PROJECT = 1 << 18
_MAX_CELLS = 1 << 28


def choose_grid(
    delivery: Delivery,
    geolocation: Geolocation,
    *,
    grid: Grid | None = None,
    gsd: float = PIXEL,
    crs: str | None = None,
    bbox: Box | None = None,
) -> Grid:
    """The grid a swath is brought onto: the one given, or one that covers it.

    Args:
        delivery: of the swath.
        geolocation: where its pixels lie.
        grid: taken as it is.
        gsd: cell size in metres; cells start at multiples of it.
        crs: coordinate system in metres; default: UTM, by the middle of the area.
        bbox: (west, south, east, north) in degrees; west may lie beyond the antimeridian, so be
            greater than east. Default: the whole swath.

    Raises:
        ConfigError: if a grid comes with other wishes, or a value is out of range.
        GridError: if ``crs`` is not in metres.
        DataError: if the swath has no places.
    """
    if grid is not None:
        if crs is not None or bbox is not None or gsd != PIXEL:
            raise ConfigError("a grid and its crs, gsd or bbox are given", fix="give one of them")
        return grid
    if not (math.isfinite(gsd) and gsd > 0):
        raise ConfigError(f"cells of {gsd} m", fix="give a positive size")
    if bbox is not None:
        lon, lat = _edge(bbox)
    else:
        lon, lat = geolocation.outline(delivery)
    middle = _middle(lon, lat)
    if middle is None:
        raise DataError("no pixel has a place", where=delivery.name, fix="get the product again")
    crs = utm(*middle) if crs is None else crs_text(parse_crs(crs))
    require_metres(crs)
    x, y = project(lon, lat, crs, middle)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise GridError(
            f"{crs[:40]} does not reach the swath",
            where=delivery.name,
            fix="give a coordinate system of its area",
        )
    west, east = math.floor(x[known].min() / gsd), math.ceil(x[known].max() / gsd)
    south, north = math.floor(y[known].min() / gsd), math.ceil(y[known].max() / gsd)
    height, width = max(1, north - south), max(1, east - west)
    if height * width > _MAX_CELLS:
        raise GridError(
            f"a grid of {height}×{width} cells",
            where=delivery.name,
            fix="give a bbox or larger cells",
        )
    return Grid.from_origin(crs, west * gsd, north * gsd, gsd, height, width)


def utm(lon: float, lat: float) -> str:
    """EPSG code of the UTM zone of a place; of polar stereographic beyond 84° N and 80° S."""
    if not -80 <= lat <= 84:
        return "EPSG:32661" if lat > 0 else "EPSG:32761"
    zone = int((lon + 180) % 360 // 6) + 1
    return f"EPSG:{(32600 if lat >= 0 else 32700) + zone}"


def require_metres(crs: str) -> None:
    """Refuse a coordinate system in which 300 m are not 300.

    Raises:
        GridError: if it is geographic, has other units, or is unknown.
    """
    known = parse_crs(crs)
    if known is None or not known.is_projected or known.linear_units_factor[1] != 1:
        raise GridError(
            f"{crs[:40] or 'no coordinate system'} is not in metres",
            fix="give a projected one, such as EPSG:32633",
        )


def centre_of(grid: Grid) -> tuple[float, float]:
    """Longitude and latitude of a grid's middle, in degrees."""
    west, south, east, north = grid.bounds
    try:
        lon, lat = rasterio.warp.transform(
            parse_crs(grid.crs), "EPSG:4326", [(west + east) / 2], [(south + north) / 2]
        )
    except Exception:  # PROJ's errors have no public base class
        lon, lat = [math.nan], [math.nan]
    if not (math.isfinite(lon[0]) and math.isfinite(lat[0])):
        raise GridError(f"the middle of {grid.bounds} lies nowhere on Earth")
    return lon[0], lat[0]


def project(
    lon: np.ndarray,
    lat: np.ndarray,
    crs: str,
    around: tuple[float, float],
    box: tuple[float, float, float, float] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Map coordinates in metres, NaN for places that are unknown or not asked for.

    Far from its middle a projection fails or folds, so places further than 45° from ``around``
    are not asked for.

    Args:
        lon: degrees, any shape.
        lat: likewise.
        crs: to project to.
        around: (longitude, latitude) in degrees.
        box: (west, south, east, north) in map coordinates, outside of which nothing is asked for;
            what lies inside it is surely projected.

    Raises:
        GridError: if the coordinate system does not reach the places.
    """
    x, y = np.full(lon.shape, np.nan), np.full(lon.shape, np.nan)
    across, up, cosine = _from_above(lon, lat, around)
    with np.errstate(invalid="ignore"):
        near = (cosine > _NEAR) & (np.abs(lat) <= 90)
        if box is not None:
            left, bottom, right, top = _seen_from_above(box, crs, around)
            near &= (across >= left) & (across <= right) & (up >= bottom) & (up <= top)
    at = np.flatnonzero(near)
    target = parse_crs(crs)
    for first in range(0, len(at), _PROJECT):
        some = at[first : first + _PROJECT]
        try:
            x.flat[some], y.flat[some] = rasterio.warp.transform(
                "EPSG:4326", target, lon.flat[some], lat.flat[some]
            )
        except Exception:  # PROJ's errors have no public base class
            raise GridError(
                f"{crs[:40]} does not reach the area around {around[0]:.1f}° E, {around[1]:.1f}° N",
                fix="give one that does",
            ) from None
    x[~np.isfinite(x)], y[~np.isfinite(y)] = np.nan, np.nan
    return x, y


def _from_above(
    lon: np.ndarray, lat: np.ndarray, around: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places on the globe as seen from above one of them: across, up, and towards the eye."""
    x, y, z = unit_vectors(lon, lat)
    a, b = (math.radians(v) for v in around)
    out = math.cos(a) * x + math.sin(a) * y
    across = math.cos(a) * y - math.sin(a) * x
    return across, math.cos(b) * z - math.sin(b) * out, math.cos(b) * out + math.sin(b) * z


def _seen_from_above(
    box: tuple[float, float, float, float], crs: str, around: tuple[float, float]
) -> tuple[float, float, float, float]:
    """Limits of a box on the map as seen from above: what is inside its edge stays inside."""
    x, y = _around(*box)
    try:
        lon, lat = rasterio.warp.transform(parse_crs(crs), "EPSG:4326", x, y)
        across, up, cosine = _from_above(np.array(lon), np.array(lat), around)
    except Exception:  # PROJ's errors have no public base class
        return -1.0, -1.0, 1.0, 1.0
    if not (cosine > 0).all():
        return -1.0, -1.0, 1.0, 1.0
    # between its points the edge bulges by less than this
    margin = 0.002 * max(np.ptp(across), np.ptp(up))
    return (
        float(across.min() - margin),
        float(up.min() - margin),
        float(across.max() + margin),
        float(up.max() + margin),
    )


def _around(west: float, south: float, east: float, north: float) -> tuple[np.ndarray, np.ndarray]:
    """Points along the edge of a box, close enough for it to be projected."""
    along, across = np.linspace(west, east, 33), np.linspace(south, north, 33)
    x = np.concatenate([along, along, np.full(33, west), np.full(33, east)])
    y = np.concatenate([np.full(33, south), np.full(33, north), across, across])
    return x, y


def _edge(bbox: Box) -> tuple[np.ndarray, np.ndarray]:
    """Places along the edge of a box in degrees."""
    return _around(*checked_box(bbox))


def _middle(lon: np.ndarray, lat: np.ndarray) -> tuple[float, float] | None:
    """The middle of some places, on the sphere."""
    x, y, z = (
        float(np.nanmean(v)) if np.isfinite(v).any() else math.nan for v in unit_vectors(lon, lat)
    )
    if not math.isfinite(x + y + z) or math.hypot(x, y, z) < 1e-6:
        return None
    return math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
