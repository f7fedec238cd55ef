"""Every fusion method at the edges of what numbers and images can be: a result, or one line."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

from trifuse.core import BandSet, Cube, DataError, Grid, GridError, TrifuseError, degrade
from trifuse.flows.fuse import fuse
from trifuse.fusion.methods import METHODS

HR = BandSet.of(["B2", "B3", "B4", "B8A"])
LR = BandSet.of(["Oa04", "Oa06", "Oa08", "Oa17"])

NEED_CELLS = set(METHODS) - {"bicubic", "physics", "refined"}
"""Methods that fit a scene's own numbers, and say so where it has too few cells for that."""


def pair(height=40, width=50, ratio=5, crs="EPSG:32633", west=5e5, north=5e6, gsd=10.0):
    """Two images of one ground that a linear map joins."""
    rng = np.random.default_rng(7)
    cells = rng.uniform(0.05, 0.45, (4, height // ratio, width // ratio))
    data = cells.repeat(ratio, 1).repeat(ratio, 2) + rng.normal(0, 0.02, (4, height, width))
    data = data.clip(0.01, 1).astype(np.float32)
    grid = Grid.from_origin(crs, west, north, gsd, height, width)
    coarse = degrade(data, ratio).astype(np.float32)
    valid = np.ones(coarse.shape[1:], bool)
    s2 = Cube(data, np.ones(data.shape[1:], bool), HR, grid)
    return s2, Cube(coarse, valid, LR, grid.zoom_out(ratio))


def changed(cube, change):
    data = cube.data.copy()
    change(data)
    return replace(cube, data=data)


def scaled(factor, offset=0.0):
    s2, s3 = pair()
    return tuple(replace(c, data=(c.data * factor + offset).astype(np.float32)) for c in (s2, s3))


def only(which, row, col):
    """All but a pixel or a cell is missing."""
    images = list(pair())
    valid = np.zeros(images[which].grid.shape, bool)
    valid[row, col] = True
    data = np.where(valid, images[which].data, np.nan).astype(np.float32)
    images[which] = replace(images[which], data=data, valid=valid)
    return tuple(images)


def filled(which, band, value=np.nan):
    images = list(pair())

    def fill(data):
        data[band] = value

    images[which] = changed(images[which], fill)
    return tuple(images)


def infinite():
    def spoil(data):
        data[:, 1, 1] = np.inf
        data[0, 2, 2] = -np.inf

    return tuple(changed(c, spoil) for c in pair())


def fused(images, method):
    """The image, and nothing of numpy's on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        done = fuse(*images, method=method, device="cpu", coregister="off")
    return done.cube


def within(cube, low, high):
    """Values are there wherever pixels are valid, and between limits."""
    values = cube.data[:, cube.valid]
    assert values.size and np.isfinite(values).all()
    assert low <= values.min() and values.max() <= high


@pytest.mark.parametrize("method", METHODS)
class TestEveryMethod:
    @pytest.mark.parametrize("factor", [1e4, 100.0])
    def test_counts_and_per_cent_are_taken_as_such(self, method, factor, caplog):
        taken = fused(scaled(factor), method)
        assert f"taken times {1 / factor:g}" in caplog.text
        np.testing.assert_allclose(taken.data, fused(pair(), method).data, atol=1e-3)

    def test_another_scale_is_refused(self, method):
        with pytest.raises(DataError, match="are no reflectance, and what they are cannot be told"):
            fused(scaled(1e3), method)

    def test_values_below_zero_everywhere_are_refused(self, method):
        with pytest.raises(DataError, match="an offset seems to be taken twice"):
            fused(scaled(1.0, -0.15), method)

    def test_values_above_one_are_values(self, method):
        within(fused(scaled(2.4), method), -0.3, 3.0)

    def test_constants_stay_constant(self, method):
        s2, s3 = scaled(0.0, 0.2)
        s3 = replace(s3, data=s3.data + np.float32(0.1))
        cube = fused((s2, s3), method)
        np.testing.assert_allclose(cube.data[:, cube.valid], 0.3, atol=0.01)

    def test_a_constant_coarse_image_keeps_its_level(self, method):
        s2, s3 = pair()
        cube = fused((s2, replace(s3, data=np.full_like(s3.data, 0.3))), method)
        assert abs(float(np.nanmean(cube.data)) - 0.3) < 0.03

    @pytest.mark.parametrize("which", [0, 1])
    def test_an_image_without_values_is_13(self, method, which):
        images = list(pair())
        empty = images[which]
        images[which] = replace(
            empty, data=np.full_like(empty.data, np.nan), valid=np.zeros_like(empty.valid)
        )
        with pytest.raises(DataError) as caught:
            fused(images, method)
        assert caught.value.exit_code == 13

    def test_a_sharp_band_that_is_all_fill_is_13(self, method):
        with pytest.raises(DataError):
            fused(filled(0, 1), method)

    def test_a_coarse_band_that_is_all_fill_is_missing_or_13(self, method, caplog):
        try:
            cube = fused(filled(1, 1), method)
        except DataError:
            assert method in NEED_CELLS
            return
        assert np.isnan(cube.data[1]).all() and np.isfinite(cube.data[[0, 2, 3]]).all()
        assert "Oa06 has no value and stays missing" in caplog.text

    @pytest.mark.parametrize(("which", "row", "col"), [(0, 20, 20), (1, 3, 3)])
    def test_one_pixel_or_one_cell_is_a_result_there_or_13(self, method, which, row, col):
        try:
            cube = fused(only(which, row, col), method)
        except DataError:
            assert method in NEED_CELLS
            return
        assert int(cube.valid.sum()) == (1 if which == 0 else 25)
        within(cube, -0.3, 0.9)

    def test_an_image_of_one_cell_is_a_result_or_13(self, method):
        try:
            within(fused(pair(5, 5), method), -0.3, 0.9)
        except DataError:
            assert method in NEED_CELLS

    def test_infinity_is_no_value(self, method):
        cube = fused(infinite(), method)
        assert not np.isinf(cube.data).any()
        there = np.isfinite(cube.data).all(axis=0)
        assert there.mean() > 0.9 and not there[1, 1]
        within(replace(cube, valid=there), -0.3, 0.9)

    @pytest.mark.parametrize(("height", "width"), [(5, 200), (200, 5)])
    def test_long_images(self, method, height, width):
        within(fused(pair(height, width), method), -0.3, 0.9)

    @pytest.mark.parametrize(
        ("ratio", "size"), [(1, 12), (2, 24), (3, 30), (7, 49), (30, 180), (60, 180)]
    )
    def test_ratios(self, method, ratio, size):
        cube = fused(pair(size, size, ratio), method)
        assert cube.grid.shape == (size, size)
        within(cube, -0.3, 0.9)

    @pytest.mark.parametrize(
        ("crs", "west", "north", "gsd"),
        [
            ("EPSG:4326", 13.0, 52.4, 0.0001),
            ("EPSG:4326", 179.999, 10.0, 0.0001),
            ("EPSG:32601", 166_000.0, 5e6, 10.0),
        ],
    )
    def test_degrees_and_the_antimeridian(self, method, crs, west, north, gsd):
        images = pair(crs=crs, west=west, north=north, gsd=gsd)
        cube = fused(images, method)
        assert cube.grid.crs == crs
        within(cube, -0.3, 0.9)


@pytest.mark.parametrize(
    ("transform", "words"),
    [
        ((10.0, 0.0, 5e5, 0.0, 10.0, 5e6), "north-up"),
        ((10.0, 2.0, 5e5, 2.0, -10.0, 5e6), "rotated"),
    ],
)
def test_grids_that_are_not_north_up_are_refused_before_any_method(transform, words):
    with pytest.raises(GridError, match=words):
        Grid("EPSG:32633", transform, 40, 50)


def test_a_constant_sharp_image_is_told(caplog):
    s2, s3 = pair()
    fused((replace(s2, data=np.full_like(s2.data, 0.2)), s3), "refined")
    assert "every band has one value everywhere: no detail" in caplog.text


def test_an_empty_product_gets_no_name(tmp_path):
    images = only(0, 0, 0)
    empty = replace(images[0], data=np.full_like(images[0].data, np.nan))
    with pytest.raises(TrifuseError):
        fuse(empty, images[1], tmp_path / "f.tif", device="cpu")
    assert list(tmp_path.iterdir()) == []
