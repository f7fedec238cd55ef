"""Metrics of series: recorded values, and what they must mean."""

import sys
from urllib.error import URLError

import numpy as np
import pytest
from scipy import ndimage

from trifuse import metrics as plain
from trifuse.core import DataError, MissingExtraError, WeightsError
from trifuse.temporal.metrics import (
    brisque,
    date_angles,
    date_errors,
    frequency_profile,
    frequency_restoration,
)

MARGIN = np.s_[..., 5:-5, 5:-5]
"""The recorded errors leave out five pixels at each edge."""


@pytest.fixture(scope="module")
def recorded(fixtures_dir):
    return dict(np.load(fixtures_dir / "tamrf_losses.npz"))


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    reference = ndimage.gaussian_filter(rng.random((2, 3, 40, 40)), (0, 0, 1.0, 1.0))
    return reference, reference + 0.02 * rng.standard_normal(reference.shape)


def test_recorded_errors(recorded):
    reference, estimate = recorded["fda.ref"][0][MARGIN], recorded["fda.pred"][0][MARGIN]
    valid = ~recorded["met.mask"][0][MARGIN]
    rmse, nrmse = date_errors(reference, estimate, valid)
    np.testing.assert_allclose(rmse, recorded["met.rmse"], atol=1e-6)
    np.testing.assert_allclose(nrmse, recorded["met.nrmse"], atol=1e-6)
    angles = np.radians(date_angles(reference, estimate, valid))
    np.testing.assert_allclose(angles, recorded["met.sam"], atol=1e-6)


def test_recorded_frequency_restoration(recorded):
    reference, estimate = recorded["fda.ref"][0], recorded["fda.pred"][0]
    # The recording rolled its two dates.
    whole = frequency_restoration(reference, estimate)[::-1]
    np.testing.assert_allclose(whole, recorded["fda.frr"], atol=0.01)
    patches = frequency_restoration(reference, estimate, patch=20)[::-1]
    np.testing.assert_allclose(patches, recorded["fda.frr_patch20"], atol=0.01)


def test_each_date_has_its_own_restoration(pair):
    reference, _ = pair
    estimate = reference.copy()
    estimate[1] = ndimage.gaussian_filter(estimate[1], (0, 1.5, 1.5))
    found = frequency_restoration(reference, estimate)
    np.testing.assert_allclose(found[0], 0, atol=1e-9)
    assert (found[1] < -1).all(), "the blurred date, not its neighbour"


def test_sharper_is_positive(pair):
    reference, _ = pair
    sharp = reference + 0.8 * (reference - ndimage.gaussian_filter(reference, (0, 0, 1, 1)))
    assert (frequency_restoration(reference, sharp) > 0).all()


def test_restoration_ignores_gain(pair):
    reference, estimate = pair
    a, b = (frequency_restoration(reference, k * estimate) for k in (1.0, 0.3))
    np.testing.assert_allclose(a, b, atol=1e-9)


def test_profile_of_a_wave_peaks_in_its_ring():
    size = 48
    # Ring j holds distances 2j … 2j + 1 on a scale on which the image's width is Nyquist.
    wave = np.sin(np.pi * 12.5 / size * np.arange(size))[None] * np.ones((size, 1))
    assert int(np.nanargmax(frequency_profile(wave))) == 6


def test_errors_agree_with_the_plain_metrics(pair):
    reference, estimate = pair
    valid = np.random.default_rng(1).random((2, 40, 40)) < 0.7
    rmse, _ = date_errors(reference, estimate, valid)
    angle = date_angles(reference, estimate, valid)
    for t in range(2):
        np.testing.assert_allclose(
            rmse[t], plain.rmse_bands(reference[t], estimate[t], valid[t]), rtol=1e-6
        )
        assert angle[t] == pytest.approx(plain.sam(reference[t], estimate[t], valid[t]), rel=1e-6)


def test_cloudy_dates_have_no_number(pair):
    reference, estimate = pair
    valid = np.zeros((2, 40, 40), bool)
    valid[1] = True
    rmse, nrmse = date_errors(reference, estimate, valid)
    assert np.isnan(rmse[0]).all() and np.isfinite(rmse[1]).all() and np.isnan(nrmse[0]).all()
    assert np.isnan(date_angles(reference, estimate, valid)[0])


def test_bad_input(pair):
    reference, estimate = pair
    with pytest.raises(DataError, match="reference"):
        date_errors(reference, estimate[:1], np.ones((2, 40, 40), bool))
    with pytest.raises(DataError, match="missing"):
        frequency_restoration(reference, np.where(estimate > 0.5, np.nan, estimate))
    with pytest.raises(DataError, match="no frequency profile"):
        frequency_profile(np.zeros((4, 4)))


def test_brisque_tells_noise_from_a_picture():
    pytest.importorskip("piq", reason="the extra `quality` is not installed")
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.random((96, 96)), 3)
    picture = (smooth - smooth.min()) / np.ptp(smooth)
    try:
        clean = brisque(picture)
    except WeightsError as e:
        pytest.skip(f"BRISQUE's weights are not here: {e.what}")
    assert np.isfinite(clean)
    assert brisque(np.clip(picture + 0.2 * rng.standard_normal((96, 96)), 0, 1)) > clean


def test_brisque_without_its_weights(monkeypatch):
    pytest.importorskip("piq", reason="the extra `quality` is not installed")

    def offline(*_, **options):
        assert options["weights_only"]
        raise URLError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(WeightsError, match="no network"):
        brisque(np.zeros((32, 32)))


def test_brisque_without_piq(monkeypatch):
    monkeypatch.setitem(sys.modules, "piq", None)
    with pytest.raises(MissingExtraError, match="piq"):
        brisque(np.zeros((32, 32)))
