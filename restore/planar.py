"""Small matrices at every pixel, one plane for each entry: (l, l, n).

Libraries take a matrix at a time, and at twelve bands spend longer on that than on the products.
With an entry of all pixels side by side each step is one operation on long vectors, and a chunk of
pixels stays in the cache from step to step. Matrices are symmetric and positive definite.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 2048
"""Pixels at once on a CPU: 1 MB of matrices of twelve bands. A GPU takes all of them."""


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
