"""What the public functions take: a path, an open source, a cube, xarray's, or how to read one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Protocol, TypeVar, cast, overload

import numpy as np

from trifuse.core import Cube, CubeSource, DataError, Grid, MemorySource, Reading, TilePlan, sha256
from trifuse.core.xarray_read import is_xarray

if TYPE_CHECKING:
    import xarray

    from trifuse.core.xarray_read import XArray

Opened = Cube | CubeSource | Path | str | Sequence[Path | str] | Reading
"""What names an image, but for what xarray has opened."""

if TYPE_CHECKING:
    Image = Opened | XArray
else:  # a Dataset or DataArray is an image too, but xarray is imported by who makes one
    Image = Opened


class Result(Protocol):
    """What a verb gives."""

    def to_xarray(self) -> xarray.DataArray:
        """The image that was made, with labels."""


P = ParamSpec("P")
R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Verb(Protocol[P, R_co]):
    """A function of an image that gives xarray where xarray came in."""

    @overload
    def __call__(
        self, image: XArray, /, *args: P.args, **options: P.kwargs
    ) -> xarray.DataArray: ...

    @overload
    def __call__(self, image: Opened, /, *args: P.args, **options: P.kwargs) -> R_co: ...


def gives_xarray(verb: Callable[Concatenate[Image, P], R]) -> Verb[P, R]:
    """Let a verb give a DataArray where its first image came from xarray.

    A dry run makes no image, so it gives what it gives of a file.
    """
    name = next(iter(signature(verb).parameters))

    @wraps(verb)
    def call(*args: Any, **options: Any) -> Any:
        done = verb(*args, **options)
        image = args[0] if args else options.get(name)
        image = image.image if isinstance(image, Reading) else image
        made = not options.get("dry_run") and is_xarray(image)
        return done.to_xarray() if made else done

    return cast("Verb[P, R]", call)


def result_array(
    cube: Cube | None, path: Path | None, record: Mapping[str, Any]
) -> xarray.DataArray:
    """What a verb has made, with labels; its record is JSON in the attribute ``trifuse_record``.

    Args:
        cube: the image, if it was kept in memory.
        path: else, where it was written.
        record: what is said of it.

    Raises:
        DataError: if nothing was made.
    """
    if cube is None and (path is None or not path.exists()):
        raise DataError("a dry run has made no image", fix="run it")
    array = as_source(cast("Image", path)).to_xarray() if cube is None else cube.to_xarray()
    array.attrs["trifuse_record"] = json.dumps(record, default=str, ensure_ascii=False)
    return array


def as_source(image: Image, **options: Any) -> CubeSource:
    """Open what is not open yet; options as of :func:`trifuse.products.open_cube`."""
    if isinstance(image, Reading):
        from trifuse.products.reading import open_reading

        return open_reading(image, **options)
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
    if isinstance(image, Reading):
        said = {"as_given": image.to_json()} if image.options else {}
        return {**provenance(image.image, content=content), **said}
    if isinstance(image, Cube | CubeSource):
        return {"name": getattr(image, "name", "memory")}
    if is_xarray(image):
        with as_source(image) as source:
            return {"name": source.name, "kind": "xarray"}
    given = cast("Path | str | Sequence[Path | str]", image)
    paths = [given] if isinstance(given, Path | str) else list(given)
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
