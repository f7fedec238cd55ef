"""Images of one band each, of several samplings, as one source on one grid.

Satellites measure their bands at several samplings, and deliveries keep each in a file of its own.
Bands that are coarser than the grid are interpolated, finer ones averaged over whole cells.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from trifuse.core import (
    BandSampling,
    BandSet,
    Cube,
    CubeSource,
    DataError,
    Grid,
    GridError,
    Sampling,
    Window,
    upsample,
)
from trifuse.products.files.shrink import shrink
from trifuse.products.files.source import Calibration

Upsampling = Literal["bicubic", "nearest"]
_MARGIN = 8
"""Coarse cells read around a window: two for the cubic kernel, the rest for bridging gaps."""
_log = logging.getLogger(__name__)


class Readable(Protocol):
    """What is used of a raster file or an array of a store."""

    name: str

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        ...

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Stored values, (band, y, x); see :meth:`trifuse.products.files.raster.Raster.read`."""
        ...

    def close(self) -> None:
        """Give up what is open."""
        ...


@dataclass(frozen=True, slots=True)
class Layer:
    """One file and how its cells lie to the pixels of the source.

    Attributes:
        raster: the file.
        coarser: pixels along a cell, 1 if they are alike or cells are smaller.
        finer: cells along a pixel.
    """

    raster: Readable
    coarser: int = 1
    finer: int = 1

    @classmethod
    def of(cls, raster: Readable, native: float, target: float) -> Layer:
        """A file of a sampling on pixels of another, both in one unit."""
        ratio = native / target
        return cls(raster, max(1, round(ratio)), max(1, round(1 / ratio)))

    @property
    def grid(self) -> Grid:
        """The grid of pixels that the file's own grid implies."""
        own = self.raster.grid
        return own.zoom_in(self.coarser) if self.coarser > 1 else own.zoom_out(self.finer)


@dataclass(frozen=True, eq=False)
class ClassMask:
    """Pixels that are ruled out by an image of classes or flags.

    Attributes:
        layer: the image, of bytes.
        numbers: its bands that count, from 1.
        table: (band, 256) bool, which stored numbers leave a pixel usable; all bands must.
    """

    layer: Layer
    numbers: tuple[int, ...]
    table: np.ndarray

    def usable(self, window: Window) -> np.ndarray:
        """Where pixels of a window of the source are usable: (y, x) bool."""
        if self.layer.finer > 1:
            k = self.layer.finer
            stored = self.layer.raster.read(self.numbers, _times(window, k))
            return self._told(stored[:, k // 2 :: k, k // 2 :: k])
        k = self.layer.coarser
        around = _cells(window, k)
        rows, cols = _nearest(window, around, k)
        return self._told(self.layer.raster.read(self.numbers, around)[:, rows, cols])

    def usable_cells(self, window: Window | None = None) -> np.ndarray:
        """The same for cells of the image itself."""
        return self._told(self.layer.raster.read(self.numbers, window))

    def _told(self, stored: np.ndarray) -> np.ndarray:
        planes = [row[plane] for row, plane in zip(self.table, stored, strict=True)]
        told: np.ndarray = np.logical_and.reduce(planes)
        return told


@dataclass(frozen=True, eq=False)
class Specials:
    """Stored numbers that are no values, besides the fill.

    Attributes:
        saturated: this one; None for none.
        wrapped: in unsigned types of 16 bits, from this one on, which are below zero gone round;
            None for none.
        flaws: by position of the band: cells without a value, on the file's own grid.
        averaged: tells of stored numbers that are averages, of the image at full size and of its
            fill, whether numbers that went round are in them.
    """

    saturated: int | None = None
    wrapped: int | None = None
    flaws: Mapping[int, ClassMask] | None = None
    averaged: Callable[[np.ndarray, Readable, float | None], bool] | None = None


class LayeredSource(CubeSource):
    """Files of one band each on one grid, read by window.

    Args:
        name: of the source.
        bands: of the layers, in order.
        layers: one file a band.
        calibration: one entry a band.
        meta: plain JSON values; ``native_gsd`` and ``calibration`` are added.
        mask: pixels to rule out.
        specials: numbers that are no values.
        upsampling: ``bicubic`` (cubic convolution) or ``nearest``.

    Raises:
        GridError: if the files do not lie on one grid, or cover different ground.
    """

    def __init__(
        self,
        name: str,
        bands: BandSet,
        layers: Sequence[Layer],
        calibration: Calibration,
        meta: Mapping[str, Any],
        *,
        mask: ClassMask | None = None,
        specials: Specials | None = None,
        upsampling: Upsampling = "bicubic",
    ) -> None:
        self._layers, self._mask, self._upsampling = tuple(layers), mask, upsampling
        self._calibration, self._specials = calibration, specials or Specials()
        self._told = False
        self.name, self.bands = name, bands
        self.grid = _common_grid([*self._layers, *([mask.layer] if mask else [])])
        self._sampled = Sampling(tuple(_sampled(i, upsampling) for i in self._layers))
        self.meta = {
            **meta,
            "native_gsd": self._native(bands),
            "calibration": calibration.to_json() | {"saturated": self._specials.saturated},
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`.

        A pixel is valid if the mask (its nearest cell) leaves it and every band asked for has a
        value.
        """
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(
                f"{window} leaves an image of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = self._numbers(bands)
        data = np.empty((len(numbers), *window.shape), np.float32)
        valid = np.ones(window.shape, bool) if self._mask is None else self._mask.usable(window)
        for plane, number in zip(data, numbers, strict=True):
            plane[:] = self._plane(number, window)
            valid &= np.isfinite(plane)
        sampled = self._sampled_part(window, numbers)
        return self._cube(numbers, data, valid, self.grid.window(window), sampled)

    def read_small(self, max_size: int, bands: Iterable[str] | None = None) -> Cube:
        """The whole image averaged to at most ``max_size`` pixels a side, by overviews.

        For pictures and shares: counts are averaged before special values are told apart, so
        pixels at the very edge of the swath are too dark, and flaws of single bands do not count.
        Counts that went round are left out of the averages, which are then of the image at full
        size.
        """
        step = max(1, math.ceil(max(self.grid.shape) / max_size))
        if step == 1:
            return self.read(None, bands)
        shape = tuple(math.ceil(n / step) for n in self.grid.shape)
        a, _, c, _, e, f = self.grid.transform
        wide, high = a * self.grid.width / shape[1], e * self.grid.height / shape[0]
        small = Grid(self.grid.crs, (wide, 0.0, c, 0.0, high, f), *shape)
        numbers = self._numbers(bands)
        data = np.stack([self._calibrated(n, None, small.shape) for n in numbers])
        valid = np.isfinite(data).all(axis=0)
        if self._mask is not None:
            usable = self._mask.usable_cells()
            at = [(np.arange(n) + 0.5) / n for n in shape]
            rows, cols = ((p * n).astype(int) for p, n in zip(at, usable.shape, strict=True))
            valid &= usable[np.ix_(rows, cols)]
        return self._cube(numbers, data, valid, small, None)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        flaws = (self._specials.flaws or {}).values()
        masks = [m.layer for m in (self._mask, *flaws) if m is not None]
        for layer in (*self._layers, *masks):
            layer.raster.close()

    def _numbers(self, bands: Iterable[str] | None) -> list[int]:
        return list(range(len(self.bands))) if bands is None else self.bands.indices(bands)

    def _cube(
        self,
        numbers: Sequence[int],
        data: np.ndarray,
        valid: np.ndarray,
        grid: Grid,
        sampled: Sampling | None,
    ) -> Cube:
        bands = self.bands.select(numbers)
        meta = {**self.meta, "native_gsd": self._native(bands)}
        return Cube(data, valid, bands, grid, meta, sampled)

    def _native(self, bands: BandSet) -> dict[str, float]:
        """Side of a native pixel by band, for the metadata."""
        gsd = dict(zip(self.bands.names, self.sampling.values("gsd"), strict=True))
        return {b: gsd[b] for b in bands.names}

    def _calibrated(
        self, number: int, window: Window | None, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Values of a file's own cells: (y, x) float32; NaN for the special numbers."""
        special = self._specials
        raster, nodata = self._layers[number].raster, self._calibration.nodata[number]
        stored = raster.read([1], window, size)
        if size is not None and special.averaged and special.averaged(stored, raster, nodata):
            return shrink(lambda part: self._calibrated(number, part), raster.grid.shape, size)
        values = self._calibration.apply(stored, [number])
        if special.saturated is not None:
            values[stored == special.saturated] = np.nan
        if special.wrapped is not None and stored.dtype == np.uint16:
            wrapped = (stored >= special.wrapped) & (stored != special.saturated)
            if count := int(wrapped.sum()):
                values[wrapped] = np.nan
                self._tell_wrapped(number, count)
        plane: np.ndarray = values[0]
        if size is None and special.flaws and number in special.flaws:
            plane[~special.flaws[number].usable_cells(window)] = np.nan
        return plane

    def _tell_wrapped(self, number: int, count: int) -> None:
        """Say once that counts below zero were met."""
        if not self._told:
            _log.warning(
                "%s: %d counts of %s are %d or more, so below zero gone round: they are no value, "
                "nor are others of that size",
                self.name,
                count,
                self.bands.names[number],
                self._specials.wrapped,
            )
        self._told = True

    def _plane(self, number: int, window: Window) -> np.ndarray:
        """Values of a window of the source's pixels."""
        layer = self._layers[number]
        if layer.finer > 1:
            k = layer.finer
            cells = self._calibrated(number, _times(window, k))
            blocks = cells.reshape(window.height, k, window.width, k)
            mean: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float64)
            return mean
        if layer.coarser == 1:
            return self._calibrated(number, window)
        k = layer.coarser
        around = _cells(window, k)
        if self._upsampling == "nearest":
            near: np.ndarray = self._calibrated(number, around)[_nearest(window, around, k)]
            return near
        padded = around.pad(_MARGIN).clip(*layer.raster.grid.shape)
        inside = window.shift(-padded.row * k, -padded.col * k)
        return upsample(self._calibrated(number, padded), k, inside)


def _sampled(layer: Layer, upsampling: Upsampling) -> BandSampling:
    """How a band comes onto the pixels of the source, none of which is a fraction of a cell."""
    kernel = "average" if layer.finer > 1 else upsampling if layer.coarser > 1 else None
    return BandSampling(gsd=layer.raster.grid.gsd[1], origin=(0, 0), kernel=kernel)


def _times(window: Window, k: int) -> Window:
    return Window(window.row * k, window.col * k, window.height * k, window.width * k)


def _cells(window: Window, k: int) -> Window:
    """The cells of ``k`` × ``k`` pixels that hold the pixels of a window."""
    row, col = window.row // k, window.col // k
    bottom, right = -(-(window.row + window.height) // k), -(-(window.col + window.width) // k)
    return Window(row, col, bottom - row, right - col)


def _nearest(window: Window, cells: Window, k: int) -> tuple[np.ndarray, ...]:
    """Index into the cells read of the one that each pixel of the window lies in."""
    rows = np.arange(window.row, window.row + window.height) // k - cells.row
    cols = np.arange(window.col, window.col + window.width) // k - cells.col
    return np.ix_(rows, cols)


def _common_grid(layers: Sequence[Layer]) -> Grid:
    """The one grid that all files imply.

    Raises:
        GridError: if they do not lie on one, or cover different ground.
    """
    first = layers[0].grid
    for layer in layers[1:]:
        grid = layer.grid
        same = grid.shape == first.shape and grid.is_nested(first)
        if not same or first.locate(grid) != first.whole:
            raise GridError(
                f"covers other ground than {Path(layers[0].raster.name).name}: "
                f"{grid.height}×{grid.width} pixels from {grid.bounds[0]:g}, {grid.bounds[3]:g} "
                f"against {first.height}×{first.width} from {first.bounds[0]:g}, "
                f"{first.bounds[3]:g}",
                where=layer.raster.name,
                fix="fetch the product again",
            )
    return first
