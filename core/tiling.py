"""One plan for everything that works tile by tile.

Tiles overlap; each pixel's weights over the tiles that hold it sum to one (a partition of
unity). With ``blend="cut"`` weights are 0 or 1 and the cut lies in the middle of each overlap:
a method whose receptive field is at most half the overlap gives the same pixels as on the whole
image. With ``blend="linear"`` weights ramp across the overlap, for what has unlimited reach.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trifuse.core.errors import ConfigError
from trifuse.core.grid import Window

Blend = Literal["cut", "linear"]


@dataclass(frozen=True, slots=True)
class Tile:
    """One tile of a plan.

    Attributes:
        number: position in the plan, row-major.
        read: the pixels to read, overlap included, inside the image.
        write: the pixels that get a weight above zero.
    """

    number: int
    read: Window
    write: Window

    @property
    def inner(self) -> Window:
        """``write`` in pixels of ``read``."""
        return self.write.shift(-self.read.row, -self.read.col)


@dataclass(frozen=True, slots=True)
class TilePlan:
    """How an image is cut into tiles.

    Attributes:
        height: rows of the image.
        width: columns of the image.
        tile: edge of a tile in pixels, overlap included.
        overlap: pixels that neighbours share.
        blend: see the module.

    >>> plan = TilePlan(300, 300, tile=150, overlap=20, blend="linear")  # the paper's preset
    >>> len(plan), plan[0].read.shape
    (9, (150, 150))
    """

    height: int
    width: int
    tile: int
    overlap: int = 0
    blend: Blend = "cut"

    def __post_init__(self) -> None:
        if self.tile < 1 or not 0 <= self.overlap < self.tile:
            raise ConfigError(
                f"tiles of {self.tile} pixels with an overlap of {self.overlap}",
                fix="give an overlap smaller than the tile",
            )
        if self.blend == "cut" and self.overlap % 2:
            raise ConfigError(f"overlap of {self.overlap}", fix="give an even one to cut in half")

    def spans(self, size: int) -> list[tuple[int, int]]:
        """Start and stop of the tiles along an axis of ``size`` pixels."""
        step = self.tile - self.overlap
        count = max(1, -(-(size - self.overlap) // step))
        return [(i * step, min(i * step + self.tile, size)) for i in range(count)]

    @property
    def rows(self) -> list[tuple[int, int]]:
        """Start and stop of the tile rows."""
        return self.spans(self.height)

    @property
    def cols(self) -> list[tuple[int, int]]:
        """Start and stop of the tile columns."""
        return self.spans(self.width)

    def __len__(self) -> int:
        return len(self.rows) * len(self.cols)

    def __getitem__(self, number: int) -> Tile:
        cols = self.cols
        i, j = divmod(number, len(cols))
        (r0, r1), (c0, c1) = self.rows[i], cols[j]
        (wr0, wr1), (wc0, wc1) = self._write(i, self.rows), self._write(j, cols)
        return Tile(
            number, Window(r0, c0, r1 - r0, c1 - c0), Window(wr0, wc0, wr1 - wr0, wc1 - wc0)
        )

    def __iter__(self) -> Iterator[Tile]:
        return (self[i] for i in range(len(self)))

    def weights(self, tile: Tile) -> np.ndarray:
        """Weight of each pixel of ``tile.write``: (y, x) float32 in (0, 1]."""
        i, j = divmod(tile.number, len(self.cols))
        return np.outer(self._ramp(i, self.rows), self._ramp(j, self.cols)).astype(np.float32)

    def _write(self, i: int, spans: list[tuple[int, int]]) -> tuple[int, int]:
        start, stop = spans[i]
        if self.blend == "linear":
            return start, stop
        half = self.overlap // 2
        return start + (half if i else 0), stop - (half if i + 1 < len(spans) else 0)

    def _ramp(self, i: int, spans: list[tuple[int, int]]) -> np.ndarray:
        start, stop = self._write(i, spans)
        if self.blend == "cut":
            return np.ones(stop - start)
        # Un-normalised triangles over each overlap; neighbours are mirror images, so dividing by
        # the sum of all tiles at a pixel makes the partition exact even where three meet.
        at = np.arange(start, stop)
        total = sum(self._triangle(at, span, k, len(spans)) for k, span in enumerate(spans))
        return self._triangle(at, spans[i], i, len(spans)) / total

    def _triangle(self, at: np.ndarray, span: tuple[int, int], k: int, count: int) -> np.ndarray:
        start, stop = span
        up = (at - start + 0.5) / self.overlap if self.overlap and k else np.ones(len(at))
        down = (stop - at - 0.5) / self.overlap if self.overlap and k + 1 < count else 1.0
        inside = (at >= start) & (at < stop)
        return np.where(inside, np.clip(np.minimum(up, down), 0, 1), 0.0)


class Mosaic:
    """Blends finished tiles and hands on each row of pixels once, in order, when it is complete.

    Tiles must come in the plan's order. Memory is one row of tiles, whatever the image's height.

    Args:
        plan: the tiles.
        sink: called with (window, (band, y, x) float32), from top to bottom.
    """

    def __init__(self, plan: TilePlan, sink: Callable[[Window, np.ndarray], None]) -> None:
        self._plan, self._sink = plan, sink
        self._top = 0
        self._strip: np.ndarray | None = None

    def add(self, tile: Tile, values: np.ndarray) -> None:
        """Take the result of a tile: (band, *tile.read.shape), NaN where missing."""
        rows, cols = tile.inner.slices
        self.put(tile, values[:, rows, cols])

    def put(self, tile: Tile, values: np.ndarray) -> None:
        """Take what is written of a tile: (band, *tile.write.shape), NaN where missing."""
        if self._plan.blend == "cut":
            self._sink(tile.write, values)
            return
        if self._strip is None:
            self._strip = np.zeros((len(values), 0, self._plan.width), np.float32)
        need = tile.write.row + tile.write.height - self._top - self._strip.shape[1]
        if need > 0:
            more = np.zeros((len(values), need, self._plan.width), np.float32)
            self._strip = np.concatenate([self._strip, more], axis=1)
        target = tile.write.shift(-self._top, 0)
        at_rows, at_cols = target.slices
        self._strip[:, at_rows, at_cols] += values * self._plan.weights(tile)
        if (tile.number + 1) % len(self._plan.cols) == 0:
            self._flush(tile.number // len(self._plan.cols) + 1)

    def skip(self, tile: Tile, bands: int) -> None:
        """Go on without a tile: its pixels are missing, those it shares with others too."""
        if self._plan.blend == "linear":
            self.put(tile, np.full((bands, *tile.write.shape), np.nan, np.float32))

    def _flush(self, next_row: int) -> None:
        assert self._strip is not None
        rows = self._plan.rows
        stop = rows[next_row][0] if next_row < len(rows) else self._plan.height
        done = stop - self._top
        self._sink(Window(self._top, 0, done, self._plan.width), self._strip[:, :done])
        self._strip, self._top = self._strip[:, done:].copy(), stop
