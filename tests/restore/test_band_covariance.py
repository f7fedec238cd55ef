"""The covariance of bands of different sampling."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import idctn

from trifuse.core import MemorySource
from trifuse.core.native import native_field, native_view
from trifuse.restore import Sharpness, sharpness_of
from trifuse.restore.scene_statistics import (
    LevelSums,
    band_covariance,
    scene_statistics,
    universal_covariance,
)
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe

RATIOS = (1, 1, 2, 6)
NAMES = ("a", "b", "c", "d")
"""Bands that nothing universal is known of."""


def fields(factor: np.ndarray, size: int, steep: Sequence[float], seed: int = 0) -> np.ndarray:
    """(l, size, size): bands mixed from independent fields whose power falls with f ** −steep."""
    rng = np.random.default_rng(seed)
    f = np.hypot(*np.meshgrid(np.arange(size), np.arange(size))) / (2 * size)
    f[0, 0] = np.inf
    planes = [idctn(rng.normal(size=f.shape) * (f / 0.1) ** (-p / 2), norm="ortho") for p in steep]
    return np.asarray(np.einsum("lk,kyx->lyx", factor, np.stack(planes)))


def found(
    data: np.ndarray, sharpness: Sharpness, on_pixels: float = 0.0, on_samples: float = 0.0
) -> np.ndarray:
    levels = [LevelSums(sharpness, i) for i in range(len(sharpness.ratios))]
    hole = np.zeros(data.shape[1:], bool)
    for level in levels:
        level.add(data - data.mean(axis=(1, 2), keepdims=True), hole)
    ones = np.ones(len(data))
    return band_covariance(levels, on_pixels**2 * ones, on_samples**2 * ones, NAMES[: len(data)])


def sharp_as(ratios: Sequence[int]) -> Sharpness:
    return Sharpness(tuple(ratios), (0.3,) * len(ratios), (1e-3,) * len(ratios))


@pytest.mark.parametrize("where", ["nowhere", "pixels", "samples"])
def test_it_is_that_of_the_sharp_bands_wherever_the_noise_is(where: str) -> None:
    rng = np.random.default_rng(5)
    factor = np.tril(rng.normal(size=(4, 4))) + 2 * np.eye(4)
    sharp = fields(factor, 144, (2.0,) * 4)
    truth = factor @ factor.T
    truth /= truth.diagonal()[:2].mean()
    seen, noise = native_view(sharp, RATIOS), 0.5 * float(sharp[0].std())
    if where == "pixels":
        seen = seen + noise * rng.standard_normal(seen.shape)
    elif where == "samples":
        seen = seen + native_field(seen.shape, RATIOS, noise, rng)
    levels = {"nowhere": {}, "pixels": {"on_pixels": noise}, "samples": {"on_samples": noise}}
    covariance = found(seen, sharp_as(RATIOS), **levels[where])
    scale = np.sqrt(np.outer(truth.diagonal(), truth.diagonal()))
    assert np.abs((covariance - truth) / scale).max() < (0.06 if where == "nowhere" else 0.2)


def test_what_holds_over_scales_is_carried_over_them() -> None:
    # b has more of the fine detail than of the coarse, so no one covariance is true of a and b at
    # all scales; but the blurred bands are the same sums of both at each.
    sums = np.array([[0.7, 0.5], [-0.3, 1.2]])
    factor = np.vstack([np.eye(2), sums])
    sharp = fields(factor, 144, (3.0, 1.0))
    covariance = found(native_view(sharp, RATIOS), sharp_as(RATIOS))
    regression = np.linalg.solve(covariance[:2, :2], covariance[:2, 2:]).T
    np.testing.assert_allclose(regression, sums, atol=0.03)
    fine = native_view(sharp, (1, 1, 1, 1))
    same = found(fine, sharp_as((1, 1, 1, 1)))
    same /= same.diagonal()[:2].mean()
    np.testing.assert_allclose(covariance, same, rtol=0.05, atol=0.03)


@given(
    st.lists(st.sampled_from([1, 2, 6]), min_size=2, max_size=5),
    st.integers(0, 10**6),
    st.floats(0, 2),
)
def test_it_is_always_a_covariance(ratios: list[int], seed: int, noise: float) -> None:
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(len(ratios), 24, 36)) * rng.uniform(0.1, 2, (len(ratios), 1, 1))
    sharpness = sharp_as(ratios)
    levels = [LevelSums(sharpness, i) for i in range(len(sharpness.ratios))]
    hole = rng.random(data.shape[1:]) < 0.01
    for level in levels:
        level.add(data, hole)
    variance = np.full(len(ratios), noise**2)
    names = [str(i) for i in range(len(ratios))]
    covariance = band_covariance(levels, variance, variance, names)
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    sharpest = np.array(ratios) == min(ratios)
    np.testing.assert_allclose(covariance.diagonal()[sharpest].mean(), 1)


def test_order_of_blocks_and_of_bands_do_not_matter() -> None:
    data = fields(np.tril(np.ones((4, 4))), 144, (2.0,) * 4)
    sharpness, hole = sharp_as(RATIOS), np.zeros((72, 72), bool)
    blocks = [data[:, r : r + 72, c : c + 72] for r in (0, 72) for c in (0, 72)]

    def total(parts: list[np.ndarray], order: list[int]) -> np.ndarray:
        levels = [LevelSums(sharpness.select(order), i) for i in range(3)]
        for level in levels:
            for part in parts:
                level.add(part[order], hole)
        return band_covariance(levels, np.zeros(4), np.zeros(4), NAMES)

    once = total(blocks, [0, 1, 2, 3])
    np.testing.assert_allclose(total(blocks[::-1], [0, 1, 2, 3]), once, rtol=1e-10)
    order = [3, 1, 0, 2]
    np.testing.assert_allclose(total(blocks, order), once[np.ix_(order, order)], rtol=1e-8)


def test_without_detail_the_universal_one_is_left() -> None:
    known, universal = universal_covariance()
    names = list(known)[:4]
    sharpness = sharp_as((1, 1, 1, 1))
    level = LevelSums(sharpness, 0)
    level.add(np.zeros((4, 60, 60)), np.zeros((60, 60), bool))
    covariance = band_covariance([level], np.full(4, 1e-6), np.zeros(4), names)
    at = [known[n] for n in names]
    shared = universal[np.ix_(at, at)]
    np.testing.assert_allclose(covariance, shared / shared.diagonal().mean(), rtol=1e-6)


@lru_cache(maxsize=2)
def seen(protocol: str) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of a landscape as it is found, and that of its sharp bands."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene(120, 7, gsd=20.0)))
    one = observe(s2, s3, 10, PROTOCOLS[protocol], seed=1)
    source = MemorySource(one.hrmsi)
    sharpness = sharpness_of(source)
    assert sharpness is not None
    known = scene_statistics(source, sharpness).covariance
    level = LevelSums(sharp_as((1,) * 12), 0)
    level.add(one.sharp.data.astype(np.float64), np.zeros(one.sharp.data.shape[1:], bool))
    zero = np.zeros(12)
    return known, band_covariance([level], zero, zero, [str(i) for i in range(12)])


@pytest.mark.parametrize("protocol", ["real-world", "native-noise"])
def test_what_a_60_m_band_adds_is_found(protocol: str) -> None:
    covariance, truth = seen(protocol)
    truth = truth / truth.diagonal()[[1, 2, 3, 7]].mean()
    deviation, true = np.sqrt(covariance.diagonal()), np.sqrt(truth.diagonal())
    np.testing.assert_allclose(deviation[:11], true[:11], rtol=0.3)
    # B1 follows B2 and B3, as everywhere; noise that is taken off twice would hide it.
    correlation = covariance[0, 1] / deviation[0] / deviation[1]
    assert abs(correlation - truth[0, 1] / true[0] / true[1]) < 0.1
