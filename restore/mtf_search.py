"""How blurred the coarser bands are beside the sharper ones, by the pixels.

Bands of finer sampling, brought to a coarser sampling with the right blur, explain the detail of
the bands sampled so better than with any other. So for each sampling the modulation transfer at
its Nyquist frequency is the one that leaves least of its bands unexplained: the maximum of the
likelihood of their regression on the sharper bands. What is found is the blur relative to the
image's sharpest bands, which is the one to undo; published figures are of each band alone.

Source: the profile likelihood of a linear regression (Seber and Lee 2003, Linear Regression
Analysis, section 3.5); blind estimation by the same means in Simoes et al. 2015,
doi:10.1109/TGRS.2014.2375320.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize_scalar

from trifuse.core import PSF
from trifuse.restore.pixel_evidence import centred
from trifuse.restore.scene_statistics import LevelSums
from trifuse.restore.sharpness import Sharpness

LEAST, MOST = 0.08, 0.95
"""Modulation transfers that are looked at. Of samples that are plain means of the sharper bands'
pixels the highest is found."""

ENOUGH = 8
"""Cells for each band that explains, at least."""

DIFFERS = 0.03
"""What is told is changed if the width of the blur that is found is off by more than this share:
under the benchmark's errors it was found within 3 %, once 3.4 %."""


def estimate_mtf(blocks: Sequence[np.ndarray], sharpness: Sharpness) -> tuple[float, ...]:
    """Modulation transfers at the native Nyquist frequency, as the pixels have them.

    Args:
        blocks: each (l, y, x), whole periods; NaN where missing.
        sharpness: as told.

    Returns:
        One per band: as told where it agrees, and where nothing is found (of the sharpest bands,
        and of too few cells).
    """
    ready = [centred(block) for block in blocks]
    # From the finest sampling on: what is found there counts at the next.
    for level in range(1, len(sharpness.ratios)):
        ratio = sharpness.ratios[level]
        told = sharpness.sigma(sharpness.ratio.index(ratio))
        found = _width(ready, sharpness, level)
        if found is None:
            break
        if abs(found - told) > DIFFERS * told:
            sharpness = _with_width(sharpness, ratio, found)
    return sharpness.mtf


def _width(
    blocks: Sequence[tuple[np.ndarray, np.ndarray]], sharpness: Sharpness, level: int
) -> float | None:
    """Standard deviation in pixels of the blur of a level's bands; None if there is no telling."""
    ratio = sharpness.ratios[level]
    narrow, wide = (PSF.from_mtf(mtf).pixels(ratio) for mtf in (MOST, LEAST))

    def left(width: float) -> float:
        """What the sharper bands leave of the level's: the mean of the logarithms."""
        sums = LevelSums(_with_width(sharpness, ratio, width), level)
        for data, hole in blocks:
            sums.add(data, hole)
        rows = [i for i, band in enumerate(sums.numbers) if sharpness.ratio[band] == ratio]
        sharper = [i for i in range(len(sums.numbers)) if i not in rows]
        if sums.cells < ENOUGH * len(sharper):
            return math.nan
        none = np.zeros(len(sharpness))
        products = sums.covariance(none, none)
        among, cross = products[np.ix_(sharper, sharper)], products[np.ix_(sharper, rows)]
        ridge = 1e-9 * among.diagonal().mean() * np.eye(len(sharper)) + 1e-30 * np.eye(len(sharper))
        explained = (cross * np.linalg.solve(among + ridge, cross)).sum(axis=0)
        rest = products.diagonal()[rows] - explained
        return float(np.log(np.maximum(rest, 1e-14)).mean())

    told = sharpness.sigma(sharpness.ratio.index(ratio))
    usual = left(told)
    if not math.isfinite(usual):
        return None
    best = minimize_scalar(
        left, bounds=(narrow, wide), method="bounded", options={"xatol": 0.004 * ratio}
    )
    if best.fun >= usual:
        return told
    return float(best.x) if best.x < 0.98 * wide else None


def _with_width(sharpness: Sharpness, ratio: int, sigma: float) -> Sharpness:
    mtf = PSF(sigma / ratio).mtf
    return replace(
        sharpness,
        mtf=tuple(
            mtf if r == ratio else m for r, m in zip(sharpness.ratio, sharpness.mtf, strict=True)
        ),
    )
