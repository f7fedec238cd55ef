"""What the public functions take: a path, an open source, a cube, or one with how to read it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trifuse.core import Cube, CubeSource, MemorySource, Reading, sha256

Image = Cube | CubeSource | Path | str | Sequence[Path | str] | Reading


def as_source(image: Image, **options: Any) -> CubeSource:
    """Open what is not open yet; options as of :func:`trifuse.products.open_cube`."""
    if isinstance(image, Reading):
        from trifuse.products.reading import open_reading

        return open_reading(image, **options)
    if isinstance(image, CubeSource):
        return image
    if isinstance(image, Cube):
        return MemorySource(image, str(image.meta.get("product_id", "memory")))
    from trifuse.products import open_cube

    return open_cube(image, **options)


HASHED_BYTES = 256 << 20
"""Files up to this size are named by their content, larger ones by size and time."""

LISTED = 500
"""Files of a folder that are listed one by one."""


def provenance(image: Image, *, content: bool = True) -> dict[str, Any]:
    """What a run record says of an input: its files by content; a name where it has none.

    Args:
        image: the input.
        content: whether to read the files for their SHA-256; else size and time are told.
    """
    if isinstance(image, Reading):
        given = {"as_given": image.to_json()} if image.options else {}
        return {**provenance(image.image, content=content), **given}
    if isinstance(image, Cube | CubeSource):
        return {"name": getattr(image, "name", "memory")}
    paths = [image] if isinstance(image, Path | str) else list(image)
    return {"files": [_described(Path(p), content) for p in paths]}


def _described(path: Path, content: bool) -> dict[str, Any]:
    if not path.exists():
        return {"path": str(path), "bytes": None}
    if not path.is_dir():
        return {"path": str(path), **_identity(path, content)}
    members = sorted(p for p in path.rglob("*") if p.is_file())
    about = {
        "path": str(path),
        "files": len(members),
        "bytes": sum(p.stat().st_size for p in members),
    }
    if len(members) > LISTED:
        return about
    listed = [{"path": p.relative_to(path).as_posix(), **_identity(p, content)} for p in members]
    return {**about, "members": listed}


def _identity(path: Path, content: bool) -> dict[str, Any]:
    """Size, with the content's digest or the time of the last change."""
    status = path.stat()
    if content and status.st_size <= HASHED_BYTES:
        return {"bytes": status.st_size, "sha256": sha256(path)}
    changed = datetime.fromtimestamp(status.st_mtime, UTC)
    return {"bytes": status.st_size, "changed": changed.isoformat(timespec="seconds")}
