"""Deliveries inside zip and tar archives, read without trusting them.

Members of a zip or of a plain tar are read in place (``/vsizip/``, ``/vsisubfile/``). A tar of
archives is read once from front to back and only what is wanted is copied, into a private folder
that disappears with its last user. Names that would leave the folder, links, and archives that
unpack to implausible sizes are refused.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import re
import shutil
import struct
import tarfile
import tempfile
import weakref
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from trifuse.core import ProductError
from trifuse.products.files.clutter import is_clutter

MAX_MEMBERS = 20_000
MAX_UNPACKED = 128 << 30
"""Bytes that one archive may unpack to: an order of about a hundred scenes."""
MAX_TAR_RATIO = 50
"""Orders hold zips, which do not shrink again: anything beyond this is a bomb."""
FREE_RATIO = 256 << 20
"""Bytes below which the ratio is not looked at: a tiny file of zeros is no danger."""
DEFLATE_LIMIT = 1040
"""DEFLATE cannot shrink more than 1032 to 1; a zip member that claims more lies."""
DAMAGE = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    OverflowError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
)
"""What the modules of archives raise on damaged ones."""
_ZIP = b"PK\x03\x04"
_CHUNK = 1 << 20
_MAX_HEADER_READ = 16 << 20


@dataclass(frozen=True, slots=True)
class FileRef:
    """A file on disk, or a member of a zip or tar, that is read in the same way.

    Attributes:
        path: the file itself, or the archive that holds it.
        member: name inside the archive; empty for a file.
        size: bytes, unpacked.
    """

    path: Path
    member: str
    size: int

    @classmethod
    def of(cls, path: Path) -> FileRef:
        """A file on disk."""
        return cls(path.absolute(), "", path.stat().st_size)

    @property
    def name(self) -> str:
        """Last part of the name."""
        return self.member.rsplit("/", 1)[-1] or self.path.name

    @property
    def where(self) -> str:
        """For messages."""
        return f"{self.path}/{self.member}" if self.member else str(self.path)

    @property
    def gdal(self) -> str:
        """The name under which GDAL reads it, in place."""
        if not self.member:
            return str(self.path)
        if is_tar(self.path):
            with tarfile.open(self.path, "r:") as tar:
                entry = tar.getmember(self.member)
            # Not /vsitar/, which goes by what it remembers of a file of the same name.
            return f"/vsisubfile/{entry.offset_data}_{entry.size},{self.path}"
        return f"/vsizip/{{{self.path}}}/{self.member}"

    def read(self, limit: int) -> bytes:
        """The whole content, if it is at most ``limit`` bytes.

        Raises:
            ProductError: if it is larger, missing or damaged.
        """
        if self.size > limit:
            raise ProductError(
                f"of {self.size >> 20} MiB is larger than {limit >> 20} MiB", where=self.where
            )
        try:
            if not self.member:
                with self.path.open("rb") as f:
                    content = f.read(limit + 1)
            else:
                with open_member(self.path, self.member) as f:
                    content = f.read(limit + 1)
        except (KeyError, *DAMAGE) as e:
            raise _unreadable(self.where, e) from None
        if len(content) > limit:
            raise ProductError(f"unpacks to more than {limit >> 20} MiB", where=self.where)
        return content

    def verify(self) -> None:
        """Unpack a member of a zip once to compare its checksum; files and tars carry none.

        GDAL does not look at it, and a flipped bit often unpacks to other pixels without a word.

        Raises:
            ProductError: if the content is not what was packed.
        """
        if not self.member or is_tar(self.path):
            return
        try:
            with open_member(self.path, self.member) as f:
                while f.read(_CHUNK):
                    pass
        except (KeyError, *DAMAGE) as e:
            raise _unreadable(self.where, e) from None


@dataclass(frozen=True, eq=False)
class Unpacked:
    """A private folder of copied members; removed when nobody refers to this object any more."""

    folder: Path
    _remove: weakref.finalize = field(init=False, repr=False)

    def __post_init__(self) -> None:
        remove = weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        object.__setattr__(self, "_remove", remove)


def is_zip(path: Path) -> bool:
    """Whether a file is a zip, by its name or, whatever its name (``….SAFE``), by its start."""
    if path.suffix.lower() == ".zip":
        return True
    try:
        with path.open("rb") as f:
            return f.read(len(_ZIP)) == _ZIP
    except OSError:  # a folder, or nothing
        return False


def is_tar(path: Path) -> bool:
    """Whether the file is named like a tar, compressed by gzip or not."""
    return path.name.lower().endswith((".tar", ".tar.gz", ".tgz"))


@contextlib.contextmanager
def open_member(path: Path, member: str) -> Iterator[IO[bytes]]:
    """The content of a member of a zip or tar, from its start; fails as those modules do."""
    if is_tar(path):
        with tarfile.open(path, "r:") as tar:
            content = tar.extractfile(member)
            if content is None:
                raise KeyError(f"{member} is no file")
            with content:
                yield content
    else:
        with zipfile.ZipFile(path) as archive, archive.open(_entry(archive, member)) as f:
            yield f


def _entry(archive: zipfile.ZipFile, member: str) -> zipfile.ZipInfo:
    """A member by its name with slashes, which some programs write as backslashes."""
    with contextlib.suppress(KeyError):
        return archive.getinfo(member)
    for entry in archive.infolist():
        if entry.filename.replace("\\", "/") == member:
            return entry
    raise KeyError(f"{member} is not there")


def zip_members(path: Path) -> list[FileRef]:
    """The files in a zip, in the order of its directory.

    What :func:`trifuse.products.files.clutter.is_clutter` tells is left out. Names are told with
    slashes, whichever the zip uses.

    Raises:
        ProductError: if it is damaged, encrypted, of implausible size, or names files outside
            itself.
    """
    path = path.absolute()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except DAMAGE as e:
        raise _unreadable(str(path), e) from None
    if len(entries) > MAX_MEMBERS:
        raise ProductError(f"holds {len(entries)} members, more than {MAX_MEMBERS}", where=path)
    files = []
    for entry in entries:
        _check_name(entry.filename, path)
        name = entry.filename.replace("\\", "/")
        if name.endswith("/") or is_clutter(name):
            continue
        if entry.flag_bits & 1:
            raise ProductError(f"{entry.filename} is encrypted", where=path, fix="decrypt it")
        if entry.file_size > DEFLATE_LIMIT * entry.compress_size + _CHUNK:
            raise ProductError(
                f"{entry.filename} claims {entry.file_size} bytes from {entry.compress_size}, "
                "which no zip can hold",
                where=path,
            )
        files.append(FileRef(path, name, entry.file_size))
    if (total := sum(f.size for f in files)) > MAX_UNPACKED:
        raise ProductError(f"claims {total >> 30} GiB of content", where=path)
    return files


def tar_names(path: Path, limit: int = 200) -> list[str]:
    """Names of the first members of a tar, for telling what it is.

    Raises:
        ProductError: if it is damaged before that.
    """
    names: list[str] = []
    with _Tar(path) as tar:
        while len(names) < limit and (entry := tar.next()) is not None:
            if not is_clutter(entry.name):
                names.append(entry.name)
    return names


def tar_members(path: Path) -> list[FileRef]:
    """The plain files in a tar that is not compressed, to be read in place.

    Raises:
        ProductError: if it is compressed or damaged, names a file twice or files outside itself.
    """
    path = path.absolute()
    if not path.name.lower().endswith(".tar"):
        raise ProductError(
            "is compressed, so its members cannot be read in place",
            where=path,
            fix="uncompress it to a .tar, or unpack it",
        )
    files: dict[str, FileRef] = {}
    with _Tar(path) as tar:
        while (entry := tar.next()) is not None:
            _check_name(entry.name, path)
            if not entry.isreg() or entry.issparse() or is_clutter(entry.name):
                continue
            if entry.name in files:
                raise ProductError(f"holds {entry.name} twice", where=path)
            if len(files) == MAX_MEMBERS:
                raise ProductError(f"holds more than {MAX_MEMBERS} members", where=path)
            files[entry.name] = FileRef(path, entry.name, entry.size)
    return list(files.values())


def unpack_tar(path: Path, wanted: Callable[[str], bool]) -> Unpacked:
    """Copy the wanted members of a tar into a private folder, under their names.

    Args:
        path: ``.tar``, ``.tar.gz`` or ``.tgz``.
        wanted: told each member's name; True to copy it.

    Raises:
        ProductError: if the tar is damaged, a name leaves the folder, a wanted member is no plain
            file, or the content is larger than plausible or than the free space.
    """
    unpacked = Unpacked(Path(tempfile.mkdtemp(prefix="trifuse-")))
    count = 0
    with _Tar(path) as tar:
        while (entry := tar.next()) is not None:
            if (count := count + 1) > MAX_MEMBERS:
                raise ProductError(f"holds more than {MAX_MEMBERS} members", where=path)
            _check_name(entry.name, path)
            if entry.isdir() or is_clutter(entry.name) or not wanted(entry.name):
                continue
            if not entry.isreg() or entry.issparse():
                raise ProductError(f"{entry.name} is a link or another special file", where=path)
            target = unpacked.folder / entry.name
            if target.exists():
                raise ProductError(f"holds {entry.name} twice", where=path)
            free = shutil.disk_usage(unpacked.folder).free
            if entry.size > free:
                raise ProductError(
                    f"{entry.name} of {entry.size >> 20} MiB does not fit into "
                    f"{unpacked.folder.parent} with {free >> 20} MiB free",
                    where=path,
                    fix="set TMPDIR to a folder with more room, or unpack the order yourself",
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            tar.copy(entry, target)
        tar.drain()
    return unpacked


class _Tar:
    """A tar read forwards, with every failure as a ProductError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: _Bounded | None = None
        self._tar: tarfile.TarFile | None = None

    def __enter__(self) -> _Tar:
        try:
            self._stream = _Bounded(self.path)
            self._tar = tarfile.open(fileobj=self._stream, mode="r:")
        except BaseException as e:
            self.__exit__()
            if isinstance(e, DAMAGE) and not isinstance(e, ProductError):
                raise _unreadable(str(self.path), e) from None
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for opened in (self._tar, self._stream):
            if opened is not None:
                opened.close()

    def next(self) -> tarfile.TarInfo | None:
        """The next member's header."""
        assert self._tar is not None
        try:
            entry = self._tar.next()
        except ProductError:
            raise
        except DAMAGE as e:
            raise _unreadable(str(self.path), e) from None
        # tarfile keeps every header it has seen.
        self._tar.members = []  # type: ignore[attr-defined]
        return entry

    def copy(self, entry: tarfile.TarInfo, target: Path) -> None:
        """Write a member's content to a file."""
        assert self._tar is not None
        try:
            source = self._tar.extractfile(entry)
            assert source is not None
            with target.open("xb") as sink:
                shutil.copyfileobj(source, sink, _CHUNK)
        except ProductError:
            raise
        except DAMAGE as e:
            raise _unreadable(f"{self.path}/{entry.name}", e) from None
        if target.stat().st_size != entry.size:
            raise ProductError(f"{entry.name} is cut short", where=self.path)

    def drain(self) -> None:
        """Read to the end, where gzip keeps the checksum of it all."""
        assert self._stream is not None
        try:
            while self._stream.read(_CHUNK):
                pass
        except ProductError:
            raise
        except DAMAGE as e:
            raise _unreadable(str(self.path), e) from None


class _Bounded(io.RawIOBase):
    """Unpacked bytes of a tar, up to a plausible amount."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("rb")
        packed = path.stat().st_size
        self._inner: IO[bytes] | gzip.GzipFile = self._file
        self._limit = packed
        if self._file.read(2) == b"\x1f\x8b":
            self._inner = gzip.GzipFile(fileobj=self._file)
            self._limit = min(MAX_UNPACKED, max(MAX_TAR_RATIO * packed, FREE_RATIO))
        self._file.seek(0)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._inner.tell()

    def seek(self, offset: int, whence: int = 0) -> int:
        assert whence == 0
        if self._inner is not self._file:
            # A header may claim any size; unpacking in steps meets the end, or the limit, first.
            while self.tell() + _CHUNK < offset and self.read(_CHUNK):
                pass
        return self._inner.seek(offset)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _MAX_HEADER_READ:
            raise ProductError(f"a header claims {size} bytes", where=self._path)
        content = self._inner.read(size)
        if self.tell() > self._limit:
            raise ProductError(
                f"unpacks to more than {self._limit >> 20} MiB, which no order does",
                where=self._path,
            )
        return content

    def close(self) -> None:
        if not self.closed:
            self._inner.close()
            self._file.close()
        super().close()


def _check_name(name: str, archive: Path) -> None:
    parts = name.replace("\\", "/").split("/")
    if ".." in parts or name.startswith(("/", "\\")) or re.match("[A-Za-z]:", name):
        raise ProductError(f"names {name!r} outside itself", where=archive, fix="do not use it")
    if not name.isprintable() or "{" in name or "}" in name:
        raise ProductError(f"names a member {name!r}", where=archive, fix="do not use it")


def _unreadable(where: str, error: Exception) -> ProductError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    kind = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({reason})"
    return ProductError(kind, where=where, fix="check the path, or fetch it again")
