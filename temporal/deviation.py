"""How far images of any day may be from the truth: standard deviations beside the prior.

Three things add: what the model of a pixel in time does not know (its kernel, scaled by how much
the pixel's own images vary), and what sharpening has to invent; both are multiplied by what a fit
to made series found, by kind of band, number of sensors, and days to the nearest clear image.

Source: Rasmussen and Williams 2006, ISBN 026218253X, §2.3 (the deviation of a process).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import uniform_filter

from trifuse.temporal.area import KELVIN
from trifuse.temporal.block_images import BlockImages
from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import SeriesMethod
from trifuse.temporal.kernels import INFRARED, SHORTWAVE, THERMAL, VISIBLE, kernel_of
from trifuse.temporal.prior import known_of, sharpened
from trifuse.temporal.stack import Stack

FILE = Path(__file__).parent / "shipped" / "deviation.json"
"""Factors by which the model's deviations are multiplied; see ``bench/series_uncertainty.py``."""

BINS = (5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 400.0)
"""Days to the nearest clear image, between which factors are told apart."""

KINDS = {VISIBLE: "visible", INFRARED: "infrared", SHORTWAVE: "short-wave", THERMAL: "thermal"}

AROUND = 5
"""Pixels of a window in which the details that sharpening has added are summed up."""


@dataclass(frozen=True, slots=True, eq=False)
class Doubt:
    """What makes the deviation of a sensor's images, on the target grid.

    Attributes:
        variance: (Q, band, H, W), of the estimate in time; squared unit of the network.
        detail: (Q, band, H, W), mean square of what sharpening has added around a pixel.
        days: (Q, H, W) to the nearest clear image of any sensor; infinite if there is none.
        sensors: how many have images.
    """

    variance: np.ndarray
    detail: np.ndarray
    days: np.ndarray
    sensors: int


def doubts(
    sensors: Sequence[Sensor], seen: Mapping[str, Stack], query: Sequence[float]
) -> dict[str, Doubt]:
    """What makes the deviations of each sensor's images.

    Args:
        sensors: of the method.
        seen: the visible images of each, in the network's unit.
        query: (Q,) days.
    """
    known = {s.name: known_of(s, sensors, seen, query, variance=True) for s in sensors}
    images = {name: found.images for name, found in known.items()}
    days = days_to_clear(sensors, seen, query)
    count = sum(bool(len(seen[s.name].days)) for s in sensors)
    out = {}
    for s, fixed in zip(sensors, sharpened(sensors, images), strict=True):
        wide = images[s.name].repeat(s.ratio, axis=2).repeat(s.ratio, axis=3)
        added = np.square(np.where(np.isfinite(wide), fixed - wide, 0))
        size = (0, 0, AROUND, AROUND)
        detail = uniform_filter(added, size=[n or 1 for n in size], mode="nearest")
        variance = known[s.name].variance.repeat(s.ratio, axis=2).repeat(s.ratio, axis=3)
        out[s.name] = Doubt(variance, np.maximum(detail, 0), days, count)
    return out


def days_to_clear(
    sensors: Sequence[Sensor], seen: Mapping[str, Stack], query: Sequence[float]
) -> np.ndarray:
    """Days to the nearest clear image of any sensor: (Q, H, W) float32, infinite without one."""
    parts = []
    for s in sensors:
        stack = seen[s.name]
        apart = np.abs(np.asarray(query, float)[:, None] - stack.days)  # (Q, T)
        valid = stack.valid.reshape(len(stack.days), np.prod(stack.valid.shape[1:], dtype=int))
        out = np.full((len(query), *stack.valid.shape[1:]), np.inf, np.float32)
        for image, row in zip(out, apart, strict=True):
            if len(row):
                image[:] = np.where(valid, row[:, None], np.inf).min(axis=0).reshape(image.shape)
        parts.append(out.repeat(s.ratio, axis=1).repeat(s.ratio, axis=2))
    return np.asarray(np.min(parts, axis=0))


def block_deviations(
    method: SeriesMethod, images: BlockImages, query: Sequence[float], channels: Sequence[int]
) -> np.ndarray:
    """Standard deviations of the images of a block.

    Args:
        method: one that tells them.
        images: the block, with its stacks.
        query: (Q,) days.
        channels: positions in ``config.outputs`` of the method.

    Returns:
        (Q, channels, height, width) float32, reflectance and kelvin; NaN where nothing is known.
    """
    config = method.config
    found = doubts(config.sensors, images.stacks, query)
    inner = images.inner.slices
    planes = []
    for name, band in (config.outputs[c] for c in channels):
        sensor, doubt = config.sensor(name), found[name]
        at = sensor.bands.index(band)
        parts = {
            "variance": doubt.variance[:, at, *inner],
            "detail": doubt.detail[:, at, *inner],
            "days": doubt.days[:, *inner],
        }
        parts["kind"] = np.full(parts["days"].shape, kind_of_band(sensor, band))
        parts["sensors"] = np.full(parts["days"].shape, "one" if doubt.sensors < 2 else "two")
        plane = deviations(parts, None, method.name)
        planes.append(plane * (KELVIN if band in sensor.thermal else 1.0))
    return np.stack(planes, axis=1).astype(np.float32)


def kind_of_band(sensor: Sensor, band: str) -> str:
    """The part of the spectrum that decides how a band varies in time; see :data:`KINDS`."""
    return KINDS[kernel_of(sensor.name, band, sensor.thermal)]


Factors = Mapping[str, Mapping[str, Mapping[str, Sequence[Sequence[float]]]]]
"""Method → ``one`` or ``two`` sensors → kind of band → (in time, of details) by bin of days."""


@cache
def shipped_factors() -> Factors:
    """The factors that come along."""
    found: Factors = json.loads(FILE.read_text(encoding="utf-8"))["factors"]
    return found


def deviations(found: Mapping[str, np.ndarray], factors: Factors | None, method: str) -> np.ndarray:
    """Standard deviations of pixels.

    Args:
        found: ``variance``, ``detail``, ``days``, and ``kind`` and ``sensors`` as
            :data:`Factors` has them: arrays of one length.
        factors: default: those that come along.
        method: whose.
    """
    every = shipped_factors() if factors is None else factors
    table = {**every["prior"], **every.get(method, {})}  # what is not known of a network
    at = np.digitize(found["days"], BINS)
    out = np.full(found["variance"].shape, np.nan)
    for sensors, kinds in table.items():
        for kind, rows in kinds.items():
            some = (found["sensors"] == sensors) & (found["kind"] == kind)
            time, detail = np.asarray(rows, float)[at[some]].T
            total = time**2 * found["variance"][some] + detail**2 * found["detail"][some]
            out[some] = np.sqrt(total)
    return out


def fit_factors(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Factors with which 68 % and 95 % of the errors lie within 1 and 1.96 deviations.

    Args:
        found: as of :func:`deviations`, with ``error``.
    """
    out: dict[str, Any] = {}
    for sensors in np.unique(found["sensors"]):
        for kind in np.unique(found["kind"]):
            mine = (found["sensors"] == sensors) & (found["kind"] == kind)
            bins = np.digitize(found["days"], BINS)
            rows: list[list[float]] = []
            for number in range(len(BINS) + 1):
                some = mine & (bins == number)
                if some.sum() < 200:  # as in the bin before; of the first in the one after
                    rows.append(rows[-1] if rows else [])
                    continue
                rows.append(_fitted(*(found[k][some] for k in ("error", "variance", "detail"))))
            known = next(r for r in rows if r)
            out.setdefault(str(sensors), {})[str(kind)] = [r or known for r in rows]
    return out


def _fitted(error: np.ndarray, variance: np.ndarray, detail: np.ndarray) -> list[float]:
    """The two factors: those that come nearest to both shares, and then explain the errors best."""
    best, chosen = np.inf, [1.0, 1.0]
    size = np.abs(error)
    for share in (0.0, 0.3, 0.6, 1.0, 1.5, 2.2):
        base = np.sqrt(variance + share**2 * detail) + 1e-9
        ratio = size / base
        for factor in np.geomspace(0.15, 8, 120):
            within = [np.mean(ratio <= n * factor) for n in (1.0, 1.96)]
            off = max(abs(within[0] - 0.683), abs(within[1] - 0.95))
            likely = np.mean(np.log(base * factor) + 0.5 * np.minimum(ratio / factor, 4) ** 2)
            score = off + 0.01 * likely
            if score < best:
                best, chosen = score, [float(f"{factor:.4g}"), float(f"{factor * share:.4g}")]
    return chosen
