"""Linear maps fitted around each coarse cell: weighted ridge regression in moving windows.

The maps are deviations from the map of the scene. In the window of a cell, with weights w that sum
to one over the image where all cells count, x standardised S2 and r what the map of the scene
leaves of S3, the deviation minimises

    Σ w (r − c − δᵀx)² + λ δᵀδ

with r and x taken from their weighted means. All sums are moving averages of products, and one
eigendecomposition per cell serves every λ, every band of S3 and the errors of cells left out.

Source: Brunsdon, Fotheringham, Charlton 1996, doi:10.1111/j.1538-4632.1996.tb00936.x
(estimate at a place); Hastie, Tibshirani, Friedman 2009, The Elements of Statistical Learning,
eq. 7.64 (error of one left out: residual / (1 − leverage)).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from trifuse.core.resample import apply_separable, blur_matrix
from trifuse.fusion.classical.cells import FLAT, Cells

STRENGTHS = (1e-3, 3e-3, 1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, math.inf)
"""Ridges that ``loo`` chooses from; the last keeps the map of the scene. Weaker ones lose on
simulated scenes at times, although they predict left-out cells well."""

STRIP = 10_000
"""Cells that are solved at once: about 60 MB with 12 and 19 bands."""

ENOUGH = 20_000
"""Cells that a strength is chosen by."""


def local_maps(cells: Cells, window: float, ridge: float | str) -> tuple[np.ndarray, np.ndarray]:
    """Maps of S2 to S3 around each coarse cell.

    Args:
        cells: the two images.
        window: standard deviation of the Gaussian weights, cells.
        ridge: λ, or ``loo`` to choose among :data:`STRENGTHS`.

    Returns:
        Matrices (L, l, h, w) and offsets (L, h, w), float32.
    """
    (height, width), (count, bands) = cells.s3.shape[1:], (len(cells.s2), len(cells.s3))
    s2 = cells.s2.astype(np.float64)
    centre, scale = s2.mean(axis=(1, 2)), s2.std(axis=(1, 2))
    scale = np.where(scale > FLAT * np.abs(centre), scale, np.inf)
    x = (s2 - centre[:, None, None]) / scale[:, None, None]
    left = cells.s3.astype(np.float64) - cells.sharp
    along = blur_matrix(height, window), blur_matrix(width, window)
    groups = list(_groups(cells.trust))

    if isinstance(ridge, str):
        rows = np.arange(0, height, max(1, -(-height * width // ENOUGH)))
        level = np.maximum(np.var(cells.s3, axis=(1, 2), dtype=np.float64), 1e-30)
        errors = np.zeros(len(STRENGTHS))
        for part in _strips(rows, width):
            for group in groups:
                at = _Windows.of(x, left[group], cells.trust[group[0]], along, part)
                errors += [at.error(strength, level[group]) for strength in STRENGTHS]
        # Of equal errors the strongest, as where nothing is left to explain.
        ridge = STRENGTHS[len(STRENGTHS) - 1 - int(errors[::-1].argmin())]

    matrix = np.empty((bands, count, height, width), np.float32)
    offset = np.empty((bands, height, width), np.float32)
    for part in _strips(np.arange(height), width):
        for group in groups:
            at = _Windows.of(x, left[group], cells.trust[group[0]], along, part)
            slope, constant = at.solve(float(ridge))
            slope = slope / scale[:, None, None]
            constant = constant - np.einsum("klyx,l->kyx", slope, centre)
            where = np.ix_(group, part)
            matrix[group[:, None], :, part] = (
                slope + cells.spectral.matrix[group][:, :, None, None]
            ).transpose(0, 2, 1, 3)
            offset[where] = constant + cells.spectral.offset[group][:, None, None]
    return matrix, offset


@dataclass(frozen=True, slots=True, eq=False)
class _Windows:
    """The normal equations of some rows of cells, diagonalised; n cells, l inputs, k outputs.

    Attributes:
        shape: rows and columns of cells.
        weight: (n,) share of the window's weight on cells that count.
        own: (n,) weight of the window's middle cell, as a share of that.
        mean_x, mean_y: (n, l), (n, k) weighted means.
        x, y: (n, l), (n, k) of the middle cells; x less its mean, turned into the eigenvectors.
        trust: (n,) how much the middle cell counts.
        values: (n, l) eigenvalues of the covariance of x.
        vectors: (n, l, l).
        cross: (n, l, k) covariance of x and y, turned likewise.
    """

    shape: tuple[int, int]
    weight: np.ndarray
    own: np.ndarray
    mean_x: np.ndarray
    mean_y: np.ndarray
    x: np.ndarray
    y: np.ndarray
    trust: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    cross: np.ndarray

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        y: np.ndarray,
        trust: np.ndarray,
        along: tuple[sparse.csr_matrix, sparse.csr_matrix],
        rows: np.ndarray,
    ) -> _Windows:
        """Set up for x (l, h, w) and y (k, h, w) at some rows of cells."""
        along_y, along_x = along[0][rows], along[1]
        used = np.unique(along_y.indices)
        near = slice(used[0], used[-1] + 1)
        along_y = along_y[:, near]
        shape = (len(rows), x.shape[2])
        w, x_near, y_near = trust[near], x[:, near], y[:, near]

        def moving(plane: np.ndarray) -> np.ndarray:
            flat: np.ndarray = apply_separable(plane, along_y, along_x).reshape(-1)
            return flat

        weight = moving(w)
        # Where no cell counts the sums are zero, and so is the deviation.
        total = np.where(weight > 1e-9, weight, np.inf)
        mean_x = np.stack([moving(w * p) / total for p in x_near], axis=1)
        mean_y = np.stack([moving(w * p) / total for p in y_near], axis=1)
        square = np.empty((len(weight), len(x), len(x)))
        cross = np.empty((len(weight), len(x), len(y)))
        for i, one in enumerate(x_near):
            part = w * one
            for j in range(i + 1):
                covariance = moving(part * x_near[j]) / total - mean_x[:, i] * mean_x[:, j]
                square[:, i, j] = square[:, j, i] = covariance
            for k, other in enumerate(y_near):
                cross[:, i, k] = moving(part * other) / total - mean_x[:, i] * mean_y[:, k]
        values, vectors = np.linalg.eigh(square)
        turned = vectors.transpose(0, 2, 1)
        here, seen = x[:, rows].reshape(len(x), -1).T, y[:, rows].reshape(len(y), -1).T
        own = np.outer(along[0].diagonal()[rows], along[1].diagonal()).ravel()
        middle = trust[rows].ravel()
        return cls(
            shape,
            weight,
            own * middle / total,
            mean_x,
            mean_y,
            (turned @ (here - mean_x)[:, :, None])[:, :, 0],
            seen,
            middle,
            np.maximum(values, 0),
            vectors,
            turned @ cross,
        )

    def error(self, strength: float, level: np.ndarray) -> float:
        """Squared errors in cells left out, relative to the bands' variances ``level`` (k,)."""
        inverse = self._inverse(strength)
        predicted = self.mean_y + np.einsum("nl,nlk->nk", self.x * inverse, self.cross)
        leverage = self.own * (1 + (self.x**2 * inverse).sum(axis=1))
        missed = (self.y - predicted) / np.maximum(1 - leverage, 1e-3)[:, None]
        return float((self.trust[:, None] * missed**2 / level).sum())

    def solve(self, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Slopes (k, l, rows, columns) and constants (k, rows, columns)."""
        slope = self.vectors @ (self._inverse(strength)[:, :, None] * self.cross)
        constant = self.mean_y - np.einsum("nlk,nl->nk", slope, self.mean_x)
        return (
            slope.transpose(2, 1, 0).reshape(slope.shape[2], slope.shape[1], *self.shape),
            constant.T.reshape(-1, *self.shape),
        )

    def _inverse(self, strength: float) -> np.ndarray:
        """(n, l) inverse eigenvalues; windows with few cells that count are held tighter."""
        there = self.weight > 1e-9
        penalty = np.where(there, strength / np.where(there, self.weight, 1.0), np.inf)
        inverse: np.ndarray = 1 / (self.values + penalty[:, None])
        return inverse


def _groups(trust: np.ndarray) -> Iterator[np.ndarray]:
    """Numbers of the bands that count in the same cells, from (L, h, w)."""
    groups: dict[bytes, list[int]] = {}
    for band, plane in enumerate(trust):
        groups.setdefault(plane.tobytes(), []).append(band)
    yield from (np.array(bands) for bands in groups.values())


def _strips(rows: np.ndarray, width: int) -> Iterator[np.ndarray]:
    step = max(1, STRIP // width)
    yield from (rows[i : i + step] for i in range(0, len(rows), step))
