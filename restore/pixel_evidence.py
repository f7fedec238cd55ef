"""What the pixels themselves tell of how they came to be, whatever is told of blur and noise.

One look at the scene, before anything is learnt of its contents: it takes the native sampling of
each band for granted, and no more. Blocks of the scene stand for all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.fft import dctn
from scipy.ndimage import binary_dilation

from trifuse.core import CubeSource, DataError, Window, fill_nearest
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.spectrum import interpolation, samples

BLOCK, MOST_BLOCKS = 240, 36
"""Pixels of a block, and blocks that are looked at, spread evenly over the scene."""

MAX_MISSING = 0.25
"""Blocks that lack more of their pixels are left out, as long as there are others."""

MTF_BLOCKS = 4
"""Blocks that the modulation transfer is looked for in, at most."""

LOW, HIGH = (0.03, 0.07), (0.15, 0.22)
"""Cycles per pixel between which the power of blurred bands falls much more than of sharp ones."""

NOISE_FROM = 0.45
"""Cycles per sample above which there is least detail to be taken for noise."""

WHITE_FROM = 0.55
"""Cycles per pixel above which bands of 20 m or more hold no detail."""

NOISE_BANDS, NOISE_COEFFICIENTS = 3, 200
"""Bands of one ratio, and coefficients of a block, that a limit of their noise takes at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is found in the pixels of each band.

    Attributes:
        outside: (l,) standard deviation of what is outside the range of the interpolation; NaN
            for bands of ratio 1, and where no pixel was fit to tell.
        detail: (l,) share (0–1) of it that the sharp bands' detail explains; NaN likewise.
        ratio_of_powers: (l,) power at LOW over power at HIGH, relative to the sharpest bands'.
        noise_limit: (l,) standard deviation that the noise of a band's native samples cannot
            exceed; NaN where too few bands of a kind are there to tell.
    """

    outside: np.ndarray
    detail: np.ndarray
    ratio_of_powers: np.ndarray
    noise_limit: np.ndarray


def pixel_evidence(source: CubeSource, sharpness: Sharpness) -> Evidence:
    """Look at blocks spread evenly over a scene; memory is flat.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands; only ratio, upsampling and origin count.

    Raises:
        DataError: if the image holds no native pixel of the coarsest bands, or no valid one.
    """
    sums = _EvidenceSums(sharpness)
    for block in sample_blocks(source, sharpness):
        sums.add(block)
    outside, detail = sums.outside()
    return Evidence(outside, detail, sums.ratio_of_powers(), sums.noise_limit())


class _EvidenceSums:
    def __init__(self, sharpness: Sharpness) -> None:
        self._s, count = sharpness, len(sharpness)
        finest = sharpness.ratios[0]
        self._sharpest = [i for i, r in enumerate(sharpness.ratio) if r == finest]
        # Sharp bands, if there are any, may explain what is outside the range of others.
        self._known = self._sharpest if finest == 1 else []
        size = len(self._known) + 1
        self._powers = np.zeros((count, 2, 2))
        # Moments of what is outside the range of the interpolation: the sharp bands', then it.
        self._outside = np.zeros((count, size, size))
        self._freedom = np.zeros(count)
        self._limits: dict[int, list[float]] = {r: [] for r in sharpness.ratios}

    def add(self, data: np.ndarray) -> None:
        """Take a block: (l, y, x), whole periods; NaN where missing."""
        values, hole = centred(data)
        self._add_powers(values)
        self._add_outside(values, hole)
        self._add_noise_limit(values, hole)

    def ratio_of_powers(self) -> np.ndarray:
        """(l,), relative to the sharpest bands' median."""
        sums, counts = self._powers[..., 0], self._powers[..., 1]
        low, high = (sums / np.maximum(counts, 1)).T
        ratio = low / np.maximum(high, 1e-30)
        return np.asarray(ratio / np.median(ratio[self._sharpest]))

    def outside(self) -> tuple[np.ndarray, np.ndarray]:
        """Standard deviation outside the range, and the share that sharp bands explain."""
        deviation, explained = np.full((2, len(self._s)), np.nan)
        for i, moments in enumerate(self._outside):
            if self._s.ratio[i] == 1 or self._freedom[i] < 1:
                continue
            own, sharp, cross = moments[-1, -1], moments[:-1, :-1], moments[:-1, -1]
            deviation[i] = np.sqrt(own / self._freedom[i])
            if own > 0 and self._known:
                ridge = 1e-9 * np.trace(sharp) * np.eye(len(sharp)) + 1e-30 * np.eye(len(sharp))
                explained[i] = cross @ np.linalg.solve(sharp + ridge, cross) / own
        return deviation, explained

    def noise_limit(self) -> np.ndarray:
        """(l,) the middle of the blocks' limits.

        Where detail goes together in all bands of a ratio, noise alone is left in the direction
        in which they vary least.
        """
        limit = {r: float(np.median(v)) if v else np.nan for r, v in self._limits.items()}
        return np.array([limit[r] for r in self._s.ratio])

    def _add_powers(self, data: np.ndarray) -> None:
        parts = _parts((data.shape[1], data.shape[2]))
        for i, plane in enumerate(data):
            power = dctn(plane, norm="ortho").ravel() ** 2
            for k, part in enumerate(parts):
                self._powers[i, k] += power[part].sum(), len(part)

    def _add_outside(self, data: np.ndarray, hole: np.ndarray) -> None:
        s = self._s
        if s.laid != "lattice":
            self._add_white(data, hole)
            return
        for ratio in (r for r in s.ratios if r > 1):
            numbers = [i for i, r in enumerate(s.ratio) if r == ratio]
            keep = _clear(hole, 4 * ratio)
            if not keep.any():
                continue
            up_y, up_x = (interpolation(n, ratio, s.kernel(ratio)) for n in hole.shape)
            to_y, to_x = (samples(n, ratio, s.kernel(ratio)) for n in hole.shape)
            left = {
                i: (data[i] - up_y @ (to_y @ data[i] @ to_x.T) @ up_x.T)[keep]
                for i in (*self._known, *numbers)
            }
            for i in numbers:
                rows = np.stack([*(left[j] for j in self._known), left[i]])
                at = np.r_[: len(self._known), -1]
                self._outside[i][np.ix_(at, at)] += rows @ rows.T
                self._freedom[i] += keep.sum() * (1 - 1 / ratio**2)

    def _add_white(self, data: np.ndarray, hole: np.ndarray) -> None:
        """Bands that are but blurred hold noise alone at the highest frequencies."""
        f_y, f_x = (np.arange(n) / (2 * n) for n in hole.shape)
        high = np.hypot(f_y[:, None], f_x[None, :]) > WHITE_FROM
        there = 1 - float(hole.mean())
        for i in (i for i, r in enumerate(self._s.ratio) if r > 1):
            self._outside[i, -1, -1] += float((dctn(data[i], norm="ortho")[high] ** 2).sum())
            self._freedom[i] += there * int(high.sum())

    def _add_noise_limit(self, data: np.ndarray, hole: np.ndarray) -> None:
        s, there = self._s, 1 - float(hole.mean())
        for ratio in s.ratios if s.laid == "lattice" else ():
            numbers = [i for i, r in enumerate(s.ratio) if r == ratio]
            y, x = (samples(n, ratio, s.kernel(ratio)) for n in hole.shape)
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


def _clear(hole: np.ndarray, reach: int) -> np.ndarray:
    """Pixels far from holes, and from borders beyond which the samples are unknown: (y, x) bool."""
    keep = ~binary_dilation(hole, np.ones((3, 3)), iterations=reach) if hole.any() else ~hole
    for view in (keep, keep.T):
        border = min(reach, len(view) // 4)
        view[:border] = False
        view[len(view) - border :] = False
    return np.asarray(keep)


@lru_cache(maxsize=8)
def _parts(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients of a block at LOW, and at HIGH."""
    f_y, f_x = (np.arange(n) / (2 * n) for n in shape)
    f = np.hypot(f_y[:, None], f_x[None, :]).ravel()
    low, high = (np.flatnonzero((f >= a) & (f < b)) for a, b in (LOW, HIGH))
    return low, high


def sample_blocks(source: CubeSource, sharpness: Sharpness) -> Iterator[np.ndarray]:
    """Blocks spread evenly over a scene, one at a time: (l, y, x) float32, NaN where missing.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands; blocks are whole periods of it.

    Raises:
        DataError: if the image holds no native pixel of the coarsest bands, or no valid one.
    """
    if len(sharpness) != len(source.bands):
        raise DataError(
            f"sharpness of {len(sharpness)} bands for {len(source.bands)}", where=source.name
        )
    if min(source.grid.shape) < 4 * sharpness.period:
        raise DataError(
            f"{source.grid.height}×{source.grid.width} pixels are too few to learn from where "
            f"native pixels have {sharpness.period}",
            where=source.name,
            fix="give a larger image",
        )
    spoilt: list[tuple[float, Window]] = []
    given = 0
    for window in sample_windows(source.grid.shape, sharpness.period, sharpness.origin):
        data = source.read(window).masked()
        share = float(np.isnan(data).any(axis=0).mean())
        if share > MAX_MISSING:
            spoilt.append((share, window))
            continue
        given += 1
        yield data
    if not given:
        # All are holed: the least holed quarter has to do.
        spoilt.sort(key=lambda s: s[0])
        for share, window in spoilt[: max(1, len(spoilt) // 4)]:
            if share < 1:
                given += 1
                yield source.read(window).masked()
    if not given:
        raise DataError("no pixel is valid in all bands", where=source.name)


def sample_windows(
    shape: tuple[int, int], period: int, origin: tuple[int, int] = (0, 0)
) -> list[Window]:
    """At most MOST_BLOCKS windows of BLOCK pixels, spread evenly, on multiples of the period."""
    spans = []
    for total, at in zip(shape, origin, strict=True):
        first = at % period
        n = total - first
        size = min(BLOCK - BLOCK % period, n - n % period)
        count = -(-n // size)
        last = n - n % period - size
        starts = [
            first + round(last / period * i / max(count - 1, 1)) * period for i in range(count)
        ]
        spans.append([(s, size) for s in starts])
    all_ = [Window(r, c, h, w) for r, h in spans[0] for c, w in spans[1]]
    if len(all_) <= MOST_BLOCKS:
        return all_
    chosen = np.linspace(0, len(all_) - 1, MOST_BLOCKS).round().astype(int)
    return [all_[i] for i in chosen]


def search_blocks(source: CubeSource, sharpness: Sharpness) -> list[np.ndarray]:
    """Blocks to find the modulation transfer in, spread evenly; with holes if there are no others.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands; blocks are whole periods of it.
    """
    windows = sample_windows(source.grid.shape, sharpness.period, sharpness.origin)
    chosen = [windows[i] for i in np.linspace(0, len(windows) - 1, MTF_BLOCKS).round().astype(int)]
    blocks = [source.read(w).masked() for w in dict.fromkeys(chosen)]
    whole = [b for b in blocks if np.isfinite(b).all()]
    return whole or [b for b in blocks if np.isfinite(b).all(axis=0).any()]


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
