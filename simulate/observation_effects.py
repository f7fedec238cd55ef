"""The effects of an observation, one by one, on plain arrays.

The protocols are in :mod:`trifuse.simulate.observation`; what their native sampling does to bands
is in :mod:`trifuse.core.native`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.core import PSF, BandSet
from trifuse.core.bands import canonical_name

S2_NATIVE: Mapping[str, int] = MappingProxyType(
    {
        "B1": 6,
        "B2": 1,
        "B3": 1,
        "B4": 1,
        "B5": 2,
        "B6": 2,
        "B7": 2,
        "B8": 1,
        "B8A": 2,
        "B9": 6,
        "B10": 6,
        "B11": 2,
        "B12": 2,
    }
)
"""Native sampling of Sentinel-2's bands in pixels of 10 m."""

AnyPSF: TypeAlias = PSF | tuple[PSF, ...]


def native_ratios(bands: BandSet | Sequence[str]) -> tuple[int, ...]:
    """Native sampling of Sentinel-2 bands in pixels of 10 m: 1, 2 or 6; 1 for other sensors'.

    >>> native_ratios(["B2", "B8A", "B9"])
    (1, 2, 6)
    """
    names = bands.names if isinstance(bands, BandSet) else bands
    return tuple(S2_NATIVE.get(canonical_name(n), 1) for n in names)


def draw_calibration(
    count: int, gain: float, offset: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gain about 1 and offset about 0 of each band: (l,) float32 each."""
    drawn = rng.standard_normal((2, count))
    return (1 + gain * drawn[0]).astype(np.float32), (offset * drawn[1]).astype(np.float32)


def calibrate(data: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(l, y, x) bands with a gain and an offset each."""
    out: np.ndarray = data * gain[:, None, None] + offset[:, None, None]
    return out


def add_noise(data: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise added; the input itself where there is none."""
    if not sigma:
        return data
    noise = rng.standard_normal(data.shape, np.float32)
    noise *= np.float32(sigma)
    noise += data
    return noise


def displace(
    psf: AnyPSF, shift: float, width: float, ratio: int, rng: np.random.Generator
) -> tuple[AnyPSF, tuple[float, float], float]:
    """Where the coarse cells really lie and how wide they really see.

    Args:
        psf: as told, one for all bands or one per band.
        shift: cells of displacement at most, in rows and in columns (uniform).
        width: share by which the PSF is wider or narrower at most (uniform).
        ratio: sharp pixels per coarse cell.
        rng: draws both.

    Returns:
        The true PSF (or one per band); the shift (rows, columns) in sharp pixels; true over told
        width.
    """
    dy, dx, wide = rng.uniform(-1, 1, 3)
    factor = float(1 + width * wide)
    true: AnyPSF = (
        PSF(psf.sigma * factor)
        if isinstance(psf, PSF)
        else tuple(PSF(p.sigma * factor) for p in psf)
    )
    reach = shift * ratio
    return true, (float(reach * dy), float(reach * dx)), factor


def cloud_mask(
    shape: tuple[int, int], share: float, size: float, rng: np.random.Generator
) -> np.ndarray:
    """Clouds as blobs: (y, x) bool, True where hidden.

    Args:
        shape: (y, x).
        share: of the pixels that are hidden, 0–1; exact to one pixel, one at least if not 0.
        size: about the radius of a blob in pixels.
        rng: draws the field.
    """
    field_ = gaussian_filter(rng.standard_normal(shape), size)
    count = max(1, round(share * field_.size)) if share else 0
    mask = np.zeros(field_.size, bool)
    mask[np.argsort(field_, axis=None)[field_.size - count :]] = True
    return mask.reshape(shape)


def hide(data: np.ndarray, share: float, size: float, rng: np.random.Generator) -> np.ndarray:
    """NaN in all bands under clouds, see :func:`cloud_mask`; the input itself without clouds."""
    if not share:
        return data
    mask = cloud_mask((data.shape[1], data.shape[2]), share, size, rng)
    return np.where(mask, np.float32(np.nan), data)
