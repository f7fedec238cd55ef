"""Images like those of CAVE: 31 bands from 400 to 700 nm, 10 nm apart, of things indoors.

A scene is a folder of 31 grey PNGs, numbered in the order of the wavelengths, or a MATLAB file with
one array of rows × columns × 31. Values are reflectance relative to a white target.

Sources: Yasuma et al. 2010, doi:10.1109/TIP.2010.2046811 (the data); Cristille et al. 2024,
doi:10.3390/rs16163107 (their use for Sentinel-2 and Sentinel-3).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import BandSet, Cube, CubeSource, Grid, ProductError, Window
from trifuse.products.cave.cube import is_cube
from trifuse.products.cave.mat import find_image, is_mat, read_image
from trifuse.products.files.raster import UNPLACED, Raster
from trifuse.products.reader import Reader

CENTRES = tuple(float(nm) for nm in range(400, 701, 10))
WIDTH = 10.0

EXTENDED = tuple(float(nm) for nm in range(370, 2411, 10))
"""Centres in nm of the bands of an extended scene: all that the sensors' responses reach."""

SLOPE_BANDS = 6
"""Bands at each end whose mean slope the extension starts with; of two it would be noise."""

NOT_PHYSICAL = "measured from 400 to 700 nm; what lies beyond is a spline, not physical"

MAX_EDGE = 1 << 14
"""Pixels a side; the images have 512."""

_NUMBERED = re.compile(r"(.*?)(\d{1,2})")
_FEW = 10  # numbered images that make a folder look like a scene
_LISTED = 10_000

_log = logging.getLogger(__name__)


class CaveSource(CubeSource):
    """One scene, see :func:`open_cave`."""

    def __init__(self, name: str, images: _Pngs | _Mat, *, extended: bool) -> None:
        self.name = name
        self._images = images
        centres = EXTENDED if extended else CENTRES
        self._matrix = extension_matrix() if extended else None
        self.bands = BandSet.of(
            [f"C{nm:.0f}" for nm in centres], list(centres), [WIDTH] * len(centres)
        )
        self.grid = Grid("", UNPLACED, *images.shape)
        self.meta = {
            "kind": "cave",
            "sensor": "CAVE",
            "quantity": "reflectance",
            "product_id": name,
            "calibration": f"stored / {images.white:g}",
            **({"spectra": NOT_PHYSICAL} if extended else {}),
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        chosen = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        stored = self._images.read(window)
        data = stored.astype(np.float32) / np.float32(self._images.white)
        if self._matrix is not None:
            data = np.tensordot(self._matrix[chosen].astype(np.float32), data, axes=1)
            np.clip(data, 0, 1, out=data)
        else:
            data = data[chosen]
        valid = np.isfinite(data).all(axis=0)
        grid = self.grid.window(window)
        return Cube(data, valid, self.bands.select(chosen), grid, dict(self.meta))

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        self._images.close()


def is_cave(path: Path | str) -> bool:
    """Whether a path is a scene like CAVE's, or a folder of such scenes."""
    return bool(cave_scenes(path)) and not is_cube(Path(path))


def cave_scenes(path: Path | str) -> list[Path]:
    """The scenes in a path: itself, or those in its folders, at most two levels deep.

    A folder that holds GeoTIFFs is no folder of scenes.
    """
    path = Path(path)
    if not path.is_dir():
        return [path] if is_mat(path) else []
    return _scenes_in(path, 2)


def open_cave(path: Path | str, *, extend: bool = False) -> CaveSource:
    """One scene like CAVE's.

    PNGs of 16 bit (or 8) count to 65535 (or 255). In MATLAB files integers count to the largest
    of their type; floats above 2 count to 65535, or 255 if none is larger, and others are
    reflectance.

    Args:
        path: folder of PNGs, or a ``.mat`` file.
        extend: give bands from 370 to 2410 nm. Beyond the data each spectrum goes on as a cubic
            that starts with the mean slope of its last bands, levels out over 300 nm and is
            constant from there, within 0–1. There is nothing physical in that: it is what lets
            such images be seen through responses outside 400–700 nm, and is said in ``meta``.

    Raises:
        ProductError: if it is no such scene, holds several, or is damaged.
    """
    scenes = cave_scenes(path)
    if len(scenes) != 1:
        what = f"holds {len(scenes)} scenes" if scenes else "is no scene of 31 bands"
        raise ProductError(what, where=path, fix="give a folder of 31 numbered PNGs or a .mat file")
    scene = scenes[0]
    images = _Mat(scene) if scene.is_file() else _Pngs(scene)
    name = scene.stem if scene.is_file() else scene.name
    if extend:
        _log.warning("%s: spectra are %s", name, NOT_PHYSICAL)
    return CaveSource(name, images, extended=extend)


def extension_matrix() -> np.ndarray:
    """What extends spectra: (205, 31) float64, rows sum to one.

    Measured bands stay as they are. At distance t·300 nm beyond an end with value v and slope s
    per nm the value is v + s · 300 · (1 − (1 − t)³) / 3 up to t = 1, and constant beyond: the
    cubic whose slope, s (1 − t)², dies out.
    """
    count, span = len(CENTRES), CENTRES[-1] - CENTRES[0]
    at = (np.arange(SLOPE_BANDS) - (SLOPE_BANDS - 1) / 2) * WIDTH
    matrix = np.zeros((len(EXTENDED), count))
    for row, nm in zip(matrix, EXTENDED, strict=True):
        if CENTRES[0] <= nm <= CENTRES[-1]:
            row[CENTRES.index(nm)] = 1
            continue
        above = nm > CENTRES[-1]
        ends = slice(count - SLOPE_BANDS, count) if above else slice(SLOPE_BANDS)
        beyond = nm - CENTRES[-1] if above else nm - CENTRES[0]
        share = min(abs(beyond) / span, 1.0)
        far = np.sign(beyond) * span * (1 - (1 - share) ** 3) / 3
        row[-1 if above else 0] = 1
        row[ends] += far * at / (at**2).sum()
    return matrix


class _Pngs:
    """31 grey images of one size; of images in colour the first channel counts."""

    def __init__(self, folder: Path) -> None:
        files = _numbered(folder)
        if len(files) != len(CENTRES):
            raise ProductError(
                f"holds {len(files)} numbered PNGs, not {len(CENTRES)}",
                where=folder,
                fix="get the folder again",
            )
        self._rasters = [Raster(f, driver="PNG", sidecars=False) for f in files]
        headers = [r.header for r in self._rasters]
        first = headers[0]
        self.shape = first.height, first.width
        for raster, header in zip(self._rasters, headers, strict=True):
            if (header.height, header.width, header.dtype) != (*self.shape, first.dtype):
                raise ProductError(
                    f"is {header.height}×{header.width} {header.dtype}, and {files[0].name} is "
                    f"{first.height}×{first.width} {first.dtype}",
                    where=raster.path,
                    fix="get the folder again",
                )
        if first.dtype not in ("uint8", "uint16") or max(self.shape) > MAX_EDGE:
            raise ProductError(
                f"holds images of {first.height}×{first.width} {first.dtype}",
                where=folder,
                fix="give 16-bit images of usual size",
            )
        self.white = float(np.iinfo(first.dtype).max)

    def read(self, window: Window) -> np.ndarray:
        """(31, y, x) stored values."""
        return np.concatenate([r.read([1], window) for r in self._rasters])

    def close(self) -> None:
        for raster in self._rasters:
            raster.close()


class _Mat:
    """An array of a MATLAB file, held while it is open."""

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        self._name, self.shape = find_image(self._path, len(CENTRES))
        if max(self.shape) > MAX_EDGE:
            raise ProductError(f"{self._name} has {self.shape} pixels", where=path)
        self._image: np.ndarray | None = None
        stored = self._stored()
        if stored.dtype.kind in "iu":
            self.white = float(np.iinfo(stored.dtype).max)
        else:
            finite = stored[np.isfinite(stored)]
            most = float(finite.max()) if finite.size else 0.0
            self.white = 1.0 if most <= 2 else 255.0 if most <= 255 else 65535.0

    def read(self, window: Window) -> np.ndarray:
        """(31, y, x) stored values."""
        rows, cols = window.slices
        return self._stored()[:, rows, cols]

    def close(self) -> None:
        self._image = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_image": None}

    def _stored(self) -> np.ndarray:
        if self._image is None:
            self._image = read_image(self._path, self._name, (*self.shape, len(CENTRES)))
        return self._image


def _numbered(folder: Path) -> list[Path]:
    """PNGs whose names differ in the number at the end alone, by number; the largest such set."""
    sets: dict[str, dict[int, Path]] = {}
    for path in _listed(folder):
        found = _NUMBERED.fullmatch(path.stem) if path.suffix.lower() == ".png" else None
        if found and path.is_file():
            sets.setdefault(found[1], {})[int(found[2])] = path
    numbers = max(sets.values(), key=len, default={})
    return [numbers[n] for n in sorted(numbers)]


def _scenes_in(folder: Path, depth: int) -> list[Path]:
    if len(_numbered(folder)) >= _FEW:
        return [folder]
    inside: Sequence[Path] = _listed(folder)
    if any(p.suffix.lower() in (".tif", ".tiff") for p in inside):
        return []
    scenes = [p for p in inside if is_mat(p)]
    if depth:
        for path in inside:
            if path.is_dir() and not path.name.startswith(".") and not path.is_symlink():
                scenes += _scenes_in(path, depth - 1)
    return scenes


def _listed(folder: Path) -> list[Path]:
    """What a folder holds, in order; nothing of one that holds more than any scene."""
    try:
        inside = sorted(folder.iterdir())
    except OSError:
        return []
    return inside if len(inside) <= _LISTED else []


def _extended(path: Path, mask: str) -> list[CaveSource]:
    """Every scene with the bands that responses outside the data need; there is no mask."""
    return [open_cave(scene, extend=True) for scene in cave_scenes(path)]


READER = Reader("cave", is_cave, open_cave, ("extend",), scenes=_extended)
