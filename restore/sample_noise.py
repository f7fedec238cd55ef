"""What the samples of a band hold beside the band itself, by frequency.

On a lattice of whole pixels that is noise, and what of the noise of the pixels is left in the
samples. Where the lattice lies on no whole pixels and its place changes over the image, frequencies
that fell together by sampling cannot be told apart. Averaged over all places of the lattice what
was folded is noise of a known density, shaped by the kernel that brought the samples onto the
pixels.

Source: Hunt and Kübler 1984, doi:10.1109/TASSP.1984.1164414, for the noise; Papoulis and Pillai
2002, Probability, Random Variables and Stochastic Processes, section 10.4 (a periodic process of
random phase is stationary).
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np

from trifuse.core.kernels import kernel_of
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness, pixel_noise
from trifuse.restore.spectrum import frequencies, noise_gain

FOLDS = 2
"""Multiples of the sampling frequency to either side that fold; blurred bands hold less beyond."""

KERNEL_BLUR = 0.3
"""Standard deviation in samples by which interpolation widens the blur of sampling, about."""

FOLDED_BLUR, FOLDED_TIMES, LEAST_WHITE = 0.2, 2.0, 0.5
"""Blur in samples that what folds is taken to have had, by how much more it counts than it should,
and the least noise of the pixels, in that told. All three stand for
what no Gaussian says of such bands. Chosen on Jasper Ridge, Berlin and two procedural scenes, among
0 to 0.3, 1 and 2, 0.1 to 1; there fusions are at most 0.5 dB behind those that are told all."""

_KERNEL = "cubic"


def sample_noise(
    sharpness: Sharpness,
    statistics: Statistics,
    shape: tuple[int, int],
    chain: tuple[int, ...],
    ratio: int,
) -> np.ndarray:
    """Variance of what the samples of a ratio hold beside the bands.

    Args:
        sharpness: of all bands.
        statistics: of the scene, same bands.
        shape: (rows, columns) of a block.
        chain: see :func:`trifuse.restore.spectrum.frequencies`.
        ratio: one of ``sharpness.steps``.

    Returns:
        (k, N_y, N_x) for the k bands of the ratio, frequencies of the samples in the folding order.
    """
    on_pixels, on_samples = (np.square(v) for v in pixel_noise(sharpness, statistics.outside))
    own = [i for i, step in enumerate(sharpness.steps) if step == ratio]
    gain_y, gain_x = (noise_gain(n, chain, ratio, sharpness.kernel(ratio)) for n in shape)
    white = (
        on_samples[own, None, None] + on_pixels[own, None, None] * gain_y[:, None] * gain_x[None, :]
    )
    if sharpness.laid != "warped":
        return np.asarray(white)
    axes = [frequencies(n, chain) / (2 * n) for n in shape]
    for row, band in enumerate(own):
        if sharpness.ratio[band] > 1:
            density = folded(sharpness, statistics, band, axes[0], axes[1])
            white[row] = density + max(on_pixels[band], (LEAST_WHITE * sharpness.noise[band]) ** 2)
    return np.asarray(white)


def folded(
    sharpness: Sharpness, statistics: Statistics, band: int, rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """Density of noise and of folded detail of a band whose lattice lies anywhere.

    Args:
        sharpness: of all bands.
        statistics: of the scene, same bands.
        band: number of the band.
        rows: (n,) frequencies down, cycles per pixel.
        cols: (m,) frequencies across.

    Returns:
        (n, m), as :attr:`Statistics.power` has it.
    """
    ratio = sharpness.ratio[band]
    noise = pixel_noise(sharpness, statistics.outside)[1][band] ** 2
    # The blur that is found would be that of the kernel, too, which came after the folding.
    sigma = FOLDED_BLUR * ratio
    size = FOLDED_TIMES * float(statistics.covariance[band, band])
    total = np.full((len(rows), len(cols)), noise * ratio**2)
    for i, j in itertools.product(range(-FOLDS, FOLDS + 1), repeat=2):
        if i == j == 0:
            continue
        f_y, f_x = rows[:, None] + i / ratio, cols[None, :] + j / ratio
        square = f_y**2 + f_x**2
        power = size * statistics.density(np.sqrt(square))
        total += power * np.exp(-square * (2 * np.pi * sigma) ** 2)
    down, across = (kernel_response(_KERNEL, ratio * f) ** 2 for f in (rows, cols))
    return np.asarray(total * down[:, None] * across[None, :])


@lru_cache(maxsize=1)
def _table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies in cycles per sample, and what a kernel passes of them."""
    step = 1 / 64
    x = np.arange(-3, 3, step) + step / 2
    weight = kernel_of(name).weight(x)
    at = np.linspace(0, 4, 257)
    passed = step * np.cos(2 * np.pi * at[:, None] * x) @ weight
    return at, passed / passed[0]


def kernel_response(name: str, frequency: np.ndarray) -> np.ndarray:
    """What a kernel passes of frequencies in cycles per sample; 1 of constants.

    >>> kernel_response("bilinear", np.array([0.0, 0.5, 0.8])).round(2)
    array([1.  , 0.41, 0.05])
    """
    at, passed = _table(name)
    return np.asarray(np.interp(np.abs(frequency), at, passed))
