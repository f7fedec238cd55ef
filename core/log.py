"""Logging to stderr and progress bars; the library itself never configures or prints."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class _StderrHandler(logging.StreamHandler):  # type: ignore[type-arg]
    """Writes to stderr as it is at the time: one that was set up earlier may be closed by now."""

    def emit(self, record: logging.LogRecord) -> None:
        """See :meth:`logging.Handler.emit`."""
        self.stream = sys.stderr
        super().emit(record)


def set_verbosity(verbosity: int) -> None:
    """Configure the ``trifuse`` logger for a command: −1 errors, 0 warnings, 1 info, 2 debug."""
    logger = logging.getLogger("trifuse")
    logger.setLevel(max(logging.DEBUG, logging.WARNING - 10 * verbosity))
    if not logger.handlers:
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        logger.addHandler(handler)


def progress(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """A bar on stderr with the time left, or a line a minute; see :func:`progress_bar`."""
    with progress_bar(label, total) as bar:
        for item in items:
            yield item
            bar.update()


def progress_bar(label: str, total: int | None = None, **options: Any) -> Any:
    """How far a long work is, to be updated by hand (a context manager).

    A bar where stderr is a terminal; in a command whose stderr goes elsewhere a line a minute;
    nothing where the logger is quiet (``-q``).

    Args:
        label: what is done.
        total: steps of it.
        options: of :class:`tqdm.tqdm`.
    """
    kind = _bar()
    lines = {"mininterval": LINE_SECONDS, "maxinterval": LINE_SECONDS, "bar_format": _LINE}
    every = {} if shows_progress() else lines
    silent = not (shows_progress() or _shows_lines())
    return kind(desc=label, total=total, disable=silent, leave=False, **{**every, **options})


LINE_SECONDS = 60.0
"""Between two lines of progress, where no bar can be drawn."""

_LINE = "{desc}: {n_fmt} of {total_fmt} after {elapsed}, {remaining} left"


def _bar() -> Any:
    """The class of the bars; tqdm is imported when the first is wanted."""
    from tqdm import tqdm

    if shows_progress():
        return tqdm

    class Lines(tqdm):  # type: ignore[type-arg]
        """A line now and then, for files and pipes."""

        first, last_line = time.monotonic(), 0.0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            """Write how far it is, but neither at its start nor at its end."""
            now, since = time.monotonic(), self.last_line or self.first
            if msg is None and self.n > self.initial and now - since >= LINE_SECONDS:
                self.last_line, stream = now, sys.stderr
                stream.write(f"{self}\n")
                stream.flush()

    return Lines


def say(text: str) -> None:
    """One line on stderr about the step that begins; only in a command, and not in a quiet one."""
    if _shows_lines():
        print(text, file=sys.stderr, flush=True)


def shows_progress() -> bool:
    """Whether bars are drawn: stderr is a terminal and warnings are wanted."""
    return bool(sys.stderr and sys.stderr.isatty()) and _wanted()


def _shows_lines() -> bool:
    """In a command, which has set up the logger; the library itself prints nothing."""
    return bool(sys.stderr and logging.getLogger("trifuse").handlers) and _wanted()


def _wanted() -> bool:
    return logging.getLogger("trifuse").isEnabledFor(logging.WARNING)
