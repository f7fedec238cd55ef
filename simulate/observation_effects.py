"""The effects of an observation, one by one, on plain arrays.

The protocols are in :mod:`trifuse.simulate.observation`.

Sources: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (Gaussian by the MTF at Nyquist).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter

from trifuse.core import PSF, BandSet, fill_nearest
from trifuse.core.bands import canonical_name
from trifuse.core.resample import blur_matrix, upsample_matrix

S2_NATIVE: Mapping[str, int] = MappingProxyType({
    "B1": 6, "B2": 1, "B3": 1, "B4": 1, "B5": 2, "B6": 2, "B7": 2, "B8": 1, "B8A": 2, "B9": 6,
    "B10": 6, "B11": 2, "B12": 2,
})  # fmt: skip
"""Native sampling of Sentinel-2's bands in pixels of 10 m."""

AnyPSF: TypeAlias = PSF | tuple[PSF, ...]


def native_ratios(bands: BandSet | Sequence[str]) -> tuple[int, ...]:
    """Native sampling of Sentinel-2 bands in pixels of 10 m: 1, 2 or 6; 1 for other sensors'.

    >>> native_ratios(["B2", "B8A", "B9"])
    (1, 2, 6)
    """
    names = bands.names if isinstance(bands, BandSet) else bands
    return tuple(S2_NATIVE.get(canonical_name(n), 1) for n in names)


def native_axis(
    n: int, ratio: int, mtf: float = 0.3
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """One axis of what a band goes through: to its native pixels, and back by cubic convolution.

    Args:
        n: number of pixels; the last native pixel may stand over the edge.
        ratio: pixels per native pixel.
        mtf: modulation transfer at the native Nyquist frequency.

    Returns:
        (ceil(n / ratio), n) and (n, ceil(n / ratio)) float64; the rows of both sum to one.
    """
    cells = -(-n // ratio)
    centres = np.arange(cells) * ratio + (ratio - 1) / 2
    sigma = PSF.from_mtf(mtf).pixels(ratio)
    down = blur_matrix(n, sigma, centres, spread=0.0 if ratio % 2 else 0.5)
    return down, upsample_matrix(cells, ratio)[:n]


def native_view(
    data: np.ndarray, ratios: Sequence[int], mtf: float | Sequence[float] = 0.3
) -> np.ndarray:
    """Sharp bands as their native sampling leaves them, interpolated to the same pixels.

    Args:
        data: (l, y, x) reflectance; NaN stays NaN and is bridged from its neighbours.
        ratios: pixels per native pixel, one per band; bands of 1 stay as they are.
        mtf: modulation transfer at the native Nyquist frequency, one for all or one per band.

    Returns:
        The same shape and dtype.
    """
    mtfs = list(mtf) if isinstance(mtf, Sequence) else [mtf] * len(data)
    out = data.copy()
    filled = fill_nearest(data) if np.isnan(data).any() else data
    for plane, target, ratio, m in zip(filled, out, ratios, mtfs, strict=True):
        if ratio == 1:
            continue
        (down_y, up_y), (down_x, up_x) = (native_axis(n, ratio, m) for n in plane.shape)
        cells = down_x @ (down_y @ plane.astype(np.float64)).T
        target[:] = (up_x @ (up_y @ cells.T).T).T
    return np.where(np.isnan(data), np.float32(np.nan), out)


def native_field(
    shape: tuple[int, ...], ratios: Sequence[int], sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """White noise at each band's native sampling, interpolated to the pixels: (l, y, x) float32."""
    out = np.empty(shape, np.float32)
    for plane, ratio in zip(out, ratios, strict=True):
        n_y, n_x = plane.shape
        cells = sigma * rng.standard_normal((-(-n_y // ratio), -(-n_x // ratio)))
        if ratio == 1:
            plane[:] = cells
        else:
            up_y, up_x = (upsample_matrix(-(-n // ratio), ratio)[:n] for n in (n_y, n_x))
            plane[:] = (up_x @ (up_y @ cells).T).T
    return out


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
