"""Area-to-point kriging and its semivariograms, against dense sums over pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit

from trifuse.align.kriging import (
    Kriging,
    back_project,
    box_taps,
    gaussian_taps,
    kriging_weights,
    sensor_taps,
)
from trifuse.align.variogram import (
    RANGES,
    SILLS,
    Exponential,
    deconvolve,
    fit_exponential,
    point_model,
    semivariogram,
)
from trifuse.core import PSF, DataError, Window, degrade
from trifuse.core.resample import degrade_matrix

MODEL = Exponential(0.3, 6.0)


def dense_weights(model, ratio, taps, pixel, shift=(0.0, 0.0)):
    """Kriging of one pixel of the middle cell: every distance summed one by one."""
    centres = [(y * ratio + shift[0], x * ratio + shift[1]) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    at = np.arange(len(taps)) - (len(taps) - 1) / 2
    yy, xx = (a.ravel() for a in np.meshgrid(at, at, indexing="ij"))
    weight = np.outer(taps, taps).ravel()
    y, x = (p - (ratio - 1) / 2 for p in pixel)
    system, right = np.zeros((10, 10)), np.ones(10)
    system[9, :9] = system[:9, 9] = 1
    for p, (cy, cx) in enumerate(centres):
        right[p] = weight @ model(np.hypot(y - cy - yy, x - cx - xx))
        for q, (dy, dx) in enumerate(centres):
            distance = np.hypot(
                (cy + yy)[:, None] - (dy + yy)[None], (cx + xx)[:, None] - (dx + xx)[None]
            )
            system[p, q] = weight @ model(distance) @ weight
    return np.linalg.solve(system, right)[:9].reshape(3, 3)


@pytest.mark.parametrize(
    ("ratio", "taps"),
    [
        (3, gaussian_taps(3)),
        (4, gaussian_taps(4)),
        (4, box_taps(4)),
        (3, sensor_taps(3, 1.5)),
        (4, sensor_taps(4, 1.9)),
        (1, box_taps(1)),
    ],
)
def test_weights_equal_a_dense_solve(ratio, taps):
    weights = kriging_weights(MODEL, ratio, taps)
    for pixel in {(0, 0), (ratio - 1, 0), (ratio // 2, ratio - 1)}:
        dense = dense_weights(MODEL, ratio, taps, pixel)
        np.testing.assert_allclose(weights[pixel], dense, rtol=0, atol=1e-11)


def test_shifted_cells_are_kriged_from_where_they_lie():
    ratio, shift = 4, (1.7, -5.2)
    taps = gaussian_taps(ratio)
    cells = np.random.default_rng(0).random((1, 6, 7))
    fine = Kriging.of([MODEL], ratio, taps, shift=shift)(cells)[0]
    for y, x in [(12, 9), (13, 10), (14, 12), (10, 15)]:
        # The cell whose centre is nearest, and the pixel as if that cell were not displaced.
        i, j = (int(np.floor((p + 0.5 - s) / ratio)) for p, s in zip((y, x), shift, strict=True))
        pixel = (y - i * ratio, x - j * ratio)
        dense = dense_weights(MODEL, ratio, taps, pixel, shift)
        np.testing.assert_allclose(
            fine[y, x], (dense * cells[0, i - 1 : i + 2, j - 1 : j + 2]).sum(), atol=1e-11
        )


def test_the_sensors_psf_is_that_of_the_degradation():
    for ratio in (1, 2, 5, 10):
        sigma = PSF.from_mtf().pixels(ratio)
        taps = sensor_taps(ratio, sigma)
        image = np.random.default_rng(0).random((9 * ratio, 9 * ratio))
        first = 4 * ratio - (len(taps) - ratio) // 2
        seen = image[first : first + len(taps), first : first + len(taps)]
        assert degrade(image, ratio)[4, 4] == pytest.approx(taps @ seen @ taps, abs=1e-14)


@settings(max_examples=20, deadline=None)
@given(
    ratio=st.integers(1, 12),
    shift=st.tuples(*[st.floats(-9, 9)] * 2),
    corner=st.tuples(*[st.integers(0, 30)] * 2),
    size=st.tuples(*[st.integers(1, 20)] * 2),
    data=st.integers(0, 9),
)
def test_windows_equal_the_whole_and_constants_stay(ratio, shift, corner, size, data):
    cells = np.random.default_rng(data).random((2, 4, 5)).astype(np.float32)
    kriging = Kriging.of([MODEL, Exponential(1, 30)], ratio, gaussian_taps(ratio), shift=shift)
    whole = kriging(cells)
    assert whole.shape == (2, 4 * ratio, 5 * ratio)
    assert whole.dtype == np.float32
    window = Window(*corner, *size).clip(4 * ratio, 5 * ratio)
    if window.height and window.width:
        rows, cols = window.slices
        np.testing.assert_allclose(kriging(cells, window), whole[:, rows, cols], atol=1e-6)
    np.testing.assert_allclose(kriging(np.full_like(cells, 0.4)), 0.4, atol=1e-6)


def test_box_cells_return_the_cells_and_others_do_after_projection():
    ratio = 6
    cells = np.random.default_rng(1).random((1, 7, 8))
    box = Kriging.of([MODEL], ratio, box_taps(ratio))(cells)
    np.testing.assert_allclose(
        box.reshape(1, 7, ratio, 8, ratio).mean(axis=(2, 4)), cells, atol=1e-9
    )
    sigma = 0.5 * ratio
    kriging = Kriging.of([MODEL], ratio, sensor_taps(ratio, sigma))
    along = [degrade_matrix(n * ratio, ratio, sigma) for n in (7, 8)]

    def missed(steps):
        fine = kriging(back_project(kriging, cells, *along, steps))[0]
        return np.abs(along[0] @ fine @ along[1].T - cells[0]).max()

    assert missed(0) > 0.05
    assert missed(1) < 0.5 * missed(0)
    assert missed(20) < 0.02 * missed(0)


def test_back_projection_is_that_of_the_pixels():
    """On the cells, with strips, as it would be done on the whole fine image."""
    ratio, cells = 5, np.random.default_rng(2).random((2, 6, 7))
    kriging = Kriging.of([MODEL, MODEL], ratio, gaussian_taps(ratio))
    along_y, along_x = (degrade_matrix(n * ratio, ratio, 2.5) for n in (6, 7))
    fine = kriging(cells)
    for _ in range(2):
        seen = np.stack([along_y @ plane @ along_x.T for plane in fine])
        fine = fine + kriging(cells - seen)
    projected = kriging(back_project(kriging, cells, along_y, along_x, 2))
    np.testing.assert_allclose(projected, fine, atol=1e-12)


def test_semivariogram_is_the_mean_over_pairs():
    cells = np.random.default_rng(0).random((5, 7))
    cells[1, 2] = cells[4, 0] = np.nan
    for lag, value in enumerate(semivariogram(cells, 4), start=1):
        pairs = [
            (cells[a] - cells[b]) ** 2 / 2
            for a in np.ndindex(5, 7)
            for b in ((a[0] + lag, a[1]), (a[0], a[1] + lag))
            if b[0] < 5 and b[1] < 7
        ]
        assert value == pytest.approx(np.nanmean(pairs), rel=1e-12)
    assert len(semivariogram(cells)) == 6
    assert np.isnan(semivariogram(np.full((4, 4), np.nan))).all()
    assert semivariogram(np.ones((1, 1))).shape == (0,)


def test_the_fit_is_the_least_squares_one():
    ratio, rng = 4, np.random.default_rng(0)
    distance = ratio * np.arange(1.0, 21)
    gamma = MODEL(distance) * (1 + 0.05 * rng.standard_normal(20))
    (sill, scale), _ = curve_fit(
        lambda h, s, r: s * (1 - np.exp(-h / r)), distance, gamma, p0=(0.1, 1.0)
    )
    found = fit_exponential(gamma, ratio)
    assert found.sill == pytest.approx(sill, rel=1e-5)
    assert found.range == pytest.approx(scale, rel=1e-5)
    gamma[3] = np.nan
    assert fit_exponential(gamma, ratio).sill == pytest.approx(sill, rel=0.05)


def test_nothing_to_fit_is_a_plain_model():
    for gamma in (np.zeros(5), np.full(5, np.nan), np.empty(0), np.array([0.2])):
        assert fit_exponential(gamma, 7) == Exponential(1.0, 7.0)
    assert np.isfinite(kriging_weights(point_model(np.ones((9, 9)), 5), 5, box_taps(5))).all()
    assert point_model(np.ones((1, 1)), 5).range > 0


def test_deconvolution_finds_the_candidate_by_averaging_pixels():
    ratio, cells = 3, Exponential(0.2, 4.0)
    at = np.arange(ratio)
    yy, xx = (a.ravel() for a in np.meshgrid(at, at, indexing="ij"))

    def averaged(model, lag):
        distance = np.hypot(yy[:, None] - yy, xx[:, None] - xx - lag * ratio)
        return model(distance).mean()

    best, least = None, np.inf
    for sill in SILLS:
        for scale in RANGES:
            model = Exponential(cells.sill * sill, cells.range * scale)
            raised = [averaged(model, k) - averaged(model, 0) for k in range(1, 6)]
            misfit = np.sum((raised - cells(ratio * np.arange(1.0, 6))) ** 2)
            if misfit < least:
                best, least = model, misfit
    found = deconvolve(cells, ratio, 5)
    assert (found.sill, found.range) == pytest.approx((best.sill, best.range))


def test_bad_input():
    with pytest.raises(DataError, match="PSF of 4 pixels"):
        kriging_weights(MODEL, 3, np.full(4, 0.25))
    with pytest.raises(DataError, match="without lags"):
        deconvolve(MODEL, 3, 0)
