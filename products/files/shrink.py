"""A small version of an image from its pixels at full size, for where overviews would mislead."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trifuse.core import Window

_ROWS = 512
"""Rows that are held at once, at least."""


def shrink(
    read: Callable[[Window], np.ndarray], shape: tuple[int, int], size: tuple[int, int]
) -> np.ndarray:
    """Means over the pixels that make up each pixel of a smaller image.

    Args:
        read: values of a window of the image, (y, x); NaN does not count.
        shape: of the image.
        size: of the smaller one, no longer than the image on either side.

    Returns:
        ``size`` float32; NaN where no pixel counts.
    """
    rows, cols = (np.arange(k + 1) * n // k for n, k in zip(shape, size, strict=True))
    out = np.empty(size, np.float32)
    first = 0
    while first < size[0]:
        last = first + 1
        while last < size[0] and rows[last] - rows[first] < _ROWS:
            last += 1
        top = int(rows[first])
        values = read(Window(top, 0, int(rows[last]) - top, shape[1]))
        there = np.isfinite(values)
        total, count = (
            np.add.reduceat(
                np.add.reduceat(part, rows[first:last] - top, axis=0), cols[:-1], axis=1
            )
            for part in (np.where(there, values, 0).astype(np.float64), there.astype(np.int64))
        )
        with np.errstate(invalid="ignore"):
            out[first:last] = total / np.where(count, count, np.nan)
        first = last
    return out
