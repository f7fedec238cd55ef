"""Reflectance stays positive where it was, and a date seen clear comes out as it was seen."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.simulate import procedural_series
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.networks import SHIPPED, load_weights
from trifuse.temporal.positive import DARK, kept_positive, kept_positive_tensor
from trifuse.temporal.prior import prior_forecast
from trifuse.temporal.scoring import as_seen
from trifuse.temporal.sharpening import sharpen_coarse, sharpen_soft
from trifuse.temporal.stack import Stack
from trifuse.train.temporal_data import to_network

PAIR = (LANDSAT, SENTINEL2)


@given(
    reference=st.floats(-0.125, 1.5, width=32),
    values=st.lists(st.floats(-2, 2, width=32), min_size=2, max_size=20),
)
def test_the_link(reference, values):
    x = np.sort(np.array(values, np.float32))
    base = np.float32(reference)
    found = kept_positive(x, base)
    np.testing.assert_allclose(
        kept_positive_tensor(torch.from_numpy(x), torch.tensor(base)).numpy(),
        found,
        rtol=1e-4,
        atol=1e-9,
    )
    if base <= DARK:
        np.testing.assert_array_equal(found, x)
        return
    assert (found > 0).all() and (np.diff(found) >= 0).all(), "positive, and in order"
    same = x >= base / 2
    np.testing.assert_array_equal(found[same], x[same])
    assert (found[~same] <= base / 2 * (1 + 1e-6)).all() and (found >= x - 1e-7).all()


def test_the_link_is_smooth():
    x = np.linspace(-0.2, 0.2, 4001)
    slope = np.diff(kept_positive(x, np.float64(0.1))) / np.diff(x)
    assert np.abs(np.diff(slope)).max() < 3e-3 and (slope >= 0).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), contrast=st.floats(0, 1), level=st.floats(0.005, 0.3))
def test_sharpening_of_what_is_positive_is_positive(seed, contrast, level):
    rng = np.random.default_rng(seed)
    images = (level * (1 + contrast * rng.uniform(-0.99, 4, (1, 10, 15, 15)))).astype(np.float32)
    assert sharpen_soft(images, SENTINEL2).min() > 0
    coarse = (level * (1 + contrast * rng.uniform(-0.99, 4, (1, 8, 5, 5)))).astype(np.float32)
    coarse[:, -1] = 0.29
    guide = images[:, [0, 1, 2, 6, 8, 9]]
    assert sharpen_coarse(coarse, LANDSAT, guide).min() > 0
    assert sharpen_coarse(coarse, LANDSAT, None).min() > 0


@pytest.fixture(scope="module", params=[7, 1003])
def images(request):
    """Years with snow: its edges are where details are largest."""
    made = procedural_series(24, request.param, year=2022)
    return {
        k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
        for k, i in made.images.items()
    }


def forecasts():
    return {
        "prior": prior_forecast(PAIR),
        "network": forecast_by(load_weights(SHIPPED)[0].eval(), blank=True),
    }


@pytest.mark.parametrize("method", ["prior", "network"])
def test_where_all_images_are_positive_every_day_is(images, method):
    # Noise over dark water is negative in places, as it is in real products.
    images = {k: Stack(np.maximum(s.data, 1e-3), s.valid, s.days) for k, s in images.items()}
    query = [15.0, 74.0, 166.0, 319.0, 321.0, 349.0]
    for name, made in forecasts()[method](images, query).items():
        assert np.isfinite(made).all() and made.min() > 0, name


@pytest.mark.parametrize("method", ["prior", "network"])
def test_a_date_seen_clear_comes_out_as_it_was_seen(images, method):
    """Within a few times the noise: 0.001 to 0.003 of reflectance; with snow on it, too."""
    for s in PAIR:
        stack = images[s.name]
        query = [float(d) for d, v in zip(stack.days, stack.valid, strict=True) if v.mean() > 0.9]
        seen = stack.only(query[::3])
        made = as_seen(forecasts()[method](images, query[::3])[s.name], s)
        error = np.where(seen.valid[:, None], made - seen.data, np.nan)
        size = np.sqrt(np.nanmean(error**2, axis=(2, 3)))
        cold = [i for i, b in enumerate(s.bands) if b not in s.thermal]
        assert size[:, cold].max() < (0.01 if method == "prior" else 0.02)
        assert np.nanmedian(size[:, cold]) < 0.002
