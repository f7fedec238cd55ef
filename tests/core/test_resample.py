import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from trifuse.core import PSF, DegradeAccumulator, Window, blur, degrade, fill_nearest, upsample
from trifuse.core import resample_torch as rt
from trifuse.core.errors import ConfigError, DataError

rng = np.random.default_rng(0)
ratios = st.integers(1, 12)
cells = st.integers(1, 6)
values = st.floats(-0.125, 2.0, width=32)


def image(*shape):
    return rng.random(shape, dtype=np.float32)


def test_psf_by_mtf_and_by_fwhm():
    assert PSF.from_mtf(0.3).sigma == pytest.approx(math.sqrt(2 * math.log(1 / 0.3)) / math.pi)
    assert PSF.from_mtf(0.3).mtf == pytest.approx(0.3)
    assert PSF.from_fwhm(1.0).pixels(10) == pytest.approx(4.2466, abs=1e-4)
    for bad in (0.0, 1.5, -1.0):
        with pytest.raises(ConfigError):
            PSF.from_mtf(bad)


def test_mtf_at_nyquist_is_what_was_asked_for():
    ratio, n = 10, 4000
    wave = np.cos(np.pi * (np.arange(n) - 4.5) / ratio)[None, :] * np.ones((ratio, 1))
    sampled = degrade(wave.astype(np.float32), ratio, PSF.from_mtf(0.3))
    # Even ratios average two pixels besides, a factor cos(π / 2r).
    inner = np.abs(sampled[0, 50:-50])
    np.testing.assert_allclose(inner, 0.3 * math.cos(math.pi / (2 * ratio)), atol=2e-3)


@given(values, ratios, cells, cells, st.integers(0, 5), st.floats(0.0, 1.5))
@settings(max_examples=30, deadline=None)
def test_constants_stay_exactly_constant(value, ratio, rows, cols, extra, sigma):
    plane = np.full((rows * ratio + extra, cols * ratio + extra), value, np.float32)
    for out in (degrade(plane, ratio, PSF(sigma)), blur(plane, sigma * ratio)):
        np.testing.assert_array_equal(out, np.float32(value))
    np.testing.assert_allclose(upsample(plane, ratio), value, rtol=1e-6)


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.1, 8.0))
@settings(max_examples=40, deadline=None)
def test_blur_preserves_the_mean(height, width, sigma):
    plane = image(height, width).astype(np.float64)
    np.testing.assert_allclose(blur(plane, sigma).mean(), plane.mean(), rtol=1e-12)


def test_blur_equals_scipy():
    plane = image(50, 37).astype(np.float64)
    ours = blur(plane, 4.94)
    np.testing.assert_allclose(
        ours, ndimage.gaussian_filter(plane, 4.94, truncate=4.05), atol=1e-12
    )


@pytest.mark.parametrize("ratio", [2, 3, 10])
def test_degrade_is_blur_then_the_middle_of_each_block(ratio):
    plane = image(6 * ratio, 4 * ratio).astype(np.float64)
    smooth = blur(plane, PSF.from_mtf().pixels(ratio))
    low, high = (ratio - 1) // 2, ratio // 2
    middle = (
        smooth[low::ratio, low::ratio]
        + smooth[low::ratio, high::ratio]
        + smooth[high::ratio, low::ratio]
        + smooth[high::ratio, high::ratio]
    ) / 4
    np.testing.assert_allclose(degrade(plane, ratio), middle, atol=1e-12)


def test_one_width_per_band():
    cube = image(2, 30, 30)
    both = degrade(cube, 10, [PSF(0.2), PSF(0.6)])
    np.testing.assert_array_equal(both[0], degrade(cube[0], 10, PSF(0.2)))
    np.testing.assert_array_equal(both[1], degrade(cube[1], 10, PSF(0.6)))
    with pytest.raises(DataError, match="1 widths for 2 bands"):
        degrade(cube, 10, [PSF(0.2)])


def test_missing_pixels_are_left_out_and_holes_stay():
    plane = np.full((30, 30), 0.25, np.float32)
    plane[3:7, 4] = np.nan
    plane[10:20, 10:20] = np.nan
    out = degrade(plane, 10)
    assert np.isnan(out[1, 1])
    np.testing.assert_allclose(np.delete(out.ravel(), 4), 0.25, rtol=1e-6)
    hole = blur(plane, 2.0)
    np.testing.assert_array_equal(np.isnan(hole), np.isnan(plane))


def test_pieces_add_up_to_the_whole():
    cube = image(3, 47, 62)
    cube[:, 5:9, 30:41] = np.nan
    whole = degrade(cube, 5)
    acc = DegradeAccumulator(3, 47, 62, 5)
    for r, c in [(30, 0), (0, 20), (0, 0), (30, 20)]:
        piece = cube[:, r : {0: 30, 30: 47}[r], c : {0: 20, 20: 62}[c]]
        acc.add(Window(r, c, *piece.shape[1:]), piece)
    np.testing.assert_allclose(acc.result(), whole, atol=1e-6)


@given(ratios, cells, cells, st.data())
@settings(max_examples=40, deadline=None)
def test_a_window_of_upsampling_is_the_window_of_the_whole(ratio, rows, cols, data):
    coarse = image(2, rows, cols)
    coarse[0, 0, 0] = np.nan
    r = data.draw(st.integers(0, rows * ratio - 1))
    c = data.draw(st.integers(0, cols * ratio - 1))
    window = Window(r, c, rows * ratio - r, cols * ratio - c)
    np.testing.assert_array_equal(
        upsample(coarse, ratio, window), upsample(coarse, ratio)[:, r:, c:]
    )


def test_missing_cells_are_missing_over_their_footprint_only():
    coarse = np.full((3, 3), 0.5, np.float32)
    coarse[1, 1] = np.nan
    fine = upsample(coarse, 4)
    assert np.isnan(fine).sum() == 16
    np.testing.assert_allclose(fine[~np.isnan(fine)], 0.5, rtol=1e-6)


def test_fill_nearest_leaves_values_and_fills_the_rest():
    plane = np.array([[np.nan, 1.0, np.nan, np.nan, 3.0]], np.float32)
    np.testing.assert_array_equal(fill_nearest(plane), [[1, 1, 1, 3, 3]])
    assert not fill_nearest(np.full((2, 2), np.nan, np.float32)).any()


@pytest.mark.parametrize("ratio", [1, 3, 10])
def test_torch_and_numpy_agree(ratio):
    cube = image(2, 6 * ratio, 4 * ratio)
    tensor = torch.from_numpy(cube)[None]
    np.testing.assert_allclose(rt.degrade(tensor, ratio)[0], degrade(cube, ratio), atol=2e-6)
    np.testing.assert_allclose(rt.blur(tensor, 1.7)[0], blur(cube, 1.7), atol=2e-6)
    coarse = degrade(cube, ratio)
    up = rt.upsample(torch.from_numpy(coarse)[None], ratio)[0]
    np.testing.assert_allclose(up, upsample(coarse, ratio), atol=2e-6)


def test_impossible_ratios_are_refused():
    with pytest.raises(DataError, match="ratio 40"):
        degrade(image(30, 50), 40)
    with pytest.raises(DataError, match="int16"):
        degrade(np.zeros((30, 30), np.int16), 10)
