"""Series of several sensors over one ground, as the network wants them: blocks of all dates.

An area is cut into blocks so that memory does not depend on its size. Each image is read with the
pixels around a block that have a say in it, so blocks equal the whole.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from trifuse.core import BandError, DataError, Grid, GridError, OverlapError, Series, Window
from trifuse.temporal.calendar import days_since
from trifuse.temporal.config import Sensor, TamrfConfig
from trifuse.temporal.renamed import renamed

KELVIN = 1000.0
"""Kelvin per unit of temperature in the network, whose other unit is reflectance 0–1."""


@dataclass(frozen=True, slots=True)
class Area:
    """The ground that series have in common.

    Attributes:
        config: of the network.
        grid: target pixels.
        series: of each sensor of the network that has one.
        windows: the area in pixels of each series' own grid.
        origin: the day that is 0.
        blank: whether pixels that are not clear are withheld from the network.
    """

    config: TamrfConfig
    grid: Grid
    series: Mapping[str, Series]
    windows: Mapping[str, Window]
    origin: date
    blank: bool = False

    places = renamed("places", "windows")

    @property
    def sensors(self) -> tuple[Sensor, ...]:
        """Sensors that have a series, in the network's order."""
        return tuple(s for s in self.config.sensors if s.name in self.series)

    @property
    def step(self) -> int:
        """Blocks start at multiples of so many target pixels: whole cells of every sensor."""
        return math.lcm(*(s.ratio for s in self.sensors))

    @property
    def days(self) -> dict[str, tuple[float, ...]]:
        """Days of the images of each sensor."""
        return {s.name: days_since(self.origin, self.series[s.name].dates) for s in self.sensors}

    def window(self, sensor: Sensor, block: Window) -> Window:
        """A block of target pixels in pixels of a sensor's series."""
        whole, k = self.windows[sensor.name], sensor.ratio
        return Window(
            whole.row + block.row // k,
            whole.col + block.col // k,
            block.height // k,
            block.width // k,
        )

    def read(
        self, sensor: Sensor, day: date, block: Window, around: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """One image in the network's unit.

        Args:
            sensor: whose.
            day: of the image.
            block: target pixels.
            around: pixels of the sensor around the block; reflected where the image ends.

        Returns:
            (band, y, x) float32, NaN where missing or withheld, with the pixels around; and
            (y, x) bool, True where clear, without them.
        """
        series, window = self.series[sensor.name], self.window(sensor, block)
        rows = mirrored(window.row, window.height, around, series.grid.height)
        cols = mirrored(window.col, window.width, around, series.grid.width)
        top, left = int(rows.min()), int(cols.min())
        part = Window(top, left, int(rows.max()) + 1 - top, int(cols.max()) + 1 - left)
        cube = series.read(day, part, sensor.bands)
        data = np.array(cube.data, np.float32)
        hot = [i for i, b in enumerate(sensor.bands) if b in sensor.thermal]
        data[hot] /= KELVIN
        clear = cube.valid & np.isfinite(data).any(axis=0)
        if self.blank:
            data[:, ~clear] = np.nan
        at = np.ix_(rows - top, cols - left)
        inner = np.s_[around : around + window.height, around : around + window.width]
        return data[:, at[0], at[1]], clear[at][inner]

    def any_clear(self) -> bool:
        """Whether any image has a clear pixel; ends at the first."""
        return any(
            bool(source.read(self.window(s, block), s.bands[:1]).valid.any())
            for s in self.sensors
            for source in self.series[s.name].sources
            for block in blocks(self, 1020)
        )


def open_area(
    config: TamrfConfig,
    series: Mapping[str, Series],
    *,
    origin: date | None = None,
    blank: bool = False,
) -> Area:
    """The ground that all series share, in whole cells of every sensor.

    Args:
        config: of the network; it may have sensors without a series, but not the reverse.
        series: sensor → its series, on nested grids of the network's ratios.
        origin: the day that is 0; default: the first date of the sensor on the target grid, or of
            the finest there is.
        blank: see :class:`Area`.

    Raises:
        DataError: if there is no series of a sensor of the network.
        BandError: if a series lacks bands.
        GridError: if grids are not nested at the network's ratios.
        OverlapError: if the series share no ground.
    """
    names = [s.name for s in config.sensors]
    if unknown := sorted(set(series) - set(names)):
        raise DataError(
            f"the network knows no {', '.join(unknown)}", fix=f"give series of {', '.join(names)}"
        )
    sensors = [s for s in config.sensors if s.name in series]
    if not sensors:
        raise DataError("no series of any sensor", fix=f"give {' or '.join(names)}")
    for sensor in sensors:
        try:
            series[sensor.name].bands.indices(sensor.bands)
        except BandError as e:
            raise BandError(e.what, where=sensor.name, fix=e.fix) from None
    finest = min(sensors, key=lambda s: s.ratio)
    lattice = series[finest.name].grid.zoom_in(finest.ratio)
    offsets, low, high = {}, [0, 0], list(lattice.shape)
    for sensor in sensors:
        grid = series[sensor.name].grid
        if lattice.nested_ratio(grid) != sensor.ratio:
            raise GridError(
                f"{sensor.name} has pixels of {grid.gsd[1]:g} where the network has "
                f"{lattice.gsd[1] * sensor.ratio:g}",
                fix=f"give {sensor.name} {sensor.ratio} times coarser than the target grid",
            )
        own = lattice.locate(grid.zoom_in(sensor.ratio))
        offsets[sensor.name] = (own.row, own.col)
        low = [max(a, b) for a, b in zip(low, (own.row, own.col), strict=True)]
        ends = (own.row + own.height, own.col + own.width)
        high = [min(a, b) for a, b in zip(high, ends, strict=True)]
    spans = []
    for axis in (0, 1):
        cells = [(offsets[s.name][axis], s.ratio) for s in sensors]
        spans.append(_whole_cells(low[axis], high[axis], cells))
    if min(stop - start for start, stop in spans) <= 0:
        raise OverlapError(
            f"{' and '.join(s.name for s in sensors)} share no ground",
            fix="give series of one area",
        )
    (top, bottom), (left, right) = spans
    area = Window(top, left, bottom - top, right - left)
    windows = {}
    for s in sensors:
        row, col = offsets[s.name]
        windows[s.name] = Window(
            (top - row) // s.ratio,
            (left - col) // s.ratio,
            area.height // s.ratio,
            area.width // s.ratio,
        )
    origin = series[finest.name].dates[0] if origin is None else origin
    known = {s.name: series[s.name] for s in sensors}
    return Area(config, lattice.window(area), known, windows, origin, blank)


def blocks(area: Area, side: int) -> list[Window]:
    """The area in blocks of at most ``side`` target pixels, in whole cells of every sensor."""
    side = max(area.step, side // area.step * area.step)
    height, width = area.grid.shape
    return [
        Window(row, col, min(side, height - row), min(side, width - col))
        for row in range(0, height, side)
        for col in range(0, width, side)
    ]


def _whole_cells(low: int, high: int, cells: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """The largest span within low … high that starts and ends at a cell's edge of every sensor."""
    step = math.lcm(*(ratio for _, ratio in cells))
    starts = range(low, min(low + step, high + 1))
    start = next((v for v in starts if all((v - o) % r == 0 for o, r in cells)), high)
    return start, start + max(0, (high - start) // step * step)


def mirrored(start: int, size: int, around: int, n: int) -> np.ndarray:
    """Numbers of pixels start − around … start + size + around, reflected into 0 … n − 1."""
    index = np.arange(start - around, start + size + around)
    if n == 1:
        return np.zeros_like(index)
    index = index % (2 * n - 2)
    return np.where(index < n, index, 2 * n - 2 - index)
