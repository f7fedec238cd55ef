"""What the detail around each pixel tells: covariance of the bands, energy by band of frequency.

Both are averages over windows of several pixels, so they are taken for cells of 2×2 pixels, and
the covariance's window is moved by three pixels at a time and interpolated between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from trifuse.core.resample import blur_matrix
from trifuse.restore.planar import invert_, products
from trifuse.restore.scene_statistics import Kinds

AROUND_COVARIANCE, AROUND_ENERGY = 4.0, 1.6
"""Standard deviations in pixels of the windows that statistics are taken over."""

TRUST = 0.3
"""Weight of the scene's covariance beside the place's."""

LEAST_ENERGY = 0.02
"""No place has less energy, relative to the scene."""

LEAST_SHARE = 1e-4
"""Variance added to every band, of the mean variance of the sharpest bands."""

LEAST_OF_KIND = 1e-3
"""Share of a window that a kind of ground must have to say something."""

STEPS = (3, 2, 1)
"""Pixels that the covariance's window is moved by; the first that divides a block."""


class Covariances:
    """Inverse covariance of the bands in each cell of a block.

    Args:
        shape: (rows, columns) of a block.
        cell: pixels along the side of a cell.
        scene: (l, l) the scene's covariance.
        added: (l, l) that of what the restored detail lacks.
        sharpest: numbers of the bands whose mean variance is the place's energy.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        cell: int,
        scene: Tensor,
        added: Tensor,
        sharpest: Sequence[int],
    ) -> None:
        self._cell, self._scene, self._sharpest = cell, scene, list(sharpest)
        step = next(s for s in STEPS if all(n % s == 0 for n in shape))

        def matrices(how: Callable[[int, int, int], np.ndarray]) -> tuple[Tensor, Tensor]:
            y, x = (torch.as_tensor(how(n, cell, step)).float().to(scene.device) for n in shape)
            return y, x

        self._onto, self._back = matrices(_window), matrices(_between)
        self._pairs = torch.triu_indices(len(scene), len(scene), device=scene.device)
        self._least = LEAST_SHARE * torch.eye(len(scene), device=scene.device)
        self._added = added[tuple(self._pairs)][:, None, None]

    def shares(self, image: Tensor, kinds: Kinds | None) -> Tensor:
        """How much each cell is of each kind of ground: (k, cells along y, along x).

        Args:
            image: (l, y, x) restored pixels.
            kinds: of the scene's ground; None for no difference.
        """
        if kinds is None:
            return image.new_ones(1, *(n // self._cell for n in image.shape[1:]))
        shares = pooled(kinds.shares(image), self._cell)
        return shares[shares.amax(dim=(1, 2)) > LEAST_OF_KIND]

    def __call__(self, detail: Tensor, shares: Tensor) -> Tensor:
        """Learn them.

        Args:
            detail: (l, y, x) restored detail.
            shares: of the kinds of ground.

        Returns:
            (l, l, cells), of detail whose energy is that of the scene.
        """
        found = products(detail, self._cell)
        smooth = average_by_kind(found, shares, self._onto, self._back)
        smooth += self._added
        rows, cols = self._pairs
        size = smooth[rows == cols][self._sharpest].mean(dim=0)
        smooth /= size
        out = smooth.new_empty(*self._scene.shape, size.numel())
        out[rows, cols] = out[cols, rows] = smooth.flatten(1)
        usual = self._scene.diagonal()[self._sharpest].mean()
        out += (TRUST * self._scene / usual + self._least)[:, :, None]
        return invert_(out).mul_((1 + TRUST) / usual)


class Energies:
    """Energy of a band of frequency around each pixel, relative to the scene's.

    Args:
        shape: (rows, columns) of a block.
        cell: pixels along the side of those it is told on.
        usual: the scene's, mean over the sharpest bands.
        device: where to compute.
    """

    def __init__(
        self, shape: tuple[int, int], cell: int, usual: float, device: torch.device
    ) -> None:
        self._usual = usual
        around = _narrower(AROUND_ENERGY, cell) / cell
        self._near_y, self._near_x = (
            torch.as_tensor(blur_matrix(n // cell, around).toarray()).float().to(device)
            for n in shape
        )

    def __call__(self, part: Tensor) -> Tensor:
        """(k, y, x) of the sharpest bands → (y, x) one over the energy."""
        energy = self._near_y @ part.square().mean(dim=0) @ self._near_x.T
        return 1 / (energy / self._usual).clamp(min=LEAST_ENERGY)


def pooled(planes: Tensor, cell: int) -> Tensor:
    """Mean over cells: (n, y, x) → (n, y / cell, x / cell)."""
    return torch.nn.functional.avg_pool2d(planes, cell) if cell > 1 else planes


def _narrower(sigma: float, cell: int) -> float:
    """What is left of a Gaussian's width when means over cells are taken."""
    return float((sigma**2 - (cell**2 - 1) / 12) ** 0.5)


def _window(n: int, cell: int, step: int) -> np.ndarray:
    """Weights of cells in windows at every so-many-th pixel: (n / step, n / cell)."""
    full = blur_matrix(n, _narrower(AROUND_COVARIANCE, step)).toarray()
    moved = full.reshape(n // step, step, n).mean(axis=1)
    return np.asarray(moved.reshape(n // step, n // cell, cell).sum(axis=2))


def _between(n: int, cell: int, step: int) -> np.ndarray:
    """Linear interpolation between windows at every so-many-th pixel: (n / cell, n / step)."""
    windows, cells = ((np.arange(n // k) + 0.5) * k for k in (step, cell))
    one = np.eye(len(windows))
    return np.stack([np.interp(cells, windows, row) for row in one], axis=1)


def average_by_kind(
    planes: Tensor, shares: Tensor, onto: tuple[Tensor, Tensor], back: tuple[Tensor, Tensor]
) -> Tensor:
    """Averages over a window around each pixel, of pixels of its kinds alone.

    Args:
        planes: (n, y, x).
        shares: (k, y, x), see :meth:`Kinds.shares`.
        onto: (v, y) and (w, x), the window's weights around points that lie less densely.
        back: (y, v) and (x, w), from the points to the pixels.

    Returns:
        (n, y, x).
    """
    out = torch.zeros_like(planes)
    for share in shares:
        there = onto[0] @ share @ onto[1].T + LEAST_OF_KIND
        mean = (onto[0] @ (planes * share) @ onto[1].T) / there
        out += (back[0] @ mean @ back[1].T).mul_(share)
    return out
