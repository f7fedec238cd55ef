"""Best linear estimate of a pixel on any day from what several sensors saw of it.

A pixel is a Gaussian process in time with an unknown mean (see :mod:`trifuse.temporal.kernels`)
that its own sensor sees with noise and other sensors with an offset and a drift besides. All bands
of a group and all pixels with the same clear dates share one set of weights.

Sources: Matheron 1963, doi:10.2113/gsecongeo.58.8.1246 (kriging); Rasmussen and Williams 2006,
ISBN 026218253X (Gaussian processes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from trifuse.temporal.kernels import Kernel

MEAN = 1e4
"""Variance of the mean of a pixel: next to nothing is known of it."""

REACH = 200.0
"""Days; images farther from a date than this have no say in it if a series is long."""

SNOW_DAYS = 15.0
"""How long snow stays as it is."""

_CHUNK = 256
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


def krige(
    kernel: Kernel, seen: Observations, query: Sequence[float], snow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Estimate every pixel on some days.

    Args:
        kernel: of the bands.
        seen: the images.
        query: (Q,) days.
        snow: (Q, P) share of each pixel under snow on those days.

    Returns:
        (Q, band, P) float32, NaN where a pixel is never clear; and (Q, P) float32, the variance of
        its error by the model, in units of the kernel.
    """
    days = np.asarray(query, float)
    out = np.full((len(days), seen.values.shape[1], seen.clear.shape[1]), np.nan, np.float32)
    spread = np.full((len(days), seen.clear.shape[1]), MEAN, np.float32)
    if not len(seen.days):
        return out, spread
    if np.ptp(seen.days) <= 2 * REACH:
        near = [(np.arange(len(days)), np.arange(len(seen.days)))]
    else:
        near = []
        for start in np.unique(days // _SPAN):
            asked = np.flatnonzero(days // _SPAN == start)
            low, high = days[asked].min() - REACH, days[asked].max() + REACH
            near.append((asked, np.flatnonzero((seen.days >= low) & (seen.days <= high))))
    for asked, dates in near:
        part = Observations(*(getattr(seen, k)[dates] for k in Observations.__slots__))
        if len(dates):
            out[asked], spread[asked] = _krige(kernel, part, days[asked], snow[asked])
    return out, spread


def _krige(
    kernel: Kernel, seen: Observations, days: np.ndarray, snow: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    between = kernel.covariance(seen.days[:, None] - seen.days) + MEAN
    same = (seen.source[:, None] == seen.source) & (seen.source > 0)
    apart = np.abs(seen.days[:, None] - seen.days)
    between += same * (kernel.offset + kernel.drift * np.exp(-apart / kernel.drift_days))
    to_query = kernel.covariance(days[:, None] - seen.days) + MEAN
    noise = np.where(seen.source > 0, kernel.other_noise, kernel.noise)
    white = kernel.snow * _lasting(apart)
    white_query = kernel.snow * _lasting(np.abs(days[:, None] - seen.days))
    own = float(kernel.covariance(np.zeros(1))[0]) + MEAN
    out = np.full((len(days), seen.values.shape[1], seen.clear.shape[1]), np.nan, np.float32)
    spread = np.full((len(days), seen.clear.shape[1]), MEAN, np.float32)
    order, starts = _alike(seen.clear, seen.snow, snow)
    eye = np.eye(len(seen.days))
    for first in range(0, len(starts) - 1, _CHUNK):
        edges = starts[first : first + _CHUNK + 1]
        heads = order[edges[:-1]]
        there = seen.clear[:, heads].T
        cover, asked = seen.snow[:, heads].T.astype(float), snow[:, heads].T.astype(float)
        matrix = between + white * (cover[:, :, None] * cover[:, None])
        matrix *= there[:, :, None] & there[:, None]
        # Thin and patchy snow is the least certain.
        unsure = noise + 0.05 * kernel.snow * cover * (1.5 - cover)
        matrix += eye * np.where(there, unsure, 1.0)[:, None]
        right = (to_query + white_query * (asked[:, :, None] * cover[:, None])) * there[:, None]
        factor = torch.linalg.cholesky(torch.from_numpy(matrix))
        sides = torch.from_numpy(right)
        weights = torch.cholesky_solve(sides.transpose(1, 2), factor).transpose(1, 2)  # (p, Q, N)
        variance = own + kernel.snow * asked**2 - (weights * sides).sum(dim=2).numpy()
        which = np.repeat(np.arange(len(heads)), np.diff(edges))
        pixels = order[edges[0] : edges[-1]]
        values = np.where(seen.clear[:, None, pixels], seen.values[:, :, pixels], 0)
        light = weights.float()[torch.from_numpy(which)]
        found = torch.bmm(light, torch.from_numpy(values.transpose(2, 0, 1).copy())).numpy()
        known = np.any(there, axis=1, keepdims=True)[which, 0]
        out[:, :, pixels] = np.where(known, found.transpose(1, 2, 0), np.float32(np.nan))
        spread[:, pixels] = variance.T[:, which]
    return out, np.maximum(spread, 0)


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
