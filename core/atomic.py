"""Files that appear whole or not at all, and hold what was meant.

A file is written beside its final place under a name ending in ``.partial<suffix>``, flushed to
disk, read back and compared with what was meant, then renamed; then its folder is flushed. What a
killed run left behind is removed by the next writer of the same file, which holds the lock of it.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import logging
import os
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from trifuse.core.errors import OutputExistsError, ProductError
from trifuse.core.locks import begin, locked

_log = logging.getLogger(__name__)

FULL = "free some space on the disk, or write elsewhere"
"""What helps where a disk is full."""

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FAILING = _FULL | {errno.EIO, errno.EROFS, errno.ESTALE}
"""Errors of a disk, which are those of the file that is being written."""

WAIT = 10.0
"""Seconds that a writer waits for another one of the same file: a worker that was given up."""


def refuse_existing(*paths: Path | str, overwrite: bool = False) -> None:
    """Stop before any work if an output is in the way.

    What a killed process left half done is not in the way: it is made anew.

    Raises:
        OutputExistsError: if one of the paths exists and ``overwrite`` is False.
    """
    for path in map(Path, paths):
        if path.exists() and not overwrite and not _resumed(path.absolute()):
            raise OutputExistsError("exists already", where=path, fix="give --overwrite")
    for path in map(Path, paths):
        for output in (path.absolute(), *path.absolute().parents):
            begin(output)


_resumable: list[frozenset[Path]] = []


@contextlib.contextmanager
def resuming(files: Iterable[Path]) -> Iterator[None]:
    """Around the work of an output that was left half done: its files may be replaced."""
    listed = [f.absolute() for f in files]
    its = frozenset(listed)
    _log.warning("%s was left half done: it is made anew", listed[0])
    _resumable.append(its)
    try:
        yield
    finally:
        _resumable.remove(its)


def _resumed(path: Path) -> bool:
    return any(path in files or not files.isdisjoint(path.parents) for files in _resumable)


@contextlib.contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path to write to, renamed to ``path`` when the block ends well.

    For libraries that insist on a path; they do not say what they meant to write, so the block
    has to compare what it finds there. Whatever can go through :func:`atomic_file` goes there.

    The suffix is kept, because drivers choose formats by it. On any error the temporary file and
    its sidecars (``.aux.xml``, ``.ovr``) are removed.

    Raises:
        OutputExistsError: if the path exists and ``overwrite`` is False.
        ProductError: if the path is a folder, its folder cannot be written to, or the disk is
            full or fails.
        BusyError: if another process is writing it.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    if path.is_dir():
        raise ProductError("is a folder", where=path, fix="give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ProductError(f"cannot be written ({e.strerror})", where=path) from None
    with disk_errors(path), locked(path, wait=WAIT):
        stem = f".{path.name}."
        try:
            for stale in path.parent.glob(f"{glob.escape(stem)}*.partial*"):
                if not any(stale.name.startswith(name) for name in _live):
                    stale.unlink(missing_ok=True)
        except OSError as e:
            raise ProductError(f"cannot be written ({e.strerror})", where=path) from None
        temporary = path.with_name(f"{stem}{uuid.uuid4().hex[:8]}.partial{path.suffix}")
        _live.add(temporary.name)
        try:
            yield temporary
            flush_to_disk(temporary)
            temporary.replace(path)
            flush_to_disk(path.parent)
        finally:
            for left in path.parent.glob(f"{glob.escape(temporary.name)}*"):
                left.unlink(missing_ok=True)
            _live.discard(temporary.name)


_live: set[str] = set()
"""Temporary files that this process is writing: its threads share the lock."""


class Sink:
    """A file that is written from start to end, and knows the digest of what was meant."""

    def __init__(self, file: Any) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self.size = 0
        self.failure: OSError | None = None

    def write(self, content: bytes | bytearray | memoryview) -> int:
        """Write all of some bytes."""
        view = memoryview(content).cast("B")
        self._digest.update(view)
        self.size += len(view)
        rest = view
        try:
            while len(rest):  # an unbuffered file may take a part
                rest = rest[self._file.write(rest) :]
        except OSError as e:
            self.failure = e  # some libraries put words of their own in its place
            raise
        return len(view)

    def flush(self) -> None:
        """Nothing is held back."""

    def hexdigest(self) -> str:
        """SHA-256 of what was meant so far."""
        return self._digest.hexdigest()


@contextlib.contextmanager
def atomic_file(path: Path | str, *, overwrite: bool = False) -> Iterator[Sink]:
    """A file to write to from start to end; it appears when the block ends well and reads back.

    Raises:
        OutputExistsError, ProductError, BusyError: as :func:`atomic_path`; ProductError also if
            the disk gives back something else than it was given.
    """
    with atomic_path(path, overwrite=overwrite) as temporary:
        with temporary.open("wb", buffering=0) as file:
            sink = Sink(file)
            try:
                yield sink
            except Exception:
                if sink.failure is not None:
                    raise sink.failure from None
                raise
            os.fsync(file.fileno())
        if temporary.stat().st_size != sink.size or sha256(temporary) != sink.hexdigest():
            raise not_as_meant(path)


def not_as_meant(path: Path | str, reason: str = "it reads back otherwise") -> ProductError:
    """The error of a file that did not reach the disk as it was meant."""
    return ProductError(f"cannot be written ({reason})", where=path, fix=FULL)


@contextlib.contextmanager
def disk_errors(path: Path | str) -> Iterator[None]:
    """Name the file that was being written when the disk was full or failed.

    Raises:
        ProductError: in place of the system's error.
    """
    try:
        yield
    except ProductError:
        raise
    except OSError as e:
        if e.errno not in _FAILING:
            raise
        fix = FULL if e.errno in _FULL else "check the disk, or write elsewhere"
        raise ProductError(f"cannot be written ({e.strerror})", where=path, fix=fix) from None


def write_bytes(path: Path | str, content: bytes, *, overwrite: bool = False) -> None:
    """Write a file that is in memory, atomically."""
    with atomic_file(path, overwrite=overwrite) as sink:
        sink.write(content)


def write_json(path: Path | str, value: Any, *, overwrite: bool = False) -> None:
    """Write JSON atomically: sorted keys, two-space indent, so equal values are equal bytes."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode(), overwrite=overwrite)


def read_json(path: Path | str, limit: int = 64 << 20) -> Any:
    """Read a JSON file of bounded size.

    Raises:
        ProductError: if it is missing, too large or no JSON.
    """
    path = Path(path)
    try:
        if path.stat().st_size > limit:
            raise ProductError(f"larger than {limit >> 20} MiB", where=path)
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as e:
        if isinstance(e, ProductError):
            raise
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise ProductError(f"cannot be read as JSON ({reason})", where=path) from None


def sha256(path: Path | str) -> str:
    """Hex digest of a file's content."""
    with Path(path).open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def fingerprint(value: Mapping[str, Any] | list[Any]) -> str:
    """Hex digest of a JSON value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def flush_to_disk(path: Path) -> None:
    """Fsync a file or a folder; where a file system has no such thing, go on.

    Raises:
        OSError: if the disk is full or fails, of which some file systems only tell now.
    """
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError as e:
        if e.errno in _FAILING - {errno.EROFS}:
            raise
    finally:
        os.close(handle)
