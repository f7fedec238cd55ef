"""Files that appear whole or not at all.

A file is written beside its final place under a name ending in ``.partial<suffix>``, flushed to
disk, then renamed. What a killed run left behind is removed by the next writer of the same file.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trifuse.core.errors import OutputExistsError, ProductError


def refuse_existing(*paths: Path | str, overwrite: bool = False) -> None:
    """Stop before any work if an output is in the way.

    Raises:
        OutputExistsError: if one of the paths exists and ``overwrite`` is False.
    """
    for path in map(Path, paths):
        if path.exists() and not overwrite:
            raise OutputExistsError("exists already", where=path, fix="give --overwrite")


@contextlib.contextmanager
def atomic_path(path: Path | str, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary path to write to, renamed to ``path`` when the block ends well.

    The suffix is kept, because drivers choose formats by it. On any error the temporary file and
    its sidecars (``.aux.xml``, ``.ovr``) are removed.

    Raises:
        OutputExistsError: if the path exists and ``overwrite`` is False.
        ProductError: if the path is a folder, or its folder cannot be written to.
    """
    path = Path(path)
    refuse_existing(path, overwrite=overwrite)
    if path.is_dir():
        raise ProductError("is a folder", where=path, fix="give the name of a file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        stem = f".{path.name}."
        for stale in path.parent.glob(f"{glob.escape(stem)}*.partial*"):
            stale.unlink(missing_ok=True)
    except OSError as e:
        raise ProductError(f"cannot be written ({e.strerror})", where=path) from None
    temporary = path.with_name(f"{stem}{uuid.uuid4().hex[:8]}.partial{path.suffix}")
    try:
        yield temporary
        flush_to_disk(temporary)
        temporary.replace(path)
        flush_to_disk(path.parent)
    finally:
        for left in path.parent.glob(f"{glob.escape(temporary.name)}*"):
            left.unlink(missing_ok=True)


def write_bytes(path: Path | str, content: bytes, *, overwrite: bool = False) -> None:
    """Write a small file atomically."""
    with atomic_path(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(content)


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
    """Fsync a file or a folder; where a file system has no such thing, go on."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
