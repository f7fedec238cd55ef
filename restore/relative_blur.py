"""Whether some bands of an image are blurred beside others, whatever else is known of them.

Detail that bands share is explained better once the sharper of them are as blurred as the others.

Source: Simoes et al. 2015, doi:10.1109/TGRS.2014.2375320 (blind estimation of a relative blur); the
comparison in both directions is ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from trifuse.core import fill_nearest

FLOOR = 3e-5
"""Standard deviation of what rounding to counts of 1e-4 leaves: less says nothing more."""

BLUR_GAIN, BLUR_SIGMA = 0.3, 0.3
"""What :func:`relative_blur` finds of bands that are blurred, at least: the gain (of sharp ones at
most 0.22, and that over water and noise; of blurred ones 0.45 under noise of 0.01, 0.9 under less,
warped to other grids or not), and the blur in samples."""

DETAIL = 2.0
"""Detail is what a Gaussian of so many samples takes away, for :func:`relative_blur`."""


def relative_blur(
    blocks: Sequence[np.ndarray], bands: Sequence[int], sharp: Sequence[int], ratio: int
) -> tuple[float, float]:
    """How much better blurred bands are explained by sharp ones once these are blurred, too.

    A blur takes noise off what explains, which alone explains better; but then the sharp bands
    are as much better explained by the others blurred, and so much is taken off.

    Args:
        blocks: each (l, y, x), NaN where missing.
        bands: that may be blurred.
        sharp: those that are not.
        ratio: pixels per sample of what is looked for; blurs up to 0.8 samples are tried.

    Returns:
        By how much the logarithm of the variance that is left falls, mean over the bands, and the
        standard deviation in pixels of the blur that leaves least. Of bands as sharp as the
        others about 0 and 0.
    """
    sigmas = np.arange(0, 0.81, 0.1) * ratio
    first, width = len(sharp), len(sharp) + len(bands)
    # Sums with the sharp bands blurred, and with the others.
    products, count = np.zeros((2, len(sigmas), width, width)), 0
    margin = 2 * ratio
    for block in blocks:
        planes = block[[*sharp, *bands]]
        hole = ~np.isfinite(planes).all(axis=0)
        keep = ~binary_dilation(hole, np.ones((3, 3)), iterations=margin) if hole.any() else ~hole
        for view in (keep, keep.T):
            view[:margin] = view[len(view) - margin :] = False
        if not keep.any():
            continue
        planes = (fill_nearest(planes) if hole.any() else planes).astype(np.float64)
        detail = planes - gaussian_filter(planes, (0, DETAIL * ratio, DETAIL * ratio))
        plain = detail[:, keep]
        for k, sigma in enumerate(sigmas):
            seen = gaussian_filter(detail, (0, sigma, sigma))[:, keep] if sigma else plain
            for total, rows in zip(
                products[:, k],
                (np.r_[seen[:first], plain[first:]], np.r_[plain[:first], seen[first:]]),
                strict=True,
            ):
                total += rows @ rows.T
        count += int(keep.sum())
    if count < 10 * width:
        return 0.0, 0.0
    turned = np.r_[first:width, :first]
    left = np.array([_left(p / count, first) for p in products[0]])
    back = np.array([_left(p[np.ix_(turned, turned)] / count, width - first) for p in products[1]])
    best = int(left.argmin())
    return float(left[0] - left[best] - (back[0] - back.min())), float(sigmas[best])


def _left(covariance: np.ndarray, known: int) -> float:
    """Mean logarithm of what the first ``known`` leave of the others' variance."""
    among, cross = covariance[:known, :known], covariance[:known, known:]
    ridge = 1e-9 * max(float(np.trace(among)) / known, 1e-30) * np.eye(known)
    explained = (cross * np.linalg.solve(among + ridge, cross)).sum(axis=0)
    rest = np.maximum(covariance.diagonal()[known:] - explained, FLOOR**2)
    return float(np.log(rest).mean())
