"""What the restoration must know of a scene: means, power by frequency, covariance of the bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.core import CubeSource, DataError, Window
from trifuse.fusformer.prior.band_covariance import band_covariance
from trifuse.fusformer.prior.block_sums import BIN_EDGES, BlockSums
from trifuse.fusformer.prior.sharpness import Sharpness, pixel_noise

BLOCK, MOST_BLOCKS = 240, 36
"""Pixels of a block, and blocks that are looked at, spread evenly over the scene."""

MAX_MISSING = 0.25
"""Blocks that lack more of their pixels are left out, as long as there are others."""


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
        detail: (l,) share (0–1) of it that the sharp bands' detail explains; NaN likewise.
        ratio_of_powers: (l,) power at 0.03–0.07 over that at 0.15–0.22 cycles per pixel, relative
            to the sharpest bands'.
        cells: native pixels of the coarsest bands behind the covariance.
        noise_limit: (l,) standard deviation that the noise of a band's native samples cannot
            exceed; NaN where too few bands of a kind are there to tell; None: not looked for.
    """

    mean: np.ndarray
    power: np.ndarray
    covariance: np.ndarray
    outside: np.ndarray
    detail: np.ndarray
    ratio_of_powers: np.ndarray
    cells: int
    noise_limit: np.ndarray | None = None

    def density(self, frequency: np.ndarray) -> np.ndarray:
        """Spectral density at frequencies in cycles per pixel."""
        edges = np.log(BIN_EDGES)
        at = np.log(np.maximum(frequency, BIN_EDGES[0]))
        return np.asarray(np.exp(np.interp(at, (edges[1:] + edges[:-1]) / 2, np.log(self.power))))

    def select(self, numbers: Sequence[int]) -> Statistics:
        """Those of some of the bands; the normalisation stays that of all."""
        n = list(numbers)
        limit = None if self.noise_limit is None else self.noise_limit[n]
        return Statistics(
            self.mean[n], self.power, self.covariance[np.ix_(n, n)], self.outside[n],
            self.detail[n], self.ratio_of_powers[n], self.cells, limit,
        )  # fmt: skip


def scene_statistics(source: CubeSource, sharpness: Sharpness) -> Statistics:
    """Statistics of a scene, from blocks spread evenly over it: of the scene alone, memory flat.

    The covariance is :func:`trifuse.fusformer.prior.band_covariance.band_covariance`.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands.

    Returns:
        The statistics, bands in the source's order.

    Raises:
        DataError: if the image holds no native pixel of the coarsest bands, or no valid one.
    """
    if len(sharpness) != len(source.bands):
        raise DataError(f"sharpness of {len(sharpness)} bands for {len(source.bands)}",
                        where=source.name)  # fmt: skip
    if min(source.grid.shape) < 4 * sharpness.period:
        raise DataError(
            f"{source.grid.height}×{source.grid.width} pixels are too few to learn from where "
            f"native pixels have {sharpness.period}", where=source.name,
            fix="give a larger image",
        )  # fmt: skip
    windows = sample_windows(source.grid.shape, sharpness.period, sharpness.origin)
    spoilt: list[tuple[float, Window]] = []
    sums = BlockSums(sharpness)
    for window in windows:
        data = source.read(window).masked()
        share = float(np.isnan(data).any(axis=0).mean())
        if share > MAX_MISSING:
            spoilt.append((share, window))
        else:
            sums.add(data)
    if not sums.blocks:
        # All are holed: the least holed quarter has to do.
        spoilt.sort(key=lambda s: s[0])
        for share, window in spoilt[: max(1, len(spoilt) // 4)]:
            if share < 1:
                sums.add(source.read(window).masked())
    if not sums.blocks:
        raise DataError("no pixel is valid in all bands", where=source.name)
    outside, explained = sums.outside()
    on_pixels, on_samples = (v**2 for v in pixel_noise(sharpness, outside))
    covariance = band_covariance(sums.levels, on_pixels, on_samples, source.bands.names)
    return Statistics(
        sums.mean(), sums.power(), covariance, outside, explained, sums.ratio_of_powers(),
        sums.levels[-1].cells, sums.noise_limit(),
    )  # fmt: skip


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
