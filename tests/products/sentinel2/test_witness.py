"""What is stated of a product against its pixels and against second statements."""

import json
import logging
import re
import shutil

import numpy as np
import pytest
import rasterio

from trifuse.core import BandSet, Cube, Grid, MetadataError, ProductError
from trifuse.products.sentinel2 import open_sentinel2, write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.place import tile_crs
from trifuse.products.sentinel2.witness import WRAPPED
from trifuse.srf_data import S2_L2A


def make_cube(low=0.01, high=0.12, height=48, width=36):
    """Noise, each band constant over its own cells."""
    rng = np.random.default_rng(0)
    data = np.empty((12, height, width), np.float32)
    for plane, band in zip(data, S2_L2A, strict=True):
        k = NATIVE[band] // 10
        cells = rng.uniform(low, high, (height // k, width // k))
        plane[:] = np.kron(cells, np.ones((k, k)))
    grid = Grid.from_origin("EPSG:32633", 300000, 5800020, 10, height, width)
    return Cube(data, np.ones((height, width), bool), BandSet.of(S2_L2A), grid)


CUBE = make_cube()


def edit(folder, change):
    (path,) = folder.glob("*.json")
    item = json.loads(path.read_text())
    change(item)
    path.write_text(json.dumps(item))


def rewrite(path, change=None, **profile):
    """Write a TIFF anew, with other pixels or another header."""
    with rasterio.open(path) as source:
        stored = source.read()
        kept = {k: source.profile[k] for k in ("dtype", "nodata", "crs", "transform")}
    kept |= {"driver": "GTiff", "count": 1, "height": stored.shape[1], "width": stored.shape[2]}
    if change is not None:
        stored = change(stored)
    kept |= profile
    with rasterio.open(path, "w", **{k: v for k, v in kept.items() if v is not None}) as sink:
        sink.write(stored)


def read(path, **options):
    with open_sentinel2(path, upsampling="nearest", mask="none", **options) as source:
        return source.read(), source.meta["notes"]


def test_a_small_image_is_averaged_without_counts_that_went_round(tmp_path):
    """Overviews have them in their averages."""
    cube = make_cube(height=96, width=96)
    rng = np.random.default_rng(1)
    for share in (0.02, 0.4):
        folder = write_sentinel2_cogs(tmp_path / f"{share}", cube, applied=True)
        gone = rng.random((96, 96)) < share

        def wrap(stored, gone=gone):
            stored[0][gone] = 65000
            return stored

        for name in ("B02.tif", "B03.tif"):
            rewrite(folder / name, wrap)
        with rasterio.open(folder / "B02.tif", "r+") as image:
            image.build_overviews([2, 4, 8], rasterio.enums.Resampling.average)
        with open_sentinel2(folder, mask="none") as source:
            small = source.read_small(24, ["B2", "B3", "B4"])
            whole = source.read(None, ["B2", "B3", "B4"]).data
        blocks = whole.reshape(3, 24, 4, 24, 4)
        expected = np.nanmean(blocks, axis=(2, 4))
        assert np.abs(small.data - expected)[:2].max() < 1e-6
        assert np.abs(small.data - expected)[2].max() < 6e-5  # of whole counts, by overviews
        assert small.data.max() < 0.13 and small.valid.all()


def test_an_offset_that_is_out_of_the_counts_is_not_taken_again(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE, applied=True)
    edit(path, lambda i: i["properties"].update({"earthsearch:boa_offset_applied": False}))
    cube, notes = read(path)
    assert np.abs(cube.data - CUBE.data).max() < 6e-5
    assert [n for n in notes if "out of the counts already" in n]
    with open_sentinel2(path) as source:
        assert source.meta["calibration"]["offset"] == 0
        assert "out of the counts already" in source.meta["calibration"]["from"]


def test_water_alone_is_enough_to_tell(tmp_path):
    data = make_cube(0.3, 0.5).data
    data[:, :12, :12] = 0.02
    cube = Cube(data, CUBE.valid, CUBE.bands, CUBE.grid)
    path = write_sentinel2_cogs(tmp_path, cube, applied=True)
    edit(path, lambda i: i["properties"].update({"earthsearch:boa_offset_applied": False}))
    assert np.abs(read(path)[0].data - data).max() < 6e-5


@pytest.mark.parametrize("applied", [True, False, None])
def test_an_offset_that_is_stated_rightly_is_left_alone(tmp_path, applied):
    data = CUBE.data.copy()
    data[:3, :24] -= 0.07  # shadow, corrected too far in the visible
    cube = Cube(data, CUBE.valid, CUBE.bands, CUBE.grid)
    got, notes = read(write_sentinel2_cogs(tmp_path, cube, applied=applied))
    seen = data > 1e-4 if applied else np.ones(data.shape, bool)
    assert np.abs(got.data - data)[seen].max() < 6e-5 and notes == []


def test_counts_below_zero_that_went_round_are_no_value(tmp_path, caplog):
    path = write_sentinel2_cogs(tmp_path, CUBE, applied=True)
    for band in ("B02", "B05"):

        def wrap(stored):
            stored[:, : stored.shape[1] // 4] = (400 - 1000) % 65536
            stored[:, -1, -1] = WRAPPED - 1
            return stored

        rewrite(path / f"{band}.tif", wrap)
    with caplog.at_level(logging.WARNING):
        cube, _ = read(path)
    for band, plane in zip(cube.bands.names, cube.data, strict=True):
        gone = np.zeros(plane.shape, bool)
        gone[:12] = band in ("B2", "B5")
        np.testing.assert_array_equal(np.isnan(plane), gone)
    assert abs(cube.data[1, -1, -1] - 6.3999) < 1e-6
    assert not cube.valid[:12].any() and cube.valid[12:].all()
    assert [r.getMessage() for r in caplog.records if "432 counts of B2" in r.getMessage()]


@pytest.mark.parametrize("product", [True, False], ids=["all", "flag alone"])
def test_the_spelling_of_earth_search_0_is_read(tmp_path, product):
    path = write_sentinel2_cogs(tmp_path, CUBE, applied=True, baseline="04.00")

    def older(item):
        facts = item["properties"]
        del facts["earthsearch:boa_offset_applied"]
        facts["sentinel:boa_offset_applied"] = True
        for asset in item["assets"].values():
            asset.pop("raster:bands", None)
        if product:
            facts["sentinel:processing_baseline"] = facts.pop("s2:processing_baseline")
            facts["sentinel:product_id"] = facts.pop("s2:product_uri").removesuffix(".SAFE")
            del facts["grid:code"]
            facts |= {
                "sentinel:utm_zone": 33,
                "sentinel:latitude_band": "U",
                "sentinel:grid_square": "UU",
            }

    edit(path, older)
    with open_sentinel2(path, upsampling="nearest", mask="none") as source:
        assert np.abs(source.read().data - CUBE.data).max() < 6e-5
        assert (source.meta["baseline"], source.meta["tile"]) == ("04.00", "33UUU")
        assert source.name.startswith("S2A_MSIL2A_20240621") and source.meta["notes"] == []


def test_an_item_that_says_both_of_its_offset_is_called_so(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE, applied=True)
    edit(path, lambda i: i["properties"].update({"sentinel:boa_offset_applied": False}))
    cube, notes = read(path)
    assert np.abs(cube.data - CUBE.data).max() < 6e-5 and "taken as applied" in notes[0]


PLACES = {
    "item, code": ({"proj:code": "EPSG:32633"}, "33UUU", "the item"),
    "item, number": ({"proj:epsg": 32633}, "33UUU", "the item"),
    "tile": ({}, "33UUU", "the name of the tile"),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("files", ["*.tif", "B02.tif", "SCL.tif"])
def test_images_without_a_coordinate_system_get_the_stated_one(tmp_path, place, files):
    facts, _, who = PLACES[place]
    path = write_sentinel2_cogs(tmp_path, CUBE)
    edit(path, lambda i: i["properties"].update(facts))
    for file in path.glob(files):
        rewrite(file, crs=None)
    with open_sentinel2(path) as source:
        assert source.grid == CUBE.grid
        (note,) = source.meta["notes"]
        assert note.endswith(f"EPSG:32633 by {who}")


def test_images_without_a_georeference_get_the_stated_one_if_it_fits(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE)

    def place(item):
        item["assets"]["b2"] |= {
            "proj:transform": [10, 0, 300000, 0, -10, 5800020],
            "proj:shape": [48, 36],
        }

    edit(path, place)
    rewrite(path / "B02.tif", crs=None, transform=None)
    with open_sentinel2(path) as source:
        assert source.grid == CUBE.grid and len(source.meta["notes"]) == 2
    edit(path, lambda i: i["assets"]["b2"].update({"proj:shape": [10980, 10980]}))
    with pytest.raises(MetadataError, match="no georeference, and neither item"):
        open_sentinel2(path)


def test_what_lies_nowhere_is_refused_by_name(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE)

    def forget(item):
        del item["properties"]["grid:code"]
        facts = item["properties"]
        facts["s2:product_uri"] = facts["s2:product_uri"].replace("_T33UUU", "")

    edit(path, forget)
    for file in path.glob("*.tif"):
        rewrite(file, crs=None)
    with pytest.raises(MetadataError, match=r"no coordinate system in the files of B1, B2.*SCL"):
        open_sentinel2(path)


def test_a_safe_without_places_in_its_images_goes_by_its_tile_metadata(tmp_path):
    path = write_sentinel2_safe(tmp_path, CUBE)
    for file in path.rglob("*.jp2"):
        with rasterio.open(file) as source:
            stored = source.read()
        file.unlink()
        how = {"driver": "JP2OpenJPEG", "quality": 100, "reversible": True}
        shape = dict(zip(("count", "height", "width"), stored.shape, strict=True))
        with rasterio.open(file, "w", dtype=stored.dtype, **shape, **how) as sink:
            sink.write(stored)
        file.with_name(file.name + ".aux.xml").unlink(missing_ok=True)
    with open_sentinel2(path) as source:
        assert source.grid == CUBE.grid
        assert "by MTD_TL.xml" in source.meta["notes"][0]


def test_the_item_against_the_images_is_said(tmp_path):
    path = write_sentinel2_cogs(tmp_path, CUBE)
    edit(path, lambda i: i["properties"].update({"proj:epsg": 32632}))
    with open_sentinel2(path) as source:
        assert source.grid == CUBE.grid
        assert "states EPSG:32632, the images EPSG:32633" in source.meta["notes"][0]


@pytest.mark.parametrize(
    ("tile", "crs"),
    [("33UUU", "EPSG:32633"), ("01KAB", "EPSG:32701"), ("60NAA", "EPSG:32660"), ("61UUU", "")],
)
def test_a_tile_tells_its_zone(tile, crs):
    assert tile_crs(tile) == crs


@pytest.mark.parametrize(("kept", "left_out"), [(60, {"B8"}), (20, {"B1", "B8", "B9"})])
def test_a_delivery_of_coarse_images_alone_opens_at_their_sampling(tmp_path, kept, left_out):
    path = write_sentinel2_safe(tmp_path, CUBE)
    for place in path.glob("GRANULE/*/IMG_DATA/R*m"):
        if place.name != f"R{kept}m":
            shutil.rmtree(place)
    cube, notes = read(path)
    assert cube.grid == CUBE.grid.zoom_out(kept // 10)
    assert set(S2_L2A) - set(cube.bands.names) == left_out
    k = kept // 10
    blocks = CUBE.data.reshape(12, 48 // k, k, 36 // k, k).mean(axis=(2, 4))
    wanted = blocks[CUBE.bands.indices(cube.bands.names)]
    assert np.abs(cube.data - wanted).max() < 6e-5
    assert set(cube.meta["native_gsd"].values()) <= {kept, 60}
    assert re.search(f"no image finer than {kept} m", " ".join(notes))


def test_the_finest_image_of_each_band_that_is_there_is_taken_and_the_others_are_named(tmp_path):
    path = write_sentinel2_safe(tmp_path, CUBE)
    for pattern in ("*_B02_10m.jp2", "*_B05_?0m.jp2"):
        for file in list(path.rglob(pattern)):
            file.unlink()
    cube, notes = read(path)
    assert cube.grid == CUBE.grid and set(S2_L2A) - set(cube.bands.names) == {"B5"}
    assert notes == ["holds no image of B5", "holds only B2 at 20 m"]
    assert cube.meta["native_gsd"]["B2"] == 20 and cube.meta["native_gsd"]["B3"] == 10
    with pytest.raises(ProductError, match=r"lacks B5 \(20 m\)"):
        open_sentinel2(path, bands=["B5"])
    coarse = read(path, resolution=20)[0]
    assert coarse.grid == CUBE.grid.zoom_out(2)
    blocks = CUBE.data[CUBE.bands.index("B2")].reshape(24, 2, 18, 2).mean(axis=(1, 3))
    assert np.abs(coarse.select(["B2"]).data[0] - blocks).max() < 6e-5


def test_a_delivery_of_fine_images_alone_opens_without_classes(tmp_path):
    path = write_sentinel2_safe(tmp_path, CUBE)
    for place in path.glob("GRANULE/*/IMG_DATA/R[26]0m"):
        shutil.rmtree(place)
    with open_sentinel2(path) as source:
        cube = source.read()
    assert cube.bands.names == ("B2", "B3", "B4", "B8") and cube.valid.all()
    assert cube.meta["notes"] == [
        "holds no image of B1, B5, B6, B7, B8A, B9, B11, B12",
        "holds no SCL: clouds, shadows and snow are not masked",
    ]
    with pytest.raises(ProductError, match="lacks SCL"):
        open_sentinel2(path, mask="cloud")
