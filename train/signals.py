"""SIGTERM and SIGINT as a wish, not as an end."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def signal_flag() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set; the second signal has its usual effect."""
    event = threading.Event()
    kinds = (signal.SIGTERM, signal.SIGINT)
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {kind: signal.getsignal(kind) for kind in kinds}

    def note(number: int, frame: FrameType | None) -> None:
        _log.warning("%s: saving the state after this step", signal.Signals(number).name)
        event.set()
        for kind in kinds:
            signal.signal(kind, before[kind])

    for kind in kinds:
        signal.signal(kind, note)
    try:
        yield event
    finally:
        for kind in kinds:
            signal.signal(kind, before[kind])


def ignore_signals(worker: int) -> None:
    """Workers end with their process; a signal to the whole group must not kill them before."""
    for kind in (signal.SIGTERM, signal.SIGINT):
        signal.signal(kind, signal.SIG_IGN)
