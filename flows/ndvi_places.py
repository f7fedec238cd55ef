"""Points and polygons to follow through a series of images."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import ConfigError, Grid, GridError, OverlapError, ProductError, Window, read_json

MAX_PLACES = 10_000
"""Places of a file at most."""

MAX_BYTES = 64 << 20
"""Size of a file of places at most."""

_AREAS = ("Polygon", "MultiPolygon")
_GEOMETRIES = ("Point", *_AREAS)


@dataclass(frozen=True, slots=True)
class Place:
    """A point or an area.

    Attributes:
        name: for tables.
        geometry: GeoJSON geometry (Point, Polygon, MultiPolygon) in longitude and latitude.
    """

    name: str
    geometry: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """The pixels of a place on a grid.

    Attributes:
        name: of the place.
        kind: ``point`` or ``area``.
        lon: of the point, or of the middle of the area's bounds, in degrees.
        lat: likewise.
        window: around its pixels.
        inside: (y, x) bool, which pixels of the window belong to it.
    """

    name: str
    kind: str
    lon: float
    lat: float
    window: Window
    inside: np.ndarray


def points(at: Iterable[tuple[float, float]]) -> list[Place]:
    """Places at longitudes and latitudes in degrees, named by their order.

    Raises:
        ConfigError: if a place is not on Earth.
    """
    found = []
    for i, (lon, lat) in enumerate(at, start=1):
        if not (-180 <= lon <= 180 and -90 <= lat <= 90):
            raise ConfigError(f"no place at {lon:g},{lat:g}", fix="give lon,lat in degrees")
        found.append(Place(f"point{i}", {"type": "Point", "coordinates": [lon, lat]}))
    return found


def read_geojson(path: Path | str) -> list[Place]:
    """Points and polygons of a GeoJSON file (RFC 7946: longitude and latitude).

    Names are the features' property ``name``, else their ``id``, else their order.

    Raises:
        ProductError: if it is no GeoJSON, or holds none or other geometries.
    """
    content = read_json(path, limit=MAX_BYTES)
    kind = content.get("type") if isinstance(content, dict) else None
    if kind == "FeatureCollection":
        features = content.get("features")
    elif kind == "Feature":
        features = [content]
    elif kind in _GEOMETRIES:
        features = [{"geometry": content}]
    else:
        features = None
    if not isinstance(features, list) or not 0 < len(features) <= MAX_PLACES:
        raise ProductError(
            "holds no GeoJSON features",
            where=path,
            fix=f"give 1 to {MAX_PLACES} points or polygons",
        )
    return [_place(f, i, path) for i, f in enumerate(features, start=1)]


def locate(places: Sequence[Place], grid: Grid) -> list[Footprint]:
    """The pixels of places on a grid.

    A point is the pixel it lies in. An area is the pixels whose centres it holds, or, if it holds
    none, those it touches; what lies beyond the image is left out.

    Raises:
        GridError: if the grid has no coordinate system.
        OverlapError: if a place lies outside the image.
    """
    from rasterio.errors import RasterioError
    from rasterio.features import bounds, geometry_mask
    from rasterio.warp import transform_geom

    from trifuse.products import parse_crs

    crs = parse_crs(grid.crs)
    if crs is None:
        raise GridError("the image has no coordinate system to find places in")
    a, _, c, _, e, f = grid.transform
    found = []
    for place in places:
        try:
            shape = transform_geom("EPSG:4326", crs, dict(place.geometry))
            west, south, east, north = bounds(shape)
        except (RasterioError, ValueError):
            west = south = east = north = math.nan
        if not all(map(math.isfinite, (west, south, east, north))):
            raise _outside(place)
        first = (math.floor((north - f) / e), math.floor((west - c) / a))
        last = (math.floor((south - f) / e), math.floor((east - c) / a))
        around = Window(*first, last[0] - first[0] + 1, last[1] - first[1] + 1)
        window = around.clip(*grid.shape)
        if 0 in window.shape:
            raise _outside(place)
        inside = np.ones(window.shape, bool)
        is_area = place.geometry["type"] in _AREAS
        if is_area:
            for touched in (False, True):
                inside = geometry_mask(
                    [shape],
                    window.shape,
                    _affine(grid.window(window)),
                    all_touched=touched,
                    invert=True,
                )
                if inside.any():
                    break
            else:
                raise _outside(place)
        box = bounds(place.geometry)
        middle = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        found.append(Footprint(place.name, "area" if is_area else "point", *middle, window, inside))
    return found


def _place(feature: Any, number: int, path: Path | str) -> Place:
    def wrong(what: str) -> ProductError:
        return ProductError(
            f"feature {number} {what}",
            where=path,
            fix="give points and polygons in longitude and latitude",
        )

    geometry = feature.get("geometry") if isinstance(feature, dict) else None
    if not isinstance(geometry, dict) or geometry.get("type") not in _GEOMETRIES:
        raise wrong("is neither a point nor a polygon")
    kind = str(geometry["type"])
    coordinates = geometry.get("coordinates")
    if not _is_nested(coordinates, {"Point": 0, "Polygon": 2, "MultiPolygon": 3}[kind]):
        raise wrong("has damaged coordinates")
    properties = feature.get("properties")
    named = properties.get("name") if isinstance(properties, dict) else None
    name = str(named or feature.get("id") or f"place{number}")
    return Place(" ".join(name.split())[:80], {"type": kind, "coordinates": coordinates})


def _is_nested(value: Any, depth: int) -> bool:
    """Whether coordinates are lists of lists … of places on Earth; rings of four and more."""
    if not isinstance(value, list) or not value:
        return False
    if depth == 0:
        numbers = [v for v in value if isinstance(v, int | float) and not isinstance(v, bool)]
        good = len(numbers) == len(value) >= 2
        return good and -180 <= value[0] <= 180 and -90 <= value[1] <= 90
    return (depth > 1 or len(value) >= 4) and all(_is_nested(v, depth - 1) for v in value)


def _outside(place: Place) -> OverlapError:
    return OverlapError(f"{place.name} lies outside the image", fix="give places that it shows")


def _affine(grid: Grid) -> Any:
    from rasterio import Affine

    return Affine(*grid.transform)
