"""What the public functions take: a path, an open source or a cube in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trifuse.core import Cube, CubeSource, MemorySource

Image = Cube | CubeSource | Path | str | Sequence[Path | str]


def as_source(image: Image, **options: Any) -> CubeSource:
    """Open what is not open yet; options as of :func:`trifuse.products.open_cube`."""
    if isinstance(image, CubeSource):
        return image
    if isinstance(image, Cube):
        return MemorySource(image, str(image.meta.get("product_id", "memory")))
    from trifuse.products import open_cube

    return open_cube(image, **options)


def provenance(image: Image) -> dict[str, Any]:
    """What a run record says of an input: path, size and time of its files; a name otherwise."""
    if isinstance(image, Cube | CubeSource):
        return {"name": getattr(image, "name", "memory")}
    paths = [image] if isinstance(image, Path | str) else list(image)
    files = []
    for path in map(Path, paths):
        status = path.stat() if path.exists() else None
        files.append({"path": str(path), "bytes": status.st_size if status else None})
    return {"files": files}
