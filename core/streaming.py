"""Overlapping reading and computing: threads read ahead, a bounded number of pieces waits.

File libraries release Python's lock while they decompress, so threads suffice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Piece = TypeVar("Piece")

THREADS = min(4, os.cpu_count() or 1)
"""Threads that decompress at once: more gain little beside what computes and writes."""


def ahead(
    items: Iterable[Item], read: Callable[[Item], Piece], *, threads: int = 1, depth: int = 0
) -> Generator[tuple[Item, Piece]]:
    """Read items in threads while the caller works on earlier ones.

    >>> list(ahead([1, 2, 3], lambda n: n * n))
    [(1, 1), (2, 4), (3, 9)]

    Args:
        items: what is read, in order.
        read: called with each, in one of the threads.
        threads: that read at once.
        depth: pieces that wait beside those being read; so ``threads + depth`` of them are held
            beside the one in the caller's hands.

    Returns:
        Each item with what was read of it, in order; the first error ends it.
    """
    coming: deque[tuple[Item, Future[Piece]]] = deque()
    pool = ThreadPoolExecutor(threads, "read-ahead")
    try:
        for item in items:
            coming.append((item, pool.submit(read, item)))
            if len(coming) > threads + depth:
                done, future = coming.popleft()
                yield done, future.result()
        while coming:
            done, future = coming.popleft()
            yield done, future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
