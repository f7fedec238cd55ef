"""What their native sampling does to bands: blurred, sampled, and interpolated to finer pixels.

Source: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (Gaussian by the MTF at Nyquist).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from trifuse.core.kernels import interpolation_matrix
from trifuse.core.resample import PSF, blur_matrix, fill_nearest, upsample_matrix


def native_axis(
    n: int, ratio: int, mtf: float = 0.3, kernel: str = "bicubic"
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """One axis of what a band goes through: to its native pixels, and back by a kernel.

    Args:
        n: number of pixels; the last native pixel may stand over the edge.
        ratio: pixels per native pixel.
        mtf: modulation transfer at the native Nyquist frequency.
        kernel: of the way back, one of :data:`trifuse.core.kernels.KERNELS`.

    Returns:
        (ceil(n / ratio), n) and (n, ceil(n / ratio)) float64; the rows of both sum to one.
    """
    cells = -(-n // ratio)
    centres = np.arange(cells) * ratio + (ratio - 1) / 2
    sigma = PSF.from_mtf(mtf).pixels(ratio)
    down = blur_matrix(n, sigma, centres, spread=0.0 if ratio % 2 else 0.5)
    return down, _onto_pixels(cells, ratio, kernel)[:n]


def _onto_pixels(cells: int, ratio: int, kernel: str) -> sparse.csr_matrix:
    if kernel == "bicubic":
        return upsample_matrix(cells, ratio)
    return sparse.csr_matrix(interpolation_matrix(cells, ratio, kernel))


def native_view(
    data: np.ndarray,
    ratios: Sequence[int],
    mtf: float | Sequence[float] = 0.3,
    kernel: str = "bicubic",
    noise: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Sharp bands as their native sampling leaves them, interpolated to the same pixels.

    Args:
        data: (l, y, x) reflectance; NaN stays NaN and is bridged from its neighbours.
        ratios: pixels per native pixel, one per band; bands of 1 stay as they are.
        mtf: modulation transfer at the native Nyquist frequency, one for all or one per band.
        kernel: that brings native pixels onto the image's, see :func:`native_axis`.
        noise: standard deviation of what is added to native pixels.
        rng: draws it.

    Returns:
        The same shape and dtype.
    """
    mtfs = list(mtf) if isinstance(mtf, Sequence) else [mtf] * len(data)
    out = data.copy()
    filled = fill_nearest(data) if np.isnan(data).any() else data
    for plane, target, ratio, m in zip(filled, out, ratios, mtfs, strict=True):
        if ratio == 1:
            continue
        (down_y, up_y), (down_x, up_x) = (native_axis(n, ratio, m, kernel) for n in plane.shape)
        cells = down_x @ (down_y @ plane.astype(np.float64)).T
        if rng is not None and noise:
            cells = cells + noise * rng.standard_normal(cells.shape)
        target[:] = (up_x @ (up_y @ cells.T).T).T
    return np.where(np.isnan(data), np.float32(np.nan), out)


def native_field(
    shape: tuple[int, ...], ratios: Sequence[int], sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """White noise at each band's native sampling, interpolated to the pixels: (l, y, x) float32."""
    out = np.empty(shape, np.float32)
    for plane, ratio in zip(out, ratios, strict=True):
        n_y, n_x = plane.shape
        cells = sigma * rng.standard_normal((-(-n_y // ratio), -(-n_x // ratio)))
        if ratio == 1:
            plane[:] = cells
        else:
            up_y, up_x = (upsample_matrix(-(-n // ratio), ratio)[:n] for n in (n_y, n_x))
            plane[:] = (up_x @ (up_y @ cells).T).T
    return out
