"""Spectral cubes in MATLAB files of any size, old and new."""

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from trifuse.core import BandError, ConfigError, ProductError, Window
from trifuse.products import detect, open_cube

CUBE = np.random.default_rng(0).uniform(0, 0.5, (8, 9, 24)).astype("float32")
WAVES = np.linspace(450, 950, 24)


def test_a_cube_of_any_count_of_bands_opens_with_its_wavelengths(tmp_path):
    path = tmp_path / "pavia.mat"
    savemat(path, {"paviaU": CUBE, "gt": np.zeros((8, 9)), "wavelength": WAVES})
    assert detect(path)[0] == "matlab"
    with open_cube(path) as source:
        cube = source.read()
        part = source.read(Window(2, 3, 4, 5), ["band7"])
    np.testing.assert_array_equal(cube.data, CUBE.transpose(2, 0, 1))
    np.testing.assert_allclose(cube.bands.centres, WAVES)
    np.testing.assert_array_equal(part.data[0], CUBE[2:6, 3:8, 6])
    assert cube.meta["variable"] == "paviaU" and cube.valid.all()


@pytest.mark.parametrize("unit", [1, 1000])
def test_wavelengths_may_be_given_and_are_nm_either_way(tmp_path, unit):
    path = tmp_path / "a.mat"
    savemat(path, {"x": CUBE})
    with open_cube(path) as source:
        assert np.isnan(source.bands.centres).all()
    with open_cube(path, wavelengths=list(WAVES / unit)) as source:
        np.testing.assert_allclose(source.bands.centres, WAVES)
    with pytest.raises(ConfigError, match="2 wavelengths for 24 bands"):
        open_cube(path, wavelengths=[400, 500])
    with pytest.raises(BandError, match="1 names for 24 bands"):
        open_cube(path, bands=["a"])


def test_pixels_in_a_row_are_columns_of_the_image(tmp_path):
    flat = CUBE.transpose(2, 1, 0).reshape(24, -1)
    path = tmp_path / "jasper.mat"
    savemat(path, {"Y": flat, "nRow": 8, "nCol": 9, "maxValue": 1.0})
    with open_cube(path) as source:
        np.testing.assert_array_equal(source.read().data, CUBE.transpose(2, 0, 1))


def test_version_7_3_and_integers(tmp_path, caplog):
    path = tmp_path / "new.mat"
    counts = np.rint(CUBE * 10000).astype("uint16")
    counts[0, 0] = 0
    with h5py.File(path, "w", userblock_size=512) as file:
        file["data"] = counts.transpose(2, 1, 0)
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")
    with open_cube(path) as source:
        np.testing.assert_array_equal(source.read().data, counts.transpose(2, 0, 1))
    assert "give a scale" in caplog.text
    with open_cube(path, scale=1e-4, nodata=0) as source:
        cube = source.read()
    assert not cube.valid[0, 0] and cube.valid.sum() == 71
    wanted = counts.transpose(2, 0, 1) * 1e-4
    np.testing.assert_allclose(cube.data[:, 1:], wanted[:, 1:], atol=1e-6)


def test_cubes_of_the_size_of_enmap_are_numbered_like_it(tmp_path):
    path = tmp_path / "enmap.mat"
    savemat(path, {"x": np.full((3, 4, 224), 0.2), "wavelengths": np.linspace(420, 2450, 224)})
    with open_cube(path) as source:
        assert source.bands.names[:2] == ("E001", "E002") and len(source.bands) == 224


def test_several_cubes_are_refused_by_name(tmp_path):
    path = tmp_path / "two.mat"
    savemat(path, {"a": CUBE, "b": CUBE})
    with pytest.raises(ProductError, match=r"holds 2 cubes: a 8×9×24, b 8×9×24"):
        open_cube(path)


def test_jasper_ridge_as_it_is_shared(data_dir):
    path = data_dir / "4_hyper/aviris_jasper_ridge/JasperRidge2_F224_2.mat"
    stored = loadmat(path)["Y"]
    with open_cube(path, scale=1e-4) as source:
        cube = source.read()
    assert cube.data.shape == (224, 100, 100)
    column = stored.reshape(224, 100, 100)[:, 7, 3]
    np.testing.assert_allclose(cube.data[:, 3, 7], column * 1e-4, atol=1e-6)
