"""The per-scene regression: what Sentinel-2 tells of Sentinel-3's bands, by the scene itself.

A linear map is fitted on the coarse cells, between S2 as S3 would see it and S3, and applied to
the sharp S2. What the map leaves of S3 (the residual) is upsampled and added.

Source: Selva et al. 2015, doi:10.1109/JSTARS.2015.2440092 (hypersharpening: each band of the
coarse image from all bands of the sharp one).

Where clouds hide a part of what a cell sees, S2 and S3 saw different ground there. Such a cell
counts little in the fit, and its residual is taken from the nearest cell that is seen whole. The
same holds for outer cells that see beyond S2's edge, unless S3 was made by mirroring there.
"""

from __future__ import annotations

import contextlib
import math

import numpy as np
from scipy.special import erf

from trifuse.align.pairing import Pair
from trifuse.align.spectral_map import SpectralMap, fit_map
from trifuse.core import (
    PSF,
    CubeSource,
    DataError,
    DegradeAccumulator,
    Grid,
    TilePlan,
    Window,
    ahead,
    cell_index,
    fill_nearest,
)
from trifuse.core.resample import TRUNCATE
from trifuse.core.streaming import THREADS

MIRROR_FAILS = 4.0
"""Residual of outer cells over that of inner ones above which S3 did see beyond S2's edge. On data
whose borders were mirrored it is 1 to 3; on six others, 5 to 13."""

HIDDEN = 0.01
"""Share of what a cell sees that S2 may lack: at this share the cell counts half in the fit, and
beyond it gives no residual if there are others."""


def fit_cells(
    seen: np.ndarray,
    share: np.ndarray,
    observed: np.ndarray,
    *,
    ridge: float | str = "gcv",
    inside: np.ndarray | None = None,
) -> tuple[SpectralMap, np.ndarray]:
    """Fit the map on coarse cells and take what it leaves of S3.

    Args:
        seen: (l, y, x) S2 in S3's cells, NaN where missing.
        share: (y, x) in 0–1, how much of what a cell sees S2 has; see :func:`coarse_view`.
        observed: (L, y, x) S3, NaN where missing.
        ridge: see :func:`fit_map`.
        inside: (y, x) in 0–1, how much of what a cell sees lies within S2's edges, see
            :func:`cells_inside`. Where outer cells then fit far worse than inner ones, S3 saw
            the ground beyond, and they count as hidden in part; default: S2 has no edges.

    Returns:
        The map, and the residual (L, y, x) float32 without gaps: cells that S3 lacks or S2 does
        not see whole take that of the nearest cell.

    Raises:
        ConfigError: if ``ridge`` is out of range.
        DataError: if fewer cells than coefficients are seen by both.
    """
    if inside is not None:
        outer = inside < 1 - HIDDEN
        if outer.any() and not outer.all():
            with contextlib.suppress(DataError):  # too few inner cells to tell
                trusting = fit_map(seen, observed, ridge=ridge, weights=_weights(share * inside))
                left = observed - trusting.apply(seen)
                whole = share >= 1 - HIDDEN
                if _rms(left, outer & whole) > MIRROR_FAILS * _rms(left, ~outer & whole):
                    share = share * inside
    spectral = fit_map(seen, observed, ridge=ridge, weights=_weights(share))
    left = observed - spectral.apply(seen)
    doubtful = share < 1 - HIDDEN
    if np.isfinite(left[:, ~doubtful]).any(axis=1).all():
        left[:, doubtful] = np.nan
    return spectral, fill_nearest(left.astype(np.float32, copy=False))


def _weights(share: np.ndarray) -> np.ndarray:
    weights: np.ndarray = 1 / (1 + ((1 - share) / HIDDEN) ** 2)
    return weights


def _rms(left: np.ndarray, where: np.ndarray) -> float:
    """Root mean square over some cells; 0 if none has a value."""
    values = left[:, where]
    values = values[np.isfinite(values)]
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2))) if values.size else 0.0


def cells_inside(s2: Grid, shared: Pair, psf: PSF | None = None) -> np.ndarray:
    """How much of what each shared cell sees lies within the edges of S2.

    Args:
        s2: grid of the sharp image.
        shared: its common ground with S3, with the shift of S3's cells.
        psf: of S3; default: MTF 0.3 at Nyquist.

    Returns:
        (y, x) float32 in 0–1.
    """
    window, ratio = shared.s2_window, shared.ratio
    sigma = (PSF.from_mtf() if psf is None else psf).pixels(ratio)
    spans = ((window.row, window.height, s2.height), (window.col, window.width, s2.width))
    axes = []
    for (first, length, size), shift in zip(spans, shared.shift, strict=True):
        centres = first + np.arange(length // ratio) * ratio + ratio / 2 + shift
        scale = math.sqrt(2) * max(sigma, 1e-3)
        axes.append((erf((size - centres) / scale) + erf(centres / scale)) / 2)
    share: np.ndarray = np.outer(*axes).astype(np.float32)
    return share


def coarse_view(
    s2: CubeSource, shared: Pair, *, psf: PSF | None = None, tile: int = 1024
) -> tuple[np.ndarray, np.ndarray]:
    """S2 as S3 would see it over the shared ground, streamed by tiles.

    Args:
        s2: sharp source.
        shared: its common ground with S3, with the shift of S3's cells.
        psf: of S3; default: MTF 0.3 at Nyquist.
        tile: edge of the tiles read, in S2 pixels.

    Returns:
        (l, y, x) float32 in S3's cells, NaN where less than two thirds of what a cell sees is
        there; and the share that is there in every band, (y, x) float32 in 0–1. Outer cells see
        the pixels of S2 beyond the shared ground, where S2 has them; what a PSF or a shift moves
        beyond S2 counts as mirrored or not there.
    """
    ground, inner = _surroundings(s2, shared, PSF.from_mtf() if psf is None else psf)
    height, width = ground.shape
    view = DegradeAccumulator(len(s2.bands), height, width, shared.ratio, psf, shift=shared.shift)
    share = DegradeAccumulator(1, height, width, shared.ratio, psf, shift=shared.shift)
    tiles = TilePlan(height, width, tile)
    read = ahead(tiles, lambda t: read_masked(s2, ground, t.write), threads=THREADS)
    for part, pixels in read:
        view.add(part.write, pixels)
        share.add(part.write, np.isfinite(pixels).all(axis=0, keepdims=True).astype(np.float32))
    there = np.nan_to_num(share.result(min_share=0.0)[0]) * share.reach
    rows, cols = inner.slices
    seen = np.ascontiguousarray(view.result()[:, rows, cols])
    return seen, np.clip(there[rows, cols], 0, 1).astype(np.float32)


def _surroundings(s2: CubeSource, shared: Pair, psf: PSF) -> tuple[Window, Window]:
    """The shared ground and what its outer cells see of S2 around it.

    Returns:
        Window of S2, beginning at a coarse cell; and the shared cells in its cells.
    """
    window, ratio = shared.s2_window, shared.ratio
    reach = math.ceil(TRUNCATE * psf.sigma + max(map(abs, shared.shift)) / ratio) + 1
    above, left = (min(reach, at // ratio) for at in (window.row, window.col))
    first_row, first_col = window.row - above * ratio, window.col - left * ratio
    last_row = min(s2.grid.height, window.row + window.height + reach * ratio)
    last_col = min(s2.grid.width, window.col + window.width + reach * ratio)
    ground = Window(first_row, first_col, last_row - first_row, last_col - first_col)
    cells = Window(above, left, window.height // ratio, window.width // ratio)
    return ground, cells


def missing_pixels(missing: np.ndarray, shared: Pair, window: Window) -> np.ndarray:
    """The footprint of coarse cells on sharp pixels.

    Args:
        missing: (L, y, x) bool, per coarse cell.
        shared: the ground, with the shift of the cells.
        window: pixels of ``shared.grid``.

    Returns:
        (L, window height, window width) bool.
    """
    rows, cols = (np.arange(s.start, s.stop) for s in window.slices)
    (n_y, n_x), (dy, dx) = missing.shape[-2:], shared.shift
    cell_y = cell_index(rows, n_y, shared.ratio, dy)
    cell_x = cell_index(cols, n_x, shared.ratio, dx)
    there: np.ndarray = missing[:, cell_y[:, None], cell_x]
    return there


def read_masked(source: CubeSource, ground: Window, window: Window) -> np.ndarray:
    """Pixels of a window of a part of a source: (band, y, x) float32, NaN where not valid."""
    return source.read(window.shift(ground.row, ground.col)).masked()
