"""Logging to stderr and progress bars; the library itself never configures or prints."""

from __future__ import annotations

import logging
import sys
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
    """A progress bar on stderr; silent where stderr is no terminal or the logger is quiet."""
    from tqdm import tqdm

    yield from tqdm(items, desc=label, total=total, disable=not shows_progress(), leave=False)


def progress_bar(label: str, total: int | None = None, **options: Any) -> Any:
    """The same bar to be updated by hand (a context manager)."""
    from tqdm import tqdm

    return tqdm(desc=label, total=total, disable=not shows_progress(), leave=False, **options)


def shows_progress() -> bool:
    """Whether bars are drawn: stderr is a terminal and warnings are wanted."""
    return bool(sys.stderr and sys.stderr.isatty()) and logging.getLogger("trifuse").isEnabledFor(
        logging.WARNING
    )
