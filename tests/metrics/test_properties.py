"""What must hold for any image: perfection, symmetry, scale, masks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse import metrics

PERFECT = {
    "rmse": 0,
    "psnr": np.inf,
    "ergas": 0,
    "cc": 1,
    "sam": 0,
    "cosine": 1,
    "euclidean": 0,
    "ssim": 1,
    "uiqi": 1,
    "jsd": 0,
    "jsd_spectra": 0,
}
PIXELWISE = set(PERFECT) - {"ssim", "uiqi"}
BY_BAND = set(PERFECT) - {"rmse", "ergas", "sam", "cosine", "euclidean", "jsd_spectra"}
RELATIVE = set(PERFECT) - {"rmse", "euclidean"}


def measure(name, truth, estimate, valid=None):
    options = {"ratio": 10} if name == "ergas" else {}
    return getattr(metrics, name)(truth, estimate, valid, **options)


def pair(seed, bands=3, height=16, width=14):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.01, 0.6, (bands, height, width))
    return truth, np.abs(truth + rng.normal(0, rng.uniform(1e-3, 0.2), truth.shape))


seeds = st.integers(0, 2**32 - 1)
names = pytest.mark.parametrize("name", sorted(PERFECT))
quick = settings(max_examples=10, deadline=None)


@names
@quick
@given(seed=seeds, exponent=st.integers(-4, 4))
def test_an_image_is_perfect_to_itself(name, seed, exponent):
    image = (pair(seed)[0] * 10.0**exponent).astype(np.float32)
    assert measure(name, image, image.copy()) == pytest.approx(PERFECT[name], abs=1e-9)


@names
@quick
@given(seed=seeds)
def test_any_error_is_seen(name, seed):
    truth, estimate = pair(seed)
    estimate = estimate + np.linspace(0.05, 0.2, len(truth))[:, None, None]
    best, found = PERFECT[name], measure(name, truth, estimate)
    assert found < best - 1e-6 if best >= 1 else found > best + 1e-6


@names
@quick
@given(seed=seeds)
def test_the_order_of_bands_does_not_matter(name, seed):
    truth, estimate = pair(seed)
    order = np.random.default_rng(seed).permutation(len(truth))
    expected = measure(name, truth, estimate)
    assert measure(name, truth[order], estimate[order]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", sorted(PIXELWISE))
@quick
@given(seed=seeds)
def test_the_order_of_pixels_does_not_matter(name, seed):
    images = pair(seed)
    order = np.random.default_rng(seed).permutation(16 * 14)
    mixed = [i.reshape(3, -1)[:, order].reshape(i.shape) for i in images]
    assert measure(name, *mixed) == pytest.approx(measure(name, *images), rel=1e-9)


@names
@quick
@given(seed=seeds, scale=st.floats(1e-3, 1e3))
def test_scaling_both_images(name, seed, scale):
    images = pair(seed)
    expected = measure(name, *images) * (1 if name in RELATIVE else scale)
    assert measure(name, *(scale * i for i in images)) == pytest.approx(expected, rel=1e-6)


@quick
@given(seed=seeds)
def test_the_angle_ignores_brightness_of_each_pixel(seed):
    truth, estimate = pair(seed)
    light = np.random.default_rng(seed).uniform(0.2, 3, truth.shape[1:])
    expected = metrics.sam(truth, estimate)
    assert metrics.sam(truth, light * estimate) == pytest.approx(expected, rel=1e-9)


@quick
@given(seed=seeds)
def test_correlation_ignores_gain_and_offset(seed):
    truth, estimate = pair(seed)
    assert metrics.cc(truth, 0.3 * estimate + 0.1) == pytest.approx(metrics.cc(truth, estimate))


@names
@quick
@given(seed=seeds, value=st.sampled_from([0.0, -5.0, 1e6, np.nan, np.inf]))
def test_masked_pixels_do_not_matter(name, seed, value):
    truth, estimate = pair(seed)
    valid = np.ones(truth.shape[1:], bool)
    valid[:, -2:] = False
    spoilt = [np.where(valid, i, value) for i in (truth, estimate)]
    expected = measure(name, truth[..., :-2], estimate[..., :-2])
    assert measure(name, *spoilt, valid) == pytest.approx(expected, rel=1e-9)


@names
@quick
@given(seed=seeds, in_truth=st.booleans())
def test_nan_in_either_image_is_as_good_as_a_mask(name, seed, in_truth):
    truth, estimate = pair(seed)
    valid = np.ones(truth.shape[1:], bool)
    valid[3, 2] = valid[15, 13] = False
    expected = measure(name, truth, estimate, valid)
    image = truth if in_truth else estimate
    image[:, ~valid] = np.nan
    assert measure(name, truth, estimate) == pytest.approx(expected, rel=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", sorted(BY_BAND))
def test_a_mean_over_bands_is_the_mean_of_the_bands(name):
    images = pair(3)
    by_band = getattr(metrics, f"{name}_bands")(*images)
    alone = [measure(name, *(i[b : b + 1] for i in images)) for b in range(3)]
    np.testing.assert_allclose(by_band, alone)
    assert measure(name, *images) == pytest.approx(np.mean(alone))


@pytest.mark.parametrize("name", sorted(BY_BAND | {"rmse"}))
def test_a_band_without_values_is_left_out(name):
    truth, estimate = pair(4)
    expected = measure(name, truth[:2], estimate[:2])
    truth[2] = np.nan
    assert np.isnan(getattr(metrics, f"{name}_bands")(truth, estimate)[2])
    assert measure(name, truth, estimate) == pytest.approx(expected)


def test_a_value_missing_in_one_band_costs_the_spectrum_but_not_the_other_bands():
    truth, estimate = pair(5)
    expected = metrics.rmse_bands(truth, estimate)
    truth[1, 0, 0] = np.nan
    found = metrics.rmse_bands(truth, estimate)
    assert found[0] == expected[0] and found[2] == expected[2] and found[1] != expected[1]
    rest = np.ones(truth.shape[1:], bool)
    rest[0, 0] = False
    assert metrics.sam(truth, estimate) == metrics.sam(np.nan_to_num(truth), estimate, rest)


@pytest.mark.parametrize(("best", "name"), [(b, n) for n, b in PERFECT.items()], ids=list(PERFECT))
def test_integers_are_as_good_as_floats(best, name):
    whole = np.random.default_rng(1).integers(1, 255, (2, 12, 12)).astype(np.uint8)
    other = 255 - whole
    assert measure(name, whole, whole) == pytest.approx(best)
    floats = measure(name, whole.astype(float), other.astype(float))
    assert measure(name, whole, other) == pytest.approx(floats)
