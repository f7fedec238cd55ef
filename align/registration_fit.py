"""The objective of the co-registration, and its minimum.

Coarse cells are averages of the fine image under a Gaussian whose centre and width are the
unknowns. The operator is written down for any centre and width, so no image is resampled: row i
of each axis is a Gaussian of standard deviation s centred at the i-th cell's centre plus the
shift. What lies under it and is missing, or beyond the image, lowers the cell's weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

RIDGE = 1e-3
"""Strength of the ridge, in units of the band variance."""

FLOOR = 1e-6
"""Least relative error that counts: below it two fits are equally good."""

TRUNCATE = 4.0
"""Gaussians end at this many standard deviations."""

HIDDEN = 0.02
"""Share of what a cell sees that may be missing: at this share it counts half."""

OUTLIER = 2.5
"""Cells beyond this many robust standard deviations count less, by the square."""


@dataclass(slots=True)
class CoarseFit:
    """A fine image over coarse cells, to be compared at any shift and width.

    Attributes:
        fine: (l, y, x) float64, block means of the valid fine pixels, 0 where none is.
        there: (y, x) float64 in 0–1, share of each block that is valid.
        coarse: (L, h, w) float64, NaN where missing.
        block: fine pixels per block.
        origin: (row, column) of the first coarse cell's corner, in fine pixels from the corner of
            the first block.
        ratio: fine pixels per coarse cell.
        weight: (h, w) float64, how much each cell counts; 0 where the coarse image lacks a band.
    """

    fine: np.ndarray
    there: np.ndarray
    coarse: np.ndarray
    block: int
    origin: tuple[int, int]
    ratio: int
    weight: np.ndarray
    _rows: tuple[tuple[float, float], np.ndarray, np.ndarray] | None = field(default=None)

    def seen(self, shift: tuple[float, float], sigma: float) -> tuple[np.ndarray, np.ndarray]:
        """The fine image in the cells, and the share (0–1) of what they see that is there.

        Args:
            shift: (rows, columns) of the cells in fine pixels.
            sigma: standard deviation of the PSF in fine pixels.

        Returns:
            (l, h, w) and (h, w) float64; meaningless where the share is 0.
        """
        bands, height, width = self.fine.shape
        n_y, n_x = self.coarse.shape[1:]
        key = (shift[0], sigma)
        if self._rows is None or self._rows[0] != key:
            along_y = self._axis(height, n_y, self.origin[0] + shift[0], sigma)
            planes = self.fine.transpose(1, 0, 2).reshape(height, bands * width)
            rows = (along_y @ planes).reshape(n_y * bands, width)
            self._rows = key, rows, along_y @ self.there
        _, rows, share_rows = self._rows
        along_x = self._axis(width, n_x, self.origin[1] + shift[1], sigma)
        total = (along_x @ rows.T).T.reshape(n_y, bands, n_x).transpose(1, 0, 2)
        share = (along_x @ share_rows.T).T
        return total / np.maximum(share, 1e-9), share

    def weights(self, share: np.ndarray) -> np.ndarray:
        """What each cell counts at a share seen: (h, w) float64."""
        counted: np.ndarray = self.weight / (1 + ((1 - np.minimum(share, 1)) / HIDDEN) ** 2)
        return counted

    def objective(self, shift: tuple[float, float], sigma: float) -> float:
        """Mean over bands of log(mse / variance + 1e-6) of a ridge fit; inf where none can be."""
        solved = self._solve(*self.seen(shift, sigma))
        return math.inf if solved is None else float(np.log(solved[1] + FLOOR).mean())

    def coefficients(self, shift: tuple[float, float], sigma: float) -> float:
        """How many free coefficients the ridge leaves a band, the constant included."""
        seen, share = self.seen(shift, sigma)
        weight = self.weights(share)
        use = weight > 0
        if not use.any():
            return len(self.fine) + 1.0
        x, w = seen[:, use], weight[use] / weight[use].sum()
        x = x - (x @ w)[:, None]
        scale = np.sqrt(np.maximum((x**2) @ w, 1e-12))[:, None]
        values = np.linalg.eigvalsh((x / scale * w) @ (x / scale).T).clip(0)
        return float((values / (values + RIDGE)).sum()) + 1

    def count_robustly(self, shift: tuple[float, float], sigma: float) -> None:
        """Let the cells that the fit at a shift leaves far off count less from now on."""
        self.weight = np.where(self.weight > 0, 1.0, 0.0)
        seen, share = self.seen(shift, sigma)
        solved = self._solve(seen, share)
        if solved is None:
            return
        matrix, _ = solved
        use = self.weights(share) > 0.05
        left = self.coarse[:, use] - matrix.T @ seen[:, use]
        left -= np.median(left, axis=1, keepdims=True)
        scale = 1.4826 * np.median(np.abs(left), axis=1, keepdims=True)
        off = np.sqrt(np.mean((left / np.maximum(scale, 1e-9)) ** 2, axis=0))
        off /= max(float(np.median(off)), 1e-9)
        self.weight[use] = np.minimum(1.0, (OUTLIER / np.maximum(off, 1e-9)) ** 2)

    def _axis(self, n: int, cells: int, origin: float, sigma: float) -> sparse.csr_matrix:
        """(cells, n) weights of the blocks along an axis; rows sum to one over endless ground."""
        k, ratio = self.block, self.ratio
        # The blocks are box averages already, and even ratios sample between two pixels.
        variance = sigma**2 + (0.0 if ratio % 2 else 0.25) - (k**2 - 1) / 12
        s = math.sqrt(max(variance, (0.3 * k) ** 2)) / k
        centres = (origin + np.arange(cells) * ratio + ratio / 2) / k - 0.5
        radius = math.ceil(TRUNCATE * s)
        taps = np.rint(centres).astype(int)[:, None] + np.arange(-radius, radius + 1)
        weight = np.exp(-0.5 * ((taps - centres[:, None]) / s) ** 2)
        weight /= weight.sum(axis=1, keepdims=True)
        inside = (taps >= 0) & (taps < n)
        rows = np.broadcast_to(np.arange(cells)[:, None], taps.shape)
        index = (rows[inside], taps[inside])
        return sparse.csr_matrix((weight[inside], index), shape=(cells, n))

    def _solve(self, seen: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Ridge fit: ((l, L) matrix, (L,) mse / variance); None with too few cells."""
        weight = self.weights(share)
        use = weight > 0
        w = weight[use]
        bands = len(self.fine)
        if w.sum() < bands + 3:
            return None
        x, y = seen[:, use], self.coarse[:, use]
        w = w / w.sum()
        x, y = x - (x @ w)[:, None], y - (y @ w)[:, None]
        covariance, cross = (x * w) @ x.T, (x * w) @ y.T
        variance = (y * w * y).sum(axis=1)
        spread = np.maximum(np.diag(covariance), 1e-12)
        matrix = np.linalg.solve(covariance + RIDGE * np.diag(spread), cross)
        error = variance - 2 * (matrix * cross).sum(axis=0)
        error += np.einsum("ik,ij,jk->k", matrix, covariance, matrix)
        known = variance > 1e-12
        if not known.any():
            return None
        return matrix, np.maximum(error[known], 0) / variance[known]


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where :func:`minimise` ended.

    Attributes:
        shift: (rows, columns) of the cells in fine pixels.
        sigma: standard deviation of the PSF in fine pixels.
        before: objective without a shift, at the assumed width.
        after: objective at the minimum.
        error: standard error of the shift in fine pixels, of the worse direction.
        cells: cells that count, as a sum of weights.
        coefficients: free ones per band.
    """

    shift: tuple[float, float]
    sigma: float
    before: float
    after: float
    error: float
    cells: float
    coefficients: float


def minimise(problem: CoarseFit, sigma: float, search: float) -> Minimum:
    """Search a grid of shifts, then descend: in the shift, and in shift and width together.

    Args:
        problem: the two images.
        sigma: assumed standard deviation of the PSF in fine pixels.
        search: how far the grid reaches each way, in coarse cells.
    """
    cell = problem.ratio
    count = 2 * math.ceil(search / 0.4) + 1
    steps = np.linspace(-search, search, count) * cell
    values = np.array([[problem.objective((dy, dx), sigma) for dx in steps] for dy in steps])
    if not np.isfinite(values).any():
        nothing = len(problem.fine) + 1.0
        return Minimum((0.0, 0.0), sigma, math.inf, math.inf, math.inf, 0.0, nothing)
    i, j = np.unravel_index(np.argmin(values), values.shape)
    shift = (float(steps[i]), float(steps[j]))

    def of_shift(p: np.ndarray) -> float:
        return problem.objective((p[0] * cell, p[1] * cell), sigma)

    def of_all(p: np.ndarray) -> float:
        return problem.objective((p[0] * cell, p[1] * cell), sigma * math.exp(p[2]))

    at = _descend(of_shift, np.array(shift) / cell, 0.15)
    problem.count_robustly((at[0] * cell, at[1] * cell), sigma)
    at = _descend(of_all, np.array([*at, 0.0]), 0.08)
    problem.count_robustly((at[0] * cell, at[1] * cell), sigma * math.exp(at[2]))
    at = _descend(of_all, at, 0.04)
    found, width = (float(at[0] * cell), float(at[1] * cell)), float(sigma * math.exp(at[2]))
    cells = float(problem.weights(problem.seen(found, width)[1]).sum())
    return Minimum(
        found,
        width,
        before=problem.objective((0.0, 0.0), sigma),
        after=problem.objective(found, width),
        error=cell * _standard_error(lambda p: of_all(np.array([*p, at[2]])), at[:2], cells),
        cells=cells,
        coefficients=problem.coefficients(found, width),
    )


def _descend(of: Callable[[np.ndarray], float], start: np.ndarray, step: float) -> np.ndarray:
    """Nelder and Mead's simplex from a start, with edges of ``step``."""
    from scipy.optimize import minimize

    simplex = np.vstack([start, start + step * np.eye(len(start))])
    options = {"initial_simplex": simplex, "xatol": 1e-3, "fatol": 1e-5, "maxfev": 60 * len(start)}
    best: np.ndarray = minimize(of, start, method="Nelder-Mead", options=options).x
    return best


def _standard_error(
    of: Callable[[np.ndarray], float], at: np.ndarray, cells: float, step: float = 0.05
) -> float:
    """Of the worse direction, from the curvature of the objective.

    Half the number of cells times the objective is the negative log-likelihood of one band; the
    errors of the bands are counted as one, because they go together.
    """
    unit = step * np.eye(2)
    middle = of(at)
    hessian = np.empty((2, 2))
    for i in range(2):
        hessian[i, i] = of(at + unit[i]) + of(at - unit[i]) - 2 * middle
    cross = of(at + unit[0] + unit[1]) + of(at - unit[0] - unit[1])
    cross -= of(at + unit[0] - unit[1]) + of(at - unit[0] + unit[1])
    hessian[0, 1] = hessian[1, 0] = cross / 4
    if not np.isfinite(hessian).all():
        return math.inf
    least = float(np.linalg.eigvalsh(hessian / step**2)[0])
    return math.sqrt(2 / (cells * least)) if least > 0 and cells > 0 else math.inf
