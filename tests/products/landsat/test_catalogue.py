"""Items of Landsat scenes as the usual catalogues write them, with local files."""

import json

import numpy as np
import pystac
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, MetadataError, ProductError
from trifuse.products import detect, open_cube
from trifuse.products.landsat import open_landsat, write_landsat
from trifuse.products.landsat.metadata import LST, SR_BANDS

GRID = Grid.from_origin("EPSG:32633", 600015, 5800005, 30, 12, 16)
NAMES = ("coastal", "blue", "green", "red", "nir08", "swir16", "swir22")
CLOUD = np.zeros(GRID.shape, bool)
CLOUD[:3, :4] = True


def make_cube():
    rng = np.random.default_rng(0)
    data = rng.uniform(0.01, 0.5, (8, *GRID.shape)).astype(np.float32)
    data[7] = 290 + 10 * data[0]
    return Cube(data, np.ones(GRID.shape, bool), BandSet.of((*SR_BANDS, LST)), GRID)


CUBE = make_cube()


def item_of(scene, *, temperature=True, mtl=True, scales=False, keys=NAMES, at="./", **facts):
    """A scene's Item beside its files."""
    stem = scene.name
    parts = {k: f"{stem}_SR_B{n}.TIF" for n, k in enumerate(keys, 1)}
    parts["qa_pixel" if keys is NAMES else "QA_PIXEL"] = f"{stem}_QA_PIXEL.TIF"
    if temperature:
        parts["lwir11" if keys is NAMES else "ST_B10"] = f"{stem}_ST_B10.TIF"
    assets = {k: {"href": f"{at}{name}", "roles": ["data"]} for k, name in parts.items()}
    if scales:
        for key, asset in assets.items():
            scale = (0.00341802, 149.0) if key == "lwir11" else (2.75e-5, -0.2)
            if key != "qa_pixel":
                asset["raster:bands"] = [{"scale": scale[0], "offset": scale[1], "nodata": 0}]
    if mtl:
        assets["MTL.xml"] = {"href": f"{at}{stem}_MTL.xml"}
    properties = {
        "datetime": "2024-06-21T10:12:31Z",
        "platform": "landsat-9",
        "landsat:collection_number": "02",
        "eo:cloud_cover": 3.0,
        "proj:epsg": 32633,
    }
    value = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": f"{stem}_SR",
        "properties": properties | facts,
        "geometry": None,
        "links": [],
        "collection": "landsat-c2l2-sr",
        "assets": assets,
    }
    path = scene / "item.json"
    path.write_text(json.dumps(value))
    pystac.Item.from_file(str(path))
    return path


def bare(scene):
    """A scene without its MTL files."""
    for path in scene.glob("*_MTL.*"):
        path.unlink()
    return scene


USGS = "https://landsatlook.usgs.gov/data/collection02/level-2/standard/oli-tirs/"
AZURE = "https://landsateuwest.blob.core.windows.net/landsat-c2/level-2/standard/"
CATALOGUES = {
    "as it is": {},
    "USGS": {"at": USGS, "mtl": False},
    "Planetary Computer": {"at": AZURE, "scales": True, "mtl": False},
    "Earth Search": {"at": "s3://usgs-landsat/collection02/", "scales": True, "mtl": False},
    "Digital Earth Africa": {
        "at": "s3://deafrica-landsat/collection02/",
        "keys": tuple(f"SR_{b}" for b in SR_BANDS),
        "mtl": False,
        "platform": "LANDSAT_9",
    },
}


@pytest.mark.parametrize("catalogue", CATALOGUES)
def test_items_of_the_usual_catalogues_open_as_what_they_are(tmp_path, catalogue):
    options = CATALOGUES[catalogue]
    scene = write_landsat(tmp_path, CUBE, cloud=CLOUD)
    path = item_of(scene if options.get("mtl", True) else bare(scene), **options)
    assert detect(path)[0] == "landsat"
    with open_cube(path) as source:
        cube, meta = source.read(), source.meta
    assert cube.bands.names == (*SR_BANDS, LST) and cube.grid == GRID
    assert np.abs(cube.data[:7] - CUBE.data[:7]).max() < 2e-5
    assert np.abs(cube.data[7] - CUBE.data[7]).max() < 2e-3
    np.testing.assert_array_equal(~cube.valid, CLOUD)
    assert meta["sensor"] == "L9_OLI" and meta["product_id"] == scene.name
    assert meta["start_time"].startswith("2024-06-21T10:12:31") and meta["notes"] == []
    for number, plane in enumerate(cube.data[:7], 1):
        with rasterio.open(scene / f"{scene.name}_SR_B{number}.TIF") as image:
            np.testing.assert_allclose(plane, image.read(1) * 2.75e-5 - 0.2, atol=1e-6)
    told = {"as it is": "MTL", "USGS": "Collection 2", "Digital Earth Africa": "Collection 2"}
    assert told.get(catalogue, "the Item") in meta["calibration"]["from"]


def test_the_items_own_scale_counts(tmp_path):
    own = (1e-5, -0.1)
    scene = bare(write_landsat(tmp_path, CUBE, reflectance=own))
    path = item_of(scene, temperature=False, scales=True, mtl=False)
    item = json.loads(path.read_text())
    for key in NAMES:
        item["assets"][key]["raster:bands"][0] |= {"scale": own[0], "offset": own[1]}
    path.write_text(json.dumps(item))
    with open_landsat(path, mask="none") as source:
        assert np.abs(source.read(bands=SR_BANDS).data - CUBE.data[:7]).max() < 2e-5
    item["assets"]["red"]["raster:bands"][0]["scale"] = 7
    path.write_text(json.dumps(item))
    with pytest.raises(MetadataError, match=r"scale and offset of \(7, -0.1\) for red"):
        open_landsat(path)


def test_what_is_not_there_is_one_line(tmp_path):
    scene = bare(write_landsat(tmp_path, CUBE))
    path = item_of(scene, mtl=False)
    (scene / f"{scene.name}_SR_B4.TIF").unlink()
    with pytest.raises(ProductError, match=r"lacks SR_B4 \(\./LC09.*SR_B4.TIF is not there\)"):
        open_cube(path)
    path = item_of(scene, mtl=False, at=USGS)
    (scene / f"{scene.name}_QA_PIXEL.TIF").unlink()
    with open_cube(path) as source:
        assert "B4" not in source.bands.names and source.read().valid.all()
        assert "SR_B4" in source.meta["notes"][0] and "no clouds" in source.meta["notes"][1]
    for file in scene.glob("*.TIF"):
        file.unlink()
    with pytest.raises(ProductError, match=r"has none of its bands here: https.*let it be fetched"):
        open_cube(path)


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"platform": "landsat-7"}, "landsat-7"),
        ({"landsat:collection_number": "01"}, "nor that it is of Collection 2"),
    ],
)
def test_other_satellites_and_collections_are_refused_by_name(tmp_path, facts, match):
    path = item_of(bare(write_landsat(tmp_path, CUBE)), mtl=False, **facts)
    with pytest.raises(MetadataError, match=match):
        open_cube(path)
