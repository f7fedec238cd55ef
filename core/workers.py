"""Where units are done: here, in processes of this machine, or on a Dask cluster.

Units are idempotent, so one whose worker is lost is simply given to another. What a unit does and
what it is done with is sent once to each worker, not with each unit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from trifuse.core.errors import ConfigError, MissingExtraError
from trifuse.core.processes import Worker, handed_over, ready
from trifuse.core.work import ATTEMPTS, Outcome, Unit, Work, attempt, lost


def serially(units: Sequence[Unit], work: Work, folder: Path) -> Iterator[tuple[Unit, Outcome]]:
    """One unit after the other, here."""
    for unit in units:
        yield unit, attempt(work, unit, folder)


def in_processes(
    units: Sequence[Unit], work: Work, folder: Path, jobs: int
) -> Iterator[tuple[Unit, Outcome]]:
    """Units in ``jobs`` processes of this machine, in the order in which they end.

    A process that is lost, while it starts, works or ends, takes along the unit in its hand only,
    which is then given to a new one. All of them end with this process, however it ends.
    """
    waiting = deque((number, 1) for number in range(len(units)))
    with handed_over(work, folder, units) as payload:
        idle: list[Worker] = []
        busy: dict[Worker, tuple[int, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < jobs:
                    worker = idle.pop() if idle else Worker(payload)
                    number, tries = waiting.popleft()
                    worker.give(number)
                    busy[worker] = number, tries
                for worker in ready(busy):
                    number, tries = busy.pop(worker)
                    outcome = worker.take()
                    if outcome is None:
                        worker.kill()
                        if tries < ATTEMPTS:
                            waiting.appendleft((number, tries + 1))
                            continue
                        outcome = lost(units[number], tries)
                    else:
                        idle.append(worker)
                    yield units[number], outcome
        finally:
            for worker in (*idle, *busy):
                worker.kill()


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


def _cluster() -> Any:
    try:
        from trifuse.core import cluster
    except ImportError:
        raise MissingExtraError(
            "distributed is not installed", fix="pip install 'trifuse[cluster]'"
        ) from None
    return cluster
