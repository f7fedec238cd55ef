"""Processes of this machine that do units: how they start, are watched, and end.

What they need is handed over in a file that has no name and so leaves nothing, and each is given
the numbers of its units only: what goes through a pipe is small enough to fit there, so nobody
waits for a process that is no more. A worker ends when its parent is gone: by the kernel's signal
where there is one, and by a thread that waits for the parent everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pickle
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from trifuse.core.errors import DataError, TrifuseError
from trifuse.core.work import Outcome, Unit, Work, attempt

_PR_SET_PDEATHSIG = 1
_PATIENCE = 5.0
"""Seconds that a process has to be gone after it was killed."""


@contextlib.contextmanager
def handed_over(work: Work, folder: Path, units: Sequence[Unit]) -> Iterator[Payload]:
    """The file with what workers need; it goes when the block, or the process, ends.

    Raises:
        DataError: if the work cannot be sent to another process.
    """
    try:
        # Each unit by itself, so that a worker holds only those that it does.
        content = pickle.dumps((work, folder, [pickle.dumps(unit) for unit in units]))
    except (pickle.PicklingError, AttributeError, TypeError) as e:
        raise DataError(
            f"the work cannot be sent to other processes ({e})", fix="do it with one job"
        ) from None
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield Payload(file.fileno())


class Payload:
    """An open file that a process inherits when it is started.

    Args:
        number: its descriptor here.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> tuple:
        """Called while a process is started, to which the descriptor then goes."""
        from multiprocessing.reduction import DupFd  # not on every system

        return _inherited, (DupFd(self.number),)

    def read(self) -> bytes:
        """All of it; where another process reads does not matter."""
        size = os.fstat(self.number).st_size
        parts, start = [], 0
        while start < size:
            parts.append(os.pread(self.number, size - start, start))
            start += len(parts[-1])
        return b"".join(parts)


def _inherited(descriptor: Any) -> Payload:
    return Payload(descriptor.detach())


class Worker:
    """A process that does one unit after the other."""

    def __init__(self, payload: Payload) -> None:
        # Not by a plain fork, which threads and GDAL do not survive.
        context = get_context("spawn")
        self._here, there = context.Pipe()
        self._process = context.Process(
            target=serve, args=(payload, there, os.getpid()), daemon=True
        )
        self._process.start()
        there.close()  # so that its end is seen here

    def give(self, number: int) -> None:
        """Have a unit done; whether the process is still there is told by :meth:`take`."""
        with contextlib.suppress(OSError):
            self._here.send(number)

    def take(self) -> Outcome | None:
        """What became of the unit; None if the process was lost.

        Raises:
            Exception: what the unit raised and did not mean to.
        """
        try:
            outcome = self._here.recv()
        except (EOFError, OSError):
            return None
        if isinstance(outcome, BaseException) and not isinstance(outcome, TrifuseError):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def kill(self) -> None:
        """End the process, whatever it does: what it writes appears whole or not at all."""
        self._process.kill()
        self._process.join(_PATIENCE)
        self._here.close()

    @property
    def ends(self) -> tuple[Connection, int]:
        """What becomes ready when there is an outcome, or the process is no more."""
        return self._here, self._process.sentinel


def ready(workers: Iterable[Worker]) -> list[Worker]:
    """Wait until some have something to say or are no more, and return these."""
    of = {end: worker for worker in workers for end in worker.ends}
    return list(dict.fromkeys(of[end] for end in wait(list(of))))  # type: ignore[index]


def serve(payload: Payload, pipe: Connection, parent: int) -> None:
    """What a worker does until it is killed or its parent is gone."""
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends us
    warnings.simplefilter("ignore", RuntimeWarning)  # of numpy, on single numbers
    work, folder, units = pickle.loads(payload.read())
    while True:
        try:
            number = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            outcome: object = attempt(work, pickle.loads(units[number]), folder)
        except Exception as e:
            outcome = _portable(e)
        with contextlib.suppress(OSError):
            pipe.send(outcome)


def end_with_parent(parent: int) -> None:
    """Have this process killed when its parent is gone."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
    if (its := parent_process()) is not None:

        def watch() -> None:
            wait([its.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True, name="parent").start()


def _portable(error: Exception) -> Exception:
    """An error that crosses the pipe; what does not pickle is told by its words."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
