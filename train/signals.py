"""SIGTERM and SIGINT as a wish to stop soon, which is then granted."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

GRACE = 60
"""Seconds that a worker goes on after a SIGTERM."""

_log = logging.getLogger(__name__)


@dataclass
class Received:
    """The signal that came, if one did."""

    number: int | None = None


@contextlib.contextmanager
def deferred_signals() -> Iterator[Received]:
    """Note SIGTERM and SIGINT instead of ending; a second signal has its usual effect.

    Outside the main thread Python cannot do that, and signals keep their effect.
    """
    received = Received()
    kinds = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def restore() -> None:
        for kind in kinds:
            signal.signal(kind, before[kind])

    def note(number: int, frame: FrameType | None) -> None:
        _log.warning("%s: saving the state after this step", signal.Signals(number).name)
        received.number = number
        restore()

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield received
    finally:
        restore()


def end_by(number: int | None) -> NoReturn:
    """What the signal would have done: KeyboardInterrupt, or the end of the process.

    A signal must not get lost: who called could otherwise go on with half-trained weights.

    Args:
        number: the signal; None stands for SIGTERM, which another process has received.
    """
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + signal.SIGTERM)


def outlive_signals(worker: int) -> None:
    """Let a loader's worker serve its process until that has saved its state.

    A signal to the whole group, as a terminal or a scheduler sends it, must not kill workers at
    once; a worker that is still there after the grace has been forgotten.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait(number: int, frame: FrameType | None) -> None:
        signal.alarm(GRACE)

    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, wait)
