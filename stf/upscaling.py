"""A fine image as coarse cells, the way the literature of spatio-temporal fusion does it.

Unlike :func:`trifuse.core.degrade`, the PSF is sampled at the pixels of a whole number of cells
and the border pixels are repeated.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from trifuse.core import DataError
from trifuse.core.resample import apply_separable

MIN_SHARE = 2 / 3
"""Cells with less than this share of their PSF on valid pixels are missing."""


def upscale_matrix(n: int, ratio: int, taps: np.ndarray) -> sparse.csr_matrix:
    """One axis of the upscaling.

    Args:
        n: fine pixels, a multiple of ``ratio``.
        ratio: fine pixels per cell.
        taps: PSF along the axis, centred on the cell; its length is even if the ratio is.

    Returns:
        (n // ratio, n) float64; rows sum to what ``taps`` does.

    Raises:
        DataError: if the sizes do not fit.
    """
    if n % ratio or n < ratio or (len(taps) - ratio) % 2:
        raise DataError(f"{n} pixels, cells of {ratio} and a PSF of {len(taps)} pixels")
    first = np.arange(n // ratio) * ratio - (len(taps) - ratio) // 2
    seen = np.clip(first[:, None] + np.arange(len(taps)), 0, n - 1)
    row = np.repeat(np.arange(n // ratio), len(taps))
    values = np.tile(taps, n // ratio)
    return sparse.csr_matrix((values, (row, seen.ravel())), shape=(n // ratio, n))


def upscale(image: np.ndarray, ratio: int, taps: np.ndarray) -> np.ndarray:
    """A fine image as coarse cells see it.

    Args:
        image: (..., y, x) float, NaN where missing; y and x are multiples of ``ratio``.
        ratio: fine pixels per cell.
        taps: PSF, see :func:`upscale_matrix`; for example
            :func:`trifuse.align.kriging.gaussian_taps`.

    Returns:
        (..., y // ratio, x // ratio) float64; NaN where less than two thirds of what a cell sees
        is there.

    Raises:
        DataError: if the sizes do not fit.
    """
    along_y, along_x = (upscale_matrix(n, ratio, taps) for n in image.shape[-2:])
    image = np.asarray(image, np.float64)
    missing = np.isnan(image)
    if not missing.any():
        return apply_separable(image, along_y, along_x)
    total = apply_separable(np.where(missing, 0, image), along_y, along_x)
    share = apply_separable((~missing).astype(np.float64), along_y, along_x)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(share > MIN_SHARE - 1e-9, total / share, np.nan)
