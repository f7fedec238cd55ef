"""Semivariograms of coarse cells, and of the points that they are averages of.

The semivariogram γ(h) is half the mean squared difference of values at distance h. That of cell
averages is flatter than that of points; the latter is found by trying exponential models of points
and averaging each over cells ("deconvolution"). Distances are in fine pixels.

Sources: Wang et al. 2015, doi:10.1016/j.rse.2015.06.003 (the procedure and its candidates);
Goovaerts 2008, doi:10.1007/s11004-007-9129-1 (deconvolution of semivariograms).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from trifuse.core import DataError

LAGS = 20
"""Distances in cells up to which a semivariogram is taken."""

SILLS, RANGES = 1 + 0.1 * np.arange(1, 21), 0.5 + 0.1 * np.arange(1, 21)
"""Candidates of the point model, in units of the cells' sill and range."""


@dataclass(frozen=True, slots=True)
class Exponential:
    """γ(h) = sill · (1 − exp(−h / range)).

    Attributes:
        sill: what γ tends to.
        range: distance scale in fine pixels.
    """

    sill: float
    range: float

    def __call__(self, distance: np.ndarray) -> np.ndarray:
        """γ at some distances."""
        value: np.ndarray = -self.sill * np.expm1(-np.asarray(distance) / self.range)
        return value


def semivariogram(cells: np.ndarray, lags: int = LAGS) -> np.ndarray:
    """Along rows and columns together, at 1 … ``lags`` cells.

    Args:
        cells: (y, x) float, NaN where missing.
        lags: how many; fewer come back where the image is smaller.

    Returns:
        (lags,) float64, NaN at distances without a pair.
    """
    cells = np.asarray(cells, np.float64)
    gamma = np.full(min(lags, max(max(cells.shape) - 1, 0)), np.nan)
    for i in range(len(gamma)):
        step = i + 1
        down, right = cells[step:] - cells[:-step], cells[:, step:] - cells[:, :-step]
        squares = np.concatenate([down.ravel(), right.ravel()]) ** 2
        squares = squares[np.isfinite(squares)]
        if squares.size:
            gamma[i] = squares.mean() / 2
    return gamma


def fit_exponential(gamma: np.ndarray, ratio: int) -> Exponential:
    """Least squares fit to a semivariogram of cells.

    The best sill is linear given the range, so the range alone is searched: from a tenth of a
    cell to a hundred times the longest distance.

    Args:
        gamma: (lags,) at 1, 2, … cells; NaN is left out.
        ratio: fine pixels per cell.

    Returns:
        The model; where nothing varies or nothing is known, one of unit sill and a range of one
        cell, for kriging weights do not depend on the sill.
    """
    distance = ratio * np.arange(1.0, len(gamma) + 1)
    known = np.isfinite(gamma)
    distance, gamma = distance[known], gamma[known]
    if len(gamma) < 2 or not gamma.max() > 0:
        return Exponential(1.0, float(ratio))
    scaled = gamma / gamma.max()

    def shape(log_range: float) -> np.ndarray:
        value: np.ndarray = -np.expm1(-distance / np.exp(log_range))
        return value

    def sill(model: np.ndarray) -> float:
        return float(model @ scaled / (model @ model))

    def misfit(log_range: float) -> float:
        model = shape(log_range)
        return float(np.sum((sill(model) * model - scaled) ** 2))

    tried = np.linspace(np.log(0.1 * ratio), np.log(100 * distance[-1]), 200)
    best = int(np.argmin([misfit(t) for t in tried]))
    low, high = tried[max(best - 1, 0)], tried[min(best + 1, len(tried) - 1)]
    found = minimize_scalar(misfit, bounds=(low, high), method="bounded", options={"xatol": 1e-12})
    log_range = float(found.x if found.fun <= misfit(tried[best]) else tried[best])
    return Exponential(sill(shape(log_range)) * float(gamma.max()), float(np.exp(log_range)))


def deconvolve(cells: Exponential, ratio: int, lags: int = LAGS) -> Exponential:
    """The model of points whose averages over square cells vary as the cells do.

    Of 20 × 20 candidates the one whose cell-to-cell semivariogram along an axis, less that within
    a cell, is nearest (L2) to the cells' model at 1 … ``lags`` cells.

    Args:
        cells: model fitted to the cells.
        ratio: fine pixels per cell.
        lags: distances that count.

    Raises:
        DataError: if there is no lag.
    """
    if lags < 1:
        raise DataError("a semivariogram without lags", fix="give an image of more cells")
    # Between two cells a distance depends on the offset alone; the number of pairs of pixels
    # with an offset is a triangle along each axis.
    offset = np.arange(1 - ratio, ratio)
    triangle = (ratio - np.abs(offset)) / ratio**2
    apart = offset + ratio * np.arange(lags + 1)[:, None]  # (lag, offset) along the axis
    distance = np.hypot(offset[:, None, None], apart)  # (across, lag, offset)
    target = cells(ratio * np.arange(1.0, lags + 1))
    best, least = cells, np.inf
    for stretch in RANGES:
        unit = Exponential(1.0, cells.range * float(stretch))
        averaged = np.einsum("alo,a,o->l", unit(distance), triangle, triangle)
        raised = cells.sill * SILLS[:, None] * (averaged[1:] - averaged[0])
        misfit = np.sum((raised - target) ** 2, axis=1)
        i = int(np.argmin(misfit))
        if misfit[i] < least:
            least, best = misfit[i], Exponential(cells.sill * float(SILLS[i]), unit.range)
    return best


def point_model(cells: np.ndarray, ratio: int, lags: int = LAGS) -> Exponential:
    """Semivariogram of the points under cells: taken, fitted and deconvolved.

    Args:
        cells: (y, x) float, NaN where missing.
        ratio: fine pixels per cell.
        lags: distances in cells that count, at most.
    """
    gamma = semivariogram(cells, lags)
    return deconvolve(fit_exponential(gamma, ratio), ratio, max(len(gamma), 1))
