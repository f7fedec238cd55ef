"""Fusion in a subspace of S3's spectra with total variation, after HySure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from trifuse.align import fit_map
from trifuse.core import BandSet, ConfigError, Window, fill_nearest
from trifuse.core.resample import degrade_matrix
from trifuse.fusformer.classical.sure_cells import sure_cells
from trifuse.fusformer.classical.variation import CellSolve, solve_block
from trifuse.fusformer.prior import TileRun
from trifuse.fusformer.runtime import Runtime
from trifuse.fusformer.scene import Scene

BLOCK = 180
"""Edge in pixels of the blocks that are solved, on a lattice from the scene's upper left corner."""

HALO_CELLS = 4
"""Cells around a block that are solved with it and thrown away, at most ``BLOCK`` pixels."""

INSIDE = 1 - 1e-3
"""Share of a cell's PSF that must lie in what is solved for the cell to count there."""


@dataclass(frozen=True, slots=True)
class HySure:
    """Total-variation regularised fusion in a subspace.

    The result is Z = m + E·X: m the mean of S3's cells, E their principal directions, X planes at
    S2's pixels that minimise

        ½ ‖X H − Eᵀ(Y_h − m)‖² + ½ Σ_b t_b ‖Y_b − q_b X − o_b‖² + φ Σ_pixels √(Σ |∇X|²)

    with H the PSF and sampling of S3 where its cells lie, exactly (see
    :mod:`trifuse.fusformer.classical.variation`), and q, o S2's bands as linear in X, fitted on
    the cells. t_b = λ σ² / (σ² + misfit of that fit²): a band that S3 does not explain counts
    little. X is in units of its own standard deviation, so λ and φ mean the same in any scene.

    Beside the paper: the data are centred, the coupling is affine and fitted, and what the
    subspace leaves of S3 is added by cubic convolution.

    The planes are solved in blocks of a fixed lattice, each with what lies around it, from a
    start that depends on the cells alone. Exact tiles hold whole blocks, so how a scene is cut
    into them does not change the result; what changes it is the lattice, by little. Memory is
    that of a tile and a block.

    Source: Simões et al. 2015, doi:10.1109/TGRS.2014.2375320.

    Attributes:
        rank: dimensions of the subspace at most. More are better without noise (8: +4 to 6 dB) and
            worse with it.
        sharp: λ, weight of S2.
        noise: σ, reflectance; misfits well below it count alike.
        variation: φ, weight of the total variation.
        penalty: μ of the multipliers.
        iterations: of the multipliers.
    """

    rank: int = 6
    sharp: float = 1.0
    noise: float = 1e-3
    variation: float = 1e-3
    penalty: float = 0.05
    iterations: int = 100
    name: str = field(default="hysure", init=False)
    halo: int | None = field(default=BLOCK, init=False)
    alignment: int = field(default=BLOCK, init=False)

    def __post_init__(self) -> None:
        if self.rank < 1 or self.iterations < 1:
            raise ConfigError(f"rank {self.rank}, {self.iterations} iterations",
                              fix="give at least one of each")  # fmt: skip
        if min(self.sharp, self.noise, self.penalty) <= 0 or self.variation < 0:
            raise ConfigError("weights of hysure", fix="give sharp, noise and penalty above 0 "
                              "and a variation of 0 or more")  # fmt: skip

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> TileRun:
        """Find the subspace and the coupling.

        Raises:
            DataError: if too few cells are seen by both images.
        """
        space = _subspace(scene, self)
        there = np.isfinite(scene.lrhsi).all(axis=0)
        sigma = scene.psf.pixels(scene.ratio)
        along = [
            degrade_matrix(n, scene.ratio, sigma, move)
            for n, move in zip(scene.grid.shape, scene.pair.shift, strict=True)
        ]
        reach = min(BLOCK, HALO_CELLS * scene.ratio)

        def solve(block: Window, around: Window, hrmsi: np.ndarray) -> np.ndarray:
            """(L, y, x) of a block, from S2 around it."""
            rows, cols = around.slices
            along_y, i = _cells_inside(along[0], rows)
            along_x, j = _cells_inside(along[1], cols)
            planes = solve_block(
                scene.moved(space.cells, around),
                space.cells[:, i[:, None], j],
                CellSolve(along_y, along_x, there[i[:, None], j], self.penalty),
                np.tensordot(space.pull, hrmsi - space.offset, axes=1),
                space.matrix,
                penalty=self.penalty, variation=self.variation, iterations=self.iterations,
            )  # fmt: skip
            y, x = block.shift(-around.row, -around.col).slices
            out: np.ndarray = np.tensordot(space.lift, planes[:, y, x], axes=1)
            out += scene.moved(space.rest, block)
            return out

        def run(window: Window, hrmsi: np.ndarray) -> np.ndarray:
            fused = np.empty((len(scene.bands), *window.shape), np.float32)
            for block in lattice(window):
                around = _grown(block, reach, window)
                y, x = around.shift(-window.row, -window.col).slices
                to_y, to_x = block.shift(-window.row, -window.col).slices
                fused[:, to_y, to_x] = solve(block, around, hrmsi[:, y, x])
            # The subspace mixes bands: a cell without one of them is missing in all.
            fused[:, scene.missing(window).any(axis=0)] = np.nan
            return fused

        return run


@dataclass(frozen=True, slots=True, eq=False)
class _Subspace:
    """Where the planes X live; all float32 but ``matrix``.

    Attributes:
        lift: (L, K) E times the unit of X.
        cells: (K, h, w) Eᵀ(Y_h − m) in that unit.
        rest: (L, h, w) m and what E leaves of Y_h.
        pull: (K, l) qᵀ t.
        matrix: (K, K) qᵀ t q.
        offset: (l, 1, 1) o.
    """

    lift: np.ndarray
    cells: np.ndarray
    rest: np.ndarray
    pull: np.ndarray
    matrix: np.ndarray
    offset: np.ndarray


def _subspace(scene: Scene, options: HySure) -> _Subspace:
    sure = sure_cells(scene)
    shape, use = sure.shape, sure.ravel()
    spectra = fill_nearest(scene.lrhsi).reshape(len(scene.lrhsi), -1).astype(np.float64)
    mean = spectra[:, use].mean(axis=1, keepdims=True)
    directions, lengths, _ = np.linalg.svd(spectra[:, use] - mean, full_matrices=False)
    # As many coefficients and a constant are fitted to the cells.
    rank = min(options.rank, int((lengths > 1e-6 * lengths[0]).sum()), int(use.sum()) - 1)
    basis = directions[:, : max(rank, 1)]
    unit = max(float(lengths[0] / np.sqrt(use.sum())), 1e-6)
    within = basis.T @ (spectra - mean)
    rest = spectra - basis @ within
    cells = (within / unit).reshape(-1, *shape)
    seen = scene.hr_coarse[0]
    coupling = fit_map(cells, seen, ridge="gcv", valid=sure)
    left = (seen - coupling.apply(cells))[:, sure].astype(np.float64)
    trust = options.sharp * options.noise**2 / (options.noise**2 + (left**2).mean(axis=1))
    weighted = coupling.matrix.T * trust / unit**2
    return _Subspace(
        lift=(basis * unit).astype(np.float32),
        cells=cells.astype(np.float32),
        rest=rest.reshape(-1, *shape).astype(np.float32),
        pull=weighted.astype(np.float32),
        matrix=weighted @ coupling.matrix,
        offset=coupling.offset.astype(np.float32)[:, None, None],
    )


def lattice(window: Window) -> Iterator[Window]:
    """The blocks of the scene's lattice, as far as they lie in a window."""
    bottom, right = window.row + window.height, window.col + window.width
    for row in range(window.row // BLOCK * BLOCK, bottom, BLOCK):
        for col in range(window.col // BLOCK * BLOCK, right, BLOCK):
            y, x = max(row, window.row), max(col, window.col)
            yield Window(y, x, min(row + BLOCK, bottom) - y, min(col + BLOCK, right) - x)


def _grown(block: Window, reach: int, window: Window) -> Window:
    """A block with its surroundings, as far as they lie in a window."""
    top, left = max(block.row - reach, window.row), max(block.col - reach, window.col)
    bottom = min(block.row + block.height + reach, window.row + window.height)
    right = min(block.col + block.width + reach, window.col + window.width)
    return Window(top, left, bottom - top, right - left)


def _cells_inside(along: sparse.csr_matrix, pixels: slice) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The cells along an axis that see nothing but some pixels: their rows and numbers."""
    part = along[:, pixels]
    chosen = np.flatnonzero(np.asarray(part.sum(axis=1)).ravel() > INSIDE)
    return part[chosen], chosen
