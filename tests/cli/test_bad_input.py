"""Every kind of bad input ends in one line, its own exit code, and nothing half-written."""

import errno
import shutil

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, Grid
from trifuse.products import open_cube, write_cube


@pytest.fixture
def outputs(tmp_path):
    """The folder for outputs, which must stay empty."""
    folder = tmp_path / "out"
    folder.mkdir()
    yield folder
    assert list(folder.rglob("*")) == []


def moved(source, path, *, crs=None, east=0.0, bands=None):
    """A copy of an image elsewhere."""
    with open_cube(source) as opened:
        cube = opened.read(bands=bands)
    a, b, c, d, e, f = cube.grid.transform
    grid = Grid(crs or cube.grid.crs, (a, b, c + east, d, e, f), *cube.grid.shape)
    write_cube(path, Cube(cube.data, cube.valid, cube.bands, grid))
    return path


def test_truncated_tiff_is_3(fails, scene, outputs, tmp_path):
    cut = tmp_path / "cut.tif"
    content = scene.s2.read_bytes()
    cut.write_bytes(content[: len(content) // 2])
    fails(3, "cut.tif", "fuse", "--s2", cut, "--s3", scene.s3, "-o", outputs / "f.tif")
    fails(3, "cut.tif", "ndvi", cut, "-o", outputs / "n.tif")


def test_missing_file_is_3(fails, outputs, tmp_path):
    fails(3, "nowhere.tif", "ndvi", tmp_path / "nowhere.tif", "-o", outputs / "n.tif")


def test_an_existing_output_is_5(fails, scene, tmp_path):
    out = tmp_path / "f.tif"
    out.write_text("mine")
    fails(5, "--overwrite", "fuse", "--s2", scene.s2, "--s3", scene.s3, "-o", out)
    fails(5, "--overwrite", "ndvi", scene.truth, "-o", out)
    assert out.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [out]


def test_weights_for_other_bands_are_6(fails, scene, weights, outputs, tmp_path):
    few = moved(scene.s2, tmp_path / "few.tif", bands=["B2", "B3", "B4", "B8"])
    fails(
        6,
        "B11",
        "fuse",
        "--s2",
        few,
        "--s3",
        scene.s3,
        "--weights",
        weights,
        "-o",
        outputs / "f.tif",
    )


def test_damaged_weights_are_6(fails, scene, weights, outputs, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(weights.read_bytes()[:-50])
    fails(
        6,
        "cut.safetensors",
        "fuse",
        "--s2",
        scene.s2,
        "--s3",
        scene.s3,
        "--weights",
        cut,
        "-o",
        outputs / "f.tif",
    )


def test_metadata_without_wavelengths_is_7(fails, scene, outputs, tmp_path):
    folder = tmp_path / scene.enmap.name
    shutil.copytree(scene.enmap, folder)
    metadata = next(folder.glob("*METADATA.XML"))
    text = metadata.read_text().replace("wavelengthCenterOfBand", "colour")
    metadata.write_text(text)
    fails(7, "METADATA.XML", "simulate", folder, "-o", outputs / "store", "--patch", "40")


def test_another_crs_is_8(fails, scene, outputs, tmp_path):
    other = moved(scene.s3, tmp_path / "other.tif", crs="EPSG:3035")
    fails(8, "EPSG:3035", "fuse", "--s2", scene.s2, "--s3", other, "-o", outputs / "f.tif")


def test_cells_that_are_not_nested_are_8(fails, scene, outputs, tmp_path):
    other = moved(scene.s3, tmp_path / "other.tif", east=13.0)
    fails(8, "whole number", "fuse", "--s2", scene.s2, "--s3", other, "-o", outputs / "f.tif")


def test_no_overlap_is_9(fails, scene, outputs, tmp_path):
    other = moved(scene.s3, tmp_path / "other.tif", east=300_000.0)
    fails(9, "no ground", "fuse", "--s2", scene.s2, "--s3", other, "-o", outputs / "f.tif")


def test_missing_bands_are_10(fails, scene, outputs, tmp_path):
    red = moved(scene.truth, tmp_path / "red.tif", bands=["Oa08"])
    fails(10, "865", "ndvi", red, "-o", outputs / "n.tif", "--definition", "bands")
    fails(
        10,
        "Oa01",
        "simulate",
        scene.enmap,
        "-o",
        outputs / "store",
        "--patch",
        "40",
        "--bands",
        "Oa01,Oa03",
    )


def test_a_store_of_a_killed_run_is_11(fails, store, outputs, tmp_path):
    broken = tmp_path / "store"
    shutil.copytree(store, broken)
    next(broken.glob("*.h5")).unlink()
    fails(11, "resumes", "train", "fusformer", broken, "-o", outputs / "run")
    (broken / "manifest.json").unlink()
    fails(11, "manifest.json", "train", "fusformer", broken, "-o", outputs / "run")


def test_unknown_keys_are_12(fails, store, outputs):
    fails(
        12, "optim.lr", "train", "fusformer", store, "-o", outputs / "run", "--set", "optim.lrr=1"
    )


def test_nothing_valid_is_13(fails, scene, outputs, tmp_path):
    with open_cube(scene.s3) as source:
        cube = source.read()
    empty = Cube(np.full_like(cube.data, np.nan), np.zeros_like(cube.valid), cube.bands, cube.grid)
    write_cube(tmp_path / "empty.tif", empty)
    fails(
        13,
        "valid",
        "fuse",
        "--s2",
        scene.s2,
        "--s3",
        tmp_path / "empty.tif",
        "-o",
        outputs / "f.tif",
    )


def test_too_few_cells_for_a_regression_is_13(fails, outputs, tmp_path):
    rng = np.random.default_rng(0)
    names = {"s2": ["B2", "B3", "B4", "B8"], "s3": ["Oa03", "Oa08"]}
    for key, size, gsd in (("s2", 20, 10.0), ("s3", 2, 100.0)):
        data = rng.random((len(names[key]), size, size), dtype=np.float32)
        grid = Grid.from_origin("EPSG:32633", 0, 0, gsd, size, size)
        cube = Cube(data, np.ones((size, size), bool), BandSet.of(names[key]), grid)
        write_cube(tmp_path / f"{key}.tif", cube)
    fails(
        13,
        "coarse pixels",
        "fuse",
        "--s2",
        tmp_path / "s2.tif",
        "--s3",
        tmp_path / "s3.tif",
        "-o",
        outputs / "f.tif",
        "--method",
        "regression",
    )


def test_a_folder_in_place_of_the_output_is_3(fails, scene, tmp_path):
    folder = tmp_path / "f.tif"
    folder.mkdir()
    fails(3, "is a folder", "ndvi", scene.truth, "-o", folder, "--overwrite")
    assert list(tmp_path.rglob("*")) == [folder]


def test_an_input_is_never_overwritten(fails, scene, tmp_path):
    mine = tmp_path / "s2.tif"
    shutil.copy(scene.s2, mine)
    before = mine.read_bytes()
    fails(5, "is an input too", "fuse", "--s2", mine, "--s3", scene.s3, "-o", mine, "--overwrite")
    fails(5, "is an input too", "ndvi", mine, "-o", mine, "--overwrite")
    assert mine.read_bytes() == before


def test_other_names_than_tif_are_2(trifuse, scene, outputs):
    code, out, err = trifuse("ndvi", scene.truth, "-o", outputs / "n.png")
    assert (code, out) == (2, "") and "does not end in .tif" in err
    images = ("--s2", scene.s2, "--s3", scene.s3)
    assert trifuse("fuse", *images, "-o", outputs / "f.png")[0] == 2
    assert trifuse("ndvi", scene.truth, "-o", outputs / "n.tif", "--red", "700")[0] == 2


@pytest.mark.parametrize("address", ["https://example.org/a.tif", "s3://bucket/a.tif", "file:///a"])
def test_web_addresses_are_3(fails, outputs, address):
    fails(3, f"{address}: is no file on disk", "ndvi", address, "-o", outputs / "n.tif")


def test_swapped_images_are_8(fails, scene, outputs):
    fails(8, "swap the two", "fuse", "--s2", scene.s3, "--s3", scene.s2, "-o", outputs / "f.tif")


def test_a_full_disk_is_3(fails, scene, outputs, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", "n.tif")

    monkeypatch.setattr("trifuse.flows.ndvi.ndvi", full)
    fails(3, "n.tif: No space left", "ndvi", scene.truth, "-o", outputs / "n.tif")


def test_triplets_of_a_few_broad_bands_are_10(fails, scene, outputs):
    fails(10, "12 bands", "simulate", scene.s2, "-o", outputs / "store", "--patch", "40")
