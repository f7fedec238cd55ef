"""A source that is computed from another in blocks of a fixed lattice.

Each block is solved with a halo around it and gives its inner pixels. The lattice depends on the
scene alone, so no window and no order of reading changes a pixel. Each is computed once: what does
not fit into memory is kept in a scratch file that goes with the process.
"""

from __future__ import annotations

import logging
import tempfile
import threading
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, BinaryIO, Generic, TypeVar

import numpy as np

from trifuse.core import ConfigError, Cube, CubeSource, Sampling, Window, fill_nearest

BLOCK = 240
"""Pixels of a block, halo included; rounded down to whole periods."""

HALO_PERIODS = 5
"""Periods of sampling that a block is solved beyond its pixels."""

CACHE_BYTES = 256 << 20
"""Finished blocks are kept in memory up to this size, but a row of the lattice at least."""

Solver = Callable[[np.ndarray], np.ndarray]
"""(l, y, x) finite pixels of a block → the same shape."""

S = TypeVar("S", bound=Solver)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Span:
    """A block along one axis.

    Attributes:
        start: first pixel of the block; it may lie before the scene.
        size: pixels of the block; the last ones may lie beyond the scene.
        first: first pixel that it gives.
        stop: end of those.
    """

    start: int
    size: int
    first: int
    stop: int

    def cut(self, start: int, stop: int) -> tuple[slice, slice]:
        """What it gives to a window: (in the window, in what it gives)."""
        first, last = max(self.first, start), min(self.stop, stop)
        return slice(first - start, last - start), slice(first - self.first, last - self.first)


def lattice(
    n: int, period: int, block: int = BLOCK, halo: int | None = None, origin: int = 0
) -> list[Span]:
    """The blocks along an axis of ``n`` pixels, all of one size and starting on whole periods.

    The first may start before the scene and the last end beyond it.

    Args:
        n: pixels of the scene.
        period: of the sampling.
        block: pixels of a block at most.
        halo: pixels that a block is solved beyond those it gives; rounded up to whole periods.
        origin: a pixel where a period starts.

    Raises:
        ConfigError: if the halo leaves nothing of a block.
    """
    lead = -origin % period
    whole = n + lead + -(n + lead) % period
    size = min(block - block % period, whole)
    halo = period * HALO_PERIODS if halo is None else halo + -halo % period
    if size == whole:
        return [Span(-lead, whole, 0, n)]
    if size <= 2 * halo:
        raise ConfigError(f"blocks of {size} pixels with a halo of {halo}", fix="give larger ones")
    count = -(-(whole - 2 * halo) // (size - 2 * halo))
    # No larger than so many blocks need.
    size = 2 * halo - (2 * halo - whole) // (count * period) * period
    last = (whole - size) // period
    starts = [round(last * i / (count - 1)) * period - lead for i in range(count)]
    cuts = [0, *((a + size + b) // 2 for a, b in pairwise(starts)), n]
    return [Span(s, size, a, b) for s, (a, b) in zip(starts, pairwise(cuts), strict=True)]


class LatticeSource(CubeSource):
    """A source with the bands and the grid of another, made block by block, each block once.

    Safe to read from several threads.

    Args:
        source: the other.
        period: blocks start at multiples of so many pixels.
        block: pixels of a block at most.
        halo: pixels that a block is solved beyond those it gives.
        origin: (row, column) of a pixel where a period starts.
    """

    def __init__(
        self,
        source: CubeSource,
        period: int,
        block: int = BLOCK,
        halo: int | None = None,
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        self._source = source
        self.name, self.grid, self.bands, self.meta = (
            source.name,
            source.grid,
            source.bands,
            source.meta,
        )
        self._sampled = source.sampling
        self._rows = lattice(source.grid.height, period, block, halo, origin[0])
        self._cols = lattice(source.grid.width, period, block, halo, origin[1])
        self.block_shape = self._rows[0].size, self._cols[0].size
        self._lock = threading.RLock()
        self._done: OrderedDict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._spool = Spool()

    @abstractmethod
    def _solved(self, row: Span, col: Span) -> tuple[np.ndarray, np.ndarray]:
        """What a block gives: (l, y, x) float32, NaN where missing, and (y, x) bool valid."""

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        names = self.bands.names if bands is None else tuple(bands)
        numbers = self.bands.indices(names)
        grid = self.grid.window(window)
        data = np.full((len(numbers), *window.shape), np.nan, np.float32)
        valid = np.zeros(window.shape, np.bool_)
        bottom, right = window.row + window.height, window.col + window.width
        partial = False
        for i, row in enumerate(self._rows):
            for j, col in enumerate(self._cols):
                if row.stop <= window.row or row.first >= bottom:
                    continue
                if col.stop <= window.col or col.first >= right:
                    continue
                into_y, from_y = row.cut(window.row, bottom)
                into_x, from_x = col.cut(window.col, right)
                values, there = self._block(i, j)
                values = values[:, from_y, from_x]
                data[:, into_y, into_x] = values[numbers]
                valid[into_y, into_x] = there[from_y, from_x]
                lost = np.isnan(values)
                partial |= bool((lost.any(axis=0) & ~lost.all(axis=0)).any())
        if partial and len(numbers) < len(self.bands):
            # Which pixels are valid depends on the bands asked for.
            valid = self._source.read(window, names).valid
        sampled = self._sampled_part(window, numbers)
        return Cube(data, valid, self.bands.select(numbers), grid, self.meta, sampled)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        with self._lock:
            self._done.clear()
            self._spool.close()
        self._source.close()

    def __getstate__(self) -> dict[str, Any]:
        """Without what is computed: where it arrives, it is computed again."""
        return {
            **self.__dict__,
            "meta": dict(self.meta),
            "_lock": None,
            "_done": None,
            "_spool": None,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.forget()

    def forget(self) -> None:
        """Start with no block computed; a copy does, so that it shares none with the original."""
        self._lock, self._done, self._spool = threading.RLock(), OrderedDict(), Spool()

    def _block(self, i: int, j: int) -> tuple[np.ndarray, np.ndarray]:
        """What a block gives: (l, y, x) float32 and (y, x) bool valid."""
        with self._lock:
            if (i, j) in self._done:
                self._done.move_to_end((i, j))
                return self._done[i, j]
            known = (i, j) in self._spool
            done = self._spool.get((i, j)) if known else self._solved(self._rows[i], self._cols[j])
            self._done[i, j] = done
            most = max(CACHE_BYTES // done[0].nbytes, len(self._cols) + 1)
            while len(self._done) > most:
                key, oldest = self._done.popitem(last=False)
                self._spool.put(key, *oldest)
            return done


class BlockwiseSource(LatticeSource, Generic[S]):
    """A source computed from another by a solver of blocks.

    Pixels are NaN where the other has none; those that are there but not valid (clouds) are
    computed like all others and stay not valid. Args as :class:`LatticeSource`.
    """

    _made: S | None = None

    @abstractmethod
    def _solver(self) -> S:
        """What computes a block of ``block_shape``; made when the first is asked for."""

    def __getstate__(self) -> dict[str, Any]:
        """See :meth:`LatticeSource.__getstate__`."""
        return {**super().__getstate__(), "_made": None}

    def _be_sharp(self) -> None:
        """Say that all bands are as sharp as the pixels."""
        self._sampled = Sampling.sharp(len(self.bands), self.grid.gsd[1])
        self.meta = self._sampled.described(self.meta, self.bands.names)

    def _prepared(self) -> S:
        with self._lock:
            if self._made is None:
                self._made = self._solver()
            return self._made

    def _solved(self, row: Span, col: Span) -> tuple[np.ndarray, np.ndarray]:
        wanted = Window(row.start, col.start, row.size, col.size)
        window = wanted.clip(*self.grid.shape)
        cube = self._source.read(window)
        inner = np.s_[
            row.first - window.row : row.stop - window.row,
            col.first - window.col : col.stop - window.col,
        ]
        values = cube.data[(slice(None), *inner)]
        if not np.isnan(values).all():
            before = window.row - wanted.row, window.col - wanted.col
            solved = solve_block(cube.data, self.block_shape, self._prepared(), before)
            values = solved[(slice(None), *inner)]
        return np.ascontiguousarray(values), np.ascontiguousarray(cube.valid[inner])


def solve_block(
    image: np.ndarray, shape: tuple[int, int], solver: Solver, before: tuple[int, int] = (0, 0)
) -> np.ndarray:
    """A block with NaN, or short of its shape at the scene's border: bridged, solved, cut.

    Args:
        image: (l, y, x) float32; NaN is bridged from its nearest neighbours.
        shape: that the solver expects; what is short of it is reflected.
        solver: of such blocks.
        before: rows and columns that are missing at its upper left; the rest is at the lower right.

    Returns:
        (l, y, x) float32, NaN where the image is.
    """
    missing = np.isnan(image)
    filled = fill_nearest(image) if missing.any() else image
    rows, cols = image.shape[1:]
    if (rows, cols) != shape:
        after = shape[0] - rows - before[0], shape[1] - cols - before[1]
        pad = [(0, 0), *zip(before, after, strict=True)]
        filled = np.pad(filled, pad, mode="symmetric")
    top, left = before
    solved = solver(filled)[:, top : top + rows, left : left + cols]
    return np.where(missing, np.float32(np.nan), solved)


class Spool:
    """Finished blocks that no longer fit into memory, by their numbers.

    The file has no name: it is gone when the process is, however that ends. It lies where the
    system keeps temporary files (``TMPDIR``). Where it cannot be written, blocks are not kept and
    have to be made again. Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._offsets: dict[tuple[int, int], tuple[int, tuple[int, ...]]] = {}
        self._end = 0
        self._usable = True

    def __contains__(self, key: tuple[int, int]) -> bool:
        return key in self._offsets

    def put(self, key: tuple[int, int], values: np.ndarray, valid: np.ndarray) -> None:
        """Keep (l, y, x) float32 pixels and (y, x) bool."""
        if key in self._offsets or not self._usable:
            return
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="trifuse-")
            self._file.seek(self._end)
            self._file.write(np.ascontiguousarray(values, np.float32).data)
            self._file.write(np.ascontiguousarray(valid, np.bool_).data)
            self._file.flush()
        except OSError as e:
            self._usable = False
            _log.warning(
                "cannot keep restored blocks in %s (%s): they are made again where they "
                "are needed again",
                tempfile.gettempdir(),
                e.strerror,
            )
            return
        self._offsets[key] = self._end, values.shape
        self._end += 4 * values.size + valid.size

    def get(self, key: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """What was put under a key that is there."""
        assert self._file is not None
        start, shape = self._offsets[key]
        values, valid = np.empty(shape, np.float32), np.empty(shape[1:], np.bool_)
        self._file.seek(start)
        for array in (values, valid):
            self._file.readinto(array.data)  # type: ignore[attr-defined]
        return values, valid

    def close(self) -> None:
        """Forget all of them."""
        if self._file is not None:
            self._file.close()
        self._file, self._end = None, 0
        self._offsets.clear()
