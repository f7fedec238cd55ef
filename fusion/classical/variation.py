"""Total-variation regularised solve of one block, with exact separable degradation.

For planes X (K, y, x) it minimises

    ½ ‖A_y X A_xᵀ − C‖²  +  ½ ‖T^½ (S − Q X)‖²  +  φ Σ_pixels √(Σ_planes |∇X|²)

by the alternating direction method of multipliers with V = X and G = ∇X (split augmented
Lagrangian). The step in X solves AᵀA + μ(1 + ∇ᵀ∇), directly: with reflecting borders the second
term is diagonal in the cosine basis, and the first has the rank of the cells (Woodbury), so
neither a displaced nor an even-sized cell needs an approximation.

Sources: Afonso, Bioucas-Dias, Figueiredo 2011, doi:10.1109/TIP.2010.2076294 (SALSA); Simões et
al. 2015, doi:10.1109/TGRS.2014.2375320 (the vector total variation of a subspace's planes).
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.fft import dct, dctn, idctn
from scipy.linalg import cho_factor, cho_solve


class CellSolve:
    """(AᵀA + μ(1 + ∇ᵀ∇))⁻¹ for one block.

    Args:
        along_y: (h, y), rows of A.
        along_x: (w, x).
        there: (h, w) bool, cells that count.
        penalty: μ.
    """

    def __init__(
        self,
        along_y: sparse.csr_matrix,
        along_x: sparse.csr_matrix,
        there: np.ndarray,
        penalty: float,
    ) -> None:
        (h, n_y), (w, n_x) = along_y.shape, along_x.shape
        rough = [2 - 2 * np.cos(np.pi * np.arange(n) / n) for n in (n_y, n_x)]
        gain = 1 / (penalty * (1 + rough[0][:, None] + rough[1]))
        self._gain = gain.astype(np.float32)
        self._there = np.flatnonzero(there)
        if not self._there.size:
            return
        y, x = (dct(a.toarray(), norm="ortho", axis=1) for a in (along_y, along_x))
        self._along = y.astype(np.float32), x.astype(np.float32)
        # A P⁻¹ Aᵀ between cells (i, j) and (i', j'), summed over columns, then over rows.
        pairs_y = (y[:, None] * y).reshape(h * h, n_y)
        pairs_x = (x[:, None] * x).reshape(w * w, n_x)
        between = (pairs_y @ (gain @ pairs_x.T)).reshape(h, h, w, w)
        between = between.transpose(0, 2, 1, 3).reshape(h * w, h * w)
        system = between[np.ix_(self._there, self._there)]
        system[np.diag_indices_from(system)] += 1
        self._factor = cho_factor(system)

    def back(self, cells: np.ndarray) -> np.ndarray | float:
        """AᵀC in the cosine basis: (K, h, w) float32 to (K, y, x)."""
        if not self._there.size:
            return 0.0
        counted = np.zeros((len(cells), cells[0].size), np.float32)
        counted[:, self._there] = cells.reshape(len(cells), -1)[:, self._there]
        y, x = self._along
        back: np.ndarray = y.T @ counted.reshape(cells.shape) @ x
        return back

    def __call__(self, planes: np.ndarray) -> np.ndarray:
        """Apply to (K, y, x) float32 in the cosine basis; the result is in pixels."""
        planes = planes * self._gain
        if self._there.size:
            y, x = self._along
            seen = y @ planes @ x.T
            cells = np.zeros((len(seen), seen[0].size), np.float32)
            counted = seen.reshape(cells.shape)[:, self._there]
            cells[:, self._there] = cho_solve(self._factor, counted.T).T
            planes -= self._gain * (y.T @ cells.reshape(seen.shape) @ x)
        pixels: np.ndarray = idctn(planes, axes=(1, 2), norm="ortho", overwrite_x=True)
        return pixels


def solve_block(
    start: np.ndarray,
    cells: np.ndarray,
    solver: CellSolve,
    pull: np.ndarray,
    matrix: np.ndarray,
    *,
    penalty: float,
    variation: float,
    iterations: int,
) -> np.ndarray:
    """Run a fixed number of iterations.

    Args:
        start: (K, y, x) float32.
        cells: (K, h, w) C.
        solver: of the block, with the same μ.
        pull: (K, y, x) QᵀT S.
        matrix: (K, K) QᵀT Q.
        penalty: μ.
        variation: φ.
        iterations: how many.

    Returns:
        (K, y, x) float32.
    """
    found = start.astype(np.float32)
    back = solver.back(cells)
    inner = np.linalg.inv(matrix + penalty * np.eye(len(matrix))).astype(np.float32)
    flat = pull.shape[0], -1
    fixed = (inner @ pull.reshape(flat)).reshape(pull.shape)
    inner *= np.float32(penalty)
    gap, gap_y, gap_x = (np.zeros_like(found) for _ in range(3))
    grad_y, grad_x = gradient(found)
    for _ in range(iterations):
        value = (inner @ (found - gap).reshape(flat)).reshape(found.shape) + fixed
        keep_y, keep_x = grad_y - gap_y, grad_x - gap_x
        length = np.sqrt((keep_y**2 + keep_x**2).sum(axis=0))
        shrink = np.maximum(1 - (variation / penalty) / np.maximum(length, 1e-12), 0)
        keep_y *= shrink
        keep_x *= shrink
        wanted = value + gap + divergence(keep_y + gap_y, keep_x + gap_x)
        wanted *= np.float32(penalty)
        found = solver(back + dctn(wanted, axes=(1, 2), norm="ortho", overwrite_x=True))
        grad_y, grad_x = gradient(found)
        gap += value - found
        gap_y += keep_y - grad_y
        gap_x += keep_x - grad_x
    return found


def gradient(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Forward differences of (..., y, x), 0 at the last row and column."""
    down, right = np.zeros_like(planes), np.zeros_like(planes)
    np.subtract(planes[..., 1:, :], planes[..., :-1, :], out=down[..., :-1, :])
    np.subtract(planes[..., :, 1:], planes[..., :, :-1], out=right[..., :, :-1])
    return down, right


def divergence(down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """∇ᵀ of :func:`gradient`."""
    out = np.zeros_like(down)
    out[..., 1:, :] += down[..., :-1, :]
    out[..., :-1, :] -= down[..., :-1, :]
    out[..., :, 1:] += right[..., :, :-1]
    out[..., :, :-1] -= right[..., :, :-1]
    return out
