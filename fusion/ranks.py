"""Several processes of a launcher (``torchrun``), one for each GPU, on one scene.

The first rank opens, prepares, writes and reports; the others compute every so-many-th part that
it hands out. They talk through gloo, and pixels go through files.
"""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch

from trifuse.core import DataError, Manifest, PartialError, TrifuseError, Unit, progress_bar
from trifuse.core.work import Work, attempt

Result = TypeVar("Result")

_leads: ContextVar[bool] = ContextVar("leads", default=False)
"""Whether this process is the first one of a launcher, in a function that all of them called."""

_PATIENCE = timedelta(hours=12)
"""How long ranks wait for another: the first one writes the product while they wait."""


class Ranks:
    """The processes that a launcher started together, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        world: how many there are.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._listening = True

    @classmethod
    def launched(cls) -> Ranks | None:
        """The ranks this process belongs to; None if it runs alone."""
        world = int(os.environ.get("WORLD_SIZE", "1"))
        if world < 2 or not torch.distributed.is_torchelastic_launched():
            return None
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo", timeout=_PATIENCE)
            # Left to the end of the interpreter, its threads may abort the process.
            atexit.register(torch.distributed.destroy_process_group)
        if torch.cuda.is_available():
            local = int(os.environ.get("LOCAL_RANK", "0"))
            torch.cuda.set_device(local % torch.cuda.device_count())
        return cls(torch.distributed.get_rank(), world)

    @contextmanager
    def leading(self) -> Iterator[None]:
        """Around what the first rank does, so that the others end if it fails."""
        token = _leads.set(True)
        try:
            yield
        except BaseException as e:
            if self._listening:  # in a round they learn it when this process ends
                self._tell("failed", str(e) or repr(e))
            raise
        finally:
            _leads.reset(token)

    def run_units(self, units: Sequence[Unit], work: Work, manifest: Manifest) -> None:
        """On the first rank: share the units out; as :func:`trifuse.core.run_units`."""
        todo = [u for u in units if u.id not in manifest.done]
        self._tell("units", (todo, work, manifest.folder.absolute()))
        failed: dict[str, TrifuseError] = {}
        with progress_bar("tiles", total=len(units), initial=len(units) - len(todo)) as bar:
            for outcomes in self._rounds(todo, work, manifest.folder):
                for unit, outcome in outcomes:
                    if isinstance(outcome, TrifuseError):
                        failed[unit.id] = outcome
                    else:
                        manifest.record(unit, outcome)
                    bar.update()
        if failed:
            first = next(iter(failed.values()))
            raise (
                first
                if len(units) == 1
                else PartialError(
                    f"{len(failed)} of {len(units)} units failed: {first}", where=manifest.folder
                )
            )

    def finish(self, result: Any) -> None:
        """On the first rank: hand the result to the others, whose work is done."""
        self._tell("done", result)

    def follow(self) -> Any:
        """On every other rank: do what the first one hands out, and return its result.

        Raises:
            DataError: if the first one failed.
        """
        while True:
            kind, value = self._hear()
            if kind == "done":
                return value
            if kind == "failed":
                raise DataError(f"the first of {self.world} processes failed: {value}")
            todo, work, folder = value
            for _ in self._rounds(todo, work, folder):
                pass

    def _rounds(
        self, todo: Sequence[Unit], work: Work, folder: Path
    ) -> Iterator[list[tuple[Unit, Any]]]:
        """Each rank does one unit a round: what is done is recorded, should a process be lost."""
        self._listening = False
        for start in range(0, len(todo), self.world):
            turn = todo[start : start + self.world]
            mine = None
            if self.rank < len(turn):
                mine = turn[self.rank], attempt(work, turn[self.rank], folder)
            every: list[Any] = [None] * self.world
            try:
                torch.distributed.all_gather_object(every, mine)
            except RuntimeError:
                raise _ended() from None
            yield [e for e in every if e is not None]
        self._listening = True

    def _tell(self, kind: str, value: Any) -> None:
        torch.distributed.broadcast_object_list([kind, value], src=0)

    def _hear(self) -> tuple[str, Any]:
        message: list[Any] = [None, None]
        try:
            torch.distributed.broadcast_object_list(message, src=0)
        except RuntimeError:
            raise _ended() from None
        return message[0], message[1]


def _ended() -> DataError:
    return DataError(
        "another of the launcher's processes ended",
        fix="see what it said; the same command again goes on from the parts that are done",
    )


def on_ranks(function: Callable[..., Result]) -> Callable[..., Result]:
    """Let a function be called by every process of a launcher: the first one runs it.

    The others do what it hands out, and return what it returns. Such a function may call another
    one: that is a part of what the first process runs.
    """

    @functools.wraps(function)
    def call(*args: Any, **options: Any) -> Result:
        ranks = Ranks.launched()
        if ranks is None or _leads.get():
            return function(*args, **options)
        if ranks.rank:
            followed: Result = ranks.follow()
            return followed
        with ranks.leading():
            result = function(*args, **options)
            ranks.finish(result)
        return result

    return call
