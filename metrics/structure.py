"""Likeness of structure in sliding windows: SSIM and UIQI.

Windows lie wholly inside the image. A window that touches a pixel without a value is left out, so
every window that counts has the published weights; where clouds leave no whole window the result
is NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import correlate1d, maximum_filter1d

from trifuse.core import DataError
from trifuse.metrics.inputs import check, mean, planes

SSIM_WINDOW, SSIM_SIGMA, K1, K2 = 11, 1.5, 0.01, 0.03
UIQI_WINDOW = 8
STRIP_PIXELS = 1 << 20
"""About this many pixels are worked on at once."""


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted statistics of the windows that count; every array is (windows,) float64."""

    mean_t: np.ndarray
    mean_e: np.ndarray
    var_t: np.ndarray
    var_e: np.ndarray
    cov: np.ndarray


def ssim(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Structural similarity, mean over windows, then bands: at most 1, which is perfect.

    Gaussian windows of 11 × 11 pixels with σ = 1.5, K1 = 0.01, K2 = 0.03, and for L the range
    (maximum less minimum) of the valid pixels of the true band; 1 for a constant band.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        The index; NaN if no whole window of 11 × 11 pixels has values.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Wang, Bovik, Sheikh, Simoncelli 2004, doi:10.1109/TIP.2003.819861, eq. (13) and (17).
    """
    return mean(ssim_bands(truth, estimate, valid))


def ssim_bands(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Structural similarity of each band: (band,). See :func:`ssim`."""
    at = np.arange(SSIM_WINDOW) - SSIM_WINDOW // 2
    weights = np.exp(-0.5 * (at / SSIM_SIGMA) ** 2)

    def index(m: Moments, span: float) -> np.ndarray:
        c1, c2 = (K1 * span) ** 2, (K2 * span) ** 2
        luminance = (2 * m.mean_t * m.mean_e + c1) / (m.mean_t**2 + m.mean_e**2 + c1)
        local: np.ndarray = luminance * (2 * m.cov + c2) / (m.var_t + m.var_e + c2)
        return local

    return _over_windows(index, weights / weights.sum(), truth, estimate, valid)


def uiqi(
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    window: int = UIQI_WINDOW,
) -> float:
    """Universal image quality index (Q), mean over sliding windows, then bands, −1…1; 1 is perfect.

    4·cov·x̄·ȳ / ((σx² + σy²)(x̄² + ȳ²)) with plain means over each window. In a window where both
    images are constant only the factor of the means is left.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.
        window: edge of the windows in pixels; 8 as published (32 is also in use).

    Returns:
        The index; NaN if no whole window has values.

    Raises:
        DataError: if the shapes disagree, nothing is valid, or the window is below 2 pixels.

    Source:
        Wang and Bovik 2002, doi:10.1109/97.995823, eq. (2).
    """
    return mean(uiqi_bands(truth, estimate, valid, window=window))


def uiqi_bands(
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    window: int = UIQI_WINDOW,
) -> np.ndarray:
    """Universal image quality index of each band: (band,). See :func:`uiqi`."""
    if window < 2:
        raise DataError(f"windows of {window} pixels", fix="give 2 pixels or more")

    def index(m: Moments, _: float) -> np.ndarray:
        power, spread = m.mean_t**2 + m.mean_e**2, m.var_t + m.var_e
        # The variance of a constant is rounding, not structure.
        flat = spread <= 1e-13 * power
        structure = np.where(flat, 1.0, 2 * m.cov / np.where(flat, 1.0, spread))
        luminance = 2 * m.mean_t * m.mean_e / np.where(power > 0, power, 1.0)
        return structure * np.where(power > 0, luminance, 1.0)

    return _over_windows(index, np.full(window, 1 / window), truth, estimate, valid)


def _over_windows(
    index: Callable[[Moments, float], np.ndarray],
    weights: np.ndarray,
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None,
) -> np.ndarray:
    """Mean over windows of an index of their moments and the true band's range: (band,)."""
    truth, estimate, valid = check(truth, estimate, valid)
    out = np.full(len(truth), np.nan)
    for band, (t, e, mask) in enumerate(planes(truth, estimate, valid)):
        if not mask.any():
            continue
        span = float(t[mask].max() - t[mask].min()) or 1.0
        total, count = 0.0, 0
        for moments in _moments(t, e, mask, weights):
            total += float(index(moments, span).sum())
            count += moments.cov.size
        if count:
            out[band] = total / count
    return out


def _moments(
    t: np.ndarray, e: np.ndarray, mask: np.ndarray, weights: np.ndarray
) -> Iterator[Moments]:
    """Statistics of the windows without a missing pixel, strip by strip of rows."""
    size, (height, width) = len(weights), t.shape
    if size > min(height, width):
        return
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height - size + 1, step):
        rows = slice(top, min(top + step + size - 1, height))
        missing = ~mask[rows]
        x, y = np.where(missing, 0, t[rows]), np.where(missing, 0, e[rows])
        whole = _slide(lambda a, axis: maximum_filter1d(a, size, axis), missing, size) == 0
        mean_t, mean_e, square_t, square_e, product = (
            _slide(lambda a, axis: correlate1d(a, weights, axis), plane, size)[whole]
            for plane in (x, y, x * x, y * y, x * y)
        )
        yield Moments(
            mean_t,
            mean_e,
            np.maximum(square_t - mean_t**2, 0),
            np.maximum(square_e - mean_e**2, 0),
            product - mean_t * mean_e,
        )


def _slide(
    along: Callable[[np.ndarray, int], np.ndarray], plane: np.ndarray, size: int
) -> np.ndarray:
    """A filter of ``size`` taps along both axes, kept where it lies wholly inside the plane."""
    first = size // 2
    rows, cols = (slice(first, first + n - size + 1) for n in plane.shape)
    inside: np.ndarray = along(along(plane, 0)[rows], 1)[:, cols]
    return inside
