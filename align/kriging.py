"""Area-to-point kriging: fine pixels from coarse cells, by how the ground varies with distance.

A fine pixel is a weighted sum of the (2r + 1)² cells around it. With the semivariogram γ of
points, averaged over what the cells see (PSF) to Γ between two cells and g between a cell and the
pixel, the weights λ of least expected error that sum to one solve

    [Γ 1; 1ᵀ 0] [λ; μ] = [g; 1].

They depend on the place of the pixel in its cell only, so they are computed once per scene, and
kriging is one small matrix product per cell. As the PSF is separable, so are the averages of γ.

Sources: Kyriakidis 2004, doi:10.1111/j.1538-4632.2004.tb01135.x (area-to-point kriging); Wang et
al. 2015, doi:10.1016/j.rse.2015.06.003 (of images with a PSF).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from trifuse.align.variogram import Exponential
from trifuse.core import DataError, Window
from trifuse.core.resample import NO_SHIFT, apply_separable, degrade_matrix

RADIUS = 1
"""Neighbours used on each side, in cells."""


def gaussian_taps(ratio: int, sigma: float = 0.5, radius: int = RADIUS) -> np.ndarray:
    """Gaussian PSF of a cell, sampled at the pixels of 2·radius + 1 cells: sums to one.

    Args:
        ratio: fine pixels per cell.
        sigma: standard deviation in cells.
        radius: cells that are seen on each side.
    """
    count = (2 * radius + 1) * ratio
    at = np.arange(count) - (count - 1) / 2
    weight = np.exp(-0.5 * (at / (sigma * ratio)) ** 2)
    taps: np.ndarray = weight / weight.sum()
    return taps


def box_taps(ratio: int) -> np.ndarray:
    """PSF of a cell that sees its own pixels alone, all alike."""
    return np.full(ratio, 1 / ratio)


def sensor_taps(ratio: int, sigma: float) -> np.ndarray:
    """The PSF of :func:`trifuse.core.degrade`, along one axis.

    Args:
        ratio: fine pixels per cell.
        sigma: standard deviation in fine pixels.
    """
    cells = 2 * math.ceil(4 * sigma / ratio + 1) + 1
    row = degrade_matrix(cells * ratio, ratio, sigma)[cells // 2].toarray().ravel()
    seen = np.flatnonzero(row)
    taps: np.ndarray = row[seen[0] : seen[-1] + 1]
    return taps


def kriging_weights(
    points: Exponential,
    ratio: int,
    taps: np.ndarray,
    *,
    radius: int = RADIUS,
    offset: tuple[float, float] = NO_SHIFT,
) -> np.ndarray:
    """Weights of the cells around a cell for each pixel in it.

    Args:
        points: semivariogram of points; its sill does not matter.
        ratio: fine pixels per cell.
        taps: PSF along one axis, symmetric around the cell's centre; sums to one. Its length is
            even if the ratio is.
        radius: neighbours on each side.
        offset: (rows, columns) by which the pixels' centres lie beside those of a nested grid.

    Returns:
        (ratio, ratio, 2·radius + 1, 2·radius + 1) float64: row and column of the pixel, then of
        the neighbour; sums to one over neighbours.

    Raises:
        DataError: if the PSF cannot lie around the cell's centre.
    """
    if (len(taps) - ratio) % 2:
        raise DataError(f"a PSF of {len(taps)} pixels around cells of {ratio}")
    side = 2 * radius + 1
    cells = side * side

    # Between cells: γ at whole pixels, averaged over both PSFs (their autocorrelation).
    own = np.convolve(taps, taps[::-1])
    lags = np.arange(-2 * radius, 2 * radius + 1)
    reach = 2 * radius * ratio + len(taps) - 1
    along = np.zeros((len(lags), 2 * reach + 1))
    for row, lag in zip(along, lags, strict=True):
        start = reach + int(lag) * ratio - (len(taps) - 1)
        row[start : start + len(own)] = own
    at = np.arange(-reach, reach + 1.0)
    averaged = along @ points(np.hypot(at[:, None], at)) @ along.T
    step = np.subtract.outer(np.arange(side), np.arange(side)) + 2 * radius
    between = averaged[step[:, None, :, None], step[None, :, None, :]].reshape(cells, cells)

    # Between cells and pixels of the middle cell: γ at those distances that occur.
    span = radius * ratio + (ratio + len(taps)) // 2
    window = np.zeros((side, ratio, 2 * span + 1))
    for neighbour in range(side):
        for pixel in range(ratio):
            middle = pixel - (neighbour - radius) * ratio + span
            first = middle - (len(taps) + ratio - 2) // 2
            window[neighbour, pixel, first : first + len(taps)] = taps
    near = window.reshape(side * ratio, -1)
    rows, cols = (np.arange(-span, span + 1) + o for o in offset)
    seen = near @ points(np.hypot(rows[:, None], cols)) @ near.T
    seen = seen.reshape(side, ratio, side, ratio).transpose(0, 2, 1, 3).reshape(cells, -1)

    system = np.ones((cells + 1, cells + 1))
    system[:cells, :cells], system[-1, -1] = between, 0
    solved = np.linalg.solve(system, np.concatenate([seen, np.ones((1, seen.shape[1]))]))
    return solved[:cells].T.reshape(ratio, ratio, side, side).copy()


@dataclass(frozen=True, slots=True, eq=False)
class Kriging:
    """Area-to-point kriging of some bands.

    Attributes:
        ratio: fine pixels per cell.
        weights: (band, ratio, ratio, 2r + 1, 2r + 1), see :func:`kriging_weights`.
        move: whole pixels (rows, columns) by which the cells lie beside their grid; what is left
            of a shift is in the weights.
    """

    ratio: int
    weights: np.ndarray
    move: tuple[int, int] = (0, 0)

    @classmethod
    def of(
        cls,
        models: Sequence[Exponential],
        ratio: int,
        taps: np.ndarray,
        *,
        radius: int = RADIUS,
        shift: tuple[float, float] = NO_SHIFT,
    ) -> Kriging:
        """From one semivariogram of points per band.

        Args:
            models: of the points under each band.
            ratio: fine pixels per cell.
            taps: PSF, see :func:`kriging_weights`.
            radius: neighbours on each side.
            shift: (rows, columns) in fine pixels by which the cells lie beside their grid.
        """
        move = (math.ceil(shift[0] - 0.5), math.ceil(shift[1] - 0.5))
        offset = (move[0] - shift[0], move[1] - shift[1])
        each = [kriging_weights(m, ratio, taps, radius=radius, offset=offset) for m in models]
        return cls(ratio, np.stack(each), move)

    def __call__(self, cells: np.ndarray, window: Window | None = None) -> np.ndarray:
        """Krige cells to pixels; beyond the outermost cells, these are repeated.

        Args:
            cells: (band, h, w) float, all of the scene, finite.
            window: pixels to compute, of h·ratio × w·ratio; default: all.

        Returns:
            (band, y, x) in the cells' dtype, the same in whatever windows.
        """
        height, width = cells.shape[-2:]
        window = Window(0, 0, height * self.ratio, width * self.ratio) if window is None else window
        side = self.weights.shape[-1]
        spans = (
            (window.row - self.move[0], window.height, height),
            (window.col - self.move[1], window.width, width),
        )
        (rows, cut_y), (cols, cut_x) = (self._cells(*span, side) for span in spans)
        out = np.empty((len(cells), window.height, window.width), cells.dtype)
        across = self.ratio * (cols.size - side + 1)
        for plane, weights, target in zip(cells, self.weights, out, strict=True):
            around = plane[rows[:, None], cols].astype(np.float64)
            patches = np.lib.stride_tricks.sliding_window_view(around, (side, side))
            fine = np.einsum("ijkl,pqkl->ipjq", patches, weights, optimize=True)
            target[:] = fine.reshape(-1, across)[cut_y, cut_x]
        return out

    def _cells(self, first: int, count: int, size: int, side: int) -> tuple[np.ndarray, slice]:
        """Cells along an axis whose pixels hold a span, with neighbours; and the span in them."""
        start, stop = first // self.ratio, -(-(first + count) // self.ratio)
        radius = side // 2
        index = np.clip(np.arange(start - radius, stop + radius), 0, size - 1)
        offset = first - start * self.ratio
        return index, slice(offset, offset + count)


def back_project(
    kriging: Kriging,
    cells: np.ndarray,
    along_y: sparse.csr_matrix,
    along_x: sparse.csr_matrix,
    steps: int,
) -> np.ndarray:
    """Cells whose kriging, seen by the sensor, comes nearer to the cells given.

    With neighbours and a PSF that overlap, kriging does not return the cells exactly. As both are
    linear, Z ← Z + K(c − D Z) is done on the cells: c ← c + (c₀ − D K c), tile by tile exact.

    Args:
        kriging: K.
        cells: (band, h, w) float, finite.
        along_y: rows of D, (h, h·ratio).
        along_x: columns of D, (w, w·ratio).
        steps: how often; 0 changes nothing.

    Returns:
        (band, h, w) in the cells' dtype, to be kriged.
    """
    height, width = cells.shape[-2:]
    ratio = kriging.ratio
    strip = max(1, 2_000_000 // (width * ratio * ratio))
    wanted = cells.astype(np.float64)
    out = wanted.copy()
    for _ in range(steps):
        seen = np.zeros_like(wanted)
        for i in range(len(cells)):
            one = Kriging(ratio, kriging.weights[i : i + 1], kriging.move)
            for top in range(0, height, strip):
                part = Window(top * ratio, 0, min(strip, height - top) * ratio, width * ratio)
                fine = one(out[i : i + 1], part)[0]
                seen[i] += apply_separable(fine, along_y[:, part.slices[0]], along_x)
        out += wanted - seen
    return out.astype(cells.dtype)
