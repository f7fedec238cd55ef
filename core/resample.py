"""Between resolutions: Gaussian PSF, degradation to coarse cells, bicubic upsampling.

Every operation is a pair of sparse matrices, ``M ↦ A_y M A_xᵀ``, so a window of the result is a
slice of the matrices and equals the same window of the whole. Rows of the matrices sum to one:
constants stay constant. Missing values are NaN and are left out (normalised convolution).

Sources: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (MTF-matched Gaussian); Knutsson and
Westin 1993, doi:10.1109/CVPR.1993.341081 (normalised convolution); Keys 1981,
doi:10.1109/TASSP.1981.1163711 (cubic convolution).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import sparse
from scipy.special import erf

from trifuse.core.errors import ConfigError, DataError
from trifuse.core.grid import Window

TRUNCATE = 4.0
"""Kernels end at this many standard deviations; beyond lies 6e-5 of the energy."""

NO_SHIFT = (0.0, 0.0)
"""Coarse cells lie where their grid says."""

KEYS_A = -0.75
"""Cubic convolution parameter, that of ``torch.nn.functional.interpolate``."""


@dataclass(frozen=True, slots=True)
class PSF:
    """A Gaussian point spread function, its width in units of the coarse cell.

    Attributes:
        sigma: standard deviation in coarse cells (0: plain decimation).

    >>> round(PSF.from_mtf(0.3).sigma, 3), round(PSF.from_fwhm(1.0).sigma, 4)
    (0.494, 0.4247)
    """

    sigma: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= 10):
            raise ConfigError(f"PSF of {self.sigma} cells", fix="give a width of 0 to 10 cells")

    @classmethod
    def from_mtf(cls, mtf: float = 0.3) -> PSF:
        """By the modulation transfer at the Nyquist frequency of the coarse sampling."""
        if not 0 < mtf <= 1:
            raise ConfigError(f"MTF at Nyquist of {mtf}", fix="give a value in (0, 1]")
        return cls(math.sqrt(2 * math.log(1 / mtf)) / math.pi)

    @classmethod
    def from_fwhm(cls, cells: float = 1.0) -> PSF:
        """By the full width at half maximum, in coarse cells (300 m on 300 m cells is 1)."""
        return cls(cells / (2 * math.sqrt(2 * math.log(2))))

    @property
    def mtf(self) -> float:
        """Modulation transfer at the Nyquist frequency of the coarse sampling."""
        return math.exp(-((math.pi * self.sigma) ** 2) / 2)

    def pixels(self, ratio: float) -> float:
        """Standard deviation in fine pixels."""
        return self.sigma * ratio


def blur_matrix(
    n: int, sigma: float, centres: np.ndarray | None = None, spread: float = 0.0
) -> sparse.csr_matrix:
    """One axis of a Gaussian average of ``n`` samples, borders reflected (…b a|a b…).

    Args:
        n: number of fine samples.
        sigma: standard deviation in fine samples.
        centres: where the averages lie, in sample numbers; default: at every sample.
        spread: if not 0, each average is the mean of two, ``±spread`` beside its centre.

    Returns:
        (len(centres), n) float64, rows sum to one. For symmetric kernels at every sample the
        columns do too: the blur preserves the mean.
    """
    centres = np.arange(n, dtype=float) if centres is None else np.asarray(centres, dtype=float)
    radius = math.ceil(TRUNCATE * sigma)
    rows, cols, values = [], [], []
    for side in (-spread, spread) if spread else (0.0,):
        middle = centres + side
        nearest = np.rint(middle).astype(int)
        taps = nearest[:, None] + np.arange(-radius, radius + 1)
        distance = taps - middle[:, None]
        weight = np.exp(-0.5 * (distance / sigma) ** 2) if sigma > 1e-3 else np.abs(distance) <= 0.5
        weight = weight / weight.sum(axis=1, keepdims=True)
        rows.append(np.broadcast_to(np.arange(len(centres))[:, None], taps.shape).ravel())
        cols.append(_fold(taps, n).ravel())
        values.append(weight.ravel() / (2 if spread else 1))
    index = (np.concatenate(rows), np.concatenate(cols))
    return sparse.csr_matrix((np.concatenate(values), index), shape=(len(centres), n))


@lru_cache(maxsize=64)
def degrade_matrix(n: int, ratio: int, sigma: float, shift: float = 0.0) -> sparse.csr_matrix:
    """One axis of the degradation: Gaussian average, then a sample at each block's centre.

    For even ratios the centre lies between pixels and the sample is the mean of the two middle
    ones (in two dimensions: of the four).

    Args:
        n: number of fine pixels; a partial last cell is dropped, its pixels still blur in.
        ratio: fine pixels per coarse cell.
        sigma: standard deviation in fine pixels.
        shift: displacement of the coarse cells in fine pixels; 0 is nested.

    Returns:
        (n // ratio, n) float64.
    """
    if ratio < 1 or ratio > n:
        raise DataError(f"ratio {ratio} does not fit {n} pixels")
    centres = np.arange(n // ratio) * ratio + (ratio - 1) / 2 + shift
    return blur_matrix(n, sigma, centres, spread=0.0 if ratio % 2 else 0.5)


def reach(n: int, ratio: int, sigma: float, shift: float = 0.0) -> np.ndarray:
    """How much of what each displaced cell sees lies inside the image, of what it would unmoved.

    Args:
        n: number of fine pixels.
        ratio: fine pixels per coarse cell.
        sigma: standard deviation of the PSF in fine pixels.
        shift: displacement of the coarse cells in fine pixels.

    Returns:
        (n // ratio,) float64 in 0–1; all 1 without a shift.
    """
    centres = np.arange(n // ratio) * ratio + ratio / 2
    scale = math.sqrt(2) * max(sigma, 1e-3)

    def inside(at: np.ndarray) -> np.ndarray:
        share: np.ndarray = (erf((n - at) / scale) + erf(at / scale)) / 2
        return share

    share: np.ndarray = np.minimum(1.0, np.maximum(inside(centres + shift), 0) / inside(centres))
    return share


def cell_index(pixels: np.ndarray, n: int, ratio: int, shift: float = 0.0) -> np.ndarray:
    """The cell that covers each fine pixel; beyond the outermost cells, the outermost.

    Args:
        pixels: numbers of fine pixels.
        n: number of coarse cells.
        ratio: fine pixels per coarse cell.
        shift: displacement of the coarse cells in fine pixels.
    """
    if shift == 0:
        return np.asarray(pixels) // ratio
    cells = np.floor((np.asarray(pixels) + (0.5 - shift)) / ratio).astype(int)
    covering: np.ndarray = np.clip(cells, 0, n - 1)
    return covering


@lru_cache(maxsize=64)
def upsample_matrix(n: int, ratio: int, a: float = KEYS_A, shift: float = 0.0) -> sparse.csr_matrix:
    """One axis of cubic convolution from ``n`` cells to ``n·ratio`` pixels, edges replicated.

    Pixel centres: fine pixel j lies at (j + ½ − shift)/ratio − ½ cells, so without a shift
    nothing moves.

    Args:
        n: number of coarse cells.
        ratio: fine pixels per coarse cell.
        a: of the kernel.
        shift: displacement of the coarse cells in fine pixels, as of :func:`degrade_matrix`.
    """
    at = (np.arange(n * ratio) + (0.5 - shift)) / ratio - 0.5
    first = np.floor(at).astype(int) - 1
    taps = first[:, None] + np.arange(4)
    x = np.abs(at[:, None] - taps)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    weight = np.where(x <= 1, near, far)
    rows = np.repeat(np.arange(n * ratio), 4)
    cols = np.clip(taps, 0, n - 1).ravel()
    return sparse.csr_matrix((weight.ravel(), (rows, cols)), shape=(n * ratio, n))


def apply_separable(
    data: np.ndarray, along_y: sparse.csr_matrix, along_x: sparse.csr_matrix
) -> np.ndarray:
    """``A_y M A_xᵀ`` for each plane M of (…, y, x); float64 inside, the input's dtype out."""
    planes = data.reshape(-1, *data.shape[-2:])
    out = np.empty((len(planes), along_y.shape[0], along_x.shape[0]), data.dtype)
    for i, plane in enumerate(planes):
        out[i] = (along_x @ (along_y @ plane.astype(np.float64)).T).T
    return out.reshape(*data.shape[:-2], *out.shape[1:])


def blur(data: np.ndarray, sigma: float | Sequence[float]) -> np.ndarray:
    """Gaussian blur at full resolution, NaN-aware.

    Args:
        data: (…, y, x) float; NaN is left out, and stays NaN.
        sigma: standard deviation in pixels, one for all or one per leading plane.

    Returns:
        The same shape and dtype.
    """
    n_y, n_x = data.shape[-2:]

    def matrices(s: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        return blur_matrix(n_y, s), blur_matrix(n_x, s)

    out = _normalised(data, sigma, matrices, min_share=0.0)
    out[np.isnan(data)] = np.nan
    return out


def degrade(
    data: np.ndarray,
    ratio: int,
    psf: PSF | Sequence[PSF] | None = None,
    *,
    min_share: float = 2 / 3,
    shift: tuple[float, float] = NO_SHIFT,
) -> np.ndarray:
    """Image as a coarser sensor sees it: PSF, then decimation at block centres.

    >>> degrade(np.ones((2, 20, 30), np.float32), 10).shape
    (2, 2, 3)

    Args:
        data: (…, y, x) float; NaN is left out of the averages.
        ratio: fine pixels per coarse cell, any integer ≥ 1.
        psf: one for all or one per leading plane; default: MTF 0.3 at Nyquist.
        min_share: cells with less than this share of their PSF on valid pixels become NaN.
        shift: displacement (rows, columns) of the coarse cells in fine pixels; what they see
            beyond the image is reflected.

    Returns:
        (…, y // ratio, x // ratio), the input's dtype.

    Raises:
        DataError: if the ratio exceeds the image.
    """
    psf = PSF.from_mtf() if psf is None else psf
    n_y, n_x = data.shape[-2:]
    sigma = psf.pixels(ratio) if isinstance(psf, PSF) else [p.pixels(ratio) for p in psf]

    def matrices(s: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        return degrade_matrix(n_y, ratio, s, shift[0]), degrade_matrix(n_x, ratio, s, shift[1])

    return _normalised(data, sigma, matrices, min_share)


def upsample(
    data: np.ndarray,
    ratio: int,
    window: Window | None = None,
    *,
    shift: tuple[float, float] = NO_SHIFT,
) -> np.ndarray:
    """Cubic convolution of coarse cells to fine pixels, NaN-aware.

    Cells without a value are bridged from their nearest neighbours for the interpolation and are
    NaN in the result over their own footprint.

    Args:
        data: (…, y, x) float.
        ratio: fine pixels per coarse cell.
        window: fine pixels to compute (default: all); equal to that window of the whole.
        shift: displacement (rows, columns) of the coarse cells in fine pixels.

    Returns:
        (…, window height, window width), the input's dtype.
    """
    n_y, n_x = data.shape[-2:]
    window = Window(0, 0, n_y * ratio, n_x * ratio) if window is None else window
    rows, cols = window.slices
    along_y = upsample_matrix(n_y, ratio, KEYS_A, shift[0])[rows]
    along_x = upsample_matrix(n_x, ratio, KEYS_A, shift[1])[cols]
    missing = np.isnan(data)
    if not missing.any():
        return apply_separable(data, along_y, along_x)
    out = apply_separable(fill_nearest(data), along_y, along_x)
    cell_y = cell_index(np.arange(rows.start, rows.stop), n_y, ratio, shift[0])
    cell_x = cell_index(np.arange(cols.start, cols.stop), n_x, ratio, shift[1])
    out[missing[..., cell_y[:, None], cell_x]] = np.nan
    return out


def fill_nearest(data: np.ndarray) -> np.ndarray:
    """NaN replaced by the nearest value of the same plane; a plane of NaN becomes 0."""
    from scipy.ndimage import distance_transform_edt

    out = np.array(data, copy=True)
    for plane in out.reshape(-1, *data.shape[-2:]):
        missing = np.isnan(plane)
        if missing.all():
            plane[:] = 0
        elif missing.any():
            nearest = distance_transform_edt(missing, return_distances=False, return_indices=True)
            plane[missing] = plane[tuple(nearest[:, missing])]
    return out


def _normalised(
    data: np.ndarray,
    sigma: float | Sequence[float],
    matrices: Callable[[float], tuple[sparse.csr_matrix, sparse.csr_matrix]],
    min_share: float,
) -> np.ndarray:
    """Separable average of the values that are there, plane by plane."""
    if not np.issubdtype(data.dtype, np.floating):
        raise DataError(f"data is {data.dtype}", fix="convert it to float32 reflectance first")
    planes = data.reshape(-1, *data.shape[-2:])
    sigmas = list(sigma) if isinstance(sigma, Sequence) else [sigma] * len(planes)
    if len(sigmas) != len(planes):
        raise DataError(f"{len(sigmas)} widths for {len(planes)} bands")
    out = []
    shares: dict[tuple[float, bytes], np.ndarray] = {}
    for plane, s in zip(planes, sigmas, strict=True):
        along_y, along_x = matrices(float(s))
        missing = np.isnan(plane)
        if not missing.any():
            out.append(apply_separable(plane, along_y, along_x))
            continue
        # Bands mostly miss the same pixels, so the share is computed once per pattern.
        key = (float(s), np.packbits(missing).tobytes())
        if key not in shares:
            shares[key] = apply_separable((~missing).astype(np.float64), along_y, along_x)
        share = shares[key]
        total = apply_separable(np.where(missing, 0.0, plane).astype(np.float64), along_y, along_x)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = total / share
        out.append(np.where(share > max(min_share - 1e-9, 1e-9), mean, np.nan).astype(data.dtype))
    return np.stack(out).reshape(*data.shape[:-2], *out[0].shape)


def _fold(index: np.ndarray, n: int) -> np.ndarray:
    """Half-sample symmetric reflection of indices beyond 0 … n−1."""
    index = np.mod(index, 2 * n)
    return np.where(index < n, index, 2 * n - 1 - index)
