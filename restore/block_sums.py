"""Second-order sums over blocks of a scene, from which its statistics are made."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import dctn

from trifuse.restore.band_covariance import LevelSums, centred
from trifuse.restore.sharpness import LEAST_NOISE, Sharpness

BINS = 40
"""Of spatial frequency, in equal steps of its logarithm."""

BIN_EDGES = np.geomspace(1 / 512, 0.7072, BINS + 1)
"""Cycles per pixel; the highest is the corner of the frequency square."""

LEAST_POWER = 0.05
"""Least spectral density, in that of the noise."""


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
