"""ATPRK: recorded reference, invariants, gain over interpolation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from trifuse.align.kriging import gaussian_taps
from trifuse.align.variogram import Exponential
from trifuse.core import ConfigError, DataError, Window, upsample
from trifuse.stf import atprk, fit_atprk, upscale
from trifuse.stf.atprk import psf_taps


@pytest.fixture(scope="module")
def scene():
    """Coarse (2, 10, 12) and fine covariates (3, 50, 60) of one truth (2, 50, 60)."""
    rng = np.random.default_rng(3)
    fields = [gaussian_filter(rng.standard_normal((50, 60)), s) * s for s in (1, 2, 4, 6)]
    covariates = 0.3 + 0.1 * np.stack(fields[:3])
    mix = np.array([[0.5, 0.4, -0.2], [0.1, 0.2, 0.7]])
    truth = np.tensordot(mix, covariates, 1) + 0.02 * np.stack([fields[3], -fields[3]])
    return upscale(truth, 5, gaussian_taps(5)), covariates, truth


def test_recorded_reference(fixtures_dir):
    """Output of the authors' program for one band and one covariate at ratio 3."""
    with np.load(fixtures_dir / "atprk_official_s3.npz") as file:
        recorded = {k: file[k] for k in file}
    coarse, pan = recorded["coarse"][None], recorded["pan"][None]
    fitted = Exponential(*map(float, recorded["fit"].ravel()))
    given_fit = atprk(coarse, pan, variograms=[fitted])
    np.testing.assert_allclose(given_fit[0], recorded["Z"], rtol=0, atol=1e-10)
    np.testing.assert_allclose(atprk(coarse, pan)[0], recorded["Z"], rtol=0, atol=1e-6)

    fit = fit_atprk(coarse, upscale(pan, 3, gaussian_taps(3)), 3, variograms=[fitted])
    np.testing.assert_allclose([fit.matrix[0, 0], fit.offset[0]], recorded["alpha"].ravel())
    np.testing.assert_allclose(fit.residual[0], recorded["residual"], atol=1e-12)
    np.testing.assert_allclose(fit.regression(pan)[0], recorded["Z_R"], atol=1e-12)
    point = fit.points[0]
    np.testing.assert_allclose([point.sill, point.range], recorded["deconv"].ravel(), rtol=1e-7)
    # The last of the ten is the Lagrange multiplier; neighbours run down the columns.
    weights = recorded["weights"][..., :9].reshape(3, 3, 3, 3).transpose(0, 1, 3, 2)
    np.testing.assert_allclose(fit.kriging.weights[0], weights, atol=1e-11)


def test_it_beats_interpolation_and_the_regression_alone(scene):
    coarse, covariates, truth = scene
    fused = atprk(coarse, covariates)

    def rmse(estimate):
        return np.sqrt(np.mean((estimate - truth) ** 2))

    fit = fit_atprk(coarse, upscale(covariates, 5, gaussian_taps(5)), 5)
    assert rmse(fused) < 0.4 * rmse(upsample(coarse, 5))
    assert rmse(fused) < 0.8 * rmse(fit.regression(covariates))


@settings(max_examples=20, deadline=None)
@given(
    row=st.integers(0, 49),
    col=st.integers(0, 59),
    height=st.integers(1, 50),
    width=st.integers(1, 60),
    steps=st.integers(0, 2),
)
def test_windows_equal_the_whole(scene, row, col, height, width, steps):
    coarse, covariates, _ = scene
    seen = upscale(covariates, 5, gaussian_taps(5))
    fit = fit_atprk(coarse, seen, 5, back_projection=steps)
    window = Window(row, col, height, width).clip(50, 60)
    rows, cols = window.slices
    part = fit.predict(covariates[:, rows, cols], window)
    np.testing.assert_allclose(part, fit.predict(covariates)[:, rows, cols], atol=1e-12)


def test_order_of_bands_and_their_scale(scene):
    coarse, covariates, _ = scene
    fused = atprk(coarse, covariates)
    np.testing.assert_allclose(atprk(coarse[::-1], covariates[::-1])[::-1], fused, atol=1e-10)
    np.testing.assert_allclose(
        atprk(2 * coarse + 0.3, 5 * covariates - 1), 2 * fused + 0.3, atol=1e-9
    )


@pytest.mark.parametrize("psf", ["gaussian", "box"])
def test_agreement_with_the_coarse_bands(scene, psf):
    coarse, covariates, _ = scene
    taps = psf_taps(5, psf)

    def missed(**options):
        fused = atprk(coarse, covariates, psf=psf, **options)
        return np.abs(upscale(fused, 5, taps) - coarse).max()

    if psf == "box":
        assert missed() < 1e-9
    else:
        assert missed(back_projection=1) < 0.6 * missed()
        assert missed(back_projection=25) < 0.05 * missed()


def test_selected_band_is_the_best_correlated(scene):
    _, covariates, _ = scene
    one = np.stack([upscale(covariates[i], 5, gaussian_taps(5)) for i in (2, 0)]) * 3 + 0.1
    fit = fit_atprk(one, upscale(covariates, 5, gaussian_taps(5)), 5, scheme="selected")
    np.testing.assert_allclose(fit.matrix, [[0, 0, 3], [3, 0, 0]], atol=1e-9)
    np.testing.assert_allclose(fit.offset, 0.1, atol=1e-9)
    fused = atprk(one, covariates, scheme="selected")
    np.testing.assert_allclose(fused, covariates[[2, 0]] * 3 + 0.1, atol=1e-9)


def test_holes_stay_and_reach_no_further(scene):
    coarse, covariates, truth = scene
    coarse, covariates = coarse.copy(), covariates.copy()
    coarse[1, 4, 6] = np.nan
    covariates[0, 7, 9] = np.nan
    fused = atprk(coarse, covariates)
    expected = np.zeros(truth.shape, bool)
    expected[1, 20:25, 30:35] = True
    expected[:, 7, 9] = True
    np.testing.assert_array_equal(np.isnan(fused), expected)
    assert np.sqrt(np.nanmean((fused - truth) ** 2)) < 0.01


@pytest.mark.parametrize("ratio", [1, 2, 15, 30])
def test_any_ratio(ratio):
    rng = np.random.default_rng(ratio)
    truth = gaussian_filter(rng.standard_normal((6 * ratio, 5 * ratio)), 1 + ratio / 2)[None]
    taps = gaussian_taps(ratio)
    fused = atprk(upscale(truth, ratio, taps), truth + 1)
    np.testing.assert_allclose(fused, truth, atol=1e-9)


def test_bad_input(scene):
    coarse, covariates, _ = scene
    with pytest.raises(DataError, match="over"):
        atprk(coarse, covariates[:, :49])
    with pytest.raises(DataError, match="coefficients"):
        atprk(coarse[:, :1, :2], covariates[:, :5, :10])
    with pytest.raises(ConfigError, match="scheme"):
        atprk(coarse, covariates, scheme="best")
    with pytest.raises(ConfigError, match="PSF"):
        atprk(coarse, covariates, psf="disc")
    with pytest.raises(ConfigError, match="start at"):
        atprk(coarse, covariates, lags=0)
    with pytest.raises(DataError, match="1 variograms for 2 bands"):
        atprk(coarse, covariates, variograms=[Exponential(1, 1)])
    with pytest.raises(DataError, match="cells of 5"):
        upscale(covariates[:, :49], 5, gaussian_taps(5))
