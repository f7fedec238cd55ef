"""What the machine or a file can bring about has a code of its own; the rest is a bug."""

import errno
import os
import pickle
import zipfile

import h5py
import numpy as np
import pytest
import rasterio
from safetensors import SafetensorError, safe_open

from trifuse.core import DataError, ResourceError
from trifuse.core.failures import understood


def caught(action):
    with pytest.raises(BaseException) as info:
        action()
    return info.value


def system(number, name=None):
    return OSError(number, os.strerror(number), name)


CASES = {
    "no space": (lambda _: system(errno.ENOSPC, "a.tif"), 3, "a.tif: No space left"),
    "quota": (lambda _: system(errno.EDQUOT), 3, "free some space"),
    "rights": (lambda _: system(errno.EACCES, "b"), 3, "b: Permission denied"),
    "input/output": (lambda _: system(errno.EIO), 3, "error"),
    "cut array": (lambda _: OSError("100 requested and 3 written"), 3, "free some space"),
    "open files": (lambda _: system(errno.EMFILE), 16, "ulimit -n"),
    "no memory": (lambda _: system(errno.ENOMEM), 16, "not enough memory"),
    "array": (lambda _: caught(lambda: np.empty(1 << 50)), 16, "Unable to allocate"),
    "bad alloc": (lambda _: RuntimeError("std::bad_alloc"), 16, "not enough memory"),
    "torch": (
        lambda _: RuntimeError("[enforce fail at alloc_cpu.cpp] can't allocate memory"),
        16,
        "more memory",
    ),
    "library": (lambda _: SystemError("error return without exception set"), 16, "memory"),
    "threads": (lambda _: RuntimeError("can't start new thread"), 16, "more memory"),
    "shared object": (
        lambda _: ImportError("libx.so: failed to map segment from shared object"),
        16,
        "memory",
    ),
    "package": (
        lambda _: ModuleNotFoundError("No module named 'zarr'", name="zarr"),
        14,
        "pip install 'trifuse[zarr]'",
    ),
    "broken package": (
        lambda _: ImportError("undefined symbol", name="scipy"),
        14,
        "scipy cannot be imported",
    ),
    "GDAL": (lambda p: caught(lambda: rasterio.open(p / "none.tif")), 3, "GDAL: "),
    "HDF5": (lambda p: caught(lambda: h5py.File(p / "bad.h5")), 3, "HDF5"),
    "safetensors": (
        lambda p: caught(lambda: safe_open(p / "bad.h5", framework="np").__enter__()),
        6,
        "safetensors",
    ),
    "zip": (lambda p: caught(lambda: zipfile.ZipFile(p / "bad.h5")), 3, "cannot be decoded"),
    "end of file": (lambda _: EOFError("Ran out of input"), 3, "cannot be decoded"),
    "ours": (lambda _: DataError("nothing valid"), 13, "nothing valid"),
}


@pytest.mark.parametrize("name", CASES)
def test_it_has_its_code_and_one_line(tmp_path, name):
    (tmp_path / "bad.h5").write_bytes(b"no such format" * 10)
    make, code, words = CASES[name]
    known = understood(make(tmp_path))
    assert known is not None
    assert known.exit_code == code
    assert words in str(known)
    assert "\n" not in str(known)


@pytest.mark.parametrize(
    "bug", [KeyError("a"), AttributeError("x"), TypeError(), IndexError(), AssertionError()]
)
def test_a_bug_stays_a_bug(bug):
    assert understood(bug) is None


def test_errors_of_libraries_are_told_by_their_names():
    assert SafetensorError.__module__.startswith("safetensors")
    lost = type("CommClosedError", (IOError,), {"__module__": "distributed.comm.core"})("gone")
    known = understood(lost)
    assert known is not None and known.exit_code == 12


def test_what_lacks_crosses_process_borders():
    assert isinstance(pickle.loads(pickle.dumps(ResourceError("memory"))), MemoryError)
