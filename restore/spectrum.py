"""One axis of a block in the frequencies of the cosine transform, in an order that folds.

With reflecting borders, sampling every r-th centre of a block maps the frequencies {κ, 2n−κ, 2n+κ,
4n−κ, …} of a block of r·n pixels to frequency κ of its n samples, and no others. Frequencies are
ordered so that for every ratio of a chain (1, 2, 6) those that fall together are a column of a
reshape to (r, n): blur and decimation are then a product and a sum, without a matrix.

Source: Strang 1999, doi:10.1137/S0036144598336745 (the cosine transform and its borders).
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np

from trifuse.core.kernels import interpolation_matrix
from trifuse.core.resample import degrade_matrix, upsample_matrix


@lru_cache(maxsize=32)
def frequencies(n: int, ratios: tuple[int, ...]) -> np.ndarray:
    """The folding order of an axis: (n,) int, the number of each frequency.

    Args:
        n: pixels; a multiple of the largest ratio.
        ratios: chain of samplings, each dividing the next; 1 may be left out.

    >>> frequencies(6, (1, 2)).reshape(2, 3)
    array([[0, 1, 2],
           [3, 5, 4]])
    """
    finer = sorted({1, *ratios}, reverse=True)
    order = np.arange(n // finer[0])
    for coarse, fine in itertools.pairwise(finer):
        order = np.concatenate([_alias(order, n // coarse, i) for i in range(coarse // fine)])
    return order


def _alias(kappa: np.ndarray, n: int, i: int) -> np.ndarray:
    """The i-th frequency that falls onto each of ``n`` coarse ones; of 0, all multiples of n."""
    base = 2 * n * ((i + 1) // 2)
    general = base + kappa if i % 2 == 0 else base - kappa
    return np.where(kappa == 0, n * i, general)


@lru_cache(maxsize=32)
def cosines(n: int, ratios: tuple[int, ...], ratio: int = 1) -> np.ndarray:
    """The orthonormal DCT-II of an axis' samples of one ratio, in the folding order.

    Args:
        n: pixels.
        ratios: chain, see :func:`frequencies`.
        ratio: pixels per sample.

    Returns:
        (n / ratio, n / ratio) float64, one row per frequency.
    """
    m = n // ratio
    k = frequencies(m, tuple(r // ratio for r in ratios if r % ratio == 0))
    at = (np.arange(m) + 0.5) / m
    rows: np.ndarray = np.sqrt(np.where(k == 0, 1, 2) / m)[:, None] * np.cos(
        np.pi * np.outer(k, at)
    )
    return rows


@lru_cache(maxsize=64)
def transfer(n: int, ratios: tuple[int, ...], ratio: int, sigma: float) -> np.ndarray:
    """With which factor each frequency of an axis enters the sample frequency it falls onto.

    Args:
        n: pixels.
        ratios: chain, see :func:`frequencies`.
        ratio: pixels per sample.
        sigma: standard deviation of the Gaussian blur in pixels.

    Returns:
        (n,) float64 in the folding order; 0 for frequencies that the samples do not see.
    """
    if ratio == 1 and sigma == 0:
        return np.ones(n)
    down = degrade_matrix(n, ratio, sigma)
    full = cosines(n, ratios, ratio) @ (down @ cosines(n, ratios).T)
    return np.asarray(full[np.tile(np.arange(n // ratio), ratio), np.arange(n)])


@lru_cache(maxsize=64)
def interpolation(n: int, ratio: int, how: str) -> np.ndarray:
    """How samples come onto pixels: (n, n / ratio) float64, dense."""
    if how == "bicubic":
        return np.asarray(upsample_matrix(n // ratio, ratio).toarray())
    return interpolation_matrix(n // ratio, ratio, how)


@lru_cache(maxsize=64)
def samples(n: int, ratio: int, how: str) -> np.ndarray:
    """The samples that an interpolated axis came from, by least squares: (n / ratio, n) float64."""
    if ratio == 1:
        return np.eye(n)
    return np.linalg.pinv(interpolation(n, ratio, how))


@lru_cache(maxsize=64)
def analysis(n: int, ratios: tuple[int, ...], ratio: int, how: str) -> np.ndarray:
    """Pixels to the frequencies of the samples they came from: (n / ratio, n) float64."""
    return np.asarray(cosines(n, ratios, ratio) @ samples(n, ratio, how))


@lru_cache(maxsize=64)
def noise_gain(n: int, ratios: tuple[int, ...], ratio: int, how: str) -> np.ndarray:
    """Variance that white noise of the pixels has in :func:`analysis`: (n / ratio,) float64."""
    return np.asarray((analysis(n, ratios, ratio, how) ** 2).sum(axis=1))
