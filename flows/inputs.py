"""What the public functions take: a path, an open source or a cube in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import Cube, CubeSource, Grid, MemorySource, TilePlan, sha256

Image = Cube | CubeSource | Path | str | Sequence[Path | str]


def as_source(image: Image, **options: Any) -> CubeSource:
    """Open what is not open yet; options as of :func:`trifuse.products.open_cube`."""
    if type(image) is MemorySource:  # what only looks like one reads when it is asked to
        cube = image.read()
        return MemorySource(_finite(cube), image.name) if _infinite(cube) else image
    if isinstance(image, CubeSource):
        return image
    if isinstance(image, Cube):
        return MemorySource(_finite(image), str(image.meta.get("product_id", "memory")))
    from trifuse.products import open_cube

    return open_cube(image, **options)


def _infinite(cube: Cube) -> bool:
    return bool(np.isinf(cube.data).any())


def _finite(cube: Cube) -> Cube:
    """Infinity is no value, as in files: it becomes NaN."""
    if not _infinite(cube):
        return cube
    return replace(cube, data=np.where(np.isinf(cube.data), np.float32(np.nan), cube.data))


def empty_bands(source: CubeSource, ground: Grid) -> list[str]:
    """Bands that have no value anywhere over some ground: all of it is read for a band that has."""
    window = source.grid.locate(ground)
    empty = []
    for name in source.bands.names:
        tiles = TilePlan(*ground.shape, tile=1024)
        parts = (source.read(t.write.shift(window.row, window.col), [name]) for t in tiles)
        if not any(np.isfinite(part.data).any() for part in parts):
            empty.append(name)
    return empty


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
