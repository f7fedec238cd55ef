"""Fusion in a subspace of S3's spectra with total variation, after HySure."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from trifuse.align import fit_map
from trifuse.core import BandSet, ConfigError, Window, fill_nearest
from trifuse.core.resample import degrade_matrix
from trifuse.core.runtime import Runtime
from trifuse.fusion.classical.sure_cells import sure_cells
from trifuse.fusion.classical.variation import CellSolve, solve_block
from trifuse.fusion.method import Method, Predicted, Run
from trifuse.fusion.scene import Scene

BLOCK = 180
"""Edge in pixels of the blocks that are solved, on a lattice from the scene's upper left corner."""

BLOCK_CELLS = 36
"""The same in cells at most: a matrix between the cells solves a block, of 30 MB at this size."""

HALO_CELLS = 4
"""Cells around a block that are solved with it and thrown away."""

KEPT = 256 << 20
"""Bytes of solved blocks that are kept for the tiles that share them."""

INSIDE = 1 - 1e-3
"""Share of a cell's PSF that must lie in what is solved for the cell to count there."""


@dataclass(frozen=True, slots=True)
class HySure(Method):
    """Total-variation regularised fusion in a subspace.

    The result is Z = m + E·X: m the mean of S3's cells, E their principal directions, X planes at
    S2's pixels that minimise

        ½ ‖X H − Eᵀ(Y_h − m)‖² + ½ Σ_b t_b ‖Y_b − q_b X − o_b‖² + φ Σ_pixels √(Σ |∇X|²)

    with H the PSF and sampling of S3 where its cells lie, exactly (see
    :mod:`trifuse.fusion.classical.variation`), and q, o S2's bands as linear in X, fitted on
    the cells. t_b = λ σ² / (σ² + misfit of that fit²): a band that S3 does not explain counts
    little. X is in units of its own standard deviation, so λ and φ mean the same in any scene.

    Beside the paper: the data are centred, the coupling is affine and fitted, and what the
    subspace leaves of S3 is added by cubic convolution.

    The planes are solved in blocks of a fixed lattice, each with what lies around it (which is read
    for that), from a start that depends on the cells alone. So no tile changes the result; what
    does is the lattice, by little. Each block is solved once and kept while others need it:
    memory is bounded whatever the scene.

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
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.rank < 1 or self.iterations < 1:
            raise ConfigError(
                f"rank {self.rank}, {self.iterations} iterations", fix="give at least one of each"
            )
        if min(self.sharp, self.noise, self.penalty) <= 0 or self.variation < 0:
            raise ConfigError(
                "weights of hysure",
                fix="give sharp, noise and penalty above 0 and a variation of 0 or more",
            )

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Find the subspace and the coupling.

        Raises:
            DataError: if too few cells are seen by both images.
        """
        blocks = _Blocks(scene, self)

        def run(window: Window, hrmsi: np.ndarray) -> np.ndarray:
            fused = scene.moved(blocks.space.rest, window)
            for block, planes in blocks.over(window):
                rows, cols = block.shift(-window.row, -window.col).slices
                fused[:, rows, cols] += np.tensordot(blocks.space.lift, planes, axes=1)
            # The subspace mixes bands: a cell without one of them is missing in all.
            fused[:, scene.missing(window).any(axis=0)] = np.nan
            return fused

        return Predicted(run)


class _Blocks:
    """The planes of a scene, solved block by block when they are asked for.

    Args:
        scene: the two images.
        options: of the method.

    Attributes:
        space: where the planes live.
    """

    def __init__(self, scene: Scene, options: HySure) -> None:
        self.space = _subspace(scene, options)
        self._scene, self._options = scene, options
        self._there = np.isfinite(scene.lrhsi).all(axis=0)
        sigma = scene.psf.pixels(scene.ratio)
        self._along = [
            degrade_matrix(n, scene.ratio, sigma, move)
            for n, move in zip(scene.grid.shape, scene.pair.shift, strict=True)
        ]
        self._solved: OrderedDict[Window, np.ndarray] = OrderedDict()
        self._lock = threading.Lock()

    def over(self, window: Window) -> Iterator[tuple[Window, np.ndarray]]:
        """The parts of a window that lie in one block each, with their planes (K, y, x)."""
        edge = min(BLOCK, BLOCK_CELLS * self._scene.ratio)
        for block in lattice(window, edge, self._scene.grid.shape):
            part = _shared(block, window)
            rows, cols = part.shift(-block.row, -block.col).slices
            yield part, self._planes(block)[:, rows, cols]

    def _planes(self, block: Window) -> np.ndarray:
        with self._lock:
            if block not in self._solved:
                self._solved[block] = self._solve(block)
                most = max(1, KEPT // self._solved[block].nbytes)
                while len(self._solved) > most:
                    self._solved.popitem(last=False)
            self._solved.move_to_end(block)
            return self._solved[block]

    def _solve(self, block: Window) -> np.ndarray:
        scene, space, options = self._scene, self.space, self._options
        around = block.pad(HALO_CELLS * scene.ratio).clip(*scene.grid.shape)
        hrmsi, _ = scene.read_filled(around)
        rows, cols = around.slices
        along_y, i = _cells_inside(self._along[0], rows)
        along_x, j = _cells_inside(self._along[1], cols)
        planes = solve_block(
            scene.moved(space.cells, around),
            space.cells[:, i[:, None], j],
            CellSolve(along_y, along_x, self._there[i[:, None], j], options.penalty),
            np.tensordot(space.pull, hrmsi - space.offset, axes=1),
            space.matrix,
            penalty=options.penalty,
            variation=options.variation,
            iterations=options.iterations,
        )
        rows, cols = block.shift(-around.row, -around.col).slices
        return planes[:, rows, cols].copy()


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


def lattice(window: Window, edge: int, shape: tuple[int, int]) -> Iterator[Window]:
    """The blocks of so many pixels of a scene of some shape that touch a window."""
    for row in range(window.row // edge * edge, window.row + window.height, edge):
        for col in range(window.col // edge * edge, window.col + window.width, edge):
            yield Window(row, col, edge, edge).clip(*shape)


def _shared(block: Window, window: Window) -> Window:
    """What a block and a window share."""
    inner = block.shift(-window.row, -window.col).clip(*window.shape)
    return inner.shift(window.row, window.col)


def _cells_inside(along: sparse.csr_matrix, pixels: slice) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The cells along an axis that see nothing but some pixels: their rows and numbers."""
    part = along[:, pixels]
    chosen = np.flatnonzero(np.asarray(part.sum(axis=1)).ravel() > INSIDE)
    return part[chosen], chosen
