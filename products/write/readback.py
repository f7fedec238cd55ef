"""What was meant for a GeoTIFF, window by window, and whether the file has it.

GDAL holds blocks back and writes them when a file closes, where rasterio tells of no errors: a
file on a full disk may lack any of them. So checksums of the windows are kept as they are written,
and the finished file is decoded and compared.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window as Box

from trifuse.core import ProductError, Window, not_as_meant
from trifuse.products.files.raster import FAILURES, gdal_reason

_CELL = 512
"""Pixels a side of the cells by which overlapping windows are found."""


class Meant:
    """Checksums of the windows of one file.

    Args:
        mask: whether the file has an internal mask, which is compared too.
    """

    def __init__(self, *, mask: bool) -> None:
        self._mask = mask
        self._sums: dict[Window, int] = {}
        self._cells: dict[tuple[int, int], set[Window]] = {}

    def note(self, window: Window, stored: np.ndarray, seen: np.ndarray) -> list[Window]:
        """Keep what a window was given.

        Args:
            window: where.
            stored: (band, y, x) as given to GDAL.
            seen: (y, x) bool as given to the mask.

        Returns:
            Earlier windows of which a part was overwritten; they have to be amended.
        """
        torn = []
        for other in {w for cell in _cells(window) for w in self._cells.get(cell, ())}:
            if other == window or not _meet(window, other):
                continue
            if not _holds(window, other):
                torn.append(other)
                continue
            del self._sums[other]
            for cell in _cells(other):
                self._cells[cell].discard(other)
        self._sums[window] = self._sum(stored, seen)
        for cell in _cells(window):
            self._cells.setdefault(cell, set()).add(window)
        return torn

    def amend(self, window: Window, stored: np.ndarray, seen: np.ndarray) -> None:
        """Keep what a window holds since another one overwrote a part of it."""
        self._sums[window] = self._sum(stored, seen)

    def check(self, written: Path, path: Path) -> None:
        """Compare a finished file with what was meant.

        Args:
            written: the file as it is.
            path: as the user knows it.

        Raises:
            ProductError: if it differs or cannot be decoded.
        """
        try:
            with rasterio.open(written) as d:
                for window in sorted(self._sums, key=lambda w: (w.row, w.col)):
                    box = Box(window.col, window.row, window.width, window.height)
                    seen = d.read_masks(1, window=box) > 0 if self._mask else _NOTHING
                    if self._sum(d.read(window=box), seen) != self._sums[window]:
                        raise not_as_meant(path)
                self._check_overviews(d)
        except ProductError:
            raise
        except FAILURES as e:
            raise not_as_meant(path, f"it reads back damaged: {gdal_reason(e)}") from None

    def _check_overviews(self, d: Any) -> None:
        """That every reduced image is there and decodes: its blocks carry checksums of Deflate."""
        for level in range(len(d.overviews(1))):
            with rasterio.open(d.name, overview_level=level) as reduced:
                for top in range(0, reduced.height, _CELL):
                    rows = min(_CELL, reduced.height - top)
                    reduced.read(window=Box(0, top, reduced.width, rows))

    def _sum(self, stored: np.ndarray, seen: np.ndarray) -> int:
        total = zlib.crc32(np.ascontiguousarray(stored).data)
        return zlib.crc32(np.ascontiguousarray(seen).data, total) if self._mask else total


_NOTHING = np.zeros(0, bool)


def _cells(window: Window) -> Iterator[tuple[int, int]]:
    for row in range(window.row // _CELL, (window.row + window.height - 1) // _CELL + 1):
        for col in range(window.col // _CELL, (window.col + window.width - 1) // _CELL + 1):
            yield row, col


def _meet(a: Window, b: Window) -> bool:
    rows = a.row < b.row + b.height and b.row < a.row + a.height
    return rows and a.col < b.col + b.width and b.col < a.col + a.width


def _holds(a: Window, b: Window) -> bool:
    rows = a.row <= b.row and b.row + b.height <= a.row + a.height
    return rows and a.col <= b.col and b.col + b.width <= a.col + a.width
