"""What the restoration must know of a scene: means, power by frequency, covariance of the bands.

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
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import binary_dilation

from trifuse.core import CubeSource, canonical_name
from trifuse.core.resample import blur_matrix, degrade_matrix
from trifuse.restore.pixel_evidence import centred, pixel_evidence, sample_blocks
from trifuse.restore.sharpness import LEAST_NOISE, Sharpness, pixel_noise
from trifuse.restore.spectrum import interpolation, samples

BINS = 40
"""Of spatial frequency, in equal steps of its logarithm."""

BIN_EDGES = np.geomspace(1 / 512, 0.7072, BINS + 1)
"""Cycles per pixel; the highest is the corner of the frequency square."""

LEAST_POWER = 0.05
"""Least spectral density, in that of the noise."""

SMOOTH = 2.0, 1.5, 1.0
"""Detail is what a Gaussian of so many cells takes away: of the sharpest level, the next, and all
further ones. Wider at finer levels, where less of the detail is noise."""

TRUST = 100.0
"""Cells that the universal covariance counts for."""

LEAST_SHARE = 1e-4
"""Least eigenvalue of a covariance, of the mean variance of its bands."""


@dataclass(frozen=True, slots=True, eq=False)
class Statistics:
    """Second-order statistics of a scene's sharp bands.

    Attributes:
        mean: (l,) of each band.
        power: (bins,) spectral density of the sharp bands by frequency, mean over them: of an
            orthonormal cosine transform, so its mean over frequencies is the variance of a pixel.
        covariance: (l, l) of the bands' detail, mean 1 on the diagonal of the sharpest bands.
        outside: (l,) standard deviation of what is outside the range of the interpolation; NaN
            for bands of ratio 1.
        cells: native pixels of the coarsest bands behind the covariance.
        doubt: (l,) standard deviation of what the sampling that is taken says wrongly of each
            band; None for nothing.
    """

    mean: np.ndarray
    power: np.ndarray
    covariance: np.ndarray
    outside: np.ndarray
    cells: int
    doubt: np.ndarray | None = None

    def density(self, frequency: np.ndarray) -> np.ndarray:
        """Spectral density at frequencies in cycles per pixel."""
        edges = np.log(BIN_EDGES)
        at = np.log(np.maximum(frequency, BIN_EDGES[0]))
        return np.asarray(np.exp(np.interp(at, (edges[1:] + edges[:-1]) / 2, np.log(self.power))))

    def select(self, numbers: Sequence[int]) -> Statistics:
        """Those of some of the bands; the normalisation stays that of all."""
        n = list(numbers)
        doubt = None if self.doubt is None else self.doubt[n]
        covariance = self.covariance[np.ix_(n, n)]
        return Statistics(self.mean[n], self.power, covariance, self.outside[n], self.cells, doubt)


def scene_statistics(
    source: CubeSource, sharpness: Sharpness, outside: np.ndarray | None = None
) -> Statistics:
    """Statistics of a scene, from blocks spread evenly over it: of the scene alone, memory flat.

    The covariance is :func:`band_covariance`.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands.
        outside: (l,) as :class:`Statistics` has it, if it is known; else it is looked for.

    Returns:
        The statistics, bands in the source's order.

    Raises:
        DataError: if the image holds no native pixel of the coarsest bands, or no valid one.
    """
    if outside is None:
        outside = pixel_evidence(source, sharpness).outside
    sums = BlockSums(sharpness)
    for block in sample_blocks(source, sharpness):
        sums.add(block)
    on_pixels, on_samples = (v**2 for v in pixel_noise(sharpness, outside))
    covariance = band_covariance(sums.levels, on_pixels, on_samples, source.bands.names)
    return Statistics(sums.mean(), sums.power(), covariance, outside, sums.levels[-1].cells)


class BlockSums:
    """What is summed up block by block.

    Args:
        sharpness: of the bands.

    Attributes:
        levels: what goes together at each sampling, from the finest to the coarsest.
        sharpest: numbers of the sharpest bands.
    """

    def __init__(self, sharpness: Sharpness) -> None:
        self._s, count = sharpness, len(sharpness)
        self._finest = min(sharpness.ratio)
        self._noise = np.maximum(sharpness.noise, LEAST_NOISE)
        self.sharpest = [i for i, r in enumerate(sharpness.ratio) if r == self._finest]
        self.levels = [LevelSums(sharpness, i) for i in range(len(sharpness.ratios))]
        self._total, self._pixels = np.zeros(count), np.zeros(count)
        self._binned = np.zeros((2, BINS))

    def add(self, data: np.ndarray) -> None:
        """Take a block: (l, y, x), whole periods; NaN where missing."""
        missing = np.isnan(data)
        self._total += np.where(missing, 0, data).sum(axis=(1, 2), dtype=np.float64)
        self._pixels += (~missing).sum(axis=(1, 2))
        values, hole = centred(data)
        self._add_power(values)
        for level in self.levels:
            level.add(values, hole)

    def mean(self) -> np.ndarray:
        """(l,) mean of each band."""
        return np.asarray(self._total / self._pixels)

    def power(self) -> np.ndarray:
        """(BINS,) spectral density of the sharpest bands without noise, above zero."""
        total, count = self._binned
        least = LEAST_POWER * float(np.mean(self._noise[self.sharpest] ** 2))
        centres = np.log(BIN_EDGES[1:] * BIN_EDGES[:-1]) / 2
        known = count > 0
        value = np.log(np.maximum(total[known] / count[known], least))
        at = centres[known]
        filled = np.interp(centres, at, value)
        # Beyond what interpolated bands show, the power goes on falling as it did before.
        beyond = centres > at[-1]
        if self._finest > 1 and beyond.any():
            tail = slice(max(0, len(at) - 12), None)
            slope = min(float(np.polyfit(at[tail], value[tail], 1)[0]), -2.0)
            filled[beyond] = value[-1] + slope * (centres[beyond] - at[-1])
        return np.asarray(np.maximum(np.exp(filled), least))

    def _add_power(self, data: np.ndarray) -> None:
        f, which = _bins((data.shape[1], data.shape[2]), 0.45 / self._finest)
        for i in self.sharpest:
            # Of interpolated bands the power below their own Nyquist, sharpened; samples of
            # r² pixels each have r² times the density of noise.
            power = dctn(data[i], norm="ortho").ravel() ** 2
            net = power - (self._noise[i] * self._finest) ** 2
            net = net / np.exp(-((2 * np.pi * f * self._s.sigma(i)) ** 2))
            self._binned[0] += np.bincount(which, net, BINS + 1)[:BINS]
            self._binned[1] += np.bincount(which, minlength=BINS + 1)[:BINS]


@lru_cache(maxsize=8)
def _bins(shape: tuple[int, int], highest: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequency of each coefficient of a block, and its bin (BINS: none)."""
    f_y, f_x = (np.arange(n) / (2 * n) for n in shape)
    f = np.hypot(f_y[:, None], f_x[None, :]).ravel()
    which = np.digitize(f, BIN_EDGES) - 1
    highest = 1.0 if highest > 0.4 else highest
    which[(f < BIN_EDGES[0]) | (f >= highest) | (which >= BINS)] = BINS
    return f, which


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
            if self.ratio == 1:
                return None
            if s.laid != "lattice":
                return _degradation(n, self.ratio, 0.0)
            return samples(n, self.ratio, s.kernel(self.ratio))
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
            native = pixels
            if ratio > 1 and self._s.laid != "blurred":
                native = pixels @ interpolation(n, ratio, self._s.kernel(ratio))
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
