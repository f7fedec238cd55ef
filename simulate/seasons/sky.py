"""Clouds over a synthetic series: where they are, what they hide, what a mask says of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal
from trifuse.simulate.seasons.sensors import GSD

_COARSE = 3
"""Clouds are drawn on pixels this much larger: they have soft edges anyway."""

_REACH = 2400.0
"""Metres that a shadow falls from its cloud at most."""

_CLEAR = 0.04
"""Opacity that no product takes for a cloud."""


@dataclass(frozen=True, slots=True)
class Sky:
    """The sky over a scene at one moment; all (y, x) at 10 m.

    Attributes:
        opacity: of clouds, 0–1.
        shadow: share of the direct light that clouds take, 0–1.
        valid: bool, what a product's mask calls clear.
        haze: error of the atmospheric correction at 450 nm, reflectance.
        gain: factor that is left of the calibration, about 1.
        top: temperature of the clouds in kelvin.
    """

    opacity: np.ndarray
    shadow: np.ndarray
    valid: np.ndarray
    haze: np.ndarray
    gain: float
    top: float


def build_sky(
    seed: int,
    year: int,
    sensor: str,
    day: int,
    shape: tuple[int, int],
    *,
    cloudy: float,
    sun: tuple[float, float],
    careless: float,
) -> Sky:
    """Draw the sky of a pass; sensors that pass on the same day see the same weather.

    Args:
        seed: of the scene.
        year: of the series.
        sensor: its name.
        day: of the year.
        shape: rows and columns.
        cloudy: share of the sky under clouds, 0–1.
        sun: elevation and azimuth in radians.
        careless: 0: the mask covers every cloud and shadow and a rim; 1: it misses thin edges
            here and there, and takes clear ground for clouds elsewhere.
    """
    weather = stream(seed, f"sky {year} {day}")
    opacity, shadow, top = _clouds(weather, shape, cloudy, sun)
    rng = stream(seed, f"air {year} {sensor} {day}")
    rough = _smooth(rng, shape, (8, 8))
    haze = 0.0025 * rng.standard_normal() + 0.0015 * rough
    gain = 1 + 0.012 * rng.standard_normal()
    if careless > 0:
        slip = _smooth(rng, shape, (max(shape[0] // 12, 2), max(shape[1] // 12, 2)))
        seen = np.maximum(opacity, shadow) * np.exp(-1.2 * careless * np.maximum(slip, 0))
        bad = (seen > _CLEAR * (1 + 3 * careless)) | (slip < -2.2 / careless)
    else:
        bad = (opacity > _CLEAR) | (shadow > 0.10)
        bad = ndimage.binary_dilation(bad, iterations=3)
    return Sky(opacity, shadow, ~bad, haze.astype(np.float32), gain, top)


def _smooth(rng: np.random.Generator, shape: tuple[int, int], nodes: tuple[int, int]) -> np.ndarray:
    """Standard normal values at some nodes, linear between them: (y, x)."""
    steps = [n / few for n, few in zip(shape, nodes, strict=True)]
    drawn = rng.standard_normal(nodes)
    return np.asarray(ndimage.zoom(drawn, steps, order=1, mode="nearest"))


def _clouds(
    rng: np.random.Generator, shape: tuple[int, int], cloudy: float, sun: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray, float]:
    """Opacity of clouds, what they take from the sun, (y, x) each, and their temperature."""
    base = rng.uniform(800, 2200)
    top = float(rng.uniform(245, 268))
    if cloudy <= 0:
        clear = np.zeros(shape, np.float32)
        return clear, clear, top
    elevation, azimuth = sun
    step = GSD * _COARSE
    reach = min(base / np.tan(elevation), _REACH) / step
    dy, dx = reach * np.cos(azimuth), -reach * np.sin(azimuth)  # away from the sun
    pad = int(np.ceil(reach)) + 2
    small = tuple(-(-n // _COARSE) for n in shape)
    wide = (small[0] + 2 * pad, small[1] + 2 * pad)
    lumps = fractal(rng, wide, step, beta=3.2, outer=2600)
    lumps += 0.25 * fractal(rng, wide, step, beta=2.0, outer=600)
    start = float(np.quantile(lumps, 1 - cloudy)) if cloudy < 1 else float(lumps.min()) - 0.5
    density = rng.uniform(1.2, 4.0)
    veil = 1 - np.exp(-density * np.maximum(lumps - start + 0.03, 0))
    cast = ndimage.shift(veil, (dy, dx), order=1, mode="nearest")
    inner = np.s_[pad : pad + small[0], pad : pad + small[1]]
    fine = (
        ndimage.zoom(a[inner], _COARSE, order=1, mode="nearest", grid_mode=True)
        for a in (veil, cast)
    )
    opacity, shadow = (a[: shape[0], : shape[1]].astype(np.float32) for a in fine)
    return opacity, shadow, top
