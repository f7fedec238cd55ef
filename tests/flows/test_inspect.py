"""What is said of a product, and of how the bands of a stack were sampled."""

import pytest

from trifuse.core import MemorySource
from trifuse.core.native import native_view
from trifuse.flows.inspect import inspect
from trifuse.products import describe, write_cube
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import native_ratios


@pytest.fixture(scope="module")
def views():
    """Of both sensors, all bands sharp: 96×96 pixels."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene(96, 903)), ratio=1)
    return s2, s3


def written(path, cube, data, **meta):
    made = type(cube)(data, cube.valid, cube.bands, cube.grid, {"quantity": "reflectance", **meta})
    write_cube(path, made)
    return path


def test_how_a_stack_was_sampled_is_told(views, tmp_path):
    s2, _ = views
    data = native_view(s2.masked(), native_ratios(s2.bands), 0.3, "nearest")
    facts = inspect(written(tmp_path / "stack.tif", s2, data))
    found = {f["bands"][0]: f for f in facts["sampling"]["found"]}
    assert [found[n]["ratio"] for n in ("B2", "B5", "B1")] == [1, 2, 6]
    assert found["B5"]["sure"] and found["B5"]["kernel"] == "nearest"
    text = describe(facts)
    assert "sampling     B5, B6, B7, B8A, B11, B12: samples of 2×2 pixels that start" in text


def test_metadata_that_tell_otherwise_are_named(views, tmp_path):
    s2, _ = views
    data = native_view(s2.masked(), native_ratios(s2.bands), 0.3, "nearest")
    path = written(tmp_path / "stack.tif", s2, data, native_gsd=10.0, noise=0.001)
    facts = inspect(path)
    assert facts["sampling"]["told"]["B5"] == 10
    assert any(
        "metadata tell samples of 1 pixels, the pixels show 2" in line
        for line in facts["sampling"]["lines"]
    )


def test_sharp_stacks_are_called_so(views, tmp_path):
    facts = inspect(written(tmp_path / "stack.tif", views[0], views[0].masked()))
    assert "as sharp as the pixels" in facts["sampling"]["lines"][0]


def test_other_products_are_not_asked(views, tmp_path):
    s2, s3 = views
    assert "sampling" not in inspect(written(tmp_path / "s3.tif", s3, s3.masked()))
    few = s2.select(["B2", "B3", "B4"])
    assert "sampling" not in inspect(written(tmp_path / "few.tif", few, few.masked()))
