"""Opening by content, and saying what a product is."""

import json
import shutil
import tarfile
import zipfile

import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, Cube, Grid, ProductError
from trifuse.products import (
    describe,
    detect,
    inspect_product,
    open_cube,
    write_cube,
    write_enmap_l2a,
)
from trifuse.srf_data import load


def scene(col: int = 0, height: int = 20, width: int = 25) -> Cube:
    rng = np.random.default_rng(col)
    data = rng.random((3, height, width), dtype=np.float32)
    data[:, 0] = np.nan
    grid = Grid.from_origin("EPSG:32633", 600000 + 10 * col, 5800000, 10, height, width)
    bands = BandSet.of(["B2", "B3", "B4"], [490, 560, 665], [66, 36, 31])
    return Cube(data, np.isfinite(data).all(axis=0), bands, grid, {"level": "L2A"})


def test_kinds_are_told_by_content(tmp_path):
    write_cube(tmp_path / "a.tif", scene())
    shutil.copy(tmp_path / "a.tif", tmp_path / "b.image")
    for path in (tmp_path / "a.tif", tmp_path / "b.image", str(tmp_path / "a.tif")):
        assert detect(path)[0] == "geotiff" and open_cube(path).grid == scene().grid
    assert open_cube([tmp_path / "a.tif"]).name == "a"


def test_a_folder_of_tiles_is_one_mosaic(tmp_path):
    for col in (0, 25, 75):
        write_cube(tmp_path / f"t{col}.tif", scene(col), dtype="float32")
    for path in (tmp_path, sorted(tmp_path.glob("*.tif"))):
        source = open_cube(path)
        assert source.grid.shape == (20, 100) and source.meta["tiles"] == ["t0", "t25", "t75"]
        cube = source.read()
        np.testing.assert_array_equal(cube.data[:, :, 25:50], scene(25).data)
        assert not cube.valid[:, 50:75].any() and cube.valid[1:, 75:].all()


def test_enmap_deliveries_open_by_the_same_door(tmp_path):
    table = load("ENMAP").bands
    data = np.full((len(table), 12, 14), 0.2, np.float32)
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 30, 12, 14)
    bands = BandSet.of([f"E{i:03d}" for i in range(1, len(table) + 1)], table.centres, table.fwhms)
    made = write_enmap_l2a(tmp_path / "order", Cube(data, np.ones((12, 14), bool), bands, grid))
    assert detect(made)[0] == "enmap"
    source = open_cube(made)
    assert source.meta["sensor"] == "ENMAP" and source.grid == grid
    facts = inspect_product(made)
    assert len(facts["bands"]) == len(table) and facts["bands"][0]["detector"] == "VNIR"
    assert facts["valid_share"] == 1.0
    json.dumps(facts, allow_nan=False)
    with pytest.raises(ConfigError, match="scale does not apply to enmap"):
        open_cube(made, scale=1e-4)


def test_what_cannot_be_opened(tmp_path):
    write_cube(tmp_path / "a.tif", scene())
    with pytest.raises(ConfigError, match="mask does not apply to geotiff"):
        open_cube(tmp_path / "a.tif", mask="default")
    assert open_cube(tmp_path / "a.tif", mask=None, scale=None).grid == scene().grid
    empty = tmp_path / "empty"
    empty.mkdir()
    for path, text in (
        (empty, "neither an EnMAP delivery nor GeoTIFFs"),
        (tmp_path / "none.tif", "does not exist"),
        (tmp_path / "X.SAFE", "does not exist"),
        (tmp_path / "X.SEN3", "does not exist"),
    ):
        with pytest.raises(ProductError, match=text) as caught:
            open_cube(path)
        assert str(path) in str(caught.value) and caught.value.exit_code == 3


def test_inspect_says_what_was_used(tmp_path):
    cube = scene(height=20, width=600)
    write_cube(tmp_path / "a.tif", cube)
    facts = inspect_product(tmp_path / "a.tif")
    json.dumps(facts, allow_nan=False)
    assert facts["kind"] == "geotiff" and facts["name"] == "a" and facts["sampled"] == 2
    assert facts["grid"]["crs"] == "EPSG:32633" and facts["grid"]["gsd"] == [10.0, 10.0]
    assert facts["calibration"] == {
        "scale": 1e-4,
        "offset": 0.0,
        "nodata": -32768.0,
        "from": "the file",
    }
    assert facts["bands"][2] == {"name": "B4", "centre_nm": 665.0, "fwhm_nm": 31.0}
    assert facts["meta"]["level"] == "L2A" and facts["meta"]["layout"] == "COG"
    low, middle, high = facts["percentiles_2_50_98"]["B4"]
    assert 0 < low < middle < high < 1
    text = describe(facts)
    for part in ("20 × 600 pixels of 10 × 10, EPSG:32633", "scale 0.0001", "B4", "665.00 nm", "%"):
        assert part in text


def test_valid_share_of_a_whole_image(tmp_path):
    write_cube(tmp_path / "a.tif", scene(), dtype="float32")
    facts = inspect_product(tmp_path / "a.tif")
    assert facts["sampled"] == 1 and facts["valid_share"] == pytest.approx(19 / 20)
    assert facts["calibration"]["nodata"] == "NaN"


def test_archives_and_libraries_say_what_they_are(tmp_path):
    from spectral.io import envi

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("photos/a.jpg", "x")
        archive.writestr("readme.txt", "y")
    with tarfile.open(tmp_path / "y.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "x.zip", "x.zip")
    spectra = np.random.default_rng(0).uniform(0, 1, (5, 30)).astype("float32")
    header = {"wavelength": list(range(400, 700, 10)), "spectra names": list("abcde")}
    envi.SpectralLibrary(spectra, header, None).save(str(tmp_path / "minerals"))
    for name, text in (
        ("x.zip", "is an archive of 2 files: a.jpg, readme.txt, none of the deliveries"),
        ("y.tar.gz", "is an archive of one file: x.zip"),
        ("minerals.sli", r"is an ENVI spectral library \(5 spectra of 30 bands\), not an image"),
        ("minerals.hdr", "spectral library"),
    ):
        with pytest.raises(ProductError, match=text) as caught:
            open_cube(tmp_path / name)
        assert caught.value.exit_code == 3
