"""Blocks of an area read for all dates: what is clear where, and the images with what lies around.

Every method of prediction starts from this; networks also take each image as it passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from trifuse.core import DataError, Window, progress
from trifuse.temporal.area import Area
from trifuse.temporal.config import Sensor
from trifuse.temporal.stack import Days, Stack

HALO = 10
"""Cells of the coarsest sensor around a block that have a say in it, unless a method says more."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How the images of a block are read.

    Attributes:
        visible: sensor → days that may be seen; None: all.
        dtype: of what is stored of each image, by methods that store features.
        folder: where these go; None: they stay in memory.
        label: for the progress bar; empty: none.
    """

    visible: Days | None = None
    dtype: str = "float32"
    folder: Path | None = None
    label: str = ""


EVERYTHING = Reading()
"""All days, in memory."""


@dataclass
class BlockImages:
    """What the images of a block show.

    Attributes:
        block: target pixels of the area.
        clear: (N, height, width) bool, where each date is clear.
        days: of the N dates.
        names: sensor of each of them.
        seen: (height, width) bool, where any date has a value.
        around: the block with what lies around it, as far as the area goes; target pixels.
        stacks: the images of that by sensor, in the network's unit; empty unless asked for.
    """

    block: Window
    clear: np.ndarray
    days: tuple[float, ...]
    names: tuple[str, ...]
    seen: np.ndarray
    around: Window
    stacks: dict[str, Stack]

    @property
    def inner(self) -> Window:
        """The block in pixels of ``around``."""
        return self.block.shift(-self.around.row, -self.around.col)

    def gaps(self, sensor: str, query: Sequence[float]) -> np.ndarray:
        """Days to the nearest clear image of a sensor: (Q, height, width) float32, else NaN."""
        out = np.full((len(query), *self.block.shape), np.inf, np.float32)
        for clear, day, name in zip(self.clear, self.days, self.names, strict=True):
            if name == sensor:
                for image, q in zip(out, query, strict=True):
                    np.minimum(image, np.float32(abs(day - q)), out=image, where=clear)
        return np.where(np.isfinite(out), out, np.float32(np.nan))

    def ever_clear(self, sensor: str) -> np.ndarray:
        """Where a sensor has a clear image at all: (height, width) bool."""
        own = [clear for clear, name in zip(self.clear, self.names, strict=True) if name == sensor]
        return np.any(own, axis=0) if own else np.zeros(self.block.shape, bool)


def read_block(
    area: Area,
    block: Window,
    *,
    visible: Days | None = None,
    halo: int | None = HALO,
    pad: Callable[[Sensor], int] = lambda _: 0,
    take: Callable[[Sensor, np.ndarray, float], None] | None = None,
    label: str = "",
) -> BlockImages:
    """Read a block for all dates, or for those that may be seen.

    Args:
        area: as of :func:`trifuse.temporal.area.open_area`.
        block: as of :func:`trifuse.temporal.area.blocks`.
        visible: sensor → days that may be seen; default: all.
        halo: cells of the coarsest sensor around the block in ``stacks``; None: no stacks.
        pad: pixels of a sensor around the block in what ``take`` gets.
        take: called for each image with its sensor, (band, y, x) and its day.
        label: for the progress bar; empty: none.

    Raises:
        DataError: if no date may be seen.
    """
    dates = [
        (sensor, day, number)
        for sensor in area.sensors
        for day, number in zip(area.series[sensor.name].dates, area.days[sensor.name], strict=True)
        if visible is None or number in set(visible.get(sensor.name, ()))
    ]
    if not dates:
        raise DataError("no date of any sensor may be seen", fix="give at least one image")
    around = block.pad((halo or 0) * area.step).clip(*area.grid.shape)
    stacks = {} if halo is None else _room(area, around, dates)
    clear = np.empty((len(dates), *block.shape), bool)
    seen = np.zeros(block.shape, bool)
    for flags, (sensor, day, number) in zip(
        clear, progress(dates, label, len(dates)) if label else dates, strict=True
    ):
        rim = pad(sensor)
        data, valid = area.read(sensor, day, block, rim)
        if take is not None:
            take(sensor, data, number)
        inner = data[:, rim : rim + valid.shape[0], rim : rim + valid.shape[1]]
        flags[:] = _spread(valid, sensor.ratio)
        seen |= _spread(np.isfinite(inner).any(axis=0), sensor.ratio)
        if stacks:
            stack = stacks[sensor.name]
            at = int(np.searchsorted(stack.days, number))
            stack.data[at], stack.valid[at] = area.read(sensor, day, around)
        series = area.series[sensor.name]
        series.sources[series.dates.index(day)].close()  # there may be more than may be open
    days, names = tuple(n for *_, n in dates), tuple(s.name for s, *_ in dates)
    return BlockImages(block, clear, days, names, seen, around, stacks)


def _room(
    area: Area, block: Window, dates: Sequence[tuple[Sensor, date, float]]
) -> dict[str, Stack]:
    """Room for the images of a block."""
    out = {}
    for sensor in area.config.sensors:
        days = np.array([number for s, _, number in dates if s.name == sensor.name], float)
        shape = (len(days), block.height // sensor.ratio, block.width // sensor.ratio)
        data = np.empty((shape[0], len(sensor.bands), *shape[1:]), np.float32)
        out[sensor.name] = Stack(data, np.empty(shape, bool), days)
    return out


def _spread(mask: np.ndarray, ratio: int) -> np.ndarray:
    """A mask on pixels ``ratio`` times smaller."""
    return mask.repeat(ratio, axis=0).repeat(ratio, axis=1)
