"""The statistics of each place: what the detail around a pixel tells.

Covariance of the bands and energy by band of frequency are averages over windows of several pixels,
so they are taken for cells of 2×2 pixels, and the covariance's window is moved by three pixels at a
time and interpolated between.

A window around a pixel at the edge of a lake holds land, whose bands go together otherwise. So
pixels are sorted softly into a few kinds of ground by their spectra, and averages are taken over
the window for each kind alone.

Small matrices at every pixel are kept one plane for each entry: (l, l, n). Libraries take a matrix
at a time, and at twelve bands spend longer on that than on the products. With an entry of all
pixels side by side each step is one operation on long vectors, and a chunk of pixels stays in the
cache from step to step. Matrices are symmetric and positive definite.

Sources: Lloyd 1982, doi:10.1109/TIT.1982.1056489 (k-means); Tomasi and Manduchi 1998,
doi:10.1109/ICCV.1998.710815 (averages over pixels that are alike).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from torch import Tensor

from trifuse.core import CubeSource, fill_nearest
from trifuse.core.resample import blur_matrix
from trifuse.restore.pixel_evidence import sample_windows
from trifuse.restore.sharpness import Sharpness

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

KINDS = 6
"""Kinds of ground."""

SOFTNESS = 0.15
"""Squared distance at which a kind's share falls by e: of the bands' deviations, mean over them."""

SMOOTH = 1.0
"""Standard deviation in pixels of the Gaussian that spectra are taken after."""

KIND_PIXELS = 20_000
"""Pixels that kinds are learnt from, about."""

KIND_STEPS = 20
"""Of k-means."""

CHUNK = 2048
"""Pixels at once on a CPU: 1 MB of matrices of twelve bands. A GPU takes all of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Where the kinds of ground of a scene lie among spectra.

    Attributes:
        centres: (k, l) mean spectra, reflectance.
        deviation: (l,) standard deviation of the scene's bands.
    """

    centres: np.ndarray
    deviation: np.ndarray

    def shares(self, image: Tensor) -> Tensor:
        """How much each pixel is of each kind: (l, y, x) → (k, y, x), sums to one over kinds."""
        scale = torch.as_tensor(self.deviation, dtype=image.dtype, device=image.device)
        centres = torch.as_tensor(self.centres, dtype=image.dtype, device=image.device)
        spectra = (image / scale[:, None, None]).flatten(1).T
        apart = torch.cdist(spectra, centres / scale) ** 2 / len(scale)
        shares = torch.softmax(-apart / SOFTNESS, dim=1)
        return shares.T.reshape(len(centres), *image.shape[1:])


def ground_kinds(source: CubeSource, sharpness: Sharpness) -> Kinds:
    """Kinds of a scene, from windows spread evenly over it: of the scene alone.

    Args:
        source: the image, as it is.
        sharpness: of its bands.
    """
    windows = sample_windows(source.grid.shape, sharpness.period, sharpness.origin)
    total = sum(w.height * w.width for w in windows)
    step = max(1, round((total / KIND_PIXELS) ** 0.5))
    spectra = []
    for window in windows:
        data = source.read(window).masked()
        there = np.isfinite(data).all(axis=0)
        if not there.any():
            continue
        filled = fill_nearest(data)
        smooth = np.stack([gaussian_filter(plane, SMOOTH, mode="reflect") for plane in filled])
        spectra.append(smooth[:, ::step, ::step][:, there[::step, ::step]].T)
    found = np.concatenate(spectra) if spectra else np.zeros((0, len(source.bands)))
    if len(found) < KINDS:
        return Kinds(np.zeros((1, len(source.bands))), np.ones(len(source.bands)))
    found = found.astype(np.float64)
    deviation = np.maximum(found.std(axis=0), 1e-6)
    scaled = found / deviation
    # From pixels at even steps along the direction that they differ most in: no chance in it.
    centred = scaled - scaled.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    places = ((np.arange(KINDS) + 0.5) / KINDS * len(scaled)).astype(int)
    centres = scaled[np.argsort(along, kind="stable")[places]]
    for _ in range(KIND_STEPS):
        nearest = cdist(scaled, centres).argmin(axis=1)
        for k in range(KINDS):
            own = nearest == k
            if own.any():
                centres[k] = scaled[own].mean(axis=0)
    return Kinds(centres * deviation, deviation)


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


def products(planes: Tensor, cell: int) -> Tensor:
    """Products of each plane with itself and those after it, averaged over cells.

    Args:
        planes: (l, y, x).
        cell: pixels along the side of a cell.

    Returns:
        (l · (l + 1) / 2, y / cell, x / cell), in the order of :func:`torch.triu_indices`.
    """
    count, (rows, cols) = len(planes), planes.shape[1:]
    out = planes.new_zeros(count * (count + 1) // 2, rows // cell, cols // cell)
    for row in range(cell):
        for col in range(cell):
            part = planes[:, row::cell, col::cell].contiguous()
            at = 0
            for i in range(count):
                out[at : at + count - i].addcmul_(part[i], part[i:])
                at += count - i
    return out.div_(cell**2) if cell > 1 else out


def weigh(planes: Tensor, vectors: Tensor) -> Tensor:
    """Matrix times vector at each pixel.

    Args:
        planes: (l, l, n).
        vectors: (k, l, n), k vectors at each pixel.

    Returns:
        (k, l, n).
    """
    out = torch.empty_like(vectors)
    for part in _chunks(planes):
        matrices, ins, outs = planes[:, :, part], vectors[:, :, part], out[:, :, part]
        torch.mul(matrices[0], ins[:, :1], out=outs)
        for j in range(1, len(matrices)):
            outs.addcmul_(matrices[j], ins[:, j : j + 1])
    return out


def invert_(planes: Tensor) -> Tensor:
    """Inverse of each matrix, in place, by Gauss and Jordan without pivots.

    Args:
        planes: (l, l, n); definite matrices need no pivots.

    Returns:
        ``planes``.
    """
    for part in _chunks(planes):
        m = planes[:, :, part]
        for k in range(len(m)):
            pivot = 1 / m[k, k]
            column = m[:, k].clone()
            row = m[k] * pivot
            m.addcmul_(column[:, None], row, value=-1)
            m[k] = row
            m[:, k] = column * -pivot
            m[k, k] = pivot
    return planes


def to_cells(planes: Tensor, cell: int) -> Tensor:
    """Pixels by their place in a cell: (l, y, x) → (cell², l, cells)."""
    count, rows, cols = planes.shape
    if cell == 1:
        return planes.reshape(1, count, -1)
    parts = planes.reshape(count, rows // cell, cell, cols // cell, cell)
    return parts.permute(2, 4, 0, 1, 3).reshape(cell**2, count, -1)


def from_cells(parts: Tensor, shape: torch.Size, cell: int) -> Tensor:
    """The inverse of :func:`to_cells`."""
    if cell == 1:
        return parts.reshape(-1, *shape)
    rows, cols = (n // cell for n in shape)
    planes = parts.reshape(cell, cell, -1, rows, cols)
    return planes.permute(2, 3, 0, 4, 1).reshape(-1, *shape)


def _chunks(planes: Tensor) -> list[slice]:
    n = planes.shape[2]
    size = CHUNK if planes.device.type == "cpu" else n
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
