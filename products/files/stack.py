"""Files of one band each, as services and archives deliver them, as the bands of one image.

Bands of several samplings lie on the finest of them; coarser ones are interpolated, and their
sampling is told.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    BandError,
    BandSampling,
    BandSet,
    Cube,
    CubeSource,
    DataError,
    Grid,
    GridError,
    OverlapError,
    Sampling,
    Window,
    upsample,
)
from trifuse.core.band_names import SENTINEL2, band_of_file, known_name, listed
from trifuse.products.files.raster import Raster
from trifuse.products.files.source import RasterSource

BESIDE = re.compile(
    r"(?:.*[_\-. ])?(?:SCL|CLD|CLP|CLM|SNW|AOT|WVP|TCI|QA\w*|dataMask|PVI|preview|thumbnail|"
    r"MSK_\w+|ST_\w+|SR_QA\w*)(?:[_\-. ](?:\d+m|PIXEL|AEROSOL|RADSAT|\(Raw\)))*",
    re.IGNORECASE,
)
"""Stems of what lies beside bands and is none: classes, masks, pictures."""
_GSD = re.compile(r"[_\-. ](\d+)m$", re.IGNORECASE)
_MARGIN = 8
"""Coarse cells read around a window: two for the cubic kernel, the rest for bridging gaps."""
_ORDER = {band: i for i, band in enumerate(SENTINEL2)}
_log = logging.getLogger(__name__)


def band_files(paths: Sequence[Path]) -> dict[Path, str]:
    """Which of some images are bands, each with what its name says of it; empty for tiles.

    They are bands where two names at least tell one, and all that do hold one band. A band that is
    there at several samplings counts at the finest.

    Raises:
        BandError: if two files of one sampling are the same band.
        ProductError: if a file cannot be opened.
    """
    named = {p: label for p in sorted(paths) if (label := band_of_file(p.name))}
    if len(named) < 2 or any(_planes(p) != 1 for p in named):
        return {}
    chosen: dict[str, Path] = {}
    for path, label in named.items():
        band = known_name(label) or label
        other = chosen.get(band)
        if other is not None and _said(other) == _said(path):
            raise BandError(
                f"{other.name} and {path.name} are both band {band}",
                where=path.parent,
                fix="give the files of one image",
            )
        if other is None or _said(path) < _said(other):
            chosen[band] = path
    if len(chosen) < 2:
        return {}
    order = sorted(chosen, key=lambda b: _ORDER.get(b, len(_ORDER)))
    kept = {chosen[b]: named[chosen[b]] for b in order}
    others = [p.name for p in paths if p not in named and not BESIDE.fullmatch(p.stem)]
    if others:
        _log.warning("%s: not told as a band and left out: %s", paths[0].parent, listed(others, 5))
    return kept


def one_a_band(
    value: float | Sequence[float] | None, count: int, where: Path
) -> Sequence[float | None]:
    """A number for each file.

    Raises:
        BandError: if there are not as many as files.
    """
    if not isinstance(value, Sequence):
        return [value] * count
    if len(value) != count:
        raise BandError(f"{len(value)} numbers for {count} files", where=where)
    return list(value)


class StackSource(CubeSource):
    """Bands of one ground in several files, as one image on the finest of their grids.

    Args:
        sources: of one band each, of grids that nest.
        bands: what they are.
        name: of the image.
        meta: of the image.

    Raises:
        GridError: if their pixels do not nest.
        OverlapError: if they share no ground.
    """

    def __init__(
        self, sources: Sequence[RasterSource], bands: BandSet, name: str, meta: Mapping[str, Any]
    ) -> None:
        self._sources, self.bands, self.name = tuple(sources), bands, name
        finest = min((s.grid for s in sources), key=lambda g: g.gsd)
        self._ratios = tuple(_nested(finest, s) for s in sources)
        ground = _shared(finest, [s.grid for s in sources], self._ratios, name)
        self.grid = finest.window(ground)
        starts = [_start(finest, s.grid) for s in sources]
        self._starts = tuple((ground.row - r, ground.col - c) for r, c in starts)
        self._sampled = self._told()
        how = [s.meta["calibration"] for s in sources]
        scales = {k: [h[k] for h in how] for k in ("scale", "offset", "nodata")}
        same = {k: v[0] if all(x == v[0] for x in v) else v for k, v in scales.items()}
        self.meta = {**meta, "calibration": {**same, "from": how[0]["from"]}}

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(
                f"{window} leaves an image of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        data = np.stack([self._plane(i, window) for i in numbers])
        valid = np.isfinite(data).any(axis=0)
        sampled = self._sampled_part(window, numbers)
        chosen = self.bands.select(numbers)
        return Cube(data, valid, chosen, self.grid.window(window), self.meta, sampled)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        for source in self._sources:
            source.close()

    def _plane(self, number: int, window: Window) -> np.ndarray:
        """One band: (y, x) float32."""
        source, k = self._sources[number], self._ratios[number]
        at = window.shift(*self._starts[number])
        if k == 1:
            plane: np.ndarray = source.read(at).masked()[0]
            return plane
        bottom, right = -(-(at.row + at.height) // k), -(-(at.col + at.width) // k)
        cells = Window(at.row // k, at.col // k, bottom - at.row // k, right - at.col // k)
        around = cells.pad(_MARGIN).clip(*source.grid.shape)
        inside = at.shift(-around.row * k, -around.col * k)
        return upsample(source.read(around).masked()[0], k, inside)

    def _told(self) -> Sampling | None:
        """How bands came here, where files of several samplings tell it of all."""
        if set(self._ratios) == {1}:
            return None
        return Sampling(
            tuple(
                BandSampling(
                    gsd=source.grid.gsd[1], origin=(-row, -col), kernel="bicubic" if k > 1 else None
                )
                for source, k, (row, col) in zip(
                    self._sources, self._ratios, self._starts, strict=True
                )
            )
        )


def _planes(path: Path) -> int:
    raster = Raster(path)
    raster.close()
    header = raster.header
    return header.count - (1 if header.alpha else 0)


def _said(path: Path) -> int:
    """The sampling in metres that a name tells; 0 if it tells none."""
    match = _GSD.search(path.stem)
    return int(match[1]) if match else 0


def _nested(finest: Grid, source: RasterSource) -> int:
    try:
        return finest.nested_ratio(source.grid)
    except GridError as e:
        raise GridError(
            f"lies on no grid that nests with the finest band's: {e.what}",
            where=source.name,
            fix="export all bands onto one grid",
        ) from None


def _start(finest: Grid, grid: Grid) -> tuple[int, int]:
    """(row, column) of a grid's corner in pixels of the finest one."""
    a, _, c, _, e, f = finest.transform
    return round((grid.transform[5] - f) / e), round((grid.transform[2] - c) / a)


def _shared(finest: Grid, grids: Sequence[Grid], ratios: Sequence[int], where: str) -> Window:
    """The ground that all show, in pixels of the finest grid."""
    top = left = -(1 << 62)
    bottom = right = 1 << 62
    for grid, k in zip(grids, ratios, strict=True):
        row, col = _start(finest, grid)
        top, left = max(top, row), max(left, col)
        bottom, right = min(bottom, row + grid.height * k), min(right, col + grid.width * k)
    if bottom <= top or right <= left:
        raise OverlapError("its files share no ground", where=where, fix="give one image's")
    return Window(top, left, bottom - top, right - left)
