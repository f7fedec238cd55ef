"""Units on a Dask cluster: an existing engine that schedules, retries and survives lost workers.

Only imported where a scheduler is asked for; needs the extra ``cluster``.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distributed import Client, Future, as_completed
from distributed.scheduler import KilledWorker

from trifuse.core.errors import ConfigError
from trifuse.core.work import ATTEMPTS, Outcome, Unit, Work, attempt, lost

PATIENCE = "20s"
"""Time that a scheduler has to answer."""

_LOUD = ("distributed", "tornado", "asyncio")

CLOSING = 5.0
"""Seconds that leaving a cluster may take; one that is gone does not answer."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """What every unit needs; computed as a task, so that a lost worker's is made again."""

    work: Work
    folder: Path


def outcomes(
    units: Sequence[Unit], work: Work, folder: Path, address: str
) -> Iterator[tuple[Unit, Outcome]]:
    """See :func:`trifuse.core.workers.on_cluster`."""
    client = connect(address)
    quiet()
    try:
        if not client.scheduler_info().get("workers"):
            _log.warning("%s has no workers yet: waiting for them", address)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            held = client.submit(_Held, work, folder, pure=False)
            futures: dict[Future, Unit] = {
                client.submit(_attempt, held, unit, pure=False, retries=ATTEMPTS - 1): unit
                for unit in units
            }
        for future in as_completed(list(futures), loop=client.loop):
            unit = futures.pop(future)
            yield unit, _outcome(future, unit, address)
            future.release()  # so that the cluster forgets it
    except (OSError, CancelledError):  # what units raise comes back as their outcome
        raise _gone(address) from None
    finally:
        client.close(timeout=CLOSING)


def _gone(address: str) -> ConfigError:
    return ConfigError(
        "the scheduler went away", where=address, fix="run the command again: it resumes"
    )


def quiet() -> None:
    """Have the engine's own logs say nothing: what is lost is told in one line by us."""
    for name in {*_LOUD, *logging.root.manager.loggerDict}:
        if name.split(".")[0] in _LOUD:  # the engine gives many of its parts a level of their own
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)


def connect(address: str) -> Client:
    """A client of a running scheduler, to be closed.

    Raises:
        ConfigError: if none answers.
    """
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TypeError) as e:
        raise ConfigError(
            f"no Dask scheduler answers ({str(e).splitlines()[0] if str(e) else e!r})",
            where=address,
            fix="start one with `dask scheduler`, or give --jobs",
        ) from None


def _attempt(held: _Held, unit: Unit) -> Outcome:
    return attempt(held.work, unit, held.folder)


def _outcome(future: Any, unit: Unit, address: str) -> Outcome:
    try:
        done: Outcome = future.result()
    except KilledWorker as e:
        return lost(unit, e.allowed_failures + 1)
    except CancelledError:
        raise _gone(address) from None
    except ImportError as e:
        raise ConfigError(
            f"a worker cannot import what it needs ({e})",
            where=address,
            fix="install the same TriFuse for the workers",
        ) from None
    return done
