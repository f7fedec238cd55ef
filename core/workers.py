"""Where units are done: here, in processes of this machine, or on a Dask cluster.

Units are idempotent, so one whose worker is lost is simply given to another. What a unit does and
what it is done with is sent once to each worker, not with each unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from trifuse.core.errors import ConfigError, MissingExtraError
from trifuse.core.work import ATTEMPTS, Outcome, Unit, Work, attempt, lost


def serially(units: Sequence[Unit], work: Work, folder: Path) -> Iterator[tuple[Unit, Outcome]]:
    """One unit after the other, here."""
    for unit in units:
        yield unit, attempt(work, unit, folder)


def in_processes(
    units: Sequence[Unit], work: Work, folder: Path, jobs: int
) -> Iterator[tuple[Unit, Outcome]]:
    """Units in ``jobs`` processes of this machine, in the order in which they end.

    Each process is a pool of its own: one that is killed takes along the unit in its hand only,
    which is then given to a new process.
    """
    waiting = deque((unit, 1) for unit in units)
    free = [_Process(work, folder) for _ in range(min(jobs, len(units)))]
    busy: dict[Future[Outcome], tuple[Unit, int, _Process]] = {}
    try:
        while waiting or busy:
            while waiting and free:
                unit, tries = waiting.popleft()
                process = free.pop()
                busy[process.submit(unit)] = unit, tries, process
            for future in wait(busy, return_when=FIRST_COMPLETED).done:
                unit, tries, process = busy.pop(future)
                free.append(process)
                try:
                    outcome = future.result()
                except BrokenProcessPool:
                    process.restart()
                    if tries < ATTEMPTS:
                        waiting.appendleft((unit, tries + 1))
                        continue
                    outcome = lost(unit, tries)
                yield unit, outcome
    finally:
        for process in [*free, *(p for _, _, p in busy.values())]:
            process.stop()


def on_cluster(
    units: Sequence[Unit], work: Work, folder: Path, address: str
) -> Iterator[tuple[Unit, Outcome]]:
    """Units on the workers of a running Dask scheduler, in the order in which they end.

    The workers must see the folder under the same path and have the same TriFuse.

    Raises:
        MissingExtraError: if ``distributed`` is not installed.
        ConfigError: if no scheduler answers at the address, it goes away, or its workers lack a
            package.
    """
    yield from _cluster().outcomes(units, work, folder.absolute(), address)


def check_place(jobs: int, scheduler: str | None) -> None:
    """Refuse contradictory places to work at.

    Raises:
        ConfigError: if both processes and a scheduler are asked for, or there are no processes.
    """
    if jobs < 1:
        raise ConfigError(f"{jobs} jobs", fix="give 1 or more")
    if scheduler is not None and jobs > 1:
        raise ConfigError(
            f"{jobs} jobs and a scheduler",
            fix="give one of them: the scheduler's workers are its own",
        )


def require_place(jobs: int, scheduler: str | None) -> None:
    """:func:`check_place`, and that a scheduler answers: before work that would be in vain.

    Raises:
        ConfigError: see :func:`check_place`; or if no scheduler answers.
        MissingExtraError: if a scheduler is asked for and ``distributed`` is not installed.
    """
    check_place(jobs, scheduler)
    if scheduler is not None:
        _cluster().connect(scheduler).close()


class _Process:
    """A pool of one process, which can be replaced."""

    def __init__(self, work: Work, folder: Path) -> None:
        self._arguments = (work, folder)
        self._start()

    def submit(self, unit: Unit) -> Future[Outcome]:
        return self._pool.submit(_attempt_held, unit)

    def restart(self) -> None:
        self.stop()
        self._start()

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _start(self) -> None:
        # Not by a plain fork, which threads and GDAL do not survive.
        self._pool = ProcessPoolExecutor(
            1, get_context("spawn"), initializer=_hold, initargs=self._arguments
        )


def _cluster() -> Any:
    try:
        from trifuse.core import cluster
    except ImportError:
        raise MissingExtraError(
            "distributed is not installed", fix="pip install 'trifuse[cluster]'"
        ) from None
    return cluster


_held: list[tuple[Work, Path]] = []


def _hold(work: Work, folder: Path) -> None:
    _held[:] = [(work, folder)]


def _attempt_held(unit: Unit) -> Outcome:
    (work, folder) = _held[0]
    return attempt(work, unit, folder)
