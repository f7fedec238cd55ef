"""What the restoration must know of a scene: means, power by frequency, covariance of the bands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.core import CubeSource
from trifuse.restore.band_covariance import band_covariance
from trifuse.restore.block_sums import BIN_EDGES, BlockSums
from trifuse.restore.pixel_evidence import pixel_evidence
from trifuse.restore.scene_blocks import sample_blocks
from trifuse.restore.sharpness import Sharpness, pixel_noise


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
