"""The estimate without a network: against plain Gaussian regression, and where it must be exact."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from trifuse.simulate import procedural_series
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.kernels import INFRARED, THERMAL, VISIBLE, kernel_of
from trifuse.temporal.kriging import MEAN, Observations, krige
from trifuse.temporal.observation import blur, observe, upsample
from trifuse.temporal.prior import prior_forecast, prior_images, seen_by
from trifuse.temporal.scoring import score_hidden
from trifuse.temporal.sharpening import sharpen_coarse, sharpen_soft
from trifuse.temporal.stack import Stack
from trifuse.temporal.strategies import task
from trifuse.temporal.views import mixture, snow_cover
from trifuse.train.temporal_data import to_network

PAIR = (LANDSAT, SENTINEL2)


@pytest.fixture(scope="module")
def made():
    return procedural_series(36, 1002, year=2018)


@pytest.fixture(scope="module")
def images(made):
    return {
        k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
        for k, i in made.images.items()
    }


def observations(rng, count=9, pixels=6, snow=False):
    days = np.sort(rng.choice(120, count, replace=False)).astype(float)
    cover = rng.choice([0, 0.25, 1.0], (count, pixels)) * snow
    return Observations(
        days,
        rng.integers(0, 3, count),
        rng.random((count, 2, pixels), np.float32),
        rng.random((count, pixels)) < 0.7,
        cover.astype(np.float32),
    )


@pytest.mark.parametrize("snow", [False, True])
@pytest.mark.parametrize("kernel", [VISIBLE, INFRARED, THERMAL])
def test_kriging_is_gaussian_regression(kernel, snow):
    """Pixel by pixel and date by date, straight from the definition."""
    rng = np.random.default_rng(3)
    seen = observations(rng, snow=snow)
    query = [-5.0, 40.5, float(seen.days[2])]
    asked = rng.choice([0, 0.5], (3, 6)).astype(np.float32) * snow
    found, spread = krige(kernel, seen, query, asked)

    def covariance(a, b):
        (day_a, source_a, snow_a), (day_b, source_b, snow_b) = a, b
        gap = abs(day_a - day_b)
        value = MEAN + (1 + gap / kernel.slow_days) * np.exp(-gap / kernel.slow_days)
        value += kernel.fast * np.exp(-gap / kernel.fast_days)
        value += kernel.snow * snow_a * snow_b * (0.3 + 0.7 * np.exp(-gap / 15))
        if source_a == source_b > 0:
            value += kernel.offset + kernel.drift * np.exp(-gap / kernel.drift_days)
        return value

    for p in range(6):
        there = np.flatnonzero(seen.clear[:, p])
        known = [(seen.days[i], seen.source[i], float(seen.snow[i, p])) for i in there]
        matrix = np.array([[covariance(a, b) for b in known] for a in known])
        for k, (_, source, cover) in enumerate(known):
            matrix[k, k] += kernel.other_noise if source else kernel.noise
            matrix[k, k] += 0.05 * kernel.snow * cover * (1.5 - cover)
        for q, day in enumerate(query):
            point = (day, 0, float(asked[q, p]))
            right = np.array([covariance(point, b) for b in known])
            patchy = [0.05 * kernel.snow * c * (1.5 - c) for *_, c in (*known, point)]
            for k, (seen_day, source, _) in enumerate(known):
                if seen_day == day and source == 0:  # the same snow
                    right[k] += np.sqrt(patchy[k] * patchy[-1])
            weight = np.linalg.solve(matrix, right)
            wanted = weight @ seen.values[there][:, :, p]
            np.testing.assert_allclose(found[q, :, p], wanted, atol=2e-4)
            assert spread[q, p] == pytest.approx(
                covariance(point, point) + patchy[-1] - weight @ right, abs=2e-4
            )


def test_a_pixel_never_clear_is_not_known_and_a_lone_date_is_kept():
    rng = np.random.default_rng(0)
    seen = observations(rng)
    seen = replace(seen, source=np.zeros(9, int))
    seen.clear[:, 0] = False
    seen.clear[:, 1] = np.arange(9) == 4
    found, spread = krige(INFRARED, seen, [0.0, 50.0], np.zeros((2, 6), np.float32))
    assert np.isnan(found[:, :, 0]).all() and (spread[:, 0] >= MEAN).all()
    np.testing.assert_allclose(found[:, :, 1], seen.values[[4, 4], :, 1], rtol=1e-3)


def test_long_series_are_weighed_near_the_date():
    rng = np.random.default_rng(0)
    days = np.arange(0, 1500, 25.0)
    seen = Observations(
        days,
        np.zeros(60, int),
        rng.random((60, 1, 2), np.float32),
        np.ones((60, 2), bool),
        np.zeros((60, 2), np.float32),
    )
    query = [100.0, 800.0]
    found, _ = krige(VISIBLE, seen, query, np.zeros((2, 2), np.float32))
    for value, day in zip(found, query, strict=True):
        near = np.abs(days - day) <= 150
        part = Observations(*(getattr(seen, k)[near] for k in Observations.__slots__))
        alone, _ = krige(VISIBLE, part, [day], np.zeros((1, 2), np.float32))
        np.testing.assert_allclose(value, alone[0], atol=0.01)


def test_what_clouds_hide_never_matters(images):
    cloudy = {
        k: Stack(np.where(s.valid[:, None], s.data, 9).astype(np.float32), s.valid, s.days)
        for k, s in images.items()
    }
    a, b = (prior_images(PAIR, seen, [40.0, 200.0]) for seen in (images, cloudy))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])


def test_the_other_sensor_says_what_changed():
    # Sentinel-2 saw the same before and after; Landsat, that it was brighter in between.
    flat = np.full((2, 10, 24, 24), 0.2, np.float32)
    fine = Stack(flat, np.ones((2, 24, 24), bool), np.array([0.0, 60.0]))
    level = np.full((3, 8, 8, 8), 0.25, np.float32)  # its calibration is another
    level[1] += 0.1
    coarse = Stack(level, np.ones((3, 8, 8), bool), np.array([2.0, 30.0, 58.0]))
    seen = {"sentinel2": fine, "landsat": coarse}
    between, _ = seen_by(SENTINEL2, PAIR, seen, [30.0])
    alone, _ = seen_by(SENTINEL2, PAIR, {**seen, "landsat": coarse.only([])}, [30.0])
    np.testing.assert_allclose(alone, 0.2, atol=1e-3)
    b8 = SENTINEL2.bands.index("B8")
    assert 0.27 < between[0, b8].mean() < 0.31


def test_snow_stays_on_its_own_dates():
    data = np.full((5, 10, 12, 12), 0.1, np.float32)
    data[2] = 0.7
    data[2, [8, 9]] = 0.08
    seen = {"sentinel2": Stack(data, np.ones((5, 12, 12), bool), np.arange(5) * 10.0)}
    found, _ = seen_by(SENTINEL2, (SENTINEL2,), seen, [10.0, 20.0, 30.0])
    assert np.abs(found[[0, 2], :8] - 0.1).max() < 0.02, "not before, not after"
    assert found[1, :8].min() > 0.6
    cover = snow_cover(SENTINEL2, data, np.ones((5, 12, 12), bool))
    assert (cover[2] == 1).all() and not cover[[0, 1, 3, 4]].any()


def test_bands_that_are_missing_are_the_mean_and_others_do_not_suffer(images):
    s2 = images["sentinel2"]
    few = np.full_like(s2.data, np.nan)
    few[:, [2, 6]] = s2.data[:, [2, 6]]
    alone = {"sentinel2": s2}
    part = {"sentinel2": Stack(few, s2.valid, s2.days)}
    a, b = (seen_by(SENTINEL2, (SENTINEL2,), seen, [100.0])[0] for seen in (alone, part))
    np.testing.assert_allclose(a[:, [2, 6]], b[:, [2, 6]], atol=1e-3)  # snow cannot be told
    assert np.isnan(b[:, [0, 1, 3, 4, 5, 7, 8, 9]]).all()
    standard, weight, *_ = prior_images((SENTINEL2,), part, [100.0])
    assert not standard[:, [0, 1, 3, 4, 5, 7, 8, 9]].any() and np.isfinite(standard).all()
    assert (weight[:, 0] == 1).all()


@pytest.mark.parametrize("size", [3, 6, 9])
def test_areas_smaller_than_a_blur(images, size):
    small = {
        "sentinel2": Stack(
            images["sentinel2"].data[..., :size, :size],
            images["sentinel2"].valid[:, :size, :size],
            images["sentinel2"].days,
        ),
        "landsat": Stack(
            images["landsat"].data[..., : size // 3, : size // 3],
            images["landsat"].valid[:, : size // 3, : size // 3],
            images["landsat"].days,
        ),
    }
    out = prior_images(PAIR, small, [50.0, 180.0]).images
    assert out.shape == (2, 18, size, size) and np.isfinite(out).all() and np.abs(out).max() < 20


def test_sharpened_bands_look_to_the_sensor_as_they_did(made):
    truth = made.truth(180.0)
    s2 = torch.from_numpy(truth["sentinel2"][None])
    soft = blur(s2, SENTINEL2).numpy()
    sharp = sharpen_soft(soft, SENTINEL2)
    inner = np.s_[..., 6:-6, 6:-6]
    again = blur(torch.from_numpy(sharp), SENTINEL2).numpy()
    assert np.abs(again - soft)[inner].mean() < 0.1 * np.abs(soft - s2.numpy())[inner].mean()
    error, before = (np.abs(x - s2.numpy())[inner].mean(axis=(0, 2, 3)) for x in (sharp, soft))
    assert (error[[3, 4, 5, 7, 8, 9]] < 0.75 * before[[3, 4, 5, 7, 8, 9]]).all()
    np.testing.assert_array_equal(sharp[:, [0, 1, 2, 6]], soft[:, [0, 1, 2, 6]])

    both = torch.from_numpy(truth["landsat"][None] * np.r_[[1.0] * 7, 1e-3][:, None, None])
    both = both.float()
    seen = observe(both, LANDSAT)
    guided = sharpen_coarse(seen.numpy(), LANDSAT, s2.numpy()[:, [0, 1, 2, 6, 8, 9]])
    plain = upsample(seen, 3).numpy()
    error, before = (np.abs(x - both.numpy())[inner].mean(axis=(0, 2, 3)) for x in (guided, plain))
    assert (error[1:7] < 0.5 * before[1:7]).all() and error[7] < before[7]
    again = observe(torch.from_numpy(guided), LANDSAT).numpy()
    assert np.abs(again - seen.numpy())[..., 2:-2, 2:-2].mean() < 2e-3


def test_it_is_ahead_of_interpolation_on_an_unseen_place(images):
    days = {k: s.days.tolist() for k, s in images.items()}
    for name in ("gap-filling", "fusion"):
        scores = score_hidden(
            None, PAIR, images, task(name, days, "landsat", "sentinel2"), margin=60.0
        )
        for sensor in scores.values():
            reflective = np.s_[:, :7]
            prior, linear, change = (
                np.nanmean(sensor[f"{m}/rmse"][reflective]) for m in ("prior", "linear", "change")
            )
            assert prior < linear and prior < change


def test_every_band_has_a_kernel_and_its_own_partner():
    assert kernel_of("landsat", "B5") is INFRARED is kernel_of("sentinel2", "B8")
    assert kernel_of("landsat", "LST", ("LST",)) is THERMAL
    assert kernel_of("other", "X") is VISIBLE
    share = mixture(SENTINEL2, LANDSAT)
    assert share.shape == (10, 8) and np.isfinite(share).all()
    np.testing.assert_allclose(share.sum(axis=1), 1, atol=0.15)
    assert np.isnan(mixture(LANDSAT, SENTINEL2)[7]).all(), "nobody else sees temperature"


def test_the_forecast_is_the_prior_in_its_unit(images):
    standard = prior_images(PAIR, images, [100.0]).images
    made = prior_forecast(PAIR)(images, [100.0])
    mean, std = (np.array(v)[:, None, None] for v in (SENTINEL2.mean, SENTINEL2.std))
    np.testing.assert_allclose(made["sentinel2"], standard[:, 8:] * std + mean, rtol=1e-5)
