"""What any network must beat: nearest date, linear interpolation, fine image plus coarse change.

Everything looks at clear pixels only, pixel by pixel, in numpy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.core import DataError
from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import StackMethod
from trifuse.temporal.stack import Days, Stack, upsampled

__all__ = [
    "FinePlusChange",
    "Linear",
    "Nearest",
    "Stack",
    "around",
    "fine_plus_change",
    "interpolate_linear",
    "nearest_clear",
    "nearest_index",
    "next_coarser",
    "partners",
    "upsampled",
]


@dataclass(frozen=True, eq=False)
class Nearest(StackMethod):
    """Each pixel as on its nearest clear date: :func:`nearest_clear`."""

    name = "nearest"

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """From each sensor's own images."""
        return {name: nearest_clear(seen[name], query) for name, query in asked.items()}


@dataclass(frozen=True, eq=False)
class Linear(StackMethod):
    """Each pixel between its clear dates before and after: :func:`interpolate_linear`."""

    name = "linear"

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """From each sensor's own images."""
        return {name: interpolate_linear(seen[name], query) for name, query in asked.items()}


@dataclass(frozen=True, eq=False)
class FinePlusChange(StackMethod):
    """F + ΔC, the nearest image and the change that the next coarser sensor saw.

    See :func:`fine_plus_change`; of the coarsest sensor the nearest image alone.
    """

    name = "change"

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """From each sensor's own images and those of the next coarser one."""
        return {
            name: self._images(self.config.sensor(name), seen, query)
            for name, query in asked.items()
        }

    def _images(
        self, sensor: Sensor, seen: Mapping[str, Stack], query: Sequence[float]
    ) -> np.ndarray:
        own, other = seen[sensor.name], next_coarser(sensor, self.sensors, seen)
        if other is None:
            return nearest_clear(own, query)
        pairs, ratio = partners(sensor.bands, other.bands), other.ratio // sensor.ratio
        return fine_plus_change(own, seen[other.name], query, ratio, pairs)


def next_coarser(
    sensor: Sensor, sensors: Sequence[Sensor], seen: Mapping[str, Stack]
) -> Sensor | None:
    """Of the sensors with larger pixels, of which there are images, that with the smallest."""
    coarser = [s for s in sensors if s.ratio > sensor.ratio and s.name in seen]
    return min(coarser, key=lambda s: s.ratio, default=None)


def nearest_clear(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Each pixel of each date asked for as on its nearest clear date, the earlier of two.

    Args:
        seen: the images.
        query: (Q,) days since the origin.

    Returns:
        (Q, band, y, x) float32 in the unit of the images; NaN where a pixel is never clear.
    """
    out = _empty(seen, query)
    rows, cols = _pixels(seen)
    if not len(seen.days):
        return out
    ever = seen.valid.any(axis=0)
    for image, index in zip(out, nearest_index(seen, query), strict=True):
        image[:] = np.where(ever, seen.data[index, :, rows, cols].transpose(2, 0, 1), np.nan)
    return out


def nearest_index(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Position of the nearest clear date of each pixel: (Q, y, x); 0 where there is none."""
    gaps = np.abs(np.asarray(query, float)[:, None] - seen.days[None])  # (Q, T)
    out = np.zeros((len(gaps), *seen.valid.shape[1:]), np.intp)
    for nearest, gap in zip(out, gaps, strict=True):
        nearest[:] = np.where(seen.valid, gap[:, None, None], np.inf).argmin(axis=0)
    return out


def interpolate_linear(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Each pixel between its clear dates before and after; the nearest beyond the first and last.

    >>> stack = Stack(np.array([0.2, 9.0, 0.4]).reshape(3, 1, 1, 1),
    ...               np.array([True, False, True]).reshape(3, 1, 1), np.array([0.0, 5.0, 10.0]))
    >>> round(float(interpolate_linear(stack, [5]).squeeze()), 3)
    0.3

    Arguments and result as of :func:`nearest_clear`.
    """
    out = _empty(seen, query)
    count = len(seen.days)
    if not count:
        return out
    rows, cols = _pixels(seen)
    ever = seen.valid.any(axis=0)
    for image, day, low, high in zip(
        out, np.asarray(query, float), *around(seen, query), strict=True
    ):
        low, high = np.where(low < 0, high, low), np.where(high >= count, low, high)
        low, high = low.clip(0, count - 1), high.clip(0, count - 1)
        span = seen.days[high] - seen.days[low]
        share = np.where(span > 0, (day - seen.days[low]) / np.where(span > 0, span, 1), 0)
        a, b = (seen.data[i, :, rows, cols].transpose(2, 0, 1) for i in (low, high))
        image[:] = np.where(ever, a + share * (b - a), np.nan)
    return out


def around(seen: Stack, query: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the last clear date up to each day and of the first from it on, by pixel.

    Args:
        seen: the images.
        query: (Q,) days since the origin.

    Returns:
        Two (Q, y, x) of whole numbers; −1 and the number of dates where there is none.
    """
    count, shape = len(seen.days), seen.valid.shape[1:]
    low = np.full((len(query), *shape), -1)
    high = np.full((len(query), *shape), count)
    order = np.arange(count)[:, None, None]
    before = np.maximum.accumulate(np.where(seen.valid, order, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen.valid, order, count)[::-1], axis=0)[::-1]
    for i, day in enumerate(np.asarray(query, float)):
        later = int(np.searchsorted(seen.days, day, side="right"))
        at = later - 1 if later > 0 and seen.days[later - 1] == day else later
        if later > 0:
            low[i] = before[later - 1]
        if at < count:
            high[i] = after[at]
    return low, high


def fine_plus_change(
    fine: Stack, coarse: Stack, query: Sequence[float], ratio: int, partner: Sequence[int | None]
) -> np.ndarray:
    """``F(t₀) + up(C(t) − C(t₀))``: the nearest clear fine image plus the change the coarse saw.

    t₀ is each pixel's own; the coarse images are interpolated linearly between their clear dates.
    Fine bands without a partner, and pixels that the coarse sensor never sees, stay at F(t₀).

    Args:
        fine: the images on the target grid.
        coarse: the images of the coarse sensor, in the same unit.
        query: (Q,) days since the origin.
        ratio: fine pixels per coarse pixel.
        partner: per fine band the position of the coarse band, or None.

    Returns:
        (Q, band, y, x) on the target grid; NaN where a pixel is never clear.

    Raises:
        DataError: if the partners do not fit the bands.
    """
    if len(partner) != fine.data.shape[1]:
        raise DataError(f"{len(partner)} partners for {fine.data.shape[1]} bands")
    out = nearest_clear(fine, query)
    with_partner, now, then = _change(fine, coarse, query, ratio, partner)
    rows, cols = _pixels(fine)
    for image, index, present in zip(out, nearest_index(fine, query), now, strict=True):
        change = present - then.data[index, :, rows, cols].transpose(2, 0, 1)
        image[with_partner] += np.nan_to_num(change)
    return out


def _change(
    fine: Stack, coarse: Stack, query: Sequence[float], ratio: int, partner: Sequence[int | None]
) -> tuple[list[int], np.ndarray, Stack]:
    """Fine bands with a partner, and the coarse images at the query and at the fine dates."""
    with_partner = [i for i, p in enumerate(partner) if p is not None]
    bands = [p for p in partner if p is not None]
    if not len(fine.days) or not len(coarse.days) or not bands:
        empty = Stack(fine.data[:, :0], fine.valid, fine.days)
        return [], np.zeros((len(query), 0, *fine.valid.shape[1:]), np.float32), empty
    part = Stack(coarse.data[:, bands], coarse.valid, coarse.days)
    now = upsampled(interpolate_linear(part, query), ratio)
    then = upsampled(interpolate_linear(part, fine.days.tolist()), ratio)
    return with_partner, now, Stack(then, fine.valid, fine.days)


PARTNERS = {
    "B2": "B2",
    "B3": "B3",
    "B4": "B4",
    "B5": "B4",
    "B6": "B5",
    "B7": "B5",
    "B8": "B5",
    "B8A": "B5",
    "B11": "B6",
    "B12": "B7",
}
"""Landsat-8/9 band that sees most of what each Sentinel-2 band sees."""


def partners(fine: Sequence[str], coarse: Sequence[str]) -> list[int | None]:
    """Position of the coarse band that goes with each fine band, where there is one."""
    names = list(coarse)
    return [names.index(p) if (p := PARTNERS.get(band)) in names else None for band in fine]


def _empty(seen: Stack, query: Sequence[float]) -> np.ndarray:
    return np.full((len(query), *seen.data.shape[1:]), np.nan, np.float32)


def _pixels(seen: Stack) -> tuple[np.ndarray, np.ndarray]:
    """Row (y, 1) and column (1, x) of each pixel."""
    height, width = seen.valid.shape[1:]
    return np.arange(height)[:, None], np.arange(width)[None]
