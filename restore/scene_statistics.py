"""What the restoration must know of a scene.

Means, power by spatial frequency and the covariance of the bands are those of the whole scene.
How bands go together differs from place to place, so there are also kinds of ground: pixels that
learn their statistics from each other, not from others. A window around a pixel at the edge of a
lake holds land; so pixels are sorted softly into a few kinds by their spectra, and averages are
taken over the window for each kind alone.

Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489 (k-means); Tomasi and Manduchi 1998,
doi:10.1109/ICCV.1998.710815 (averages over pixels that are alike).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from scipy.fft import dctn
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from torch import Tensor

from trifuse.core import CubeSource, fill_nearest
from trifuse.restore.band_covariance import LevelSums, band_covariance, centred
from trifuse.restore.pixel_evidence import pixel_evidence, sample_blocks, sample_windows
from trifuse.restore.sharpness import LEAST_NOISE, Sharpness, pixel_noise

BINS = 40
"""Of spatial frequency, in equal steps of its logarithm."""

BIN_EDGES = np.geomspace(1 / 512, 0.7072, BINS + 1)
"""Cycles per pixel; the highest is the corner of the frequency square."""

LEAST_POWER = 0.05
"""Least spectral density, in that of the noise."""

KINDS = 6
"""Kinds of ground."""

SOFTNESS = 0.15
"""Squared distance at which a kind's share falls by e: of the bands' deviations, mean over them."""

SMOOTH = 1.0
"""Standard deviation in pixels of the Gaussian that spectra are taken after."""

KIND_PIXELS = 20_000
"""Pixels that kinds are learnt from, about."""

KIND_STEPS = 20
"""Of k-means."""


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
    """

    mean: np.ndarray
    power: np.ndarray
    covariance: np.ndarray
    outside: np.ndarray
    cells: int

    def density(self, frequency: np.ndarray) -> np.ndarray:
        """Spectral density at frequencies in cycles per pixel."""
        edges = np.log(BIN_EDGES)
        at = np.log(np.maximum(frequency, BIN_EDGES[0]))
        return np.asarray(np.exp(np.interp(at, (edges[1:] + edges[:-1]) / 2, np.log(self.power))))

    def select(self, numbers: Sequence[int]) -> Statistics:
        """Those of some of the bands; the normalisation stays that of all."""
        n = list(numbers)
        return Statistics(
            self.mean[n], self.power, self.covariance[np.ix_(n, n)], self.outside[n], self.cells
        )


def scene_statistics(
    source: CubeSource, sharpness: Sharpness, outside: np.ndarray | None = None
) -> Statistics:
    """Statistics of a scene, from blocks spread evenly over it: of the scene alone, memory flat.

    The covariance is :func:`trifuse.restore.band_covariance.band_covariance`.

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


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Where the kinds of ground of a scene lie among spectra.

    Attributes:
        centres: (k, l) mean spectra, reflectance.
        deviation: (l,) standard deviation of the scene's bands.
    """

    centres: np.ndarray
    deviation: np.ndarray

    def shares(self, image: Tensor) -> Tensor:
        """How much each pixel is of each kind: (l, y, x) → (k, y, x), sums to one over kinds."""
        scale = torch.as_tensor(self.deviation, dtype=image.dtype, device=image.device)
        centres = torch.as_tensor(self.centres, dtype=image.dtype, device=image.device)
        spectra = (image / scale[:, None, None]).flatten(1).T
        apart = torch.cdist(spectra, centres / scale) ** 2 / len(scale)
        shares = torch.softmax(-apart / SOFTNESS, dim=1)
        return shares.T.reshape(len(centres), *image.shape[1:])


def ground_kinds(source: CubeSource, sharpness: Sharpness) -> Kinds:
    """Kinds of a scene, from windows spread evenly over it: of the scene alone.

    Args:
        source: the image, as it is.
        sharpness: of its bands.
    """
    windows = sample_windows(source.grid.shape, sharpness.period, sharpness.origin)
    total = sum(w.height * w.width for w in windows)
    step = max(1, round((total / KIND_PIXELS) ** 0.5))
    spectra = []
    for window in windows:
        data = source.read(window).masked()
        there = np.isfinite(data).all(axis=0)
        if not there.any():
            continue
        filled = fill_nearest(data)
        smooth = np.stack([gaussian_filter(plane, SMOOTH, mode="reflect") for plane in filled])
        spectra.append(smooth[:, ::step, ::step][:, there[::step, ::step]].T)
    found = np.concatenate(spectra) if spectra else np.zeros((0, len(source.bands)))
    if len(found) < KINDS:
        return Kinds(np.zeros((1, len(source.bands))), np.ones(len(source.bands)))
    found = found.astype(np.float64)
    deviation = np.maximum(found.std(axis=0), 1e-6)
    scaled = found / deviation
    # From pixels at even steps along the direction that they differ most in: no chance in it.
    centred = scaled - scaled.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    places = ((np.arange(KINDS) + 0.5) / KINDS * len(scaled)).astype(int)
    centres = scaled[np.argsort(along, kind="stable")[places]]
    for _ in range(KIND_STEPS):
        nearest = cdist(scaled, centres).argmin(axis=1)
        for k in range(KINDS):
            own = nearest == k
            if own.any():
                centres[k] = scaled[own].mean(axis=0)
    return Kinds(centres * deviation, deviation)


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
