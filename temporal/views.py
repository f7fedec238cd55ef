"""What the images of one sensor say of the bands of another, on its grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trifuse.core import PSF, degrade
from trifuse.temporal.baselines import upsampled
from trifuse.temporal.config import Sensor
from trifuse.temporal.stack import Stack

# Where bands are the same, they stand for each other; the red edge and the coast are mixtures,
# fitted once to synthetic spectra seen by both sensors on one day; no script here repeats it.
_MIXTURES: dict[tuple[str, str], dict[str, dict[str, float]]] = {
    ("sentinel2", "landsat"): {
        "B2": {"B2": 1.0},
        "B3": {"B3": 1.0},
        "B4": {"B4": 1.0},
        "B5": {"B3": 0.05, "B4": 0.93, "B5": 0.08, "B6": 0.17, "B7": -0.09},
        "B6": {"B2": 0.04, "B3": 0.20, "B4": 0.08, "B5": 0.68, "B7": 0.06},
        "B7": {"B3": 0.10, "B4": -0.02, "B5": 0.95, "B6": -0.04, "B7": 0.08},
        "B8": {"B5": 1.0},
        "B8A": {"B5": 1.0},
        "B11": {"B6": 1.0},
        "B12": {"B7": 1.0},
    },
    ("landsat", "sentinel2"): {
        "B1": {"B2": 1.0},
        "B2": {"B2": 1.0},
        "B3": {"B3": 1.0},
        "B4": {"B4": 1.0},
        "B5": {"B8A": 1.0},
        "B6": {"B11": 1.0},
        "B7": {"B12": 1.0},
    },
    ("sentinel2", "sentinel3"): {
        "B2": {"Oa04": 1.0},
        "B3": {"Oa06": 1.0},
        "B4": {"Oa08": 1.0},
        "B5": {"Oa11": 1.0},
        "B6": {"Oa12": 1.0},
        "B7": {"Oa16": 1.0},
        "B8": {"Oa17": 1.0},
        "B8A": {"Oa17": 1.0},
        "B11": {"S5": 1.0},
        "B12": {"S6": 1.0},
    },
    ("landsat", "sentinel3"): {
        "B1": {"Oa03": 1.0},
        "B2": {"Oa04": 1.0},
        "B3": {"Oa06": 1.0},
        "B4": {"Oa08": 1.0},
        "B5": {"Oa17": 1.0},
        "B6": {"S5": 1.0},
        "B7": {"S6": 1.0},
    },
}

_SNOW = {"sentinel2": ("B3", "B11"), "landsat": ("B3", "B6"), "sentinel3": ("Oa06", "S5")}
"""Green and short-wave band of each sensor, by which snow is known."""

SNOW_STEPS = 4
"""Snow cover is told in so many steps, so that many pixels are weighed alike."""


def mixture(target: Sensor, other: Sensor) -> np.ndarray:
    """What bands of another sensor make of a sensor's own; unknown pairs share bands by name.

    Returns:
        (target bands, other bands) float32; NaN rows where the other sensor knows nothing.
    """
    out = np.full((len(target.bands), len(other.bands)), np.nan, np.float32)
    same = {b: {b: 1.0} for b in target.bands if b not in (*target.thermal, *other.thermal)}
    table = _MIXTURES.get((target.name, other.name), same)
    for i, band in enumerate(target.bands):
        parts = table.get(band, {})
        if parts and set(parts) <= set(other.bands):
            out[i] = [parts.get(b, 0.0) for b in other.bands]
    return out


def brought(target: Sensor, other: Sensor, seen: Stack) -> Stack:
    """Images of another sensor on a sensor's grid, in the other's bands; not valid beyond its own.

    A coarser sensor's are interpolated, a finer one's go through the PSF of the target.

    Args:
        target: whose grid.
        other: whose images.
        seen: (T, other's bands, y, x) on the other's grid, in the network's unit.

    Returns:
        (T, other's bands, y, x) on the target's grid, same days and unit.
    """
    data = np.where(seen.valid[:, None], seen.data, np.float32(np.nan))
    if other.ratio >= target.ratio:
        factor = other.ratio // target.ratio
        wide = seen.valid.repeat(factor, axis=1).repeat(factor, axis=2)
        images = upsampled(data, factor) if factor > 1 and len(data) else data
        if not len(data):
            images = np.zeros((0, data.shape[1], *wide.shape[1:]), np.float32)
        return Stack(images, wide, seen.days)
    factor = target.ratio // other.ratio
    rows, cols = (n // factor for n in seen.valid.shape[1:])
    psf = PSF.from_mtf(min(m for m in target.mtf if m < 1)) if min(target.mtf) < 1 else PSF(0)
    images = np.zeros((len(data), data.shape[1], rows, cols), np.float32)
    for image, fine in zip(images, data, strict=True):
        image[:] = degrade(fine, factor, psf)
    cells = seen.valid.reshape(len(data), rows, factor, cols, factor)
    return Stack(images, np.asarray(cells.all(axis=(2, 4))), seen.days)


def snow_cover(sensor: Sensor, images: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Share of each pixel under snow, roughly, by its brightness and its snow index.

    Args:
        sensor: whose.
        images: (T, band, y, x) reflectance.
        valid: (T, y, x) bool.

    Returns:
        (T, y, x) float32 in steps of 1/:data:`SNOW_STEPS`; 0 where it cannot be told.

    Source: Hall et al. 1995, doi:10.1016/0034-4257(95)00137-P (normalised difference).
    """
    names = _SNOW.get(sensor.name, ("", ""))
    if not set(names) <= set(sensor.bands):
        return np.zeros(valid.shape, np.float32)
    green, short = (images[:, sensor.bands.index(n)] for n in names)
    there = valid & np.isfinite(green) & np.isfinite(short)
    green, short = np.where(there, green, 0), np.where(there, short, 0)
    index = (green - short) / np.maximum(np.abs(green + short), 0.02)
    share = np.clip((index - 0.1) / 0.25, 0, 1) * np.clip((green - 0.12) / 0.2, 0, 1)
    return np.asarray(np.round(share * SNOW_STEPS) / SNOW_STEPS, np.float32)


def others(sensor: Sensor, sensors: Sequence[Sensor], seen: Mapping[str, Stack]) -> list[Sensor]:
    """Sensors whose images say something of a sensor's bands."""
    return [
        s
        for s in sensors
        if s.name != sensor.name
        and s.name in seen
        and len(seen[s.name].days)
        and np.isfinite(mixture(sensor, s)).any()
    ]
