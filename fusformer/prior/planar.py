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
        matrices = planes[:, :, part]
        for into, vector in zip(out, vectors, strict=True):
            torch.sum(matrices * vector[:, part], dim=1, out=into[:, part])
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


def _chunks(planes: Tensor) -> list[slice]:
    n = planes.shape[2]
    size = CHUNK if planes.device.type == "cpu" else n
    return [slice(start, min(start + size, n)) for start in range(0, n, size)]
