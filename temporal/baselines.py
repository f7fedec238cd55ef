"""What any network must beat: nearest date, linear interpolation, fine image plus coarse change.

Everything looks at clear pixels only, pixel by pixel, in numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.core import DataError, upsample


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Images of one sensor.

    Attributes:
        data: (T, band, y, x), any unit; anything where it is not valid.
        valid: (T, y, x) bool, True where clear.
        doy: (T,) days, ascending.
    """

    data: np.ndarray
    valid: np.ndarray
    doy: np.ndarray

    def only(self, days: Sequence[float]) -> Stack:
        """The images of some days."""
        at = np.flatnonzero(np.isin(self.doy, np.asarray(days, float)))
        return Stack(self.data[at], self.valid[at], self.doy[at])


def nearest_clear(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Each pixel of each date asked for as on its nearest clear date, the earlier of two.

    Args:
        seen: the images.
        query: (Q,) days.

    Returns:
        (Q, band, y, x); NaN where a pixel is never clear.
    """
    out = _empty(seen, query)
    rows, cols = _places(seen)
    if not len(seen.doy):
        return out
    ever = seen.valid.any(axis=0)
    for image, index in zip(out, nearest_index(seen, query), strict=True):
        image[:] = np.where(ever, seen.data[index, :, rows, cols].transpose(2, 0, 1), np.nan)
    return out


def nearest_index(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Position of the nearest clear date of each pixel: (Q, y, x); 0 where there is none."""
    gaps = np.abs(np.asarray(query, float)[:, None] - seen.doy[None])  # (Q, T)
    out = np.zeros((len(gaps), *seen.valid.shape[1:]), np.intp)
    for place, gap in zip(out, gaps, strict=True):
        place[:] = np.where(seen.valid, gap[:, None, None], np.inf).argmin(axis=0)
    return out


def interpolate_linear(seen: Stack, query: Sequence[float]) -> np.ndarray:
    """Each pixel between its clear dates before and after; the nearest beyond the first and last.

    >>> stack = Stack(np.array([0.2, 9.0, 0.4]).reshape(3, 1, 1, 1),
    ...               np.array([True, False, True]).reshape(3, 1, 1), np.array([0.0, 5.0, 10.0]))
    >>> round(float(interpolate_linear(stack, [5]).squeeze()), 3)
    0.3

    Args:
        seen: the images.
        query: (Q,) days.

    Returns:
        (Q, band, y, x); NaN where a pixel is never clear.
    """
    out = _empty(seen, query)
    count = len(seen.doy)
    if not count:
        return out
    rows, cols = _places(seen)
    ever = seen.valid.any(axis=0)
    for image, day, low, high in zip(
        out, np.asarray(query, float), *around(seen, query), strict=True
    ):
        low, high = np.where(low < 0, high, low), np.where(high >= count, low, high)
        low, high = low.clip(0, count - 1), high.clip(0, count - 1)
        span = seen.doy[high] - seen.doy[low]
        share = np.where(span > 0, (day - seen.doy[low]) / np.where(span > 0, span, 1), 0)
        a, b = (seen.data[i, :, rows, cols].transpose(2, 0, 1) for i in (low, high))
        image[:] = np.where(ever, a + share * (b - a), np.nan)
    return out


def around(seen: Stack, query: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the last clear date up to each day and of the first from it on, by pixel.

    Returns:
        Two (Q, y, x) of whole numbers; −1 and the number of dates where there is none.
    """
    count, shape = len(seen.doy), seen.valid.shape[1:]
    low = np.full((len(query), *shape), -1)
    high = np.full((len(query), *shape), count)
    order = np.arange(count)[:, None, None]
    before = np.maximum.accumulate(np.where(seen.valid, order, -1), axis=0)
    after = np.minimum.accumulate(np.where(seen.valid, order, count)[::-1], axis=0)[::-1]
    for i, day in enumerate(np.asarray(query, float)):
        place = int(np.searchsorted(seen.doy, day, side="right"))
        at = place - 1 if place > 0 and seen.doy[place - 1] == day else place
        if place > 0:
            low[i] = before[place - 1]
        if at < count:
            high[i] = after[at]
    return low, high


def upsampled(coarse: np.ndarray, ratio: int) -> np.ndarray:
    """Cubic convolution of (Q, band, y, x) to pixels ``ratio`` times smaller, holes bridged.

    Holes are NaN again over their own ground.
    """
    return np.stack([upsample(np.asarray(image, np.float32), ratio) for image in coarse])


def fine_plus_change(
    fine: Stack, coarse: Stack, query: Sequence[float], ratio: int, partner: Sequence[int | None]
) -> np.ndarray:
    """``F(t₀) + up(C(t) − C(t₀))``: the nearest clear fine image plus the change the coarse saw.

    t₀ is each pixel's own; the coarse images are interpolated linearly between their clear dates.
    Fine bands without a partner, and pixels that the coarse sensor never sees, stay at F(t₀).

    Args:
        fine: the images on the target grid.
        coarse: the images of the coarse sensor, in the same unit.
        query: (Q,) days.
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
    rows, cols = _places(fine)
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
    if not len(fine.doy) or not len(coarse.doy) or not bands:
        empty = Stack(fine.data[:, :0], fine.valid, fine.doy)
        return [], np.zeros((len(query), 0, *fine.valid.shape[1:]), np.float32), empty
    part = Stack(coarse.data[:, bands], coarse.valid, coarse.doy)
    now = upsampled(interpolate_linear(part, query), ratio)
    then = upsampled(interpolate_linear(part, fine.doy.tolist()), ratio)
    return with_partner, now, Stack(then, fine.valid, fine.doy)


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


def _places(seen: Stack) -> tuple[np.ndarray, np.ndarray]:
    """Row (y, 1) and column (1, x) of each pixel."""
    height, width = seen.valid.shape[1:]
    return np.arange(height)[:, None], np.arange(width)[None]
