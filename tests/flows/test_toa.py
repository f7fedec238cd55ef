"""Reflectance at the top of the atmosphere, from L1C and OL_1_EFR to fusion and NDVI."""

import json

import numpy as np
import pystac
import pytest
import rasterio

import trifuse as tf
from trifuse.cli.main import run as run_command
from trifuse.core import BandSet, Cube, Grid, MetadataError
from trifuse.flows.match import match
from trifuse.products import write_olci_l1, write_sentinel2_l1c, write_sentinel2_safe, write_syn
from trifuse.products.sentinel2.levels import L1C, L2A
from trifuse.srf_data import S3_SYN, load

FINE = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, 180, 240)
COARSE = Grid.from_origin("EPSG:32633", 595200, 5804820, 300, 40, 42)


def scene(names, centres, grid):
    """A landscape of two materials: a vegetated and a bare one, in waves of a kilometre."""
    i, j = np.mgrid[: grid.height, : grid.width]
    a, _, west, _, e, north = grid.transform
    x, y = west + a * (j + 0.5), north + e * (i + 0.5)
    plants = 0.5 + 0.4 * np.sin((x - 600000) / 310) * np.cos((y - 5800020) / 270)
    nm = np.asarray(centres)[:, None, None]
    green = 0.06 + 0.4 / (1 + np.exp(-(nm - 715) / 15)) * np.exp(-(((nm - 850) / 900) ** 2))
    bare = 0.1 + 0.2 * np.clip((nm - 400) / 1500, 0, 1)
    haze = 0.08 * (400 / nm) ** 2
    data = (haze + plants * green + (1 - plants) * bare).astype(np.float32)
    return Cube(data, np.ones(grid.shape, bool), BandSet.of(names), grid)


def sharp(level):
    table = load("S2A_MSI").bands.select(level.bands)
    cube = scene(level.bands, table.centres, FINE)
    if level is L1C:
        cube.data[cube.bands.index("B10")] *= 0.01
    return cube


@pytest.fixture(scope="module")
def products(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toa")
    olci = load("S3A_OLCI").bands
    syn = load("S3A_SYN").bands.select(S3_SYN)
    return {
        "L1C": write_sentinel2_l1c(folder, sharp(L1C)),
        "L2A": write_sentinel2_safe(folder, sharp(L2A)),
        "EFR": write_olci_l1(folder, scene(olci.names, olci.centres, COARSE), shape=(70, 140)),
        "SYN": write_syn(folder, scene(syn.names, syn.centres, COARSE), shape=(70, 140)),
    }


@pytest.fixture
def run(capsys):
    """Runs a command line, which must end with a code: (what it prints, what it says)."""

    def call(code, *line):
        capsys.readouterr()
        done = run_command([str(word) for word in line])
        told = capsys.readouterr()
        assert done == code, told.err
        return told.out, told.err

    return call


def test_l1c_fuses_with_olci_l1_and_the_product_says_so(products, tmp_path, run):
    out, pair = tmp_path / "fused.tif", ("--s2", products["L1C"], "--s3", products["EFR"])
    told, _ = run(0, "fuse", *pair, "-o", out, "--method", "physics")
    assert "of TOA reflectance" in told.splitlines()[0]
    with tf.open_cube(out) as fused:
        assert fused.meta["quantity"] == "toa_reflectance" and len(fused.bands) == 21
        got = fused.read()
    olci = load("S3A_OLCI").bands
    wanted = scene(olci.names, olci.centres, got.grid)
    error = np.sqrt(np.nanmean((got.data - wanted.data) ** 2))
    assert error < 0.01, error
    record = json.loads((tmp_path / "fused.tif.json").read_text())
    assert record["inputs"]["s2"]["quantity"] == record["inputs"]["s3"]["quantity"]
    item = pystac.Item.from_file(str(tmp_path / "fused.tif.stac.json"))
    assert "TOA" in item.properties["description"]


@pytest.mark.parametrize(("first", "second"), [("L1C", "SYN"), ("L2A", "EFR")])
def test_surface_and_top_of_the_atmosphere_are_not_mixed(products, tmp_path, first, second, run):
    out, pair = tmp_path / "fused.tif", ("--s2", products[first], "--s3", products[second])
    _, told = run(7, "fuse", *pair, "-o", out)
    assert not any(tmp_path.iterdir())
    (line,) = [x for x in told.splitlines() if x.startswith("Error: ")]
    assert products[first].stem in line and products[second].stem in line
    words = ["top of the atmosphere", "of the surface"]
    assert all(word in line for word in [*words, "L1C with OL_1_EFR"])


def test_an_image_that_does_not_tell_its_level_is_warned_of(products):
    cube = tf.open_cube(products["L1C"]).read()
    silent = Cube(cube.data, cube.valid, cube.bands, cube.grid, {})
    with match(silent, products["EFR"]) as matched:
        assert any("does not tell of which level" in w for w in matched.warnings)
    with match(products["L1C"], products["EFR"]) as matched:
        assert "B10" not in matched.s2.bands.names and len(matched.s2.bands) == 12
        assert not any("level" in w for w in matched.warnings)


def test_ndvi_says_toa_everywhere(products, tmp_path, run):
    out = tmp_path / "ndvi.tif"
    told, _ = run(0, "ndvi", products["L1C"], "-o", out)
    assert told.startswith("NDVI of TOA reflectance (s2): ")
    with rasterio.open(out) as image:
        assert image.tags()["of"] == "reflectance at the top of the atmosphere (TOA)"
        assert "(TOA)" in image.tags(1)["of"]
        values = image.read(1)
    with tf.open_cube(products["L1C"]) as source:
        red, nir = source.read(bands=["B4", "B8A"]).data
    np.testing.assert_allclose(values, (nir - red) / (nir + red), atol=2e-6)
    assert "(TOA)" in json.loads((tmp_path / "ndvi.tif.json").read_text())["of"]
    item = pystac.Item.from_file(str(tmp_path / "ndvi.tif.stac.json"))
    assert "(TOA)" in item.properties["description"] and "data" in item.assets
    told, _ = run(0, "ndvi", products["L2A"], "-o", tmp_path / "below.tif")
    assert "TOA" not in told
    with rasterio.open(tmp_path / "below.tif") as image:
        assert image.tags()["of"] == "surface reflectance"
    assert "(TOA)" in tf.ndvi(products["L1C"]).cube.meta["ndvi"]["of"]


def test_sharpen_takes_it_and_keeps_its_level(products, tmp_path, run):
    out = tmp_path / "sharp.tif"
    run(0, "sharpen", products["L1C"], "-o", out, "--method", "bicubic")
    with tf.open_cube(out) as image:
        assert image.meta["quantity"] == "toa_reflectance" and image.meta["level"] == "L1C"
        assert len(image.bands) == 13
    assert run(0, "ndvi", out, "-o", tmp_path / "ndvi.tif")[0].startswith("NDVI of TOA")


def test_series_are_of_surface_reflectance_alone(products, tmp_path, run):
    folder = tmp_path / "mixed"
    folder.mkdir()
    for name in ("L1C", "L2A"):
        (folder / products[name].name).symlink_to(products[name])
    _, told = run(0, "series", "build", "--s2", folder, "-o", tmp_path / "series")
    assert "1 products of other satellites or levels are left out" in told and "MSIL1C" in told
    _, told = run(7, "series", "build", "--s2", products["L1C"], "-o", tmp_path / "other")
    assert "top of the atmosphere" in told
    with pytest.raises(MetadataError, match="top of the atmosphere"):
        tf.build_series(tmp_path / "other", sentinel2=products["L1C"])
