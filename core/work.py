"""One piece of long work: what it is, and how it is attempted, wherever that may be."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifuse.core.errors import DataError, TrifuseError
from trifuse.core.failures import understood


@dataclass(frozen=True, slots=True)
class Unit:
    """One piece of work.

    Attributes:
        id: deterministic and unique; stable over runs.
        file: name of the file it writes, relative to the folder of the manifest.
        payload: what the unit function needs; must pickle.
    """

    id: str
    file: str
    payload: Any = None


Work = Callable[[Unit, Path], Mapping[str, Any]]
"""Writes the file of a unit into a folder and returns plain JSON values for the manifest."""

Outcome = Mapping[str, Any] | TrifuseError
"""What a unit returned, or why it failed."""

ATTEMPTS = 3
"""Workers that may be lost over one unit before it counts as failed."""


def attempt(work: Work, unit: Unit, folder: Path) -> Outcome:
    """Do a unit; an error of the data or the machine is a result, as no second attempt helps.

    What is a bug is raised.
    """
    try:
        return work(unit, folder)
    except Exception as e:
        known = understood(e)
        if known is None:
            raise
        return known


def lost(unit: Unit, tries: int) -> TrifuseError:
    """Why a unit that kills its workers failed."""
    return DataError(
        f"{tries} workers ended while they did it",
        where=unit.id,
        fix="give them more memory, or fewer of them",
    )
