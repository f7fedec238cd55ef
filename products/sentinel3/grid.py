"""A Sentinel-3 swath as a cube source: brought onto a grid when it is read."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.align import SwathIndex
from trifuse.align.swath import PIXEL, RADIUS, SIGMA
from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    Grid,
    OverlapError,
    Window,
)
from trifuse.products.files.hdf5 import Variable
from trifuse.products.sentinel3.area import centre_of, choose_grid, project, require_metres
from trifuse.products.sentinel3.delivery import Delivery
from trifuse.products.sentinel3.flags import Mask
from trifuse.products.sentinel3.geometry import BLOCK as SWATH_BLOCK
from trifuse.products.sentinel3.geometry import Geolocation, Mesh

THIN = 600.0
"""Metres from which cells hold enough pixels of 300 m for a plain mean."""

BLOCK = 512
"""Edge in cells of what is gridded at once: bounds memory, and changes no value."""

PARALLAX = 15_000.0
"""Metres by which terrain can move a pixel from its tie points: 8.8 km seen from 55° aside."""

_Values = Callable[[tuple[str, ...]], np.ndarray]
_REACH = math.hypot(*SWATH_BLOCK) * PIXEL
"""Metres from the place of a block of the mesh to its furthest pixel."""

_STEP = 3000.0
"""Metres beyond the pixels that matter up to which their neighbours tell their sizes."""

_BAND_BYTES = 256 << 20

OPTIONS = ("grid", "gsd", "crs", "bbox", "mask", "bands", "sigma", "radius")
"""What opening a swath takes."""


@dataclass(frozen=True, slots=True, eq=False)
class Swath(ABC):
    """A product as it is: rows along the track, columns across it, 300 m pixels.

    Attributes:
        delivery: its files.
        name: of the product.
        bands: names, with centre and FWHM of the satellite's response functions.
        flags: the flag variables that the mask needs.
        mask: what is not usable.
        geolocation: where its pixels lie.
        meta: what the product says of itself.
    """

    delivery: Delivery
    name: str
    bands: BandSet
    flags: tuple[Variable, ...]
    mask: Mask
    geolocation: Geolocation
    meta: Mapping[str, Any]

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.geolocation.shape

    def lonlat(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude in degrees, each (row, col) float64; NaN where unknown."""
        return self.geolocation.lonlat(self.delivery, window)

    def usable(self, window: Window, bands: Iterable[str] | None = None) -> np.ndarray:
        """Where no mask term takes a pixel out: (row, col) bool."""
        values = {v.name: self.delivery.stored(v, window) for v in self.flags}
        usable = self.mask.usable(values, self.bands.names if bands is None else bands)
        return np.ones(window.shape, bool) if usable is None else usable

    @abstractmethod
    def read(self, window: Window, bands: Iterable[str] | None = None) -> np.ndarray:
        """Reflectance of a window: (band, row, col) float32, unit-less; NaN where missing.

        Raises:
            ProductError: if a file is damaged there.
            BandError: if a band is missing.
        """


def on_grid(
    swath: Swath,
    *,
    grid: Grid | None,
    gsd: float,
    crs: str | None,
    bbox: tuple[float, float, float, float] | None,
    sigma: float,
    radius: float,
) -> SwathSource:
    """Bring a swath onto a grid that is given or chosen; see :func:`open_sentinel3`."""
    with swath.delivery.kept_if_well() as delivery:
        area = choose_grid(delivery, swath.geolocation, grid=grid, gsd=gsd, crs=crs, bbox=bbox)
        return SwathSource(swath, area, sigma=sigma, radius=radius)


class SwathSource(CubeSource):
    """A swath on a grid.

    A cell is valid if a band asked for has a value there. Flagged pixels are left out before
    gridding, so what the mask takes out is a hole, NaN in every band. ``meta["resampling"]`` has
    the width of the weights, which comes on top of the sensor's own PSF.

    Args:
        swath: the pixels.
        grid: to bring them onto, in metres.
        sigma: standard deviation of the weights in metres.
        radius: metres beyond which a pixel has no weight.

    Raises:
        GridError: if the grid is not in metres.
        OverlapError: if the swath does not reach the grid.
    """

    def __init__(
        self, swath: Swath, grid: Grid, *, sigma: float = SIGMA, radius: float = RADIUS
    ) -> None:
        self.swath = swath
        self.name, self.bands, self.grid = swath.name, swath.bands, grid
        self._sigma, self._radius = sigma, radius
        if not (0 < sigma and 2 * sigma <= radius <= PARALLAX):
            raise ConfigError(
                f"σ of {sigma:g} m and a radius of {radius:g} m",
                fix="give a positive σ and at least twice that as the radius",
            )
        require_metres(grid.crs)
        self._around = centre_of(grid)
        self._search()
        self.meta = {
            **swath.meta,
            "resampling": {
                "method": "Gaussian-weighted neighbours",
                "sigma_m": sigma,
                "radius_m": radius,
            },
        }
        if self._covering(grid) is None:
            # tie points that tell nonsense shall not hide pixels that are there
            self._search(by_pixel=True)
        if self._covering(grid) is None:
            raise OverlapError(
                "the swath does not reach the grid",
                where=swath.name,
                fix="give an area within " + _extent(self._mesh),
            )

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(
                f"{window} leaves a grid of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        chosen = self.bands.select(numbers)
        data = np.full((len(chosen), *window.shape), np.nan, np.float32)
        for row in range(0, window.height, BLOCK):
            for col in range(0, window.width, BLOCK):
                block = Window(row, col, BLOCK, BLOCK).clip(*window.shape)
                rows, cols = block.slices
                part = self.grid.window(block.shift(window.row, window.col))
                self._fill(data[:, rows, cols], part, chosen.names)
        there = np.asarray(np.isfinite(data).any(axis=0))
        return Cube(data, there, chosen, self.grid.window(window), self.meta)

    def read_small(self, max_size: int, bands: Iterable[str] | None = None) -> Cube:
        """The whole image in at most ``max_size`` cells a side, for a look at it.

        Where cells become :data:`THIN` m or more, each is the plain mean of the usable pixels that
        fall in it, in one pass over the swath; smaller ones are read as they are and averaged.
        """
        step = max(1, math.ceil(max(self.grid.shape) / max_size))
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        chosen = self.bands.select(numbers)
        a, _, c, _, e, f = self.grid.transform
        height, width = (math.ceil(n / step) for n in self.grid.shape)
        small = Grid(self.grid.crs, (a * step, 0.0, c, 0.0, e * step, f), height, width)
        total, count = (np.zeros((len(chosen), height * width)) for _ in range(2))
        for at, values in self._thin(small) if min(small.gsd) >= THIN else self._fine(small, step):
            for number, plane in enumerate(values(chosen.names)):
                there = np.isfinite(plane) & (at >= 0)
                cells = at[there]
                total[number] += np.bincount(cells, plane[there], height * width)
                count[number] += np.bincount(cells, minlength=height * width)
        with np.errstate(invalid="ignore"):
            data = (total / count).astype(np.float32).reshape(len(chosen), height, width)
        return Cube(data, np.asarray(np.isfinite(data).any(axis=0)), chosen, small, self.meta)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        self.swath.delivery.close()

    def _thin(self, small: Grid) -> Iterator[tuple[np.ndarray, _Values]]:
        """Strips of the swath: the cell of each pixel, −1 for none, and how to get the values."""
        window = self._covering(small)
        assert window is not None  # it was when the source was opened
        a, _, c, _, e, f = small.transform
        for top in range(0, window.height, BLOCK):
            part = Window(
                window.row + top, window.col, min(BLOCK, window.height - top), window.width
            )
            lon, lat = self.swath.geolocation.lonlat(self.swath.delivery, part)
            x, y = project(lon, lat, self.grid.crs, self._around)
            with np.errstate(invalid="ignore"):
                col, row = np.floor((x - c) / a), np.floor((y - f) / e)
                inside = (col >= 0) & (col < small.width) & (row >= 0) & (row < small.height)
            at = np.where(inside, row * small.width + col, -1).astype(np.intp)

            def values(
                bands: tuple[str, ...], part: Window = part, inside: np.ndarray = inside
            ) -> np.ndarray:
                usable = inside & self.swath.usable(part, bands)
                return np.where(usable, self.swath.read(part, bands), np.float32(np.nan))

            yield at, values

    def _fine(self, small: Grid, step: int) -> Iterator[tuple[np.ndarray, _Values]]:
        """Strips of the grid: the small cell of each cell, and how to get the values."""
        strip = step * max(1, BLOCK // step)
        cols = np.arange(self.grid.width) // step
        for top in range(0, self.grid.height, strip):
            part = Window(top, 0, min(strip, self.grid.height - top), self.grid.width)
            rows = (top + np.arange(part.height)) // step
            at = rows[:, None] * small.width + cols[None, :]

            def values(bands: tuple[str, ...], part: Window = part) -> np.ndarray:
                return self.read(part, bands).data

            yield at, values

    def _fill(self, out: np.ndarray, grid: Grid, bands: tuple[str, ...]) -> None:
        """Bring the bands onto a part of the grid: ``out`` is (band, y, x)."""
        window = self._covering(grid)
        if window is None:
            return
        found = self._places(window, grid)
        if found is None:
            return
        window, x, y = found
        try:
            weights = SwathIndex(x, y).weights(grid, sigma=self._sigma, radius=self._radius)
        except DataError as e:
            raise DataError(e.what, where=self.name, fix=e.fix) from None
        usable = self.swath.usable(window, bands)
        at_once = max(1, _BAND_BYTES // (4 * x.size))
        for first in range(0, len(bands), at_once):
            some = bands[first : first + at_once]
            values, _ = weights.apply(self.swath.read(window, some), usable)
            out[first : first + len(some)] = values

    def _search(self, *, by_pixel: bool = False) -> None:
        self._mesh = self.swath.geolocation.mesh(self.swath.delivery, by_pixel=by_pixel)
        self._mesh_xy = project(self._mesh.lon, self._mesh.lat, self.grid.crs, self._around)

    def _covering(self, grid: Grid) -> Window | None:
        west, south, east, north = grid.bounds
        margin = self._radius + PARALLAX + _REACH
        box = (west - margin, south - margin, east + margin, north + margin)
        return self._mesh.covering(*self._mesh_xy, box)

    def _places(self, window: Window, grid: Grid) -> tuple[Window, np.ndarray, np.ndarray] | None:
        """The pixels that matter to a part of the grid, and their map coordinates."""
        west, south, east, north = grid.bounds
        lon, lat = self.swath.geolocation.lonlat(self.swath.delivery, window)
        margin = self._radius + _STEP
        box = (west - margin, south - margin, east + margin, north + margin)
        x, y = project(lon, lat, self.grid.crs, self._around, box)
        with np.errstate(invalid="ignore"):
            near = (x >= west - self._radius) & (x <= east + self._radius)
            near &= (y >= south - self._radius) & (y <= north + self._radius)
        if not near.any():
            return None
        i, j = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
        # One more on each side, from which the sizes of the outermost that matter are told.
        inner = Window(int(i[0]), int(j[0]), int(i[-1] - i[0]) + 1, int(j[-1] - j[0]) + 1)
        inner = inner.pad(1).clip(*window.shape)
        rows, cols = inner.slices
        return inner.shift(window.row, window.col), x[rows, cols], y[rows, cols]


def _extent(mesh: Mesh) -> str:
    if not np.isfinite(mesh.lon).any():
        return "a product that has places"
    lon, lat = mesh.lon[np.isfinite(mesh.lon)], mesh.lat[np.isfinite(mesh.lat)]
    return f"{lon.min():.2f}…{lon.max():.2f}° E, {lat.min():.2f}…{lat.max():.2f}° N"
