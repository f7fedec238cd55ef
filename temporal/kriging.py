"""Best linear estimate of a pixel on any day from what several sensors saw of it.

A pixel is a Gaussian process in time with an unknown mean (see :mod:`trifuse.temporal.kernels`)
that its own sensor sees with noise and other sensors with an offset and a drift besides. All bands
of a group and all pixels with the same clear dates share one set of weights.

Sources: Matheron 1963, doi:10.2113/gsecongeo.58.8.1246 (kriging); Rasmussen and Williams 2006,
ISBN 026218253X (Gaussian processes).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from trifuse.temporal.kernels import INFRARED, SHORTWAVE, THERMAL, VISIBLE, Kernel

MEAN = 1e4
"""Variance of the mean of a pixel: next to nothing is known of it."""

REACH = 200.0
"""Days; images farther from a date than this have a say in it only where none is nearer, if a
series is long."""

NEAREST = 8
"""Clear images before a date, and after it, that are asked where none is within reach."""

SNOW_DAYS = 15.0
"""How long snow stays as it is."""

USUAL = {VISIBLE: 0.02, INFRARED: 0.05, SHORTWAVE: 0.04, THERMAL: 0.01}
"""Standard deviation of what varies slowly, as pixels usually have it; kelvin / 1000 of thermal
bands."""

WORTH = 4.0
"""Images that the usual counts as."""

SAME_DAY = 0.5
"""Days within which an image of the sensor itself shows the very snow that is asked for."""

_PATCHY = 0.05
_CHUNK = 256
_ENTRIES = 2e7
_SPAN = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Observations:
    """What is known of some pixels; pixels lie side by side.

    Attributes:
        days: (N,) of the images, since the origin of the series.
        source: (N,) 0 for the sensor itself, another number for each other sensor.
        values: (N, band, P) float32; anything where not clear.
        clear: (N, P) bool.
        snow: (N, P) share of the pixel under snow.
    """

    days: np.ndarray
    source: np.ndarray
    values: np.ndarray
    clear: np.ndarray
    snow: np.ndarray


class Estimate(NamedTuple):
    """Pixels on some days, and what their own images tell of how much they vary.

    Attributes:
        values: (Q, band, P) float32, NaN where a pixel is never clear.
        spread: (Q, P) float32, the variance of its error by the model, in units of the kernel.
        energy: (Q, band, P) float32, the sum of squares of the images that had a say, whitened by
            the model, in squared units of the values; empty unless asked for.
        number: (Q, P) float32, how many images these were.
    """

    values: np.ndarray
    spread: np.ndarray
    energy: np.ndarray
    number: np.ndarray


def krige(
    kernel: Kernel, seen: Observations, query: Sequence[float], snow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The values and the spread of :func:`estimate`."""
    made = estimate(kernel, seen, query, snow)
    return made.values, made.spread


def estimate(
    kernel: Kernel,
    seen: Observations,
    query: Sequence[float],
    snow: np.ndarray,
    *,
    energies: bool = False,
) -> Estimate:
    """Estimate every pixel on some days.

    Args:
        kernel: of the bands.
        seen: the images.
        query: (Q,) days.
        snow: (Q, P) share of each pixel under snow on those days.
        energies: whether to sum up what the images tell of their own variance.
    """
    days = np.asarray(query, float)
    shape = (len(days), seen.values.shape[1], seen.clear.shape[1])
    out = np.full(shape, np.nan, np.float32)
    spread = np.full((shape[0], shape[2]), MEAN, np.float32)
    energy = np.zeros(shape if energies else (0, *shape[1:]), np.float32)
    count = np.zeros(spread.shape, np.float32)
    for asked, pixels, part in _lots(seen, days):
        found = _krige(kernel, part, days[asked], snow[np.ix_(asked, pixels)], energies)
        rows = asked[:, None]
        out[rows, :, pixels], spread[rows, pixels] = found[0].transpose(0, 2, 1), found[1]
        count[rows, pixels] = part.clear.sum(axis=0)
        if energies:
            energy[rows, :, pixels] = found[2].T
    return Estimate(out, spread, energy, count)


def process_variance(kernel: Kernel, made: Estimate) -> np.ndarray:
    """Variance of the error of an estimate: (Q, band, P) float32, squared unit of its values.

    The kernel tells how uncertain a day is against how much a pixel varies; how much that is, its
    own images tell, and a few images' worth of what pixels usually do, so that a pixel that was
    seen once or twice is not taken for one that never changes.

    Args:
        kernel: it was made with.
        made: the estimate, with its energies.
    """
    count = made.number[:, None]
    total = WORTH * USUAL[kernel] ** 2 + made.energy
    return np.asarray(made.spread[:, None] * total / (WORTH + np.maximum(count - 1, 0)))


def _lots(
    seen: Observations, days: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, Observations]]:
    """Days and pixels that are estimated together, and from what: of long series what is near.

    Where the sensor itself has nothing clear within reach, its nearest clear images have a say,
    however far away: what a sensor saw of a pixel is never worth less than nothing.
    """
    every = np.arange(seen.clear.shape[1])
    if not len(seen.days):
        return
    if np.ptp(seen.days) <= 2 * REACH:
        yield np.arange(len(days)), every, seen
        return
    for start in np.unique(days // _SPAN):
        asked = np.flatnonzero(days // _SPAN == start)
        low, high = start * _SPAN - REACH, (start + 1) * _SPAN + REACH
        near = (seen.days >= low) & (seen.days <= high)
        own = seen.clear & (seen.source == 0)[:, None]
        own = np.where(own.any(axis=0), own, seen.clear)  # of others, where it sees nothing
        within = own[near].any(axis=0)
        for pixels, far in ((every[within], False), (every[~within], True)):
            clear = seen.clear[:, pixels] & near[:, None]
            if far:
                clear |= _nearest(own[:, pixels], seen.clear[:, pixels], seen.days, low, high)
            dates = np.flatnonzero(clear.any(axis=1) if far else near)
            if len(dates) and len(pixels):
                yield (
                    asked,
                    pixels,
                    Observations(
                        seen.days[dates],
                        seen.source[dates],
                        seen.values[np.ix_(dates, np.arange(seen.values.shape[1]), pixels)],
                        clear[dates],
                        seen.snow[np.ix_(dates, pixels)],
                    ),
                )


def _nearest(
    own: np.ndarray, every: np.ndarray, days: np.ndarray, low: float, high: float
) -> np.ndarray:
    """Of clear images (N, P) the last of a sensor before some days, and its first after them.

    With what others saw (``every``) at the same time: it tells how far they differ.
    """
    out = np.zeros_like(every)
    for side, way in ((days < low, -days), (days > high, days)):
        order = np.argsort(way, kind="stable")
        candidates = (own & side[:, None])[order]
        chosen = np.zeros_like(out)
        chosen[order] = candidates & (candidates.cumsum(axis=0) <= NEAREST)
        first = np.where(chosen, days[:, None], np.inf).min(axis=0)
        last = np.where(chosen, days[:, None], -np.inf).max(axis=0)
        out |= every & (days[:, None] >= first) & (days[:, None] <= last)
    return out


def _krige(
    kernel: Kernel, seen: Observations, days: np.ndarray, snow: np.ndarray, energies: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    between = kernel.covariance(seen.days[:, None] - seen.days) + MEAN
    same = (seen.source[:, None] == seen.source) & (seen.source > 0)
    apart = np.abs(seen.days[:, None] - seen.days)
    between += same * (kernel.offset + kernel.drift * np.exp(-apart / kernel.drift_days))
    to_query = kernel.covariance(days[:, None] - seen.days) + MEAN
    noise = np.where(seen.source > 0, kernel.other_noise, kernel.noise)
    white = kernel.snow * _lasting(apart)
    white_query = kernel.snow * _lasting(np.abs(days[:, None] - seen.days))
    own = float(kernel.covariance(np.zeros(1))[0]) + MEAN
    today = (np.abs(days[:, None] - seen.days) < SAME_DAY) & (seen.source == 0)
    out = np.full((len(days), seen.values.shape[1], seen.clear.shape[1]), np.nan, np.float32)
    spread = np.full((len(days), seen.clear.shape[1]), MEAN, np.float32)
    energy = np.zeros(out.shape[1:] if energies else (0, 0), np.float32)
    order, starts = _alike(seen.clear, seen.snow, snow)
    eye = np.eye(len(seen.days))
    size = int(np.clip(_ENTRIES // len(seen.days) ** 2, 1, _CHUNK))
    for first in range(0, len(starts) - 1, size):
        edges = starts[first : first + size + 1]
        heads = order[edges[:-1]]
        there = seen.clear[:, heads].T
        cover, asked = seen.snow[:, heads].T.astype(float), snow[:, heads].T.astype(float)
        matrix = between + white * (cover[:, :, None] * cover[:, None])
        matrix *= there[:, :, None] & there[:, None]
        # Thin and patchy snow is the least certain: of another day, not of the image's own.
        patchy, patchy_asked = (_PATCHY * kernel.snow * c * (1.5 - c) for c in (cover, asked))
        matrix += eye * np.where(there, noise + patchy, 1.0)[:, None]
        right = to_query + white_query * (asked[:, :, None] * cover[:, None])
        right += today * np.sqrt(patchy_asked[:, :, None] * patchy[:, None])
        right *= there[:, None]
        factor = torch.linalg.cholesky(torch.from_numpy(matrix))
        sides = torch.from_numpy(right)
        weights = torch.cholesky_solve(sides.transpose(1, 2), factor).transpose(1, 2)  # (p, Q, N)
        variance = (
            own + kernel.snow * asked**2 + patchy_asked - (weights * sides).sum(dim=2).numpy()
        )
        which = np.repeat(np.arange(len(heads)), np.diff(edges))
        pixels = order[edges[0] : edges[-1]]
        values = np.where(seen.clear[:, None, pixels], seen.values[:, :, pixels], 0)
        light = weights.float()[torch.from_numpy(which)]
        found = torch.bmm(light, torch.from_numpy(values.transpose(2, 0, 1).copy())).numpy()
        known = np.any(there, axis=1, keepdims=True)[which, 0]
        out[:, :, pixels] = np.where(known, found.transpose(1, 2, 0), np.float32(np.nan))
        spread[:, pixels] = variance.T[:, which]
        if energies:
            energy[:, pixels] = _energy(factor, which, values)
    return out, np.maximum(spread, 0), energy


def _energy(factor: torch.Tensor, which: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sums of squares of whitened images: (N, band, P) and the factor of each pixel → (band, P)."""
    out = np.empty(values.shape[1:], np.float32)
    for first in range(0, len(which), _CHUNK):
        some = slice(first, first + _CHUNK)
        part = torch.from_numpy(values[:, :, some].transpose(2, 0, 1).astype(np.float64))
        white = torch.linalg.solve_triangular(factor[which[some]], part, upper=False)
        out[:, some] = white.square().sum(dim=1).numpy().T
    return out


def _lasting(days: np.ndarray) -> np.ndarray:
    """Correlation of the brightness of snow: some of it belongs to the place."""
    return np.asarray(0.3 + 0.7 * np.exp(-days / SNOW_DAYS))


def _alike(clear: np.ndarray, snow: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pixels in an order in which those with equal weights lie together, and where each lot begins.

    The last of the beginnings is the number of pixels.
    """
    codes = [np.packbits(clear, axis=0)]
    codes += [np.round(a * 100).astype(np.uint8) for a in (snow, asked) if a.any()]
    code = np.ascontiguousarray(np.concatenate(codes).T)
    keys = code.view(np.dtype((np.void, code.shape[1]))).ravel()
    _, inverse = np.unique(keys, return_inverse=True)
    order = np.argsort(inverse, kind="stable")
    starts = np.flatnonzero(np.diff(inverse[order], prepend=-1))
    return order, np.append(starts, len(order))
