"""How much of what a map leaves of Sentinel-3 is worth adding back.

What is left is the map's error, seen through S3's PSF, and S3's noise. The PSF of neighbouring
cells overlaps, so the map's error goes on from a cell to the next: of an error that is white on
the fine pixels their correlation is exp(−1/(4 s²)) for a Gaussian of s cells, and more of one that
is not. Noise has none. So the share of the map's error in a band's residual, and the weight that
Wiener's filter gives it, is the correlation of its neighbouring cells over that of white error. No
noise level has to be told.

Of few cells the correlation is uncertain: the bands' values are drawn towards their mean by what
they scatter more than chance would have it.

Source: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (Gaussian PSF); Efron and Morris 1975,
doi:10.1080/01621459.1975.10479864 (drawing estimates towards their mean).
"""

from __future__ import annotations

import math

import numpy as np

from trifuse.core import PSF

FEWEST = 10
"""Pairs of neighbouring cells in place of a band's correlation is taken as none."""


def residual_weights(
    left: np.ndarray, psf: PSF, noise: np.ndarray | float | None = None
) -> np.ndarray:
    """Weights of the residual.

    Args:
        left: (L, y, x) S3 less the map of S2 in its cells, NaN where not known.
        psf: of S3.
        noise: standard deviation of S3's noise, one or (L,), reflectance; the weight is then
            1 − noise² / mean(left²). Default: told apart by the correlation of neighbours.

    Returns:
        (L,) float64, 0–1.
    """
    there = np.isfinite(left)
    values = np.where(there, left, 0).astype(np.float64)
    count = there.sum(axis=(1, 2))
    power = (values**2).sum(axis=(1, 2)) / np.maximum(count, 1)
    safe = np.where(power > 0, power, 1.0)
    if noise is not None:
        return np.where(power > 0, np.clip(1 - np.square(noise) / safe, 0, 1), 0.0)
    pairs = _pairs(there, there)
    known = pairs >= FEWEST
    if not known.any() or psf.sigma <= 0:
        return np.zeros(len(left))
    correlation = _pairs(values, values)[known] / pairs[known] / safe[known]
    white = math.exp(-1 / (4 * psf.sigma**2))
    chance = 1 / pairs[known]
    mean = correlation.mean()
    real = max(correlation.var(ddof=1) - chance.mean(), 0) if known.sum() > 1 else 0.0
    drawn = mean + real / (real + chance) * (correlation - mean)
    weights = np.zeros(len(left))
    weights[known] = np.clip(drawn / white, 0, 1)
    return weights


def _pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Sum over all neighbours of the product: (L,)."""
    down = (a[:, 1:] * b[:, :-1]).sum(axis=(1, 2), dtype=np.float64)
    across = (a[:, :, 1:] * b[:, :, :-1]).sum(axis=(1, 2), dtype=np.float64)
    return np.asarray(down + across)
