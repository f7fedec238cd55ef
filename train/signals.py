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


def ignore_signals(worker: int) -> None:
    """Workers end with their process; a signal to the whole group must not kill them before."""
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, signal.SIG_IGN)
