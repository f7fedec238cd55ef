"""Baselines against plain loops, and where they are exact."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import DataError
from trifuse.temporal.baselines import (
    Stack,
    fine_plus_change,
    interpolate_linear,
    nearest_clear,
    partners,
    upsampled,
)
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.scoring import score_hidden
from trifuse.temporal.strategies import hide_gaps


@st.composite
def stacks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(1, 7))
    days = np.sort(rng.choice(100, count, replace=False)).astype(float)
    data = rng.random((count, 2, 3, 4)).astype(np.float32)
    return Stack(data, rng.random((count, 3, 4)) < 0.6, days), rng.uniform(-10, 110, 3).tolist()


@settings(max_examples=40, deadline=None)
@given(stacks())
def test_both_equal_a_loop_over_pixels(case):
    stack, query = case
    query = [*query, float(stack.days[0])]
    linear, nearest = interpolate_linear(stack, query), nearest_clear(stack, query)
    for y in range(3):
        for x in range(4):
            clear = stack.valid[:, y, x]
            days = stack.days[clear]
            for q, day in enumerate(query):
                if not clear.any():
                    assert np.isnan(linear[q, :, y, x]).all()
                    assert np.isnan(nearest[q, :, y, x]).all()
                    continue
                for band in range(2):
                    values = stack.data[clear, band, y, x]
                    wanted = np.interp(day, days, values)
                    assert linear[q, band, y, x] == pytest.approx(wanted, abs=1e-5)
                    closest = values[np.abs(days - day).argmin()]
                    assert nearest[q, band, y, x] == closest


def test_masked_values_never_matter():
    rng = np.random.default_rng(0)
    data = rng.random((5, 2, 6, 6)).astype(np.float32)
    valid = rng.random((5, 6, 6)) < 0.5
    days = np.arange(5.0) * 7
    cloudy = np.where(valid[:, None], data, 9.0).astype(np.float32)
    for method in (nearest_clear, interpolate_linear):
        a, b = (method(Stack(d, valid, days), [3, 20]) for d in (data, cloudy))
        np.testing.assert_array_equal(a, b)


def test_change_follows_the_coarse_sensor():
    # The fine field steps up by 0.2 between its only image and the day asked for.
    rng = np.random.default_rng(0)
    fine = Stack(
        rng.random((1, 2, 12, 12)).astype(np.float32), np.ones((1, 12, 12), bool), np.array([10.0])
    )
    level = np.full((2, 1, 4, 4), 0.3, np.float32)
    level[1] += 0.2
    coarse = Stack(level, np.ones((2, 4, 4), bool), np.array([10.0, 30.0]))
    out = fine_plus_change(fine, coarse, [30.0, 20.0], 3, [0, None])
    np.testing.assert_allclose(out[0, 0], fine.data[0, 0] + 0.2, atol=1e-6)
    np.testing.assert_allclose(out[1, 0], fine.data[0, 0] + 0.1, atol=1e-6)
    np.testing.assert_array_equal(out[:, 1], fine.data[[0, 0], 1])
    with pytest.raises(DataError, match="1 partners"):
        fine_plus_change(fine, coarse, [30.0], 3, [0])


def test_nothing_visible_gives_nothing():
    empty = Stack(np.zeros((0, 2, 3, 3), np.float32), np.zeros((0, 3, 3), bool), np.zeros(0))
    for method in (nearest_clear, interpolate_linear):
        assert np.isnan(method(empty, [1, 2])).all()


def test_upsampling_keeps_constants():
    out = upsampled(np.full((2, 1, 4, 4), 0.25, np.float32), 3)
    assert out.shape == (2, 1, 12, 12)
    np.testing.assert_allclose(out, 0.25, rtol=1e-6)


def test_partners_by_name():
    found = partners(SENTINEL2.bands, LANDSAT.bands)
    assert [LANDSAT.bands[i] for i in found] == [
        "B2",
        "B3",
        "B4",
        "B4",
        "B5",
        "B5",
        "B5",
        "B5",
        "B6",
        "B7",
    ]
    assert partners(["B8", "X"], ["B4"]) == [None, None]


class TestScores:
    def images(self):
        rng = np.random.default_rng(0)
        days = {"landsat": np.arange(4.0, 360, 16), "sentinel2": np.arange(2.0, 360, 10)}
        shape = {"landsat": (8, 10, 10), "sentinel2": (10, 30, 30)}
        pattern = {k: rng.random(s) * 0.1 for k, s in shape.items()}
        return {
            k: Stack(
                (0.2 + pattern[k] + 1e-3 * d[:, None, None, None]).astype(np.float32),
                np.ones((len(d), *shape[k][1:]), bool),
                d,
            )
            for k, d in days.items()
        }

    def test_linear_growth_is_interpolated_without_error(self):
        images = self.images()
        selection = hide_gaps({k: s.days.tolist() for k, s in images.items()}, 30)
        scores = score_hidden(None, (LANDSAT, SENTINEL2), images, selection, margin=0)
        s2 = scores["sentinel2"]
        assert list(s2["days"]) == list(selection.hidden("sentinel2"))
        # Beyond the last visible date nothing can be known.
        inner = s2["days"] < max(selection.visible["sentinel2"])
        assert s2["linear/rmse"][inner].max() < 1e-6
        assert s2["nearest/rmse"][inner].min() > 1e-3
        assert s2["change/rmse"][inner].max() < 1e-3 < s2["nearest/rmse"][inner].max()

    def test_a_forecast_is_seen_as_the_sensor_sees(self):
        images = self.images()
        selection = hide_gaps({k: s.days.tolist() for k, s in images.items()}, 30)
        asked = []

        def constant(seen, query):
            asked.extend(query)
            assert not set(seen["sentinel2"].days) & set(selection.hidden("sentinel2"))
            return {
                "landsat": np.full((len(query), 8, 30, 30), 0.5, np.float32),
                "sentinel2": np.full((len(query), 10, 30, 30), 0.5, np.float32),
            }

        scores = score_hidden(constant, (LANDSAT, SENTINEL2), images, selection, margin=60)
        days = {*selection.hidden("landsat"), *selection.hidden("sentinel2")}
        assert asked == sorted(days)
        truth = images["landsat"].only(selection.hidden("landsat")).data[0, 0, 2:-2, 2:-2]
        wanted = np.sqrt(np.mean((truth.astype(float) - 0.5) ** 2))
        assert scores["landsat"]["network/rmse"][0, 0] == pytest.approx(wanted, rel=1e-5)
