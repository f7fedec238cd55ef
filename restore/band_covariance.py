"""How detail goes together in bands of different sampling: their covariance, from level to level.

The detail of 60 m bands can only be compared with that of the others at 60 m, but how visible light
and infrared share detail depends on its scale. What holds over scales is how much of a blurred
band's detail the sharper bands explain. So the covariance is built from the sharpest bands
outwards: theirs at their own sampling; then for the bands of each coarser sampling their
regression R on all sharper ones and what it leaves, E, both at that sampling:

    C = [ C₁     C₁ Rᵀ        ]
        [ R C₁   R C₁ Rᵀ + E  ]

and so on. Noise is taken off by where it sits, on the pixels or on the native samples.

Source: Pourahmadi 1999, doi:10.1093/biomet/86.3.677 (a covariance from successive regressions).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from scipy.ndimage import binary_dilation

from trifuse.core import fill_nearest
from trifuse.core.bands import canonical_name
from trifuse.core.resample import blur_matrix, degrade_matrix
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.spectrum import interpolation, samples

SMOOTH = 2.0, 1.5, 1.0
"""Detail is what a Gaussian of so many cells takes away: of the sharpest level, the next, and all
further ones. Wider at finer levels, where less of the detail is noise."""

TRUST = 100.0
"""Cells that the universal covariance counts for."""

LEAST_SHARE = 1e-4
"""Least eigenvalue of a covariance, of the mean variance of its bands."""


def centred(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A block less the mean of each band, and where a band was missing.

    Args:
        block: (l, y, x); NaN where missing, which is bridged from its neighbours.

    Returns:
        (l, y, x) finite float64, and (y, x) bool.
    """
    hole = np.isnan(block).any(axis=0)
    filled = (fill_nearest(block) if hole.any() else block).astype(np.float64)
    return filled - filled.mean(axis=(1, 2), keepdims=True), hole


class LevelSums:
    """Sums over blocks of what goes together at one sampling.

    Args:
        sharpness: of all bands.
        level: number of the sampling among ``sharpness.ratios``.

    Attributes:
        ratio: pixels per cell.
        numbers: of the bands that are as sharp, or sharper.
        cells: taken so far.
    """

    def __init__(self, sharpness: Sharpness, level: int) -> None:
        self._s = sharpness
        self.ratio = sharpness.ratios[level]
        self.numbers = [i for i, r in enumerate(sharpness.ratio) if r <= self.ratio]
        self._widest = max(sharpness.sigma(i) for i in self.numbers)
        self._smooth = SMOOTH[min(level, len(SMOOTH) - 1)]
        self.cells = 0
        count = len(self.numbers)
        self._products = np.zeros((count, count))
        self._noise = np.zeros((2, count))
        self._moments: dict[tuple[int, int, float], np.ndarray] = {}

    def add(self, data: np.ndarray, hole: np.ndarray) -> None:
        """Take a block, as :func:`centred` gives it; its sides are multiples of the ratio."""
        n_y, n_x = (n // self.ratio for n in hole.shape)
        smooth_y, smooth_x = (_smoothing(n, self._smooth) for n in (n_y, n_x))
        bad = hole.reshape(n_y, self.ratio, n_x, self.ratio).any(axis=(1, 3))
        if bad.any():
            bad = binary_dilation(bad, iterations=2)
        good = ~bad
        count = int(good.sum())
        details = np.empty((len(self.numbers), count))
        for row, i in enumerate(self.numbers):
            y, x = (self._to_cells(n, i) for n in hole.shape)
            cells = data[i] if y is None or x is None else y @ data[i] @ x.T
            details[row] = (cells - smooth_y @ cells @ smooth_x.T)[good]
            along, across = (self._noise_moments(n, i) for n in hole.shape)
            self._noise[:, row] += count * (along * across * (1, -2, 1)).sum(axis=1)
        self._products += details @ details.T
        self.cells += count

    def covariance(self, on_pixels: np.ndarray, on_samples: np.ndarray) -> np.ndarray:
        """(k, k) of the bands' detail, without noise of these variances: (l,) each."""
        mean = 1 / max(self.cells, 1)
        noise = self._noise[0] * on_pixels[self.numbers] + self._noise[1] * on_samples[self.numbers]
        return np.asarray(mean * (self._products - np.diag(noise)))

    def _to_cells(self, n: int, band: int) -> np.ndarray | None:
        """Pixels of an axis to equally sharp cells: (n / ratio, n); None: as they are."""
        s = self._s
        if s.ratio[band] == self.ratio:
            return None if self.ratio == 1 else samples(n, self.ratio, s.upsampling)
        extra = float(np.sqrt(max(self._widest**2 - s.sigma(band) ** 2, 0)))
        return _degradation(n, self.ratio, extra)

    def _noise_moments(self, n: int, band: int) -> np.ndarray:
        """Of unit noise on an axis: variance of cells, covariance with smoothed ones, their own.

        Returns:
            (2, 3): of noise of the pixels, and of the native samples.
        """
        ratio = self._s.ratio[band]
        key = n, ratio, round(self._s.sigma(band), 6)
        if key not in self._moments:
            to_cells = self._to_cells(n, band)
            pixels = np.eye(n) if to_cells is None else to_cells
            native = pixels if ratio == 1 else pixels @ interpolation(n, ratio, self._s.upsampling)
            smooth = _smoothing(len(pixels), self._smooth)
            self._moments[key] = np.array([_moments(c, smooth @ c) for c in (pixels, native)])
        return self._moments[key]


def band_covariance(
    levels: Sequence[LevelSums], on_pixels: np.ndarray, on_samples: np.ndarray, names: Sequence[str]
) -> np.ndarray:
    """Covariance of the detail of all bands, as sharp as the sharpest of them.

    Each level is drawn towards the universal covariance by ``TRUST`` cells.

    Args:
        levels: from the sharpest to the coarsest.
        on_pixels: (l,) variance of the noise of each band's pixels.
        on_samples: (l,) of its native samples.
        names: of the bands.

    Returns:
        (l, l), positive definite, mean 1 on the diagonal of the sharpest bands.
    """
    whole = np.zeros((len(names), len(names)))
    sharpest, done = levels[0].numbers, list[int]()
    for level in levels:
        at = {band: row for row, band in enumerate(level.numbers)}
        sharp = [at[i] for i in sharpest]
        found = _drawn(
            level.covariance(on_pixels, on_samples),
            level.cells,
            sharp,
            [names[i] for i in level.numbers],
        )
        news = [i for i in level.numbers if i not in done]
        old, new = [at[i] for i in done], [at[i] for i in news]
        before = whole[np.ix_(done, done)]
        regression = np.linalg.solve(found[np.ix_(old, old)], found[np.ix_(old, new)]).T
        left = found[np.ix_(new, new)] - regression @ found[np.ix_(old, new)]
        cross = regression @ before
        whole[np.ix_(news, done)], whole[np.ix_(done, news)] = cross, cross.T
        whole[np.ix_(news, news)] = cross @ regression.T + left
        done += news
    whole = _floored(whole)
    return np.asarray(whole / whole.diagonal()[sharpest].mean())


def _drawn(
    covariance: np.ndarray, cells: int, sharp: list[int], names: Sequence[str]
) -> np.ndarray:
    """A level's covariance, mean 1 over the sharpest bands, drawn towards the universal one."""
    known, universal = universal_covariance()
    at = [known.get(canonical_name(n), -1) for n in names]
    size = covariance.diagonal()[sharp].mean()
    drawn = covariance / size if size > 0 else np.eye(len(names))
    if min(at) >= 0:
        shared = universal[np.ix_(at, at)]
        shared = shared / shared.diagonal()[sharp].mean()
        weight = cells if size > 0 else 0
        drawn = (weight * drawn + TRUST * shared) / (weight + TRUST)
    return _floored(drawn)


def _floored(covariance: np.ndarray) -> np.ndarray:
    """Symmetric, and no direction without variance."""
    values, vectors = np.linalg.eigh((covariance + covariance.T) / 2)
    least = LEAST_SHARE * max(values.clip(0).mean(), 1e-12)
    made = (vectors * np.maximum(values, least)) @ vectors.T
    return np.asarray((made + made.T) / 2)


@lru_cache(maxsize=1)
def universal_covariance() -> tuple[dict[str, int], np.ndarray]:
    """Covariance of the detail of Sentinel-2's bands over many landscapes.

    Returns:
        Number of each band by name, and (12, 12) float64. Made by ``universal_covariance.py`` in
        the folder of measurements from procedural scenes.
    """
    file = resources.files("trifuse.restore") / "universal_covariance.json"
    about: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {n: i for i, n in enumerate(about["bands"])}, np.array(about["covariance"])


def _moments(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float((p * q).sum(axis=1).mean()) for p, q in ((a, a), (a, b), (b, b))]


@lru_cache(maxsize=16)
def _smoothing(n: int, sigma: float) -> np.ndarray:
    return np.asarray(blur_matrix(n, sigma).toarray())


@lru_cache(maxsize=32)
def _degradation(n: int, ratio: int, sigma: float) -> np.ndarray:
    return np.asarray(degrade_matrix(n, ratio, sigma).toarray())
