"""A STAC Item beside a product, so that catalogues and their tools can find and open it.

Specification: STAC 1.1.0 with the extensions projection 2.0.0, raster 1.1.0, eo 1.1.0 and
processing 1.2.0. Longitudes and latitudes are of EPSG:4326, wavelengths are micrometres.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trifuse.core import CubeSource, Grid, write_json
from trifuse.products.files.raster import FAILURES, parse_crs
from trifuse.products.files.source import RasterSource
from trifuse.products.write.writer import software

STAC_VERSION = "1.1.0"
_SCHEMAS = "https://stac-extensions.github.io"
EXTENSIONS = tuple(
    f"{_SCHEMAS}/{name}/schema.json"
    for name in ("projection/v2.0.0", "raster/v1.1.0", "eo/v1.1.0", "processing/v1.2.0")
)
COG = "image/tiff; application=geotiff; profile=cloud-optimized"
_log = logging.getLogger(__name__)


def write_stac_item(
    path: Path | str,
    source: CubeSource,
    record: Mapping[str, Any],
    *,
    quicklook: Path | str | None = None,
    deviation: Path | str | None = None,
) -> Path | None:
    """Write ``<path>.stac.json`` beside a product; an older one is replaced.

    Args:
        path: the product, a cloud-optimised GeoTIFF.
        source: the product, opened.
        record: what its sidecar says; ``method``, ``inputs`` and ``pair`` are used.
        quicklook: its picture.
        deviation: its standard deviations, band by band.

    Returns:
        Path of the item; None if the product does not know its time, without which there is no
        valid item.
    """
    path = Path(path)
    item = stac_item(path, source, record, quicklook=quicklook, deviation=deviation)
    if item is None:
        _log.warning("%s: no STAC Item: the inputs do not tell their time", path)
        return None
    target = path.with_name(path.name + ".stac.json")
    write_json(target, item, overwrite=True)
    return target


def stac_item(
    path: Path,
    source: CubeSource,
    record: Mapping[str, Any],
    *,
    quicklook: Path | str | None = None,
    deviation: Path | str | None = None,
) -> dict[str, Any] | None:
    """The item as plain JSON values; see :func:`write_stac_item`."""
    times = _times(source, record)
    if not times:
        return None
    grid = source.grid
    geometry, bbox = footprint(grid)
    name, _, number = software().partition(" ")
    properties: dict[str, Any] = {
        "datetime": _utc(times[0]),
        "gsd": max(grid.gsd),
        "proj:shape": list(grid.shape),
        "proj:transform": [*grid.transform, 0.0, 0.0, 1.0],
        "proj:bbox": list(grid.bounds),
        "processing:level": "L3",
        "processing:software": {name: number},
        "processing:lineage": _lineage(record),
    }
    if source.meta.get("quantity") == "toa_reflectance":
        properties["description"] = "of reflectance at the top of the atmosphere (TOA)"
    if len(set(times)) > 1:
        properties |= {"start_datetime": _utc(min(times)), "end_datetime": _utc(max(times))}
    if grid.crs.startswith("EPSG:"):
        properties["proj:code"] = grid.crs
    else:
        properties |= {"proj:code": None, "proj:wkt2": grid.crs or None}
    data = {
        "href": f"./{path.name}",
        "type": COG,
        "roles": ["data", "reflectance"] if record.get("kind") == "fused" else ["data"],
        "title": f"{len(source.bands)} bands",
        **_bands(source),
    }
    assets = {"data": data}
    if quicklook is not None:
        href = os.path.relpath(quicklook, path.parent)
        assets["thumbnail"] = {
            "href": f"./{href}",
            "type": "image/png",
            "roles": ["thumbnail", "overview"],
        }
    if deviation is not None:
        assets["standard_deviation"] = {
            "href": f"./{os.path.relpath(deviation, path.parent)}",
            "type": COG,
            "roles": ["data", "uncertainty"],
            "title": "standard deviation of each band",
        }
    assets["metadata"] = {
        "href": f"./{path.name}.json",
        "type": "application/json",
        "roles": ["metadata"],
        "title": "record of the run",
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": list(EXTENSIONS),
        "id": path.stem,
        "geometry": geometry,
        **({"bbox": bbox} if bbox else {}),
        "properties": properties,
        "links": [],
        "assets": assets,
    }


def footprint(grid: Grid, points: int = 5) -> tuple[dict[str, Any] | None, list[float] | None]:
    """Outline of a grid in longitude and latitude: (GeoJSON, bbox); None without a CRS.

    As RFC 7946 wants it (3.1.9, 5.2): what crosses the antimeridian is a MultiPolygon cut there
    and its bbox has a west greater than its east; what holds a pole reaches all round it.

    Args:
        grid: where the image lies.
        points: vertices per edge, because straight edges on the map are none on the globe.
    """
    west, south, east, north = grid.bounds
    steps = [i / points for i in range(points)]
    ring = [(west + t * (east - west), south) for t in steps]
    ring += [(east, south + t * (north - south)) for t in steps]
    ring += [(east - t * (east - west), north) for t in steps]
    ring += [(west, north - t * (north - south)) for t in steps]
    places = _degrees(grid.crs, ring)
    if places is None:
        return None, None
    return outline(places, _pole(grid))


def _degrees(crs: str, places: Sequence[Place]) -> list[Place] | None:
    """Longitudes and latitudes of places on the map; None if one has none."""
    import rasterio.warp
    from rasterio.errors import RasterioError

    xs, ys = zip(*places, strict=True)
    try:
        known = parse_crs(crs)
        if known is None:
            return None
        lon, lat = rasterio.warp.transform(known, "EPSG:4326", xs, ys)
    except (RasterioError, *FAILURES):
        return None
    if not all(map(math.isfinite, [*lon, *lat])):
        return None
    return list(zip(lon, lat, strict=True))


def _pole(grid: Grid) -> float | None:
    """Latitude of the pole that lies in the grid, if one does; of maps in metres only."""
    import rasterio.warp
    from rasterio.errors import RasterioError

    west, south, east, north = grid.bounds
    if not (known := parse_crs(grid.crs)) or not known.is_projected:
        return None
    for latitude in (90.0, -90.0):
        try:
            (x,), (y,) = rasterio.warp.transform("EPSG:4326", known, [0.0], [latitude])
        except (RasterioError, *FAILURES):
            continue
        back = _degrees(grid.crs, [(x, y)]) if math.isfinite(x + y) else None
        inside = west <= x <= east and south <= y <= north
        if inside and back is not None and abs(back[0][1] - latitude) < 1e-6:
            return latitude
    return None


Place = tuple[float, float]


def outline(ring: Sequence[Place], pole: float | None = None) -> tuple[dict[str, Any], list[float]]:
    """A ring on the globe as GeoJSON and its bbox, cut at the antimeridian.

    Args:
        ring: longitudes and latitudes of its vertices, once each; neighbours are less than 180°
            apart.
        pole: latitude of the pole inside it, if there is one.
    """
    # Longitudes without jumps: each is taken to lie within 180° of the one before it.
    lon, turns = [ring[0][0]], 0.0
    for x, _ in ring[1:]:
        lon.append(lon[-1] + (x - lon[-1] + 180) % 360 - 180)
    turns = lon[-1] + (ring[0][0] - lon[-1] + 180) % 360 - 180 - lon[0]
    flat = [(x, y) for x, (_, y) in zip(lon, ring, strict=True)]
    if pole is not None and abs(turns) > 180:
        # Round the pole: the band between the ring and the pole, from one meridian on.
        flat += [(lon[0] + turns, ring[0][1]), (lon[0] + turns, pole), (lon[0], pole)]
    first = math.floor((min(x for x, _ in flat) + 180) / 360)
    last = math.ceil((max(x for x, _ in flat) + 180) / 360)
    parts = []
    for k in range(first, last):
        low = 360 * k - 180
        part = _clipped(_clipped(flat, low, 1), low + 360, -1)
        part = [(round(x - 360 * k, 7), round(y, 7)) for x, y in part]
        if area := _area(part):
            turned = part if area > 0 else part[::-1]  # outer rings are counterclockwise
            parts.append([[list(p) for p in (*turned, turned[0])]])
    south = round(min(y for _, y in flat), 7)
    north = round(max(y for _, y in flat), 7)
    if pole is not None and abs(turns) > 180:
        west, east = -180.0, 180.0
    else:
        ends = (min(lon), max(lon))
        west, east = (round(x if -180 <= x <= 180 else (x + 180) % 360 - 180, 7) for x in ends)
    if len(parts) == 1:
        return {"type": "Polygon", "coordinates": parts[0]}, [west, south, east, north]
    return {"type": "MultiPolygon", "coordinates": parts}, [west, south, east, north]


def _clipped(ring: Sequence[Place], at: float, side: int) -> list[Place]:
    """The part of a ring east (1) or west (−1) of a meridian (Sutherland and Hodgman)."""
    out: list[Place] = []
    for (x0, y0), (x1, y1) in zip([*ring[-1:], *ring], ring, strict=False):
        inside = side * (x1 - at) >= 0
        if inside != (side * (x0 - at) >= 0):
            out.append((at, y0 + (at - x0) / (x1 - x0) * (y1 - y0)))
        if inside:
            out.append((x1, y1))
    return out


def _area(ring: Sequence[Place]) -> float:
    """Of a ring, in square degrees; negative if it is clockwise."""
    pairs = zip(ring, [*ring[1:], *ring[:1]], strict=True)
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairs) / 2


def _bands(source: CubeSource) -> dict[str, Any]:
    """What the data asset says of its bands."""
    eo, raster = [], []
    stored = source.raster.header if isinstance(source, RasterSource) else None
    for i, band in enumerate(source.bands):
        about: dict[str, Any] = {"name": band.name}
        if math.isfinite(band.centre):
            about["center_wavelength"] = round(band.centre / 1000, 7)
        if math.isfinite(band.fwhm):
            about["full_width_half_max"] = round(band.fwhm / 1000, 7)
        eo.append(about)
        unit = "K" if band.name == "LST" else "1"
        values: dict[str, Any] = {"spatial_resolution": max(source.grid.gsd), "unit": unit}
        if stored is not None:
            nodata = stored.nodata[i]
            values |= {
                "data_type": stored.dtype,
                "scale": stored.scales[i],
                "offset": stored.offsets[i],
            }
            if nodata is not None:
                values["nodata"] = "nan" if math.isnan(nodata) else nodata
        raster.append(values)
    return {"eo:bands": eo, "raster:bands": raster}


def _times(source: CubeSource, record: Mapping[str, Any]) -> list[datetime]:
    """Acquisition times, that of the sharp image first."""
    inputs = record.get("inputs", {})
    told = [inputs.get(k, {}).get("start_time") for k in ("s2", "s3")]
    told.append(source.meta.get("start_time"))
    found = []
    for text in told:
        try:
            time = datetime.fromisoformat(str(text))
        except ValueError:
            continue
        found.append(time if time.tzinfo else time.replace(tzinfo=UTC))
    return found


def _utc(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _lineage(record: Mapping[str, Any]) -> str:
    inputs = record.get("inputs", {})
    named = [str(v["product"]) for v in inputs.values() if v.get("product")]
    made = f"{record.get('kind', 'product')} by the method {record.get('method', 'unknown')}"
    return f"{made} from {' and '.join(named)}" if named else made
