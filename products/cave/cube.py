"""Spectral cubes in MATLAB files: one array of rows × columns × bands, as the field shares them.

A file may hold its array in three dimensions (Pavia, Salinas, Indian Pines, Chikusei), or in two,
of bands × pixels, with the numbers ``nRow`` and ``nCol`` beside it (Jasper Ridge, Samson, Urban):
pixels are then column by column. Files of 31 bands are scenes like CAVE's
(:mod:`trifuse.products.cave.reader`). Wavelengths are seldom in such files: they are taken from a
vector of one number a band, or as they are given.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    Band,
    BandError,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    Grid,
    ProductError,
    Window,
)
from trifuse.products.cave.mat import array_shapes, is_mat, read_array
from trifuse.products.files.geotiff import is_hyperspectral
from trifuse.products.files.hdf5 import MAX_VALUES
from trifuse.products.files.raster import UNPLACED
from trifuse.products.files.source import Calibration
from trifuse.products.reader import Reader

CAVE_BANDS = 31
LEAST_BANDS = 3
"""Fewer are pictures of classes and the like."""
_ROWS, _COLS = ("nRow", "rows", "H"), ("nCol", "cols", "W")
_WAVES = re.compile(r"(?:.*_)?(wave.*|lambda.*|wl|bands?|centers?|centres?)", re.IGNORECASE)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """The array that is the cube.

    Attributes:
        name: of the variable.
        flat: whether it is bands × pixels.
        rows: of the image.
        cols: of the image.
        bands: count.
        others: names of vectors of one number a band.
    """

    name: str
    flat: bool
    rows: int
    cols: int
    bands: int
    others: tuple[str, ...]


def is_cube(path: Path) -> bool:
    """Whether a file is MATLAB's and holds a spectral cube that is none of CAVE's; never raises."""
    try:
        return is_mat(path) and bool(_cubes(path))
    except (OSError, ValueError):
        return False


def open_cube_file(
    path: str | Path,
    *,
    bands: Sequence[str] | None = None,
    wavelengths: Sequence[float] | None = None,
    scale: float | None = None,
    offset: float | None = None,
    nodata: float | None = None,
) -> MatlabSource:
    """Open the spectral cube of a MATLAB file.

    Args:
        path: ``.mat``, old or of version 7.3.
        bands: names for all bands.
        wavelengths: centres in nm (or µm, below 100) of all bands; default: a vector in the file.
        scale: value = stored · scale + offset; default: as stored, with a word for integers.
        offset: likewise.
        nodata: fill value.

    Raises:
        ProductError: if it is damaged, or holds no cube, or several.
        BandError: if names do not fit.
        ConfigError: if wavelengths do not fit.
    """
    path = Path(path).absolute()
    cubes = _cubes(path)
    if len(cubes) != 1:
        shown = ", ".join(f"{c.name} {c.rows}×{c.cols}×{c.bands}" for c in cubes[:6])
        raise ProductError(
            f"holds {len(cubes)} cubes: {shown}" if cubes else "holds no spectral cube",
            where=path,
            fix="give a file with one array of rows × columns × bands",
        )
    (found,) = cubes
    if found.rows * found.cols * found.bands > MAX_VALUES:
        raise ProductError(
            f"{found.name} claims {found.rows}×{found.cols}×{found.bands} values", where=path
        )
    centres = _centres(path, found, wavelengths)
    names = _names(found.bands, bands, centres, path)
    known = scale is not None or offset is not None
    how = Calibration(
        (1.0 if scale is None else float(scale),) * found.bands,
        (0.0 if offset is None else float(offset),) * found.bands,
        (nodata,) * found.bands,
        "as given" if known else "no scale in the file: values as stored",
    )
    source = MatlabSource(path, found, BandSet(tuple(map(Band, names, centres))), how)
    if not known and source.stored_kind in "iu":
        _log.warning(
            "%s: holds integers and no scale; they are taken as they are: give a scale "
            "(1e-4 for reflectance × 10000)",
            path,
        )
    return source


class MatlabSource(CubeSource):
    """One cube, held while it is open; made by :func:`open_cube_file`."""

    def __init__(self, path: Path, found: _Found, bands: BandSet, how: Calibration) -> None:
        self._path, self._found, self._calibration = path, found, how
        self._image: np.ndarray | None = None
        self.name, self.bands = path.stem, bands
        self.grid = Grid("", UNPLACED, found.rows, found.cols)
        self.stored_kind = self._stored().dtype.kind
        self.meta = {
            "kind": "matlab",
            "product_id": path.stem,
            "variable": found.name,
            "calibration": how.to_json(),
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        chosen = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        rows, cols = window.slices
        data = self._calibration.apply(self._stored()[chosen][:, rows, cols], chosen)
        valid = np.isfinite(data).any(axis=0)
        grid = self.grid.window(window)
        return Cube(data, valid, self.bands.select(chosen), grid, dict(self.meta))

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        self._image = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_image": None}

    def _stored(self) -> np.ndarray:
        """(band, y, x) as in the file."""
        if self._image is None:
            f = self._found
            stored = read_array(self._path, f.name)
            size = f.rows * f.cols * f.bands
            if stored.size != size or stored.dtype.kind not in "iuf":
                raise ProductError(
                    f"{f.name} is not what its header says", where=self._path, fix="get it again"
                )
            if f.flat:
                self._image = stored.reshape(f.bands, f.cols, f.rows).transpose(0, 2, 1)
            else:
                self._image = stored.transpose(2, 0, 1)
        return self._image


def _cubes(path: Path) -> list[_Found]:
    """Arrays that may be spectral cubes; none if one is of CAVE's bands."""
    shapes = array_shapes(path)
    solid = {n: s for n, s in shapes.items() if len(s) == 3 and min(s) > 1}
    if any(s[2] == CAVE_BANDS for s in solid.values()):
        return []
    found = [
        _Found(n, False, s[0], s[1], s[2], _vectors(shapes, s[2]))
        for n, s in solid.items()
        if s[2] >= LEAST_BANDS
    ]
    if found:
        return found
    size = _stated_size(path, shapes)
    if size is None:
        return []
    rows, cols = size
    return [
        _Found(n, True, rows, cols, s[0], _vectors(shapes, s[0]))
        for n, s in shapes.items()
        if len(s) == 2 and s[1] == rows * cols and s[0] >= LEAST_BANDS
    ]


def _stated_size(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int] | None:
    """Rows and columns that scalars of a file state."""
    numbers = []
    for names in (_ROWS, _COLS):
        name = next((n for n in names if math.prod(shapes.get(n, (0,))) == 1), None)
        value = None if name is None else float(read_array(path, name).ravel()[0])
        if value is None or not 1 <= value <= 1 << 20 or value != int(value):
            return None
        numbers.append(int(value))
    return numbers[0], numbers[1]


def _vectors(shapes: Mapping[str, tuple[int, ...]], bands: int) -> tuple[str, ...]:
    return tuple(
        n
        for n, s in shapes.items()
        if math.prod(s) == bands == max(s) and _WAVES.fullmatch(n) is not None
    )


def _centres(path: Path, found: _Found, given: Sequence[float] | None) -> list[float]:
    """Wavelengths in nm; NaN where unknown."""
    if given is not None:
        values = [float(v) for v in given]
        if len(values) != found.bands or not all(math.isfinite(v) and v > 0 for v in values):
            raise ConfigError(
                f"{len(values)} wavelengths for {found.bands} bands",
                where=path,
                fix="give one number above 0 for each band, in nm",
            )
    else:
        values = []
        for name in found.others:
            stored = read_array(path, name).ravel().astype(float)
            micrometres = stored.max(initial=0) < 100
            low, high = (0.2, 20.0) if micrometres else (200.0, 20_000.0)
            if np.isfinite(stored).all() and low <= stored.min() and stored.max() <= high:
                values = [float(v) for v in stored]
                break
    if not values:
        return [math.nan] * found.bands
    return [round(v * 1000, 6) if max(values) < 100 else v for v in values]


def _names(
    count: int, given: Sequence[str] | None, centres: Sequence[float], path: Path
) -> list[str]:
    if given is not None:
        if len(given) != count:
            raise BandError(f"{len(given)} names for {count} bands", where=path)
        return list(given)
    pattern = "E{:03d}" if is_hyperspectral(centres) else "band{}"
    return [pattern.format(i) for i in range(1, count + 1)]


READER = Reader(
    "matlab", is_cube, open_cube_file, ("bands", "wavelengths", "scale", "offset", "nodata")
)
