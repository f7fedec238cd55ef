"""Items of collections that nobody knows: their images as a stack, values of rasterio."""

import json

import numpy as np
import pytest
import rasterio

import trifuse as tf
from trifuse.core import BandError, BandSet, Cube, Grid, GridError, ProductError
from trifuse.products import detect, open_cube, write_cube
from trifuse.products.files.item import band_rows
from trifuse.simulate import procedural_scene

GRID = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 24, 36)


def image(path, grid=GRID, dtype="uint16", seed=0, count=1, **profile):
    rng = np.random.default_rng(seed)
    stored = rng.integers(1, 9000, (count, *grid.shape)).astype(dtype)
    more = {"crs": grid.crs, "transform": rasterio.Affine(*grid.transform), "dtype": dtype}
    sizes = {"height": grid.height, "width": grid.width, "count": count}
    with rasterio.open(path, "w", driver="GTiff", **sizes, **more, **profile) as out:
        out.write(stored)
    return stored


def save(path, assets, **facts):
    value = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "unheard-of",
        "collection": "nobody-knows",
        "properties": {"datetime": "2024-06-21T10:20:31Z", **facts},
        "geometry": None,
        "links": [],
        "assets": assets,
    }
    path.write_text(json.dumps(value))
    return path


def asset(name, **more):
    return {"href": f"./{name}.tif", "type": "image/tiff; application=geotiff", **more}


def test_single_bands_become_a_stack_with_the_items_names_scales_and_wavelengths(tmp_path):
    stored = [image(tmp_path / f"{n}.tif", seed=i) for i, n in enumerate(("a", "b"))]
    rows = [("red", 0.66), ("nir", 0.85)]
    assets = {
        key: asset(
            key,
            **{
                "eo:bands": [{"name": name, "center_wavelength": nm, "full_width_half_max": 0.03}],
                "raster:bands": [{"scale": 1e-4, "offset": -0.05, "nodata": 7}],
            },
        )
        for key, (name, nm) in zip(("a", "b"), rows, strict=True)
    }
    assets["thumbnail"] = asset("none", roles=["thumbnail"])
    path = save(tmp_path / "item.json", assets)
    assert detect(path)[0] == "stac"
    with open_cube(path) as source:
        cube = source.read()
        assert source.meta["collection"] == "nobody-knows"
        assert source.meta["calibration"]["from"] == "the Item"
    assert cube.bands.names == ("red", "nir") and cube.bands.centres == (660, 850)
    for plane, numbers in zip(cube.data, stored, strict=True):
        wanted = np.where(numbers[0] == 7, np.nan, numbers[0] * 1e-4 - 0.05)
        np.testing.assert_allclose(plane, wanted, atol=1e-6)
    done = tf.ndvi(str(path), tmp_path / "ndvi.tif", definition="bands", red_nm=660, nir_nm=850)
    assert done.record["red"] == {"red": 1.0}


def test_stac_1_1_says_the_same_in_one_list():
    old = {
        "eo:bands": [{"name": "red", "center_wavelength": 0.66}],
        "raster:bands": [{"scale": 1e-4, "offset": -0.1, "nodata": 0}],
    }
    new = {
        "bands": [{"name": "red", "eo:center_wavelength": 0.66, "raster:scale": 1e-4}],
        "raster:offset": -0.1,
        "nodata": 0,
    }
    wanted = {"name": "red", "center_wavelength": 0.66, "scale": 1e-4, "offset": -0.1, "nodata": 0}
    for said in (old, new):
        (row,) = band_rows(said)
        assert {k: row.get(k) for k in wanted} == wanted


def test_the_file_counts_over_the_catalogue(tmp_path):
    stored = image(tmp_path / "a.tif")
    with rasterio.open(tmp_path / "a.tif", "r+") as out:
        out.scales, out.offsets = (2e-4,), (0.1,)
    image(tmp_path / "b.tif")
    said = {"raster:bands": [{"scale": 1e-4, "offset": 0}]}
    path = save(tmp_path / "item.json", {k: asset(k, **said) for k in ("a", "b")})
    with open_cube(path) as source:
        np.testing.assert_allclose(source.read().data[0], stored[0] * 2e-4 + 0.1, atol=1e-6)


def test_coarser_bands_are_brought_onto_the_finest_and_others_left_out(tmp_path, caplog):
    fine = image(tmp_path / "fine.tif")
    coarse = image(tmp_path / "coarse.tif", GRID.zoom_out(2))
    image(tmp_path / "askew.tif", Grid.from_origin("EPSG:32633", 600005, 5800025, 10, 24, 36))
    image(tmp_path / "many.tif", count=3)
    keys = ("fine", "coarse", "askew", "many")
    path = save(tmp_path / "item.json", {k: asset(k) for k in keys})
    with open_cube(path, upsampling="nearest") as source:
        cube, notes = source.read(), source.meta["notes"]
    assert cube.bands.names == ("fine", "coarse") and cube.grid == GRID
    np.testing.assert_array_equal(cube.data[0], fine[0])
    np.testing.assert_array_equal(cube.data[1], np.kron(coarse[0], np.ones((2, 2))))
    assert [n for n in notes if "another grid is left out: askew" in n]
    assert [n for n in notes if "several bands are left out: many" in n]
    assert [n for n in notes if "state a scale" in n] and "left out: askew" in caplog.text
    with open_cube(path, bands=["askew"]) as source:
        assert source.bands.names == ("askew",)
    with pytest.raises(GridError, match="askew lies on another grid"):
        open_cube(path, bands=["fine", "coarse", "askew"])
    with pytest.raises(BandError, match=r"has no band blue; choose from fine, coarse"):
        open_cube(path, bands=["blue"])


def test_what_is_not_there_is_one_line_and_its_code(tmp_path):
    image(tmp_path / "a.tif")
    path = save(tmp_path / "item.json", {"a": asset("a"), "b": asset("b")})
    with pytest.raises(ProductError, match=r"has no file of b: \./b.tif is not there") as caught:
        open_cube(path)
    assert caught.value.exit_code == 3
    with open_cube(path, bands=["a"]) as source:
        assert source.bands.names == ("a",)
    far = save(tmp_path / "far.json", {"b": {**asset("b"), "href": "https://example.com/b.tif"}})
    with pytest.raises(ProductError, match="on the web; let it be fetched"):
        open_cube(far)
    with pytest.raises(ProductError, match="names no image among its assets index"):
        open_cube(save(tmp_path / "none.json", {"index": {"href": "./index.html"}}))
    (tmp_path / "b.tif").write_text("<VRTDataset/>")
    with pytest.raises(ProductError, match="is no GeoTIFF"):
        open_cube(path)


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"type": "Collection", "stac_version": "1.0.0", "id": "x"}, "is a STAC Collection"),
        ({"type": "Catalog", "stac_version": "1.0.0", "id": "x"}, "is a STAC Catalog"),
        ({"type": "Feature", "stac_version": "1.0.0", "assets": {}}, "without assets"),
        (
            {"features": [{"assets": {"a": {"href": "x"}}}, {"assets": {"a": {"href": "x"}}}]},
            "holds 2 STAC Items",
        ),
    ],
)
def test_other_files_of_a_catalogue_are_told_from_items(tmp_path, value, match):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(value))
    with pytest.raises(ProductError, match=match):
        open_cube(path)


def test_the_item_beside_a_product_of_ours_opens_as_the_product(tmp_path):
    bands = BandSet.of(["Oa08", "Oa17"], [665.0, 865.0], [10.0, 20.0])
    data = procedural_scene(24, seed=1).data[:2]
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, *data.shape[1:])
    out = tmp_path / "made.tif"
    write_cube(out, Cube(data, np.ones(grid.shape, bool), bands, grid, {"mine": 1}))
    path = save(tmp_path / "made.tif.stac.json", {"data": asset("made", roles=["data"])})
    with open_cube(path) as source, open_cube(out) as own:
        assert source.bands == own.bands and source.meta["mine"] == 1
        np.testing.assert_array_equal(source.read().data, own.read().data)


def test_names_of_the_item_serve_a_file_that_has_none(tmp_path):
    stored = image(tmp_path / "a.tif", count=2)
    rows = [{"name": n, "center_wavelength": c} for n, c in (("red", 0.66), ("nir", 0.86))]
    scales = [{"scale": s} for s in (1e-4, 2e-4)]
    said = {"eo:bands": rows, "raster:bands": scales}
    path = save(tmp_path / "item.json", {"a": asset("a", **said)})
    with open_cube(path) as source, open_cube(path, bands=["nir"]) as one:
        cube = source.read()
        assert one.bands.names == ("B8",)
        np.testing.assert_array_equal(one.read().data[0], cube.data[1])
    assert cube.bands.names == ("B4", "B8") and cube.bands.centres == (660, 860)
    for plane, numbers, scale in zip(cube.data, stored, (1e-4, 2e-4), strict=True):
        np.testing.assert_allclose(plane, numbers * scale, atol=1e-6)


def test_landsat_of_geoscience_australia(tmp_path):
    keys = ("nbart_red", "nbart_nir", "oa_fmask", "oa_exiting_angle", "nbart_panchromatic")
    stored = [image(tmp_path / f"{k}.tif", dtype="int16", seed=i) for i, k in enumerate(keys[:2])]
    classes = np.ones(GRID.shape, np.uint8)
    classes[:5, :5], classes[10, 10], classes[20, 20] = 2, 5, 0
    with rasterio.open(tmp_path / "nbart_red.tif") as like:
        profile = like.profile | {"dtype": "uint8"}
    with rasterio.open(tmp_path / "oa_fmask.tif", "w", **profile) as out:
        out.write(classes[None])
    image(tmp_path / "oa_exiting_angle.tif")
    image(tmp_path / "nbart_panchromatic.tif", Grid.from_origin("EPSG:32633", 6e5, 58e5, 5, 48, 72))
    facts = {"platform": "landsat-8", "odc:product": "ga_ls8c_ard_3"}
    path = save(tmp_path / "item.json", {k: asset(k, roles=["data"]) for k in keys}, **facts)
    with open_cube(path) as source:
        cube, meta = source.read(), source.meta
    assert cube.bands.names == ("B4", "B5") and meta["sensor"] == "L8_OLI"
    np.testing.assert_array_equal(cube.valid, np.isin(classes, (1, 5)))
    for plane, numbers in zip(cube.data, stored, strict=True):
        np.testing.assert_allclose(plane, numbers[0] * 1e-4, atol=1e-6)
    assert meta["calibration"]["nodata"] == -999
    red, nir = cube.data
    with np.errstate(invalid="ignore"):
        wanted = np.where(cube.valid, (nir - red) / (nir + red), np.nan)
    np.testing.assert_allclose(tf.ndvi(str(path)).cube.data[0], wanted, atol=1e-5)
