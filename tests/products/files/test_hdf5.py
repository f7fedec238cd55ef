"""Variables of HDF5 files: groups, blocks of cubes, attributes, and what is refused."""

import h5py
import numpy as np
import pytest

from trifuse.core import DataError, MetadataError, ProductError, Window
from trifuse.products.files import hdf5
from trifuse.products.files.hdf5 import describe_variable, global_numbers, read_block, read_variable

CUBE = np.arange(6 * 4 * 5, dtype=np.uint16).reshape(6, 4, 5)


@pytest.fixture
def path(tmp_path):
    with h5py.File(tmp_path / "a.he5", "w") as file:
        cube = file.create_dataset("SWATHS/HCO/Data Fields/Cube", data=CUBE, chunks=(3, 4, 5))
        cube.attrs["scale_factor"] = 0.5
        file["flat"] = np.arange(12.0).reshape(3, 4)
        file.attrs["centres"] = np.array([400.0, 410.0])
        file.attrs["code"] = np.int64(32633)
        file.attrs["title"] = "made"
    return tmp_path / "a.he5"


def described(path, name):
    return describe_variable(path, str(path), path.name, name)


def test_a_variable_in_groups_is_named_by_its_path(path):
    cube = described(path, "SWATHS/HCO/Data Fields/Cube")
    assert cube.shape == CUBE.shape and cube.scale == 0.5
    np.testing.assert_array_equal(read_variable(path, "a", cube), CUBE)
    window = Window(1, 2, 3, 2)
    np.testing.assert_array_equal(read_variable(path, "a", cube, window), CUBE[1:4, 2:4])
    flat = described(path, "flat")
    assert read_variable(path, "a", flat, window.clip(3, 4)).shape == (2, 2)


def test_a_block_has_a_slice_for_each_of_the_first_axes(path):
    cube = described(path, "SWATHS/HCO/Data Fields/Cube")
    for block in ((slice(2, 5), slice(1, 3), slice(0, 4)), (slice(0, 1),), ()):
        np.testing.assert_array_equal(read_block(path, "a", cube, block), CUBE[block])


@pytest.mark.parametrize("name", ["none", "SWATHS/none", "flat/x", "SWATHS//HCO", "/flat", ""])
def test_names_that_lead_nowhere(path, name):
    with pytest.raises(ProductError, match="has no variable"):
        described(path, name)


def test_a_group_is_no_variable(path):
    with pytest.raises(ProductError, match="SWATHS/HCO is no variable"):
        described(path, "SWATHS/HCO")


@pytest.mark.parametrize("place", ["SWATHS", "SWATHS/HCO", "SWATHS/HCO/Data Fields"])
@pytest.mark.parametrize("link", ["soft", "external"])
def test_links_are_refused_wherever_they_stand(path, tmp_path, place, link):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x/Cube"] = CUBE
    with h5py.File(path, "r+") as file:
        file[f"{place}/away"] = (
            h5py.SoftLink("/SWATHS/HCO/Data Fields")
            if link == "soft"
            else h5py.ExternalLink("other.h5", "x")
        )
    with pytest.raises(ProductError, match="is a link to somewhere else"):
        described(path, f"{place}/away/Cube")


def test_a_cube_may_be_large_and_a_read_of_it_may_not(path, monkeypatch):
    monkeypatch.setattr(hdf5, "MAX_VALUES", 30)
    cube = described(path, "SWATHS/HCO/Data Fields/Cube")
    with pytest.raises(DataError, match=r"a read of 120 values .* above the limit of 30"):
        read_variable(path, "a", cube)
    assert read_variable(path, "a", cube, Window(0, 0, 3, 2)).size == 30
    monkeypatch.setattr(hdf5, "MAX_CUBE", 100)
    with pytest.raises(ProductError, match="claims"):
        described(path, "SWATHS/HCO/Data Fields/Cube")
    monkeypatch.setattr(hdf5, "MAX_VALUES", 11)
    with pytest.raises(ProductError, match="claims"):
        described(path, "flat")


def test_numbers_of_global_attributes(path):
    np.testing.assert_array_equal(global_numbers(path, "a", "centres"), [400, 410])
    assert global_numbers(path, "a", "code").tolist() == [32633]
    assert global_numbers(path, "a", "none").size == 0
    with pytest.raises(MetadataError, match="title is 'made', no number"):
        global_numbers(path, "a", "title")
