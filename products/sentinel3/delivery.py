"""Sentinel-3 deliveries as they arrive: a ``.SEN3`` folder or a zip of one.

h5py reads no members of archives in place, so members of a zip are copied, each when it is first
needed, into a private folder that disappears with its last user.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import ProductError, Window
from trifuse.products.files.archive import (
    DAMAGE,
    FileRef,
    Unpacked,
    is_zip,
    open_member,
    zip_members,
)
from trifuse.products.files.hdf5 import Variable, describe_variable, read_variable

NAME = re.compile(
    r"S3(?P<platform>[A-Z])_(?P<kind>[A-Z]{2}_\d_[A-Z0-9_]{6})_(?P<start>\d{8}T\d{6})_"
    r"(?P<stop>\d{8}T\d{6})_(?P<made>\d{8}T\d{6})_.{17}_(?P<centre>\w{3})_(?P<class>\w)_"
    r"(?P<timeliness>\w\w)_(?P<baseline>\w{3})",
    re.I,
)
"""Name of a product: platform, type, start, stop, time of processing, …, timeliness, baseline."""
MANIFEST = "xfdumanifest.xml"
MAX_MEMBER = 2 << 30
"""Bytes of one file; a band of a full frame takes about 30 MiB."""
SIGNS = {
    "SY_2_SYN": re.compile(r"Syn_.+_reflectance\.nc|Syn_SDR.*\.nc", re.I),
    "OL_1_EFR": re.compile(r"Oa\d\d_radiance\.nc", re.I),
}
"""Types that are opened here, and names of files that only they have."""

_CHUNK = 1 << 20
_DEPTH = 3


class Delivery:
    """The files of one product.

    Attributes:
        name: of the product, without ``.SEN3``.
        kind: e.g. ``SY_2_SYN``.
        origin: the path the user gave.
        place: of the files, for messages.

    Args:
        origin: the path the user gave.
        place: folder, or archive and folder in it.
        files: by name.
    """

    def __init__(self, origin: Path, place: str, files: Sequence[FileRef]) -> None:
        self.origin, self.place = origin, place
        self._files = {file.name.lower(): file for file in files}
        if len(self._files) < len(files):
            raise ProductError("holds a file twice", where=place, fix="keep one of them")
        match = NAME.search(place.replace("\\", "/").rsplit("/", 1)[-1]) or NAME.search(origin.name)
        self.name = match[0].upper() if match else re.sub(r"\.(SEN3|zip)\b", "", origin.name)
        self.kind = kind_of([place, origin.name], [f.name for f in files])
        self._lock = threading.Lock()
        self._unpacked: Unpacked | None = None

    def has(self, file: str) -> bool:
        """Whether there is a file of this name, in any case."""
        return file.lower() in self._files

    def names(self, pattern: re.Pattern[str]) -> list[str]:
        """Names of the files that a pattern fits."""
        return sorted(f.name for f in self._files.values() if pattern.fullmatch(f.name))

    def where(self, file: str) -> str:
        """A file, for messages."""
        found = self._files.get(file.lower())
        return found.where if found else f"{self.place}/{file}"

    def bytes(self, file: str, limit: int) -> bytes:
        """The content of a small file."""
        return self._files[file.lower()].read(limit)

    def path(self, file: str) -> Path:
        """A file on disk; a member of a zip is copied out if it is not yet.

        Raises:
            ProductError: if it is missing, damaged, or too large for what is free.
        """
        found = self._files.get(file.lower())
        if found is None:
            raise ProductError("is missing", where=self.where(file), fix="get the product again")
        if not found.member:
            return found.path
        with self._lock:
            if self._unpacked is None or not self._unpacked.folder.is_dir():
                self._unpacked = Unpacked(Path(tempfile.mkdtemp(prefix="trifuse-")))
            target = self._unpacked.folder / file.lower()
            if not target.exists():
                _copy(found, target)
            return target

    def variable(self, file: str, name: str) -> Variable:
        """Look at a variable's header; see :func:`describe_variable`."""
        return describe_variable(self.path(file), self.where(file), file, name)

    def stored(self, variable: Variable, window: Window | None = None) -> np.ndarray:
        """Stored values; see :func:`read_variable`."""
        file = variable.file
        return read_variable(self.path(file), self.where(file), variable, window)

    def values(
        self,
        variable: Variable,
        window: Window | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> np.ndarray:
        """Calibrated values, NaN where missing."""
        return variable.calibrate(self.stored(variable, window), dtype)

    def close(self) -> None:
        """Give up what was copied; reading again copies it again."""
        with self._lock:
            self._unpacked = None

    @contextlib.contextmanager
    def kept_if_well(self) -> Iterator[Delivery]:
        """Close the delivery if the block fails, so that nothing copied stays behind."""
        try:
            yield self
        except BaseException:
            self.close()
            raise

    def __getstate__(self) -> dict[str, Any]:
        # The copy does not own the unpacked files, so it unpacks its own.
        return {k: v for k, v in self.__dict__.items() if k != "_lock"} | {"_unpacked": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()


def find_delivery(path: str | Path) -> Delivery:
    """The one product at a path.

    Args:
        path: ``.SEN3`` folder, a folder that holds one, a zip of one, or a file of one.

    Raises:
        ProductError: if there is none, or several.
    """
    path = Path(path)
    found = _products(path)
    if len(found) != 1:
        names = ", ".join(k.rsplit("/", 1)[-1] for k in found)
        raise ProductError(
            f"holds {len(found)} Sentinel-3 products: {names}"
            if found
            else "holds no Sentinel-3 product",
            where=path,
            fix="give one .SEN3 folder or a zip of one",
        )
    place, files = next(iter(found.items()))
    return Delivery(path.absolute(), place, files)


def sentinel3_kind(path: str | Path) -> str:
    """Type of the Sentinel-3 product at a path by names alone, else empty; never raises."""
    path = Path(path)
    try:
        if path.is_file() and not is_zip(path):
            if path.name.lower() != MANIFEST and not kind_of([], [path.name]):
                return ""
            path = path.parent
        if not path.exists():
            return ""
        if match := NAME.search(path.name):
            return _type(match)
        for place, files in _products(path).items():
            return kind_of([place], [f.name for f in files])
    except (OSError, ValueError):
        return ""
    return ""


def kind_of(places: Sequence[str], files: Sequence[str]) -> str:
    """Type of a product by the name of its folder, else by its files; empty if it is none."""
    for place in places:
        if match := NAME.search(place.replace("\\", "/").rsplit("/", 1)[-1]):
            return _type(match)
    for kind, sign in SIGNS.items():
        if any(sign.fullmatch(f) for f in files):
            return kind
    return ""


def _type(match: re.Match[str]) -> str:
    return match["kind"].upper().rstrip("_")


def _products(path: Path) -> dict[str, list[FileRef]]:
    """Files of the products at a path, by the folder that holds them.

    A folder named like a product may hold it once more, as unpackers and downloaders leave it
    (``X/X.SEN3``, ``X.SEN3/X.SEN3``): files tell which is one. Only where no files do, names do.
    """
    places = _places(path)
    level = [path] if path.is_dir() else []
    for _ in range(_DEPTH):
        if any(_has_product(*place) for place in places.items()):
            break
        level = [p for folder in level for p in sorted(folder.iterdir()) if _is_named(p)]
        for inner in level:
            places |= _places(inner)
    held = {k: v for k, v in places.items() if _has_product(k, v)}
    return (
        held
        or {k: v for k, v in places.items() if v and kind_of([k], [f.name for f in v])}
        or {k: v for k, v in places.items() if kind_of([k], [])}
    )


def _has_product(place: str, files: Sequence[FileRef]) -> bool:
    names = [f.name for f in files]
    listed = any(n.lower() == MANIFEST for n in names) and kind_of([place], [])
    return bool(listed or kind_of([], names))


def _is_named(path: Path) -> bool:
    """Whether it is a folder with the name of a product."""
    named = path.suffix.lower() == ".sen3" or NAME.fullmatch(path.name) is not None
    return named and path.is_dir()


def _places(path: Path) -> dict[str, list[FileRef]]:
    """Files by the folder that holds them."""
    if not path.exists():
        raise ProductError("does not exist", where=path, fix="check the path")
    if path.is_file() and not is_zip(path):
        path = path.parent
    if path.is_dir():
        files = [
            FileRef.of(p)
            for p in sorted(path.iterdir())
            if p.is_file() and not p.name.startswith(".")
        ]
        return {str(path.absolute()): files}
    places: dict[str, list[FileRef]] = {}
    for file in zip_members(path):
        folder = file.member.rpartition("/")[0]
        if not file.name.startswith("."):
            places.setdefault(f"{path.absolute()}/{folder}".rstrip("/"), []).append(file)
    return places


def _copy(file: FileRef, target: Path) -> None:
    """Unpack a member; its name is the reader's, never the archive's."""
    free = shutil.disk_usage(target.parent).free
    if file.size > min(MAX_MEMBER, free):
        raise ProductError(
            f"of {file.size >> 20} MiB does not fit into {target.parent.parent} with "
            f"{free >> 20} MiB free",
            where=file.where,
            fix="set TMPDIR to a folder with more room, or unpack the zip yourself",
        )
    partial = target.with_suffix(".partial")
    try:
        with open_member(file.path, file.member) as source, partial.open("wb") as sink:
            left = file.size
            while content := source.read(min(_CHUNK, left + 1)):
                left -= len(content)
                if left < 0:
                    raise ProductError("unpacks to more than it claims", where=file.where)
                sink.write(content)
    except ProductError:
        raise
    except (KeyError, *DAMAGE) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        raise ProductError(
            f"cannot be unpacked ({reason})", where=file.where, fix="fetch the zip again"
        ) from None
    partial.replace(target)
