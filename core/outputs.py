"""What is written may not cost what is read, and has one writer at a time: told before any work.

An output may not be an input, hold one, or lie in one that is a folder; nor may what is written
beside it, such as its sidecar. :func:`writes` puts that, and the lock, around a verb.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from trifuse.core.atomic import resuming
from trifuse.core.errors import OutputExistsError, ProductError
from trifuse.core.locks import leave, locked, sweep, unfinished
from trifuse.core.reading import Reading

P = ParamSpec("P")
R = TypeVar("R")

Beside = Callable[[Path, Mapping[str, Any]], Iterable[Path]]
"""(output, arguments of the verb) → all files that are written."""

_DEPTH = 6
_LOOKED_AT = 2000


def product_files(path: Path, _: Mapping[str, Any] | None = None) -> list[Path]:
    """A GeoTIFF and what may be written beside it."""
    names = (path.name, f"{path.stem}_std{path.suffix}", f"{path.stem}.png")
    return [path.parent / n for n in (*names, f"{path.name}.json", f"{path.name}.stac.json")]


def one_file(path: Path, _: Mapping[str, Any] | None = None) -> list[Path]:
    """The file or folder alone."""
    return [path]


def writes(
    *inputs: str, out: str = "out", folder: bool = False, files: Beside | None = None
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Around a verb: spare its inputs, and be its output's only writer until it returns.

    Args:
        inputs: names of the arguments that are read: paths, sources, series, or many of them.
        out: name of the argument that is written; None is memory, and nothing is done.
        folder: whether it is a folder.
        files: what is written; default: :func:`one_file` of a folder, else
            :func:`product_files`.

    The verb then also raises OutputExistsError and BusyError.
    """
    listed = files or (one_file if folder else product_files)

    def decorate(verb: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(verb)

        @functools.wraps(verb)
        def guarded(*args: P.args, **options: P.kwargs) -> R:
            given = signature.bind(*args, **options)
            given.apply_defaults()
            target = given.arguments.get(out)
            if target is None:
                return verb(*args, **options)
            path = Path(target)
            out_files = listed(path, given.arguments)
            spare(out_files, [given.arguments[n] for n in inputs], folder=folder)
            if given.arguments.get("dry_run"):
                return verb(*args, **options)
            with sole_writer(path, out_files):
                return verb(*args, **options)

        return guarded

    return decorate


def spare(outputs: Iterable[Path], inputs: Iterable[Any], *, folder: bool = False) -> None:
    """Stop if an output is an input, holds one, or lies in one.

    Args:
        outputs: files and folders that will be written.
        inputs: paths, sources and the like; files that they read are found in them.
        folder: whether the outputs are folders, which may be new.

    Raises:
        OutputExistsError: naming both.
    """
    inputs = list(inputs)
    read = {p.resolve() for value in inputs for p in _paths(value)}
    # What a source only keeps in mind, such as the folder of its files, is not what was given.
    given = {p.resolve() for value in inputs for p in _given(value)}
    for output in outputs:
        target = output.resolve()
        for path in sorted(read):
            if target == path or (output.exists() and path.exists() and output.samefile(path)):
                raise OutputExistsError("is an input too", where=output, fix="write elsewhere")
            if folder and target in path.parents:
                raise OutputExistsError(
                    f"holds the input {path.name}", where=output, fix="write elsewhere"
                )
            if path in given and path.is_dir() and path in target.parents:
                raise OutputExistsError(
                    f"lies in the input {path.name}", where=output, fix="write elsewhere"
                )


def _given(value: Any) -> set[Path]:
    """Paths that a value is, or is a list of."""
    values = value if isinstance(value, list | tuple) else [value]
    images = [v.image if isinstance(v, Reading) else v for v in values]
    flat = [p for v in images for p in (v if isinstance(v, list | tuple) else [v])]
    return {Path(v) for v in flat if isinstance(v, str | Path)}


def _paths(value: Any) -> set[Path]:
    """Files and folders that a value is, or reads from, with the records beside them."""
    found = _given(value)
    _look(value, found, _DEPTH, set())
    beside = {p.parent / (p.name + end) for p in found for end in (".json", ".stac.json")}
    cards = {p.with_suffix(".json") for p in found if p.suffix == ".safetensors"}
    return {p for p in found | beside | cards if _exists(p)}


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _look(value: Any, found: set[Path], depth: int, seen: set[int]) -> None:
    """Gather the paths in a value: those of open sources lie in their attributes."""
    if isinstance(value, Path):
        found.add(value)
        return
    if depth == 0 or id(value) in seen or len(seen) > _LOOKED_AT:
        return
    if isinstance(value, str | bytes | int | float | complex | type(None)):
        return
    seen.add(id(value))
    parts: list[Any]
    if isinstance(value, Mapping):
        parts = list(value.values())
    elif isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif type(value).__module__.startswith("trifuse."):
        slots = [n for k in type(value).__mro__ for n in _slots(k)]
        parts = [getattr(value, name, None) for name in slots]
        parts += getattr(value, "__dict__", {}).values()
    else:
        return
    for part in parts:
        _look(part, found, depth - 1, seen)


def _slots(kind: type) -> Sequence[str]:
    names = vars(kind).get("__slots__", ())
    return (names,) if isinstance(names, str) else tuple(names)


@contextlib.contextmanager
def sole_writer(path: Path | str, files: Iterable[Path] = ()) -> Iterator[None]:
    """Hold the lock of an output from before the work to its end.

    Folders above it that are not there yet are made, and go again if nothing came into them. Of the
    processes of a launcher (``torchrun``) the first one holds it for all.

    Args:
        path: the output.
        files: all that is written; what a killed process left of it may be replaced.

    Raises:
        BusyError: if another process is writing it.
        ProductError: if its folder cannot be made.
    """
    if os.environ.get("TORCHELASTIC_RUN_ID") and os.environ.get("RANK", "0") != "0":
        yield
        return
    path = Path(path)
    place = path.absolute().parent
    made = []
    at = place
    while not _exists(at):
        made.append(at)
        at = at.parent
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ProductError(f"cannot be made ({e.strerror})", where=place) from None
    try:
        with locked(path):
            if path.is_dir():
                sweep(path)
            half = unfinished(path) and any(_exists(f) for f in (path, *files))
            before = _signature(path)
            with resuming((path, *files)) if half else contextlib.nullcontext():
                try:
                    yield
                except BaseException:
                    if half or _signature(path) not in (None, before):
                        leave(path)  # it has its name, but not all that belongs to it
                    raise
    finally:
        for left in made:
            with contextlib.suppress(OSError):  # it is not empty
                left.rmdir()


def _signature(path: Path) -> tuple[int, ...] | None:
    """What changes when another file takes a name, or a folder is made."""
    try:
        status = path.stat()
    except OSError:
        return None
    if path.is_dir():
        return (status.st_ino,)
    return status.st_ino, status.st_size, status.st_mtime_ns
