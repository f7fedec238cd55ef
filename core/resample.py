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

from trifuse.core.errors import ConfigError, DataError
from trifuse.core.grid import Window

TRUNCATE = 4.0
"""Kernels end at this many standard deviations; beyond lies 6e-5 of the energy."""

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


@lru_cache(maxsize=64)
def upsample_matrix(n: int, ratio: int, a: float = KEYS_A) -> sparse.csr_matrix:
    """One axis of cubic convolution from ``n`` cells to ``n·ratio`` pixels, edges replicated.

    Pixel centres: fine pixel j lies at (j + ½)/ratio − ½ cells, so nothing shifts.
    """
    at = (np.arange(n * ratio) + 0.5) / ratio - 0.5
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
) -> np.ndarray:
    """Image as a coarser sensor sees it: PSF, then decimation at block centres.

    >>> degrade(np.ones((2, 20, 30), np.float32), 10).shape
    (2, 2, 3)

    Args:
        data: (…, y, x) float; NaN is left out of the averages.
        ratio: fine pixels per coarse cell, any integer ≥ 1.
        psf: one for all or one per leading plane; default: MTF 0.3 at Nyquist.
        min_share: cells with less than this share of their PSF on valid pixels become NaN.

    Returns:
        (…, y // ratio, x // ratio), the input's dtype.

    Raises:
        DataError: if the ratio exceeds the image.
    """
    psf = PSF.from_mtf() if psf is None else psf
    n_y, n_x = data.shape[-2:]
    sigma = psf.pixels(ratio) if isinstance(psf, PSF) else [p.pixels(ratio) for p in psf]

    def matrices(s: float) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
        return degrade_matrix(n_y, ratio, s), degrade_matrix(n_x, ratio, s)

    return _normalised(data, sigma, matrices, min_share)


def upsample(data: np.ndarray, ratio: int, window: Window | None = None) -> np.ndarray:
    """Cubic convolution of coarse cells to fine pixels, NaN-aware.

    Cells without a value are bridged from their nearest neighbours for the interpolation and are
    NaN in the result over their own footprint.

    Args:
        data: (…, y, x) float.
        ratio: fine pixels per coarse cell.
        window: fine pixels to compute (default: all); equal to that window of the whole.

    Returns:
        (…, window height, window width), the input's dtype.
    """
    n_y, n_x = data.shape[-2:]
    window = Window(0, 0, n_y * ratio, n_x * ratio) if window is None else window
    rows, cols = window.slices
    along_y, along_x = upsample_matrix(n_y, ratio)[rows], upsample_matrix(n_x, ratio)[cols]
    missing = np.isnan(data)
    if not missing.any():
        return apply_separable(data, along_y, along_x)
    out = apply_separable(fill_nearest(data), along_y, along_x)
    cell_y = np.arange(rows.start, rows.stop) // ratio
    cell_x = np.arange(cols.start, cols.stop) // ratio
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


class DegradeAccumulator:
    """Degradation of an image that comes in pieces: equal to :func:`degrade` of the whole.

    The operator is linear, so each piece adds its share to the coarse cells it reaches. Memory is
    that of the coarse image.

    Args:
        bands: planes of the image.
        height: rows of the whole fine image.
        width: columns of the whole fine image.
        ratio: fine pixels per coarse cell.
        psf: default: MTF 0.3 at Nyquist.
    """

    def __init__(
        self, bands: int, height: int, width: int, ratio: int, psf: PSF | None = None
    ) -> None:
        sigma = (PSF.from_mtf() if psf is None else psf).pixels(ratio)
        self._along_y = degrade_matrix(height, ratio, sigma).tocsc()
        self._along_x = degrade_matrix(width, ratio, sigma).tocsc()
        shape = (bands, height // ratio, width // ratio)
        self._total, self._share = np.zeros(shape), np.zeros(shape)

    def add(self, window: Window, values: np.ndarray) -> None:
        """Add a piece that no other piece overlaps.

        Args:
            window: where the piece lies in the whole.
            values: (band, y, x) float; NaN is left out.
        """
        rows, cols = window.slices
        along_y, along_x = self._along_y[:, rows], self._along_x[:, cols]
        i = np.unique(along_y.indices)
        j = np.unique(along_x.indices)
        if not len(i) or not len(j):
            return
        at = np.s_[:, i[0] : i[-1] + 1, j[0] : j[-1] + 1]
        along_y, along_x = along_y[i[0] : i[-1] + 1], along_x[j[0] : j[-1] + 1]
        there = ~np.isnan(values)
        self._total[at] += apply_separable(
            np.where(there, values, 0).astype(np.float64), along_y, along_x
        )
        if there.all():
            self._share[at] += np.outer(along_y.sum(axis=1), along_x.sum(axis=1))
        else:
            self._share[at] += apply_separable(there.astype(np.float64), along_y, along_x)

    def result(self, min_share: float = 2 / 3) -> np.ndarray:
        """(band, y // ratio, x // ratio) float32; NaN as in :func:`degrade`."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._total / self._share
        keep = self._share > max(min_share - 1e-9, 1e-9)
        return np.where(keep, mean, np.nan).astype(np.float32)
