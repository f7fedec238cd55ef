"""The STAC Item beside a product: what pystac and its extensions read in it is what was made."""

import json
import math
from itertools import pairwise

import numpy as np
import pystac
import pytest
import rasterio.warp
from pystac.extensions.eo import EOExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension

from trifuse.core import BandSet, Cube, Grid
from trifuse.products import footprint, open_cube, write_cube, write_stac_item

BANDS = BandSet.of(["Oa08", "S5", "other"], [665.3, 1612.0, math.nan], [10.0, 66.7, math.nan])
RECORD = {
    "kind": "fused",
    "method": "regression",
    "inputs": {
        "s2": {"product": "S2A_x", "start_time": "2024-06-21T10:20:31+00:00"},
        "s3": {"product": "S3A_y", "start_time": "2024-06-21T10:17:02Z"},
    },
}


def product(folder, crs="EPSG:32633", dtype="int16", **meta):
    grid = Grid.from_origin(crs, 399960.0, 5800020.0, 10.0, 40, 60)
    cube = Cube(np.full((3, 40, 60), 0.25, np.float32), np.ones((40, 60), bool), BANDS, grid, meta)
    write_cube(folder / "fused.tif", cube, dtype=dtype)
    return folder / "fused.tif", grid


def item_of(path, record=RECORD, **options):
    with open_cube(path) as source:
        written = write_stac_item(path, source, record, **options)
    return None if written is None else pystac.Item.from_file(str(written))


def test_pystac_reads_what_was_made(tmp_path):
    path, grid = product(tmp_path)
    item = item_of(path, quicklook=tmp_path / "fused.png")
    assert item.id == "fused" and item.STAC_OBJECT_TYPE == "Feature"
    assert item.datetime.isoformat() == "2024-06-21T10:20:31+00:00"
    assert item.common_metadata.start_datetime.minute == 17
    assert item.properties["processing:lineage"].endswith("from S2A_x and S3A_y")
    assert item.properties["processing:software"].keys() == {"TriFuse"}

    projection = ProjectionExtension.ext(item)
    assert (projection.epsg, projection.shape) == (32633, [40, 60])
    assert projection.bbox == list(grid.bounds)
    assert projection.transform[:6] == list(grid.transform)

    data = item.assets["data"]
    assert data.media_type == pystac.MediaType.COG and data.roles[0] == "data"
    eo = EOExtension.ext(data).bands
    assert [b.name for b in eo] == list(BANDS.names)
    assert eo[0].center_wavelength == pytest.approx(0.6653)
    assert eo[1].full_width_half_max == pytest.approx(0.0667)
    assert eo[2].center_wavelength is None
    for band in RasterExtension.ext(data).bands:
        assert (band.scale, band.offset, band.nodata) == (1e-4, 0.0, -32768)
        assert band.data_type == "int16" and band.spatial_resolution == 10
    assert set(item.assets) == {"data", "thumbnail", "metadata"}
    assert item.assets["thumbnail"].href == "./fused.png"
    # Links to files beside it, wherever the folder goes.
    assert item.assets["data"].get_absolute_href() == str(path)
    assert pystac.Item.from_dict(item.to_dict()).to_dict() == item.to_dict()


def test_the_outline_lies_where_the_image_does(tmp_path):
    path, grid = product(tmp_path)
    item = item_of(path)
    west, south, east, north = item.bbox
    assert 13.5 < west < east < 13.55 and 52.3 < south < north < 52.36
    ring = item.geometry["coordinates"][0]
    assert ring[0] == ring[-1] and len(ring) == 21
    # Counter-clockwise, as RFC 7946 asks.
    area = sum(a[0] * b[1] - b[0] * a[1] for a, b in pairwise(ring))
    assert area > 0
    from rasterio.warp import transform

    x, y = transform("EPSG:4326", grid.crs, [p[0] for p in ring], [p[1] for p in ring])
    assert min(x) == pytest.approx(grid.bounds[0], abs=0.05)
    assert max(y) == pytest.approx(grid.bounds[3], abs=0.05)


def test_floats_and_no_picture(tmp_path):
    path, _ = product(tmp_path, dtype="float32")
    item = item_of(path)
    assert RasterExtension.ext(item.assets["data"]).bands[0].nodata == "nan"
    assert "thumbnail" not in item.assets


def test_without_a_time_there_is_no_item(tmp_path):
    path, _ = product(tmp_path)
    assert item_of(path, {"kind": "fused", "inputs": {}}) is None
    assert not (tmp_path / "fused.tif.stac.json").exists()


def test_the_time_of_the_product_itself_counts(tmp_path):
    path, _ = product(tmp_path, start_time="2023-05-04T03:02:01")
    item = item_of(path, {"kind": "NDVI"})
    assert item.datetime.isoformat() == "2023-05-04T03:02:01+00:00"
    assert item.assets["data"].roles == ["data"]


def test_an_image_without_a_place_has_no_geometry(tmp_path):
    assert footprint(Grid.from_origin("", 0, 0, 1, 5, 5)) == (None, None)
    path, _ = product(tmp_path, crs="")
    with open_cube(path) as source:
        written = write_stac_item(path, source, RECORD)
    plain = json.loads(written.read_text())
    assert plain["geometry"] is None and "bbox" not in plain


def _holds(geometry, lon, lat):
    """Whether a place lies in a GeoJSON polygon, by counting crossings."""
    several = geometry["coordinates"]
    rings = [r for p in (several if geometry["type"] == "MultiPolygon" else [several]) for r in p]
    for ring in rings:
        crossings = 0
        for (x0, y0), (x1, y1) in pairwise(ring):
            if (y0 > lat) != (y1 > lat) and lon < x0 + (lat - y0) / (y1 - y0) * (x1 - x0):
                crossings += 1
        if crossings % 2:
            return True
    return False


def _in_box(bbox, lon, lat):
    west, south, east, north = bbox
    return south <= lat <= north and (
        west <= lon <= east if west <= east else lon >= west or lon <= east
    )


SPOTS = [(s, t) for s in (0.03, 0.48, 0.97) for t in (0.04, 0.51, 0.96)]
AROUND = {
    "across 180°": (Grid.from_origin("EPSG:32701", 179220, 8146620, 10, 180, 180), "MultiPolygon"),
    "west of 180°": (Grid.from_origin("EPSG:32601", 180000, 7600000, 60, 915, 915), "Polygon"),
    "degrees across": (Grid.from_origin("EPSG:4326", 179, 10, 0.01, 100, 200), "MultiPolygon"),
    "north pole": (Grid.from_origin("EPSG:3413", -1e5, 1e5, 1000, 200, 200), "MultiPolygon"),
    "south pole": (Grid.from_origin("EPSG:3031", -1e5, 1e5, 1000, 200, 200), "MultiPolygon"),
    "beside the pole": (Grid.from_origin("EPSG:3031", 1e5, 1e5, 1000, 50, 50), "Polygon"),
    "Berlin": (Grid.from_origin("EPSG:32633", 300000, 5800000, 10, 100, 100), "Polygon"),
}


@pytest.mark.parametrize("where", AROUND)
def test_a_footprint_holds_the_pixels_of_its_image_and_no_others(where):
    grid, kind = AROUND[where]
    geometry, bbox = footprint(grid)
    assert geometry["type"] == kind
    west, south, east, north = grid.bounds
    inside = [(west + s * (east - west), south + t * (north - south)) for s, t in SPOTS]
    outside = [(x + 3 * (east - west), y) for x, y in inside]
    for places, expected in ((inside, True), (outside, False)):
        lon, lat = rasterio.warp.transform(grid.crs, "EPSG:4326", *zip(*places, strict=True))
        for x, y in zip(lon, lat, strict=True):
            x = (x + 180) % 360 - 180
            assert _holds(geometry, x, y) == expected
            assert _in_box(bbox, x, y) or not expected
    if "pole" not in where:
        wide = (bbox[2] - bbox[0]) % 360
        assert wide < 3 and (bbox[0] > bbox[2]) == (kind == "MultiPolygon")
    several = geometry["coordinates"]
    for ((ring,),) in zip(several if kind == "MultiPolygon" else [several], strict=True):
        assert ring[0] == ring[-1] and all(-180 <= x <= 180 for x, _ in ring)
        turned = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise(ring))
        assert turned > 0  # counterclockwise


def test_a_footprint_around_a_pole_is_closed_at_it():
    for crs, pole in (("EPSG:3413", 90.0), ("EPSG:3031", -90.0)):
        grid = Grid.from_origin(crs, -1e5, 1e5, 1000, 200, 200)
        geometry, bbox = footprint(grid)
        assert (bbox[0], bbox[2]) == (-180, 180) and pole in (bbox[1], bbox[3])
        assert all(_holds(geometry, lon, pole * 0.999) for lon in range(-175, 180, 10))
