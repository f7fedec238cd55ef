"""Spectral images in MATLAB files, old (through scipy) and new (version 7.3, which is HDF5)."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from trifuse.core import ProductError
from trifuse.products.files.hdf5 import MAX_VALUES, describe_variable, read_variable, variable_names
from trifuse.products.files.raster import plain_file

MAX_FILE = 2 << 30
"""Bytes of a file; an image of 512×512×31 doubles has 65 million."""

_NUMBERS = {"double", "single", *(f"{u}int{n}" for u in ("", "u") for n in (8, 16, 32, 64))}
_HDF5 = b"\x89HDF\r\n\x1a\n"


def is_mat(path: Path) -> bool:
    """Whether a file's name and first bytes are those of a MATLAB file."""
    if path.suffix.lower() != ".mat" or not path.is_file():
        return False
    with path.open("rb") as f:
        start = f.read(8)
    return start.startswith(b"MATLAB") or start == _HDF5


def find_image(path: Path, bands: int) -> tuple[str, tuple[int, int]]:
    """The variable that is an image of so many bands.

    Args:
        path: the file.
        bands: values of its last axis.

    Returns:
        Name, and (rows, columns).

    Raises:
        ProductError: if the file is damaged or too large, or has no such variable or several.
    """
    shapes = array_shapes(path)
    found = [(n, s) for n, s in shapes.items() if len(s) == 3 and s[2] == bands and min(s) > 0]
    if len(found) != 1:
        has = ", ".join(f"{n} {'×'.join(map(str, s))}" for n, s in list(shapes.items())[:8])
        raise ProductError(
            f"has {len(found) or 'no'} arrays of rows × columns × {bands}"
            f" (it holds {has or 'no arrays'})",
            where=path,
            fix="give a file with one such array",
        )
    name, (rows, cols, _) = found[0]
    if rows * cols * bands > MAX_VALUES:
        raise ProductError(
            f"{name} claims {rows}×{cols}×{bands} values", where=path, fix="give it in parts"
        )
    return name, (rows, cols)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Sizes of the numeric arrays of a file, in MATLAB's order of axes.

    Raises:
        ProductError: if it is damaged or too large.
    """
    path = plain_file(path)
    if path.stat().st_size > MAX_FILE:
        raise ProductError(f"is larger than {MAX_FILE >> 30} GiB", where=path)
    return _shapes(path)


def read_array(path: Path, name: str) -> np.ndarray:
    """An array as stored, in MATLAB's order of axes.

    Raises:
        ProductError: if the file is damaged.
    """
    if _is_hdf5(path):
        # MATLAB lays out columns first, so HDF5 shows the axes in reverse.
        found = describe_variable(path, str(path), path.name, name)
        return read_variable(path, str(path), found).T
    from scipy.io import loadmat

    try:
        return np.asarray(loadmat(path, variable_names=[name], mat_dtype=False)[name])
    except Exception as e:  # a damaged file may raise anything
        raise _damaged(path, e) from None


def read_image(path: Path, name: str, shape: tuple[int, int, int]) -> np.ndarray:
    """Stored values as (band, y, x).

    Args:
        path: the file.
        name: of the variable, see :func:`find_image`.
        shape: (rows, columns, bands) that it must have.

    Raises:
        ProductError: if the file is damaged or has changed.
    """
    stored = read_array(path, name)
    image = stored.transpose(2, 0, 1) if stored.ndim == 3 else stored
    if image.shape != (shape[2], *shape[:2]) or image.dtype.kind not in "iuf":
        raise ProductError(f"{name} is not what its header says", where=path, fix="get it again")
    return image


def _shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Sizes of the numeric arrays, in MATLAB's order of axes."""
    if _is_hdf5(path):
        shapes = {}
        for name in variable_names(path, str(path)):
            try:
                shapes[name] = describe_variable(path, str(path), path.name, name).shape[::-1]
            except ProductError:
                continue  # groups, texts and what is refused are no images
        return shapes
    from scipy.io import whosmat

    try:
        listed = whosmat(path)
    except Exception as e:  # a damaged file may raise anything
        raise _damaged(path, e) from None
    return {
        name: tuple(int(n) for n in shape)
        for name, shape, kind in listed
        if kind in _NUMBERS and math.prod(shape) > 0
    }


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as f:
        start = f.read(520)
    return _HDF5 in (start[:8], start[512:520])


def _damaged(path: Path, error: Exception) -> ProductError:
    reason = " ".join(str(error).split())[:120] or type(error).__name__
    return ProductError(
        f"cannot be read as a MATLAB file ({reason})",
        where=path,
        fix="the file is cut short or damaged: get it again",
    )
