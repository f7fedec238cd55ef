"""The tiles of a scene through a prepared method: read ahead, computed in batches, handed on.

Which tiles are computed together depends on the plan and the device alone, never on who computes
them: so processes, clusters and this thread come to the same bytes.
"""

from __future__ import annotations

import pickle
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from trifuse.core import Tile, TilePlan, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion.method import Method, Run
from trifuse.fusion.scene import Scene

PART = 16
"""Tiles at most that are one unit of work, all of one row."""

_AHEAD = 2
"""Batches that wait to be computed, beside the one in hand."""


class TileWork:
    """A scene, a method and a plan: all that is needed to compute any tile, here or elsewhere.

    Pickles with what the method has prepared, if that pickles; else it is prepared again where it
    arrives, from the scene and all that has been computed of it.

    Args:
        scene: the two images.
        method: how they are fused.
        runtime: on what.
        plan: the tiles.
        uncertain: whether the planes of :class:`trifuse.fusion.method.Uncertain` follow those
            of the result.
        area: pixels of the scene that are wanted; default: all. Only tiles that touch it are
            computed.

    Attributes:
        planes: of a tile's values.
    """

    def __init__(
        self,
        scene: Scene,
        method: Method,
        runtime: Runtime,
        plan: TilePlan,
        uncertain: bool = False,
        area: Window | None = None,
    ) -> None:
        self.scene, self.method, self.runtime, self.plan = scene, method, runtime, plan
        self.uncertain, self.area = uncertain, area
        self.planes = len(scene.bands) + uncertain * (len(scene.bands) + 1)
        self._run: Run | None = None
        self._lock = threading.Lock()

    @property
    def run(self) -> Run:
        """The prepared method; made when it is first asked for."""
        with self._lock:
            if self._run is None:
                self._run = self.method.prepare(self.scene, self.runtime)
            return self._run

    def parts(self) -> list[range]:
        """Numbers of the tiles that are done together, in order."""
        wide, area = len(self.plan.cols), self.area
        rows, cols = range(len(self.plan.rows)), range(wide)
        if area is not None:
            rows = _touching([self.plan[r * wide].write for r in rows], 0, area)
            cols = _touching([self.plan[c].write for c in cols], 1, area)
        return [
            range(start, min(start + PART, row * wide + cols.stop))
            for row in rows
            for start in range(row * wide + cols.start, row * wide + cols.stop, PART)
        ]

    def tiles(self, parts: Iterable[range] | None = None) -> Iterator[tuple[Tile, np.ndarray]]:
        """Compute tiles while the next ones are read.

        Args:
            parts: of :meth:`parts`; default: all.

        Returns:
            Each tile in order with its (planes, *tile.write.shape) float32, NaN where S2 or S3
            has no value.
        """
        run = self.run
        size = 1 if run.batched is None else run.batched.batch(self.plan.tile**2)
        groups = (g for part in parts or self.parts() for g in self._groups(part, size))
        reading: deque[tuple[list[Tile], list[Future[_Read]]]] = deque()
        computing: deque[tuple[list[Tile], list[_Read], Callable[[], list[np.ndarray]]]] = deque()
        pool = ThreadPoolExecutor(self.runtime.readers, "fuse-read")
        try:
            while True:
                while len(reading) <= _AHEAD and (group := next(groups, None)) is not None:
                    reading.append((group, [pool.submit(self._read, t, run) for t in group]))
                if reading:
                    group, futures = reading.popleft()
                    read = [f.result() for f in futures]
                    computing.append((group, read, self._submit(run, group, read)))
                # On a device the next batch is under way before this one's result is waited for.
                while computing and len(computing) > (bool(reading) and size > 1):
                    yield from self._finish(*computing.popleft())
                if not reading and not computing:
                    return
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _groups(self, part: range, size: int) -> Iterator[list[Tile]]:
        """Runs of tiles of one shape, of ``size`` at most."""
        group: list[Tile] = []
        for tile in (self.plan[n] for n in part):
            if group and (len(group) == size or group[0].read.shape != tile.read.shape):
                yield group
                group = []
            group.append(tile)
        yield group

    def _read(self, tile: Tile, run: Run) -> _Read:
        hrmsi, valid = self.scene.read_filled(tile.read)
        if run.batched is None or self.uncertain or not valid.any():
            return hrmsi, valid, None
        return hrmsi, valid, run.batched.look(tile.read, hrmsi)

    def _submit(
        self, run: Run, tiles: Sequence[Tile], read: Sequence[_Read]
    ) -> Callable[[], list[np.ndarray]]:
        seen = [(t.read, r) for t, r in zip(tiles, read, strict=True) if r[1].any()]
        if run.batched is not None and seen and not self.uncertain:
            return run.batched.submit(
                [w for w, _ in seen],
                [r[0] for _, r in seen],
                [r[2] for _, r in seen if r[2] is not None],
            )
        done = [self._values(run, window, r[0]) for window, r in seen]
        return lambda: done

    def _values(self, run: Run, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        values = run(window, hrmsi)
        if not self.uncertain or run.uncertain is None:
            return values
        off = run.uncertain.deviation(window, hrmsi)
        # What has no value has no deviation.
        there = np.concatenate([np.isfinite(values), np.isfinite(values).any(axis=0)[None]])
        return np.concatenate([values, np.where(there, off, np.float32(np.nan))])

    def _finish(
        self, tiles: Sequence[Tile], read: Sequence[_Read], result: Callable[[], list[np.ndarray]]
    ) -> Iterator[tuple[Tile, np.ndarray]]:
        done = iter(result())
        for tile, (_, valid, _) in zip(tiles, read, strict=True):
            rows, cols = tile.inner.slices
            if not valid.any():
                empty = (self.planes, *tile.write.shape)
                yield tile, np.full(empty, np.nan, np.float32)
                continue
            values = next(done)[:, rows, cols]
            if not valid[rows, cols].all():
                values = np.where(valid[rows, cols], values, np.float32(np.nan))
            yield tile, values

    def __reduce__(self) -> tuple[Any, ...]:
        base = (self.scene, self.method, self.runtime, self.plan, self.uncertain, self.area)
        try:
            packed = pickle.dumps((*base, self._run))
        except (pickle.PicklingError, AttributeError, TypeError):  # a closure, mostly
            packed = pickle.dumps((*base, None))
        return _unpack, (packed,)


_Read = tuple[np.ndarray, np.ndarray, np.ndarray | None]
"""Filled pixels, where they are valid, and what the method looked up."""


def _touching(spans: Sequence[Window], axis: int, area: Window) -> range:
    """Which of the windows along an axis share pixels with an area; one at least."""
    first, length = ((area.row, area.height), (area.col, area.width))[axis]
    at = [((w.row, w.height), (w.col, w.width))[axis] for w in spans]
    last = first + length
    hit = [i for i, (start, size) in enumerate(at) if start < last and first < start + size]
    return range(hit[0], hit[-1] + 1) if hit else range(1)


def _unpack(packed: bytes) -> TileWork:
    *base, run = pickle.loads(packed)  # made by this software, for its own workers
    work = TileWork(*base)
    work._run = run
    return work
