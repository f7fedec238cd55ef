"""Days and pixels far from every image: never the mean, and never worse than the nearest image."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.kernels import INFRARED, SHORTWAVE, VISIBLE
from trifuse.temporal.kriging import NEAREST, USUAL, Observations, estimate, krige, process_variance
from trifuse.temporal.prior import Prior, known_of, prior_images
from trifuse.temporal.stack import Stack

PAIR = (LANDSAT, SENTINEL2)
B4 = SENTINEL2.bands.index("B4")
YEARS = np.r_[np.arange(60.0, 300, 12), 1095 + np.arange(60.0, 300, 12)]
"""Images of a first and a fourth year."""


def flat(days, value=0.05, size=6):
    """Sentinel-2 that sees the same everywhere and always."""
    data = np.full((len(days), 10, size, size), value, np.float32)
    return Stack(data, np.ones((len(days), size, size), bool), np.asarray(days, float))


def none(sensor, size):
    count = len(sensor.bands)
    return Stack(
        np.zeros((0, count, size, size), np.float32), np.zeros((0, size, size), bool), np.zeros(0)
    )


def test_days_far_from_every_image_are_as_the_nearest_images():
    seen = {"sentinel2": flat(YEARS), "landsat": none(LANDSAT, 2)}
    query = [714.0, 100.0]
    found = known_of(SENTINEL2, PAIR, seen, query, variance=True)
    np.testing.assert_allclose(found.images, 0.05, atol=1e-4)
    far, near = np.sqrt(found.variance).mean(axis=(1, 2, 3))
    assert far > 4 * near and far > 0.01, "and say so"


def test_a_pixel_clear_in_the_first_year_only():
    stack = flat(YEARS)
    stack.valid[20:, :3] = False
    stack.data[20:, :, :3] = 0.4
    found = known_of(SENTINEL2, (SENTINEL2,), {"sentinel2": stack}, [1300.0], variance=True)
    np.testing.assert_allclose(found.images, 0.05, atol=1e-4)
    deviation = np.sqrt(found.variance[0, B4])
    assert deviation[:3].min() > 4 * deviation[3:].max()


def test_what_nobody_has_seen_is_missing():
    stack = flat(YEARS)
    stack.valid[:, 0, 0] = False
    seen = {"sentinel2": stack}
    made = Prior((SENTINEL2,)).on_target(seen, [714.0], [B4])
    assert np.isnan(made[0, 0, 0, 0]) and np.isfinite(made[0, 0]).sum() == 35
    start = prior_images((SENTINEL2,), seen, [714.0])
    assert not start.known[:, :, 0, 0].any() and np.isfinite(start.images).all()


def test_the_sensor_itself_is_asked_however_far_its_images_are():
    # The other sensor, which is 0.1 brighter, looks at the day; its own images are a year away.
    own = np.arange(0.0, 200, 20)
    other = np.arange(0.0, 900, 20)
    days = np.r_[own, other]
    source = np.r_[np.zeros(len(own), int), np.ones(len(other), int)]
    values = np.where(source == 0, 0.2, 0.3).astype(np.float32)[:, None, None]
    every = np.ones((len(days), 1), bool)
    seen = Observations(days, source, values, every, np.zeros((len(days), 1)))
    found, _ = krige(INFRARED, seen, [700.0], np.zeros((1, 1)))
    assert found[0, 0, 0] == pytest.approx(0.2, abs=0.02)


def test_a_day_does_not_depend_on_the_days_asked_with_it():
    rng = np.random.default_rng(5)
    days = np.arange(0.0, 1500, 16)
    clear = rng.random((len(days), 4)) < 0.5
    clear[20:70, 1] = False
    values = rng.random((len(days), 2, 4), np.float32)
    seen = Observations(days, np.zeros(len(days), int), values, clear, np.zeros(clear.shape))
    query = [30.0, 615.0, 655.0, 659.0, 900.0]
    together, _ = krige(VISIBLE, seen, query, np.zeros((5, 4)))
    for day, found in zip(query, together, strict=True):
        alone, _ = krige(VISIBLE, seen, [day], np.zeros((1, 4)))
        np.testing.assert_allclose(found, alone[0], atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    kernel=st.sampled_from([VISIBLE, INFRARED, SHORTWAVE]),
    gap=st.floats(5, 1500),
    before=st.integers(0, 12),
    after=st.integers(0, 12),
    every=st.integers(3, 25),
    level=st.floats(0.02, 0.6),
    season=st.floats(0, 3),
    noise=st.floats(0, 0.01),
    seed=st.integers(0, 2**16),
)
def test_never_farther_from_the_truth_than_the_nearest_image_and_its_deviation(
    kernel, gap, before, after, every, level, season, noise, seed
):
    """A pixel that has seasons, and is seen up to a moment and again from another one on.

    They are at most three times what bands of the kind usually have.
    """
    season *= USUAL[kernel]
    before = max(before, 1 - after)
    rng = np.random.default_rng(seed)
    query = 3000.0
    days = np.r_[
        query - gap - every * np.arange(before)[::-1], query + gap + every * np.arange(after)
    ]
    phase = rng.uniform(0, 2 * np.pi)

    def truth(day):
        return level + season * np.sin(2 * np.pi * np.asarray(day) / 365 + phase)

    values = truth(days) + noise * rng.standard_normal(len(days))
    one = np.ones((len(days), 1), bool)
    seen = Observations(
        days, np.zeros(len(days), int), values[:, None, None].astype(np.float32), one, 0.0 * one
    )
    made = estimate(kernel, seen, [query], np.zeros((1, 1)), energies=True)
    deviation = float(np.sqrt(process_variance(kernel, made)[0, 0, 0]))
    nearest = values[np.argmin(np.abs(days - query))]
    found = float(made.values[0, 0, 0])
    assert abs(found - truth(query)) <= abs(nearest - truth(query)) + 3 * deviation
    assert values.min() - 3 * deviation <= found <= values.max() + 3 * deviation


def test_only_so_many_of_the_nearest_are_asked():
    days = np.arange(0.0, 2000, 10)
    clear = np.zeros((200, 1), bool)
    clear[:40] = True
    values = np.linspace(0, 1, 200, dtype=np.float32)[:, None, None]
    seen = Observations(days, np.zeros(200, int), values, clear, np.zeros((200, 1)))
    made = estimate(VISIBLE, seen, [1500.0], np.zeros((1, 1)))
    assert made.number[0, 0] == NEAREST
    rest = replace(seen, clear=clear & (np.arange(200) >= 40 - NEAREST)[:, None])
    again, _ = krige(VISIBLE, rest, [1500.0], np.zeros((1, 1)))
    np.testing.assert_allclose(made.values, again, rtol=1e-5)
