"""Quicklooks: colours, opacity, size."""

import numpy as np
import pytest
import rasterio

from trifuse.core import BandError, BandSet, Cube, Grid, MemorySource, OutputExistsError
from trifuse.products import choose_rgb, open_geotiff, read_small, write_cube, write_quicklook

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
BANDS = BandSet.of(["a", "b", "c", "d"], [490, 560, 665, 865])


def scene(height: int = 60, width: int = 80) -> Cube:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    data = np.stack([x / width, y / height, 1 - x / width, np.zeros_like(x)])
    data[:, : height // 2, : width // 4] = np.nan
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 10, height, width)
    return Cube(data, np.isfinite(data).all(axis=0), BANDS, grid)


def pixels(path) -> np.ndarray:
    with rasterio.open(path) as d:
        assert d.driver == "PNG" and d.count == 4 and d.dtypes[0] == "uint8"
        return d.read()


def test_true_colours_stretched_and_clear_where_invalid(tmp_path):
    cube = scene()
    assert write_quicklook(tmp_path / "q.png", cube) == ("c", "b", "a")
    image = pixels(tmp_path / "q.png")
    np.testing.assert_array_equal(image[3] > 0, cube.valid)
    assert image[0, 0, 30] > image[0, 0, 79] and image[2, 0, 30] < image[2, 0, 79]
    for plane, name in zip(image[:3], ("c", "b", "a"), strict=True):
        low, high = np.percentile(cube.select([name]).data[0][cube.valid], (2, 98))
        expected = np.clip((cube.select([name]).data[0] - low) / (high - low), 0, 1) * 255
        np.testing.assert_allclose(plane[cube.valid], expected[cube.valid], atol=0.6)
        assert set(plane[cube.valid]) >= {0, 255}
    assert [p.name for p in tmp_path.iterdir()] == ["q.png"]


def test_size_is_bounded_whatever_the_source(tmp_path):
    cube = scene(300, 420)
    write_cube(tmp_path / "c.tif", cube, dtype="float32")
    file, memory = open_geotiff(tmp_path / "c.tif"), MemorySource(cube)
    for source in (file, memory):
        small = read_small(source, 100)
        assert small.grid.shape == (60, 84)
        np.testing.assert_allclose(small.grid.bounds, cube.grid.bounds, atol=1e-6)
    a, b = read_small(file, 100), read_small(memory, 100)
    np.testing.assert_array_equal(a.valid, b.valid)
    np.testing.assert_allclose(a.data, b.data, atol=1e-3)
    means = cube.data.reshape(4, 60, 5, 84, 5)[:, 30:].mean(axis=(2, 4))
    np.testing.assert_allclose(b.data[:, 30:], means, atol=1e-6)
    write_quicklook(tmp_path / "q.png", file, max_size=100)
    assert pixels(tmp_path / "q.png").shape == (4, 60, 84)
    odd = read_small(MemorySource(scene(61, 83)), 20)
    assert odd.grid.shape == (13, 17) and np.isfinite(odd.data[:, 10:]).all()


def test_flat_and_empty_images(tmp_path):
    cube = scene()
    flat = Cube(np.full_like(cube.data, 0.3), np.ones(cube.grid.shape, bool), BANDS, cube.grid)
    write_quicklook(tmp_path / "f.png", flat)
    assert (pixels(tmp_path / "f.png")[:3] == 128).all()
    nothing = Cube(np.full_like(cube.data, np.nan), ~flat.valid, BANDS, cube.grid)
    write_quicklook(tmp_path / "n.png", nothing, rgb=["d"])
    assert (pixels(tmp_path / "n.png") == 0).all()


def test_which_bands_are_shown(tmp_path):
    assert choose_rgb(BandSet.of(["B2", "B3", "B4", "B8"])) == ("B4", "B3", "B2")
    assert choose_rgb(BandSet.of(["Oa04", "Oa06", "Oa08"])) == ("Oa08", "Oa06", "Oa04")
    assert choose_rgb(BandSet.of(["x", "y", "z", "t"])) == ("x", "y", "z")
    assert choose_rgb(BandSet.of(["NDVI"])) == ("NDVI",)
    assert write_quicklook(tmp_path / "q.png", scene(), rgb=["d", "d", "a"]) == ("d", "d", "a")
    for wrong in (["a", "b"], ["a", "b", "zz"]):
        with pytest.raises(BandError):
            write_quicklook(tmp_path / "w.png", scene(), rgb=wrong)
    with pytest.raises(OutputExistsError):
        write_quicklook(tmp_path / "q.png", scene())
    assert [p.name for p in tmp_path.iterdir()] == ["q.png"]
