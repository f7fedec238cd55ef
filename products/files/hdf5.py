"""Variables of netCDF-4 and other HDF5 files, read through h5py without trusting the file.

HDF5 follows links into other files, keeps pixels in files of any name, and loads filters from a
folder of plug-ins. Products use none of that: links other than hard ones, external and virtual
storage and unknown filters are refused, and what a header claims is checked before memory is
taken for it.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from trifuse.core import DataError, MetadataError, ProductError, TrifuseError, Window

MAX_VALUES = 1 << 27
"""Values of an image, and of one read of any variable; a frame of 4091 × 4865 pixels has 20
million."""

MAX_CUBE = 1 << 30
"""Values of a variable of three axes, which is read by windows; 1200 × 1200 pixels in 240 bands
have 346 million."""

MAX_CHUNK = 1 << 28
"""Bytes of one stored chunk, which is unpacked whole to read any value in it."""

MAX_ATTRIBUTE = 1 << 16
FILTERS = {
    h5py.h5z.FILTER_DEFLATE,
    h5py.h5z.FILTER_SHUFFLE,
    h5py.h5z.FILTER_FLETCHER32,
    h5py.h5z.FILTER_SZIP,
    h5py.h5z.FILTER_LZF,
}
FAILURES = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, MemoryError)
"""What h5py raises on damaged files."""
_AGAIN = "the file is cut short or damaged: get it again"


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable of a netCDF file, as its header describes it.

    Attributes:
        file: name of the file in the delivery.
        name: of the variable; one in a group has the names of the groups before it (``a/b/c``).
        shape: of the values.
        dtype: storage type, unsigned where the file says so.
        fill: stored value for missing; None where there is none.
        scale: value = stored · scale + offset; None where the file states none.
        offset: likewise.
        masks: bits of flags.
        meanings: their names, one per mask.
    """

    file: str
    name: str
    shape: tuple[int, ...]
    dtype: str
    fill: float | None
    scale: float | None
    offset: float | None
    masks: tuple[int, ...] = ()
    meanings: tuple[str, ...] = ()

    def calibrate(self, stored: np.ndarray, dtype: type[np.floating] = np.float32) -> np.ndarray:
        """Values from stored ones: scale and offset applied, fill and infinities NaN."""
        values = stored.astype(dtype)
        if self.scale is not None:
            values *= dtype(self.scale)
        if self.offset:
            values += dtype(self.offset)
        if self.fill is not None and not math.isnan(self.fill):
            values[stored == np.dtype(self.dtype).type(self.fill)] = np.nan
        if np.issubdtype(stored.dtype, np.floating):
            values[~np.isfinite(stored)] = np.nan
        return values


def describe_variable(path: Path, where: str, file: str, name: str) -> Variable:
    """Look at a variable's header.

    Args:
        path: of the file on disk.
        where: of the file, for messages.
        file: its name in the delivery.
        name: of the variable.

    Raises:
        ProductError: if the file is damaged, has no such variable, or one that is refused.
        MetadataError: if an attribute makes no sense.
    """
    with _dataset(path, where, name) as data:
        unsigned = _text(data, "_Unsigned", where).lower() == "true"
        dtype = np.dtype(f"u{data.dtype.itemsize}") if unsigned else data.dtype
        masks = _numbers(data, "flag_masks", where)
        meanings = _text(data, "flag_meanings", where).split()
        if len(masks) != len(meanings):
            raise MetadataError(
                f"{name} has {len(masks)} flag_masks for {len(meanings)} flag_meanings", where=where
            )
        return Variable(
            file,
            name,
            tuple(int(n) for n in data.shape),
            dtype.str,
            _fill(data, dtype, where),
            _factor(data, "scale_factor", where),
            _factor(data, "add_offset", where),
            tuple(int(m) & ((1 << 8 * dtype.itemsize) - 1) for m in masks),
            tuple(meanings),
        )


def read_variable(
    path: Path, where: str, variable: Variable, window: Window | None = None
) -> np.ndarray:
    """Stored values, of a window of the first two axes where the variable is an image.

    Raises:
        ProductError: if the file is damaged there.
        DataError: if the window leaves the image.
    """
    if window is not None and window.clip(*variable.shape[:2]) != window:
        raise DataError(f"{window} leaves an image of {variable.shape}", where=where)
    return read_block(path, where, variable, () if window is None else window.slices)


def read_block(path: Path, where: str, variable: Variable, block: tuple[slice, ...]) -> np.ndarray:
    """Stored values of a block of a variable of any number of axes.

    Args:
        path: of the file on disk.
        where: of the file, for messages.
        variable: as described before.
        block: one slice for each of the first axes; all of the others is read.

    Raises:
        ProductError: if the file is damaged there.
        DataError: if the block holds more than :data:`MAX_VALUES` values.
    """
    ranges = [range(*part.indices(n)) for part, n in zip(block, variable.shape, strict=False)]
    count = math.prod([len(r) for r in ranges] + list(variable.shape[len(ranges) :]))
    if count > MAX_VALUES:
        raise DataError(
            f"a read of {count} values of {variable.name} is above the limit of {MAX_VALUES}",
            where=where,
            fix="read it by windows",
        )
    with _dataset(path, where, variable.name) as data:
        if data.shape != variable.shape:
            raise ProductError(f"{variable.name} changed while it was read", where=where)
        stored = np.asarray(data[block])
    wanted = np.dtype(variable.dtype)
    if wanted.kind == "u" and stored.dtype.kind == "i":
        stored = stored.view(wanted.newbyteorder(stored.dtype.byteorder))
    return stored.astype(wanted.newbyteorder("="), copy=False)


def global_numbers(path: Path, where: str, name: str) -> np.ndarray:
    """Numbers of a global attribute: 1-D; empty where there is none.

    Raises:
        MetadataError: if it is text.
    """
    with _file(path, where) as opened:
        return _numbers(opened, name, where)


def variable_names(path: Path, where: str) -> list[str]:
    """Names of what lies at the top of the file."""
    with _file(path, where) as opened:
        return [str(name) for name in opened]


@contextlib.contextmanager
def _file(path: Path, where: str) -> Iterator[Any]:
    try:
        with h5py.File(path, "r", locking=False) as opened:
            yield opened
    except TrifuseError:
        raise
    except FAILURES as e:
        if not path.is_file():
            raise ProductError("is missing", where=where, fix="get the product again") from None
        raise ProductError(
            f"cannot be read as netCDF-4 ({_reason(e)})", where=where, fix=_AGAIN
        ) from None


@contextlib.contextmanager
def _dataset(path: Path, where: str, name: str) -> Iterator[Any]:
    with _file(path, where) as opened:
        data = opened
        for part in name.split("/"):
            known = set(data) if isinstance(data, h5py.Group) else set()
            if part not in known:
                raise ProductError(
                    f"has no variable {name}", where=where, fix="get the product again"
                )
            if not isinstance(data.get(part, getlink=True), h5py.HardLink):
                raise ProductError(
                    f"{name} is a link to somewhere else", where=where, fix="do not use it"
                )
            data = data[part]
        if not isinstance(data, h5py.Dataset):
            raise ProductError(f"{name} is no variable", where=where, fix="get the product again")
        _check_claims(data, name, where)
        yield data


def _check_claims(data: Any, name: str, where: str) -> None:
    if data.is_virtual or data.external:
        raise ProductError(
            f"{name} keeps its values in another file", where=where, fix="do not use it"
        )
    if data.dtype.kind not in "iuf" or data.dtype.itemsize not in (1, 2, 4, 8):
        raise ProductError(f"{name} holds {data.dtype}, not numbers", where=where)
    limit = MAX_CUBE if len(data.shape or ()) == 3 else MAX_VALUES
    if data.shape is None or math.prod(data.shape) > limit:
        raise ProductError(
            f"{name} claims {data.shape} values",
            where=where,
            fix="no product is that large: get it again",
        )
    if math.prod(data.shape) == 0:
        raise ProductError(f"{name} is empty", where=where, fix="get the product again")
    if data.chunks and math.prod(data.chunks) * data.dtype.itemsize > MAX_CHUNK:
        raise ProductError(f"{name} is stored in chunks of {data.chunks}", where=where)
    plan = data.id.get_create_plist()
    used = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if unknown := sorted(used - FILTERS):
        raise ProductError(
            f"{name} is packed with filter {', '.join(map(str, unknown))}, which is not opened",
            where=where,
            fix="repack it with gzip (nccopy -d 4)",
        )


def _attribute(owner: Any, name: str, where: str) -> Any:
    if name not in owner.attrs:
        return None
    if owner.attrs.get_id(name).get_storage_size() > MAX_ATTRIBUTE:
        raise ProductError(f"attribute {name} is implausibly large", where=where)
    return owner.attrs[name]


def _numbers(owner: Any, name: str, where: str) -> np.ndarray:
    value = _attribute(owner, name, where)
    numbers = np.atleast_1d(np.empty(0) if value is None else np.asarray(value))
    if numbers.dtype.kind not in "iuf":
        raise MetadataError(f"attribute {name} is {str(value)[:40]!r}, no number", where=where)
    return numbers.ravel()


def _factor(data: Any, name: str, where: str) -> float | None:
    values = _numbers(data, name, where)
    if not len(values):
        return None
    if len(values) > 1 or not math.isfinite(values[0]) or (name[0] == "s" and values[0] == 0):
        raise MetadataError(
            f"{data.name[1:]} has a {name} of {values}", where=where, fix="get the product again"
        )
    # 1e-4 stored as float32 means 1e-4.
    return float(str(values[0]))


def _fill(data: Any, dtype: np.dtype, where: str) -> float | None:
    values = _numbers(data, "_FillValue", where)
    if not len(values):
        return None
    if dtype.kind == "u" and values.dtype.kind == "i":
        values = values.astype(dtype)
    fill = float(values[0])
    limits = None if dtype.kind == "f" else np.iinfo(dtype)
    if limits and not (limits.min <= fill <= limits.max and fill.is_integer()):
        raise MetadataError(f"{data.name[1:]} has a _FillValue of {fill:g} in {dtype}", where=where)
    return fill


def _text(owner: Any, name: str, where: str) -> str:
    value = _attribute(owner, name, where)
    if value is None:
        return ""
    parts = np.atleast_1d(np.asarray(value, dtype=object)).ravel()
    return " ".join(p.decode("utf-8", "replace") if isinstance(p, bytes) else str(p) for p in parts)


def _reason(error: BaseException) -> str:
    """HDF5's own words on one line, not longer than a line."""
    return " ".join(str(error).split())[:160] or type(error).__name__
