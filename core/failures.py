"""What others' errors mean for a user: one table from exceptions to ours, with their exit codes.

Whatever a machine or a file can bring about is in it; so what is not is a bug. Classes of libraries
are known by their names, so that none is imported for it.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable
from concurrent.futures import BrokenExecutor
from types import TracebackType

from trifuse.core.errors import (
    ConfigError,
    MissingExtraError,
    ProductError,
    ResourceError,
    TrifuseError,
    WeightsError,
)

_MEMORY = re.compile(
    r"can(no|')t allocate|cannot allocate memory|unable to allocate|out of memory|bad_alloc"
    r"|not enough memory|failed to map segment|mmap failed|can't start new thread"
    r"|could not create a (primitive|memory object)|resource temporarily unavailable"
    r"|memory allocation (of|failed)|without (exception set|setting an exception)",
    re.IGNORECASE,
)
_CUT = re.compile(r"\d+ requested and \d+ written")  # numpy's words for a full disk
_STARVED = {errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOLCK}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

MORE = "give it more memory, or smaller tiles and fewer jobs"
ROOM = "free some space on the disk, or write elsewhere"
DAMAGED = "an input may be cut short or damaged: get it again"

_EXTRAS = {
    "matplotlib": "plot",
    "PIL": "plot",
    "xarray": "xarray",
    "tensorboard": "tensorboard",
    "openpyxl": "tables",
    "piq": "quality",
    "zarr": "zarr",
    "distributed": "cluster",
    "dask": "cluster",
}
"""Package → the extra of ours that brings it, where there is one."""


def understood(error: BaseException) -> TrifuseError | None:
    """What an exception means, as one of ours; None if it is a bug.

    >>> understood(MemoryError("std::bad_alloc"))
    ResourceError('not enough memory (std::bad_alloc); give it more memory, ...')
    """
    if isinstance(error, TrifuseError):
        return error
    said = _words(error)
    for fits, make in _TABLE:
        if fits(error, said):
            return make(error, said)
    return None


def _words(error: BaseException) -> str:
    """The first line of what a library said; rasterio hides GDAL's words in the cause."""
    source = error
    if _of(error, "rasterio.") and error.__cause__ is not None:
        source = error.__cause__
    return (str(source).strip() or type(error).__name__).splitlines()[0][:200]


def _of(error: BaseException, *prefixes: str) -> bool:
    """Whether a class of the exception is defined in one of the modules."""
    return any(f"{k.__module__}.".startswith(prefixes) for k in type(error).__mro__)


def _raised_in(error: BaseException, *packages: str) -> bool:
    """Whether the innermost frame is code of one of the packages."""
    at: TracebackType | None = error.__traceback__
    if at is None:
        return False
    while at.tb_next is not None:
        at = at.tb_next
    name = str(at.tb_frame.f_globals.get("__name__") or "")
    file = at.tb_frame.f_code.co_filename.replace("\\", "/")
    return any(f"{name}.".startswith(f"{p}.") or f"{p}/" in file for p in packages)


def _starved(error: BaseException, said: str) -> bool:
    if isinstance(error, MemoryError) or (
        isinstance(error, OSError) and error.errno in _STARVED and not _of(error, "rasterio.")
    ):
        return True
    kinds = (RuntimeError, ImportError, OSError, SystemError)
    return bool(isinstance(error, kinds) and _MEMORY.search(said)) or "OutOfMemory" in str(
        type(error)
    )


def _resource(error: BaseException, said: str) -> TrifuseError:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return ResourceError(
            f"too many open files ({error.strerror})", fix="raise the limit (ulimit -n)"
        )
    return ResourceError(f"not enough memory ({said})", fix=MORE)


def _missing(error: BaseException, said: str) -> TrifuseError:
    assert isinstance(error, ImportError)
    package = (error.name or "").split(".")[0]
    if not isinstance(error, ModuleNotFoundError):
        return MissingExtraError(f"{package or 'a package'} cannot be imported ({said})")
    extra = _EXTRAS.get(package)
    wanted = f"'trifuse[{extra}]'" if extra else package
    return MissingExtraError(f"{package} is not installed", fix=f"pip install {wanted}")


def _system(error: BaseException, said: str) -> TrifuseError:
    assert isinstance(error, OSError)
    full = error.errno in _FULL or bool(_CUT.search(said))
    where = str(error.filename) if error.filename else None
    return ProductError(error.strerror or said, where=where, fix=ROOM if full else None)


Fits = Callable[[BaseException, str], bool]
Make = Callable[[BaseException, str], TrifuseError]

_TABLE: tuple[tuple[Fits, Make], ...] = (
    (_starved, _resource),
    (
        lambda e, _: isinstance(e, BrokenExecutor),
        lambda _, s: ResourceError(f"a process of the work was lost ({s})", fix=MORE),
    ),
    (
        lambda e, _: (
            isinstance(e, ImportError) and not str(e.name or "trifuse").startswith("trifuse")
        ),
        _missing,
    ),
    (
        lambda e, _: _of(e, "distributed.", "dask.", "tornado.") or _raised_in(e, "distributed"),
        lambda _, s: ConfigError(
            f"the Dask scheduler failed ({s})", fix="run the command again: it resumes"
        ),
    ),
    (
        lambda e, _: _of(e, "safetensors", "safetensors_rust."),
        lambda _, s: WeightsError(f"no safetensors file, or a damaged one ({s})"),
    ),
    (
        lambda e, s: _of(e, "rasterio.") or (isinstance(e, SystemError) and "GDAL" in s),
        lambda _, s: ProductError(f"GDAL: {s}", fix=DAMAGED),
    ),
    (
        lambda e, _: (
            isinstance(e, OSError | RuntimeError | KeyError | ValueError) and _raised_in(e, "h5py")
        ),
        lambda _, s: ProductError(f"HDF5: {s}", fix=DAMAGED),
    ),
    (lambda e, _: isinstance(e, OSError), _system),
    (
        lambda e, _: (
            isinstance(e, EOFError)
            or _of(e, "zipfile.", "tarfile.", "zlib.", "lzma.", "_lzma.", "xml.etree.")
            or isinstance(e, UnicodeDecodeError)
        ),
        lambda _, s: ProductError(f"cannot be decoded ({s})", fix=DAMAGED),
    ),
)
"""Tried in this order: (whether a row is of an exception, what it means)."""
