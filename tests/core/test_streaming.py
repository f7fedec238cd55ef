import threading
import time

import pytest

from trifuse.core import DataError, ahead


def test_pieces_come_in_order_and_bounded_many_are_held():
    held, most, lock = set(), [0], threading.Lock()

    def read(n):
        with lock:
            held.add(n)
            most[0] = max(most[0], len(held))
        time.sleep(0.002 * (n % 3))
        return n * n

    for threads, depth in ((1, 0), (3, 0), (2, 2)):
        most[0] = 0
        for n, piece in ahead(range(20), read, threads=threads, depth=depth):
            assert piece == n * n
            held.discard(n)
        assert not held and 1 < most[0] <= threads + depth + 1


def test_the_next_piece_is_read_while_the_caller_works():
    reading = threading.Event()

    def read(n):
        if n:
            reading.set()

    for n, _ in ahead([0, 1], read):
        assert n or reading.wait(5)


def test_an_error_and_an_early_end_leave_no_threads():
    def read(n):
        if n == 2:
            raise DataError("no such piece")
        return n

    with pytest.raises(DataError, match="no such piece"):
        list(ahead(range(9), read, threads=2))
    pieces = ahead(range(9), read, threads=2)
    next(pieces)
    pieces.close()
    assert not any(t.name.startswith("read-ahead") for t in threading.enumerate())


def test_nothing_is_nothing():
    assert list(ahead([], print)) == []
