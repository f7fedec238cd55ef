"""A raster file with a calibration, and several of them as one mosaic."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    Grid,
    GridError,
    Sampling,
    Window,
)
from trifuse.core.shown import told
from trifuse.products.files.raster import Raster

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Calibration:
    """How stored numbers become values: ``stored · scale + offset``, fill becomes NaN.

    Attributes:
        scale: one per band.
        offset: one per band, in calibrated units.
        nodata: stored fill value per band; None where there is none.
        origin: where the numbers are from, in words.
    """

    scale: tuple[float, ...]
    offset: tuple[float, ...]
    nodata: tuple[float | None, ...]
    origin: str

    def apply(self, stored: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
        """Calibrated values.

        Args:
            stored: (band, y, x) as in the file.
            numbers: position of each plane among the bands, from 0.

        Returns:
            (band, y, x) float32; NaN where nodata or not finite.
        """
        out = np.empty(stored.shape, np.float32)
        for plane, raw, i in zip(out, stored, numbers, strict=True):
            plane[:] = raw
            if self.scale[i] != 1:
                plane *= np.float32(self.scale[i])
            if self.offset[i] != 0:
                plane += np.float32(self.offset[i])
            missing = _equals(raw, self.nodata[i])
            if missing is not None:
                plane[missing] = np.nan
            if np.issubdtype(raw.dtype, np.floating):
                plane[np.isinf(raw)] = np.nan
        return out

    def to_json(self) -> dict[str, Any]:
        """Plain values; lists of equal numbers are given once."""

        def once(values: Sequence[Any]) -> Any:
            plain = ["NaN" if isinstance(v, float) and math.isnan(v) else v for v in values]
            return plain[0] if all(v == plain[0] for v in plain) else plain

        return {
            "scale": once(self.scale),
            "offset": once(self.offset),
            "nodata": once(self.nodata),
            "from": self.origin,
        }


def calibration(
    raster: Raster,
    numbers: Sequence[int],
    scale: float | Sequence[float] | None = None,
    offset: float | Sequence[float] | None = None,
    nodata: float | None = None,
    file_scale: Sequence[float] | None = None,
) -> Calibration:
    """The calibration of a file, with what the user knows better.

    Args:
        raster: the file.
        numbers: its band numbers that hold values, from 1.
        scale: the user's, for all bands or one per band; default: the file's.
        offset: likewise.
        nodata: the user's fill value; default: the file's.
        file_scale: the file's own scale where GDAL does not report it.

    Raises:
        ConfigError: if the count of numbers is not the count of bands, or a scale is 0.
    """
    h = raster.header
    own_scale = tuple(file_scale or [h.scales[n - 1] for n in numbers])
    own_offset = tuple(h.offsets[n - 1] for n in numbers)
    fill = tuple(h.nodata[n - 1] if nodata is None else float(nodata) for n in numbers)
    given = [
        w for w, v in (("scale", scale), ("offset", offset), ("nodata", nodata)) if v is not None
    ]
    in_file = any(s != 1 for s in own_scale) or any(o != 0 for o in own_offset)
    origin = "the file" if in_file else "no scale in the file: values as stored"
    if not in_file and np.issubdtype(np.dtype(h.dtype), np.floating):
        origin = "the file: stored as values"
    elif not in_file and scale is None:
        _log.info("%s: holds integers and no scale: they are read as they are", raster.name)
    return Calibration(
        scale=_per_band(scale, own_scale, "scale", raster.name),
        offset=_per_band(offset, own_offset, "offset", raster.name),
        nodata=fill,
        origin=f"{', '.join(given)} as given; else {origin}" if given else origin,
    )


class RasterSource(CubeSource):
    """A raster file as a source of calibrated values.

    A pixel is valid if one of the bands asked for has a value there and the file's own mask, if
    it has one, says so; bands without a value are NaN in it.

    Args:
        raster: the file.
        bands: names, centres and widths of the bands that hold values.
        calibration: one entry per band.
        numbers: number of each band in the file, from 1.
        meta: plain JSON values; ``calibration`` and ``dtype`` are added.
        name: default: the file's name without its suffix.
    """

    def __init__(
        self,
        raster: Raster,
        bands: BandSet,
        calibration: Calibration,
        numbers: Sequence[int],
        meta: Mapping[str, Any],
        name: str | None = None,
    ) -> None:
        self.raster, self.bands = raster, bands
        self._calibration, self._numbers = calibration, tuple(numbers)
        self.name = raster.path.stem if name is None else name
        self.grid = raster.grid
        self.meta = {**meta, "dtype": raster.header.dtype, "calibration": calibration.to_json()}

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        return self._cube(window, None, bands, self.grid.window(window))

    def place_sampling(self, sampling: Sampling) -> None:
        """Say how the bands were sampled, where whoever opens the image knows it."""
        self._sampled = sampling

    def read_small(self, max_size: int, bands: Iterable[str] | None = None) -> Cube:
        """The whole image averaged to at most ``max_size`` pixels a side, by overviews."""
        step = max(1, math.ceil(max(self.grid.shape) / max_size))
        height, width = (math.ceil(n / step) for n in self.grid.shape)
        a, _, c, _, e, f = self.grid.transform
        moved = (a * self.grid.width / width, 0.0, c, 0.0, e * self.grid.height / height, f)
        small = Grid(self.grid.crs, moved, height, width)
        return self._cube(self.grid.whole, small.shape, bands, small)

    def __repr__(self) -> str:
        where = str(getattr(self.raster, "path", self.name))
        return f"RasterSource({where!r}, {told(self.bands, self.grid)})"

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        self.raster.close()

    def _cube(
        self, window: Window, size: tuple[int, int] | None, which: Iterable[str] | None, grid: Grid
    ) -> Cube:
        chosen = list(range(len(self.bands))) if which is None else self.bands.indices(which)
        stored = self.raster.read([self._numbers[i] for i in chosen], window, size)
        data = self._calibration.apply(stored, chosen)
        valid = np.isfinite(data).any(axis=0)
        mask = self.raster.read_mask(window, size)
        if mask is not None:
            valid &= mask
        sampled = self._sampled_part(window, chosen) if size is None else None
        meta = subset_meta(self.meta, chosen)
        return Cube(data, valid, self.bands.select(chosen), grid, meta, sampled)


class MosaicSource(CubeSource):
    """Sources side by side on one pixel lattice, as one.

    They may abut, overlap or leave gaps, which are invalid. Where they overlap, the first with a
    value counts.

    Args:
        sources: of one coordinate system, pixel size and band set.
        name: of the mosaic.
        meta: default: that of the first source.

    Raises:
        GridError: if pixels do not coincide, or two cover the same ground.
        BandError: if bands differ.
    """

    def __init__(
        self, sources: Sequence[CubeSource], name: str, meta: Mapping[str, Any] | None = None
    ) -> None:
        first = sources[0]
        for other in sources[1:]:
            if differ := first.bands.differences(other.bands, tolerance=0.01):
                raise BandError(f"is no tile of {first.name}: {differ[0]}", where=other.name)
        self._sources = tuple(sources)
        self.name, self.bands = name, first.bands
        self.grid, self._places = _union(sources)
        self.meta = {**(first.meta if meta is None else meta), "tiles": [s.name for s in sources]}

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise GridError(
                f"{window} leaves the mosaic of {self.grid.height}×{self.grid.width}",
                where=self.name,
            )
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        chosen = self.bands.select(numbers)
        data = np.full((len(chosen), *window.shape), np.nan, np.float32)
        valid = np.zeros(window.shape, bool)
        for source, place in zip(self._sources, self._places, strict=True):
            part = window.shift(-place.row, -place.col).clip(*source.grid.shape)
            if 0 in part.shape:
                continue
            tile = source.read(part, chosen.names)
            rows, cols = part.shift(place.row - window.row, place.col - window.col).slices
            take = tile.valid & ~valid[rows, cols]
            np.copyto(data[:, rows, cols], tile.data, where=take)
            valid[rows, cols] |= take
        meta, sampled = subset_meta(self.meta, numbers), self._sampled_part(window, numbers)
        return Cube(data, valid, chosen, self.grid.window(window), meta, sampled)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        for source in self._sources:
            source.close()


def subset_meta(meta: Mapping[str, Any], numbers: Sequence[int]) -> dict[str, Any]:
    """Meta of some bands: what is listed per band is taken for these."""
    return {
        k: [v[n] for n in numbers] if k in ("usable", "detectors") else v for k, v in meta.items()
    }


def _union(sources: Sequence[CubeSource]) -> tuple[Grid, list[Window]]:
    """The grid around all sources and the place of each in it."""
    first = sources[0].grid
    places = []
    for source in sources:
        try:
            places.append(first.locate(source.grid))
        except GridError as e:
            raise GridError(
                f"is no tile beside {sources[0].name}: {e.what}", where=source.name, fix=e.fix
            ) from None
    for i, place in enumerate(places):
        if place in places[:i]:
            raise GridError(
                f"covers the same ground as {sources[places.index(place)].name}",
                where=sources[i].name,
                fix="give tiles that lie side by side; bands in separate files are stacked first",
            )
    top, left = min(p.row for p in places), min(p.col for p in places)
    bottom, right = max(p.row + p.height for p in places), max(p.col + p.width for p in places)
    # The corner comes from the outermost tiles themselves: computed ones would carry rounding.
    size_x, size_y = first.transform[0], first.transform[4]
    west = min(s.grid.transform[2] for s in sources)
    north = max(s.grid.transform[5] for s in sources)
    grid = Grid(first.crs, (size_x, 0.0, west, 0.0, size_y, north), bottom - top, right - left)
    return grid, [p.shift(-top, -left) for p in places]


def _per_band(
    given: float | Sequence[float] | None, own: tuple[float, ...], what: str, where: str
) -> tuple[float, ...]:
    if given is None:
        return own
    values = tuple(map(float, given)) if isinstance(given, Sequence) else (float(given),) * len(own)
    if len(values) != len(own):
        raise ConfigError(f"{len(values)} {what}s for {len(own)} bands", where=where)
    if not all(map(math.isfinite, values)) or (what == "scale" and 0 in values):
        raise ConfigError(f"{what} of {given}", where=where, fix="give finite numbers, no 0 scale")
    return values


def _equals(raw: np.ndarray, nodata: float | None) -> np.ndarray | None:
    """Where the fill value stands; compared in the file's own type."""
    if nodata is None:
        return None
    if math.isnan(nodata):
        return np.asarray(np.isnan(raw)) if np.issubdtype(raw.dtype, np.floating) else None
    with np.errstate(over="ignore"):
        fill = np.float64(nodata).astype(raw.dtype)
    if np.issubdtype(raw.dtype, np.integer) and float(fill) != nodata:
        return None  # a fill value that the type cannot hold never occurs
    return np.asarray(raw == fill)
