"""Light and air of a procedural scene: sun, slopes, clouds and their shadows, the sensor."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal
from trifuse.simulate.ground.world import World


@dataclass(frozen=True, slots=True)
class Light:
    """Illumination of a scene.

    Attributes:
        elevation: of the sun in degrees.
        azimuth: of the sun in degrees, clockwise from north.
        direct: (y, x) direct sunlight relative to a level surface, shadows of clouds included.
        sky: (y, x) share of the sky that is seen.
        opacity: (y, x) opacity of clouds, 0–1.
        shadow: (y, x) share of the direct light that clouds take.
        vapour: (y, x) relative error of the water vapour that was corrected for.
        haze: (y, x) error of the haze that was corrected for, reflectance at 450 nm.
    """

    elevation: float
    azimuth: float
    direct: np.ndarray
    sky: np.ndarray
    opacity: np.ndarray
    shadow: np.ndarray
    vapour: np.ndarray
    haze: np.ndarray


def build_light(world: World, clouds: bool) -> Light:
    """Set the sun, light the slopes and let clouds pass."""
    rng = stream(world.seed, "light")
    elevation = float(rng.uniform(38, 62))
    azimuth = float(rng.uniform(140, 172))
    alt, azi = np.radians([elevation, azimuth])
    direct, sky = slope_light(world.height, world.gsd, alt, azi)
    # Terrain correction takes most of the relief out, but never all.
    direct = np.clip(direct, 0.06, 1.4) ** 0.8
    if clouds:
        opacity, shadow = _clouds(world, alt, azi)
    else:
        opacity = shadow = np.zeros(world.shape, np.float32)
    vapour = 0.05 * fractal(rng, world.shape, world.gsd, beta=3.2, outer=8000)
    vapour += 0.010 * fractal(rng, world.shape, world.gsd, beta=2.0, outer=600)
    haze = 0.0022 * fractal(rng, world.shape, world.gsd, beta=3.4, outer=8000)
    return Light(
        elevation=elevation,
        azimuth=azimuth,
        direct=(direct * (1 - 0.88 * shadow)).astype(np.float32),
        sky=sky.astype(np.float32),
        opacity=opacity,
        shadow=shadow,
        vapour=vapour,
        haze=haze,
    )


def slope_light(
    height: np.ndarray, gsd: float, elevation: float, azimuth: float
) -> tuple[np.ndarray, np.ndarray]:
    """Light on slopes.

    Args:
        height: (y, x) metres.
        gsd: pixel size in metres.
        elevation: of the sun in radians.
        azimuth: of the sun in radians, clockwise from north.

    Returns:
        Direct sunlight relative to a level surface, below 0 on slopes that turn away, and the
        share of the sky that is seen; (y, x) each.
    """
    fall_y, fall_x = np.gradient(height, gsd)
    # Normal (−∂z/∂x, ∂z/∂row, 1) in east, north, up: rows run south.
    facing = -fall_x * np.sin(azimuth) + fall_y * np.cos(azimuth)
    facing = facing * np.cos(elevation) + np.sin(elevation)
    steep = np.sqrt(1 + fall_x**2 + fall_y**2)
    return facing / steep / np.sin(elevation), (1 + 1 / steep) / 2


def _clouds(world: World, alt: float, azi: float) -> tuple[np.ndarray, np.ndarray]:
    """Cumulus over a seeded share of the scene, and what it takes from the sun behind it."""
    rng = stream(world.seed, "clouds")
    base = rng.uniform(900, 2200)
    reach = base / np.tan(alt) / world.gsd
    dy, dx = reach * np.cos(azi), -reach * np.sin(azi)  # rows and columns away from the sun
    pad = int(np.ceil(reach)) + 2
    shape = world.shape[0] + 2 * pad, world.shape[1] + 2 * pad
    lumps = 1.0 * fractal(rng, shape, world.gsd, beta=3.3, outer=3800)
    lumps += 0.28 * fractal(rng, shape, world.gsd, beta=2.2, outer=900)
    inside = lumps[pad:-pad, pad:-pad]
    start = float(np.quantile(inside, 1 - rng.uniform(0.10, 0.24)))
    puffs = 0.10 * fractal(rng, shape, world.gsd, beta=1.6, outer=400)
    thick = np.maximum(lumps + puffs - start + 0.05, 0)
    veil = 1 - np.exp(-3.2 * thick)
    cast = ndimage.shift(veil, (dy, dx), order=1, mode="nearest")
    shadow = ndimage.gaussian_filter(cast, 0.6)[pad:-pad, pad:-pad]
    return veil[pad:-pad, pad:-pad].astype(np.float32), shadow.astype(np.float32)
