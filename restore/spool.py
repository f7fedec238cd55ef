"""Finished blocks that no longer fit into memory, in a scratch file that goes with the process."""

from __future__ import annotations

import logging
import tempfile
from typing import BinaryIO

import numpy as np

_log = logging.getLogger(__name__)

Key = tuple[int, int]


class Spool:
    """Blocks by their numbers.

    The file has no name: it is gone when the process is, however that ends. It lies where the
    system keeps temporary files (``TMPDIR``). Where it cannot be written, blocks are not kept and
    have to be made again. Not safe for several threads at once.
    """

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._places: dict[Key, tuple[int, tuple[int, ...]]] = {}
        self._end = 0
        self._usable = True

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def put(self, key: Key, values: np.ndarray, valid: np.ndarray) -> None:
        """Keep (l, y, x) float32 pixels and (y, x) bool."""
        if key in self._places or not self._usable:
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
        self._places[key] = self._end, values.shape
        self._end += 4 * values.size + valid.size

    def get(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        """What was put under a key that is there."""
        assert self._file is not None
        start, shape = self._places[key]
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
        self._places.clear()
