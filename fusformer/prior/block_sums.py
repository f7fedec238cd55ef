"""Second-order sums over blocks of a scene, from which its statistics are made."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import binary_dilation

from trifuse.fusformer.prior.band_covariance import LevelSums, centred
from trifuse.fusformer.prior.sharpness import LEAST_NOISE, Sharpness
from trifuse.fusformer.prior.spectrum import interpolation, samples

BINS = 40
"""Of spatial frequency, in equal steps of its logarithm."""

BIN_EDGES = np.geomspace(1 / 512, 0.7072, BINS + 1)
"""Cycles per pixel; the highest is the corner of the frequency square."""

LOW, HIGH = (0.03, 0.07), (0.15, 0.22)
"""Cycles per pixel between which the power of blurred bands falls much more than of sharp ones."""

LEAST_POWER = 0.05
"""Least spectral density, in that of the noise."""


NOISE_FROM = 0.45
"""Cycles per sample above which there is least detail to be taken for noise."""

NOISE_BANDS, NOISE_COEFFICIENTS = 3, 200
"""Bands of one ratio, and coefficients of a block, that a limit of their noise takes at least."""


class BlockSums:
    """What is summed up block by block.

    Args:
        sharpness: of the bands.

    Attributes:
        blocks: taken so far.
        levels: what goes together at each sampling, from the finest to the coarsest.
        sharpest: numbers of the sharpest bands.
    """

    def __init__(self, sharpness: Sharpness) -> None:
        self._s, count = sharpness, len(sharpness)
        self._finest = min(sharpness.ratio)
        self._noise = np.maximum(sharpness.noise, LEAST_NOISE)
        self.sharpest = [i for i, r in enumerate(sharpness.ratio) if r == self._finest]
        self.blocks = 0
        self.levels = [LevelSums(sharpness, i) for i in range(len(sharpness.ratios))]
        self._total, self._pixels = np.zeros(count), np.zeros(count)
        self._binned = np.zeros((2, BINS))
        self._bands_of_power = np.zeros((count, 2, 2))
        # Moments of what is outside the range of the interpolation: the sharpest bands', then it.
        size = len(self.sharpest) + 1
        self._outside = np.zeros((count, size, size))
        self._freedom = np.zeros(count)
        self._limits: dict[int, list[float]] = {r: [] for r in sharpness.ratios}

    def add(self, data: np.ndarray) -> None:
        """Take a block: (l, y, x), whole periods; NaN where missing."""
        missing = np.isnan(data)
        self.blocks += 1
        self._total += np.where(missing, 0, data).sum(axis=(1, 2), dtype=np.float64)
        self._pixels += (~missing).sum(axis=(1, 2))
        values, hole = centred(data)
        self._add_power(values)
        for level in self.levels:
            level.add(values, hole)
        self._add_outside(values, hole)
        self._add_noise_limit(values, hole)

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

    def ratio_of_powers(self) -> np.ndarray:
        """(l,) power at LOW over power at HIGH, relative to the sharpest bands' median."""
        sums, counts = self._bands_of_power[..., 0], self._bands_of_power[..., 1]
        low, high = (sums / np.maximum(counts, 1)).T
        ratio = low / np.maximum(high, 1e-30)
        return np.asarray(ratio / np.median(ratio[self.sharpest]))

    def outside(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviation outside the range, and the share that sharp bands explain: (l,) each.

        NaN for bands of ratio 1, and where no pixel was fit to tell.
        """
        deviation, explained = np.full((2, len(self._s)), np.nan)
        for i, moments in enumerate(self._outside):
            if self._s.ratio[i] == 1 or self._freedom[i] < 1:
                continue
            own, sharp, cross = moments[-1, -1], moments[:-1, :-1], moments[:-1, -1]
            deviation[i] = np.sqrt(own / self._freedom[i])
            if own > 0 and self._finest == 1:
                ridge = 1e-9 * np.trace(sharp) * np.eye(len(sharp)) + 1e-30 * np.eye(len(sharp))
                explained[i] = cross @ np.linalg.solve(sharp + ridge, cross) / own
        return deviation, explained

    def noise_limit(self) -> np.ndarray:
        """(l,) standard deviation that the noise of the samples cannot exceed; NaN if unknown.

        Where detail goes together in all bands of a ratio, noise alone is left in the direction
        in which they vary least. The middle of the blocks' limits counts.
        """
        limit = {r: float(np.median(v)) if v else np.nan for r, v in self._limits.items()}
        return np.array([limit[r] for r in self._s.ratio])

    def _add_noise_limit(self, data: np.ndarray, hole: np.ndarray) -> None:
        s, there = self._s, 1 - float(hole.mean())
        for ratio in s.ratios:
            numbers = [i for i, r in enumerate(s.ratio) if r == ratio]
            y, x = (samples(n, ratio, s.upsampling) for n in hole.shape)
            f_y, f_x = (np.arange(n // ratio) * ratio / (2 * n) for n in hole.shape)
            high = np.hypot(f_y[:, None], f_x[None, :]) > NOISE_FROM
            count, bands = int(high.sum()), len(numbers)
            if bands < NOISE_BANDS or count < NOISE_COEFFICIENTS:
                continue
            seen = [data[i] if ratio == 1 else y @ data[i] @ x.T for i in numbers]
            found = np.stack([dctn(plane, norm="ortho")[high] for plane in seen])
            least = max(float(np.linalg.eigvalsh(found @ found.T / count)[0]), 0.0)
            # The least eigenvalue of so few coefficients is too small by this much (Marchenko and
            # Pastur 1967), and what was bridged has no noise.
            least /= (1 - np.sqrt(bands / count)) ** 2 * there
            self._limits[ratio].append(float(np.sqrt(least)))

    def _add_power(self, data: np.ndarray) -> None:
        f, which, parts = _bins((data.shape[1], data.shape[2]), 0.45 / self._finest)
        for i, plane in enumerate(data):
            power = dctn(plane, norm="ortho").ravel() ** 2
            for k, part in enumerate(parts):
                self._bands_of_power[i, k] += power[part].sum(), len(part)
            if i in self.sharpest:
                # Of interpolated bands the power below their own Nyquist, sharpened; samples of
                # r² pixels each have r² times the density of noise.
                net = power - (self._noise[i] * self._finest) ** 2
                net = net / np.exp(-((2 * np.pi * f * self._s.sigma(i)) ** 2))
                self._binned[0] += np.bincount(which, net, BINS + 1)[:BINS]
                self._binned[1] += np.bincount(which, minlength=BINS + 1)[:BINS]

    def _add_outside(self, data: np.ndarray, hole: np.ndarray) -> None:
        s = self._s
        for ratio in (r for r in s.ratios if r > 1):
            numbers = [i for i, r in enumerate(s.ratio) if r == ratio]
            keep = _clear(hole, 4 * ratio)
            if not keep.any():
                continue
            up_y, up_x = (interpolation(n, ratio, s.upsampling) for n in hole.shape)
            to_y, to_x = (samples(n, ratio, s.upsampling) for n in hole.shape)
            known = self.sharpest if self._finest == 1 else []
            left = {
                i: (data[i] - up_y @ (to_y @ data[i] @ to_x.T) @ up_x.T)[keep]
                for i in (*known, *numbers)
            }
            for i in numbers:
                rows = np.stack([*(left[j] for j in known), left[i]])
                at = np.r_[: len(known), -1]
                self._outside[i][np.ix_(at, at)] += rows @ rows.T
                self._freedom[i] += keep.sum() * (1 - 1 / ratio**2)


def _clear(hole: np.ndarray, reach: int) -> np.ndarray:
    """Pixels far from holes, and from borders beyond which the samples are unknown: (y, x) bool."""
    keep = ~binary_dilation(hole, np.ones((3, 3)), iterations=reach) if hole.any() else ~hole
    for view in (keep, keep.T):
        border = min(reach, len(view) // 4)
        view[:border] = False
        view[len(view) - border :] = False
    return np.asarray(keep)


@lru_cache(maxsize=8)
def _bins(
    shape: tuple[int, int], highest: float
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Frequency of each coefficient of a block, its bin (BINS: none), those at LOW and at HIGH."""
    f_y, f_x = (np.arange(n) / (2 * n) for n in shape)
    f = np.hypot(f_y[:, None], f_x[None, :]).ravel()
    which = np.digitize(f, BIN_EDGES) - 1
    highest = 1.0 if highest > 0.4 else highest
    which[(f < BIN_EDGES[0]) | (f >= highest) | (which >= BINS)] = BINS
    low, high = (np.flatnonzero((f >= a) & (f < b)) for a, b in (LOW, HIGH))
    return f, which, (low, high)
