"""One writer at a time: locks that end with their process, however it ends.

The lock of a file or folder is a hidden file beside it, locked through the kernel and removed when
the work ends. What a killed process left there is locked by nobody, and is taken over. Once it is
known that the output may be written, that is noted in the lock: so an output that a killed process
left half done is known from one that is somebody's. Where a file system knows no locks, work goes
on without.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from trifuse.core.errors import BusyError

try:
    import fcntl
except ImportError:  # a system without them
    fcntl = None  # type: ignore[assignment]

_UNKNOWN = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK}
_STEP = 0.05

_held: dict[tuple[int, str], int] = {}
"""(process, lock file) → how often this process holds it."""

_handles: dict[tuple[int, str], int | None] = {}
"""(process, lock file) → its handle."""

_unfinished: set[tuple[int, str]] = set()
"""Of these those whose output an earlier process began and did not finish."""

_kept: set[tuple[int, str]] = set()
"""Of these those that stay, because their output was left half done."""

_guard = threading.Lock()


def lock_file(path: Path | str) -> Path:
    """Where the lock of an output lies: beside it, or in a folder whose own folder is not ours."""
    path = Path(path).absolute()
    if path.is_dir() and not os.access(path.parent, os.W_OK):
        return path / ".lock"
    return path.parent / f".{path.name}.lock"


@contextlib.contextmanager
def locked(path: Path | str, *, wait: float = 0.0) -> Iterator[None]:
    """Be the only process that writes an output; within a process it may be held more than once.

    Args:
        path: the output, which need not exist; the folder it lies in must.
        wait: seconds to wait for another process.

    Raises:
        BusyError: if another process is writing it.
    """
    file = lock_file(path)
    key = os.getpid(), str(file)
    stop = time.monotonic() + wait
    while not _taken(file, key):
        if time.monotonic() >= stop:
            raise BusyError(
                "is being written by another process",
                where=path,
                fix="wait for it, or write elsewhere",
            )
        time.sleep(_STEP)
    try:
        yield
    finally:
        with _guard:
            _held[key] -= 1
            if not _held[key]:
                del _held[key]
                _unfinished.discard(key)
                _release(file, _handles.pop(key), keep=key in _kept)
                _kept.discard(key)


def begin(path: Path | str) -> None:
    """Note in the lock of an output, if this process holds it, that it may be written."""
    handle = _handles.get((os.getpid(), str(lock_file(path)))) if _handles else None
    if handle is not None:
        with contextlib.suppress(OSError):  # a full disk: then it is as if nothing had begun
            os.pwrite(handle, b"begun", 0)


def leave(path: Path | str) -> None:
    """Let the lock of an output stay when it is released: the output was begun and not finished."""
    key = os.getpid(), str(lock_file(path))
    handle = _handles.get(key)
    if handle is not None and os.fstat(handle).st_size:
        _kept.add(key)


def unfinished(path: Path | str) -> bool:
    """Whether an earlier process began an output, whose lock this one holds, and was killed."""
    return (os.getpid(), str(lock_file(path))) in _unfinished


def _taken(file: Path, key: tuple[int, str]) -> bool:
    """Whether this process holds a lock now, once more or for the first time."""
    with _guard:
        if key not in _held:
            try:
                _handles[key] = handle = _acquire(file)
            except BlockingIOError:
                return False
            if handle is not None and os.fstat(handle).st_size:
                _unfinished.add(key)
        _held[key] = _held.get(key, 0) + 1
    return True


def _acquire(file: Path) -> int | None:
    """A locked handle; None where there are no locks.

    Raises:
        BlockingIOError: if another process holds it.
    """
    if fcntl is None:
        return None
    while True:
        try:
            handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as e:
            if e.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
                return None  # the write itself will say so, or needs none of it
            raise
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as e:
            os.close(handle)
            if e.errno in _UNKNOWN:
                file.unlink(missing_ok=True)
                return None
            if e.errno in _TAKEN:
                raise BlockingIOError from None
            raise
        # The one who held it before may have removed the file between our two steps.
        if _same(handle, file):
            return handle
        os.close(handle)


def _same(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


def _release(file: Path, handle: int | None, *, keep: bool) -> None:
    if handle is None:
        return
    if not keep:
        with contextlib.suppress(OSError):
            file.unlink(missing_ok=True)
    os.close(handle)


def sweep(folder: Path | str) -> None:
    """Remove what killed writers left anywhere in a folder: locks that nobody holds, half files.

    What another process is writing stays.
    """
    for file in list(Path(folder).rglob(".*.lock")):
        target = file.with_name(file.name.removeprefix(".").removesuffix(".lock"))
        with contextlib.suppress(OSError), locked(target):
            for left in file.parent.glob(f"{glob.escape(f'.{target.name}.')}*.partial*"):
                left.unlink(missing_ok=True)
