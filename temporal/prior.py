"""What is known of a date without a network: the start that a network with a skip adds to.

1. Each sensor's bands are estimated on its own grid, pixel by pixel, from the clear images of all
   sensors (:func:`trifuse.temporal.kriging.krige`); another sensor's say what they saw change.
2. The finest sensor's soft bands take their details from its sharp ones, and coarser sensors
   theirs from the finest one's prediction of the same day (:mod:`trifuse.temporal.sharpening`).

Only clear pixels count, so clouds never reach the result unless a mask has missed them. Where all
that was seen is positive, so is the result (:mod:`trifuse.temporal.positive`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from trifuse.core import fill_nearest
from trifuse.temporal.baselines import around, interpolate_linear
from trifuse.temporal.config import PUBLISHED, Sensor
from trifuse.temporal.contract import Forecast, StackMethod
from trifuse.temporal.kernels import Kernel, kernel_of
from trifuse.temporal.kriging import SAME_DAY, Observations, estimate, process_variance
from trifuse.temporal.positive import kept_positive
from trifuse.temporal.sharpening import sharpen_coarse, sharpen_soft
from trifuse.temporal.stack import Days, Stack
from trifuse.temporal.views import SNOW_STEPS, brought, mixture, others, snow_cover

GUIDES = ("B2", "B3", "B4", "B8", "B11", "B12")
"""Bands of the finest sensor that guide coarser ones, where it has them."""


NOISE = 10.0
"""An estimate this many times as uncertain as an image is corrected by half."""

YEAR = 365.0


@dataclass(frozen=True, eq=False)
class Prior(StackMethod):
    """The prior alone, without a network: kriging in time of what is clear.

    Attributes:
        sensors: whose images there are, and whose bands are wanted.
    """

    sensors: tuple[Sensor, ...] = PUBLISHED.sensors
    name = "prior"
    sampling = "target"

    @property
    def identity(self) -> str:
        """Empty, as folders of dates have it since there is a prior."""
        return ""

    @property
    def tells_deviation(self) -> bool:
        """It does."""
        return True

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """Each sensor's days for themselves."""
        forecast = prior_forecast(self.sensors)
        return {name: forecast(seen, query)[name] for name, query in asked.items()}

    def on_target(
        self, seen: Mapping[str, Stack], query: Sequence[float], channels: Sequence[int]
    ) -> np.ndarray:
        """All days at once, put into the unit in double precision as networks with a skip do."""
        start = prior_images(self.sensors, seen, query)
        made = in_unit(self.sensors, start.images, channels)
        return np.where(start.known[:, list(channels)], made, np.float32(np.nan))


class PriorImages(NamedTuple):
    """What is known of some days; (Q, channels, H, W) float32 on the target grid, finite.

    Attributes:
        images: standardised; 0, the mean, where nothing is known: what a network may start from
            and nobody else may be shown.
        weight: 0–1, how little of the variance of the estimate is noise as that of an image. A
            network's correction is weighted with it: there is little to correct where the sensor
            has just looked.
        context: (Q, ``TamrfConfig.context``, H, W), what a network is shown; empty unless asked
            for.
        known: bool, where any image tells something.
    """

    images: np.ndarray
    weight: np.ndarray
    context: np.ndarray
    known: np.ndarray


def prior_images(
    sensors: Sequence[Sensor],
    seen: Mapping[str, Stack],
    query: Sequence[float],
    *,
    context: bool = False,
) -> PriorImages:
    """The prior on the target grid.

    Args:
        sensors: of the network, in the order of its outputs.
        seen: the visible images of each sensor over the same ground, in the network's unit.
        query: (Q,) days.
        context: whether to gather what a network is shown.
    """
    found = {s.name: seen_by(s, sensors, seen, query) for s in sensors}
    images = {name: made for name, (made, _) in found.items()}
    parts, weights, shown, known = [], [], [], []
    for s, fixed in zip(sensors, sharpened(sensors, images), strict=True):
        own, spread = (a.repeat(s.ratio, axis=2).repeat(s.ratio, axis=3) for a in found[s.name])
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (s.mean, s.std))
        known.append(np.isfinite(own))
        parts.append(np.where(known[-1], (fixed - mean) / std, 0).astype(np.float32))
        weights.append(spread)
        if context:
            shown.append(_neighbours(s, seen[s.name], found[s.name][0], query))
    prior = np.concatenate(parts, axis=1)
    if context:
        angle = 2 * np.pi * np.asarray(query, np.float32)[:, None, None, None] / YEAR
        season = np.concatenate([f(k * angle) for k in (1, 2) for f in (np.sin, np.cos)], axis=1)
        wide = np.broadcast_to(season, (*season.shape[:2], *prior.shape[2:]))
        shown = [prior, *shown, wide.astype(np.float32)]
    gathered = np.concatenate(shown, axis=1) if context else prior[:, :0]
    weight, there = (np.concatenate(a, axis=1) for a in (weights, known))
    return PriorImages(prior, weight, gathered, there)


def sharpened(sensors: Sequence[Sensor], images: Mapping[str, np.ndarray]) -> Iterator[np.ndarray]:
    """Each sensor's images on the target grid, sharper than it sees; holes are bridged.

    Args:
        sensors: whose; one lies on the target grid.
        images: sensor → (Q, band, y, x) on its own grid, NaN where nothing is known.

    Yields:
        (Q, band, H, W) float32, in the order of the sensors.
    """
    fine = min(sensors, key=lambda s: s.ratio)
    sharp = sharpen_soft(_filled(images[fine.name]), fine)
    at = [i for i, b in enumerate(fine.bands) if b in GUIDES] or list(range(len(fine.bands)))
    guide = sharp[:, at] if np.isfinite(images[fine.name]).any() else None
    for s in sensors:
        yield sharp if s is fine else sharpen_coarse(_filled(images[s.name]), s, guide)


def _neighbours(
    sensor: Sensor, own: Stack, images: np.ndarray, query: Sequence[float]
) -> np.ndarray:
    """How far from an estimate the last and the next clear image and the mean are, and the days.

    Returns:
        (Q, 3·bands + 2, H, W) float32, of about 1 in size.
    """
    std = np.array(sensor.std, np.float32)[:, None, None]
    count = len(own.days)
    rows, cols = (np.arange(n) for n in own.valid.shape[1:])
    there = own.valid[:, None] & np.isfinite(own.data)
    total = np.where(there, own.data, 0).sum(axis=0)
    with np.errstate(invalid="ignore"):  # never clear: NaN
        parts = [total / there.sum(axis=0) - images]
    days = []
    for at in around(own, query):
        known = (at >= 0) & (at < count)
        gap, found = np.zeros(at.shape), images
        if count:
            which = at.clip(0, count - 1)
            found = own.data[which, :, rows[:, None], cols].transpose(0, 3, 1, 2)
            gap = np.abs(own.days[which] - np.asarray(query, float)[:, None, None])
        parts.append(np.where(known[:, None], found - images, 0))
        days.append(np.log1p(np.where(known, np.minimum(gap, YEAR), YEAR))[:, None] / 4)
    changes = [np.clip(np.nan_to_num(p / std * 3), -8, 8) for p in parts]
    gathered = np.concatenate([*changes, *days], axis=1).astype(np.float32)
    return gathered.repeat(sensor.ratio, axis=2).repeat(sensor.ratio, axis=3)


def in_unit(sensors: Sequence[Sensor], standard: np.ndarray, channels: Sequence[int]) -> np.ndarray:
    """Some channels of standardised images in the network's unit.

    Args:
        sensors: of the channels.
        standard: (Q, all channels, y, x).
        channels: which.

    Returns:
        (Q, len(channels), y, x) float32.
    """
    mean, std = (np.concatenate([getattr(s, k) for s in sensors]) for k in ("mean", "std"))
    planes = [standard[:, c].astype(np.float64) * std[c] + mean[c] for c in channels]
    return np.stack([plane.astype(np.float32) for plane in planes], axis=1)


def kept_by_prior(
    sensors: Sequence[Sensor], corrected: np.ndarray, prior: np.ndarray, channels: Sequence[int]
) -> np.ndarray:
    """Corrected images that are positive where the prior is; temperatures are left alone.

    Args:
        sensors: of the channels.
        corrected: (Q, len(channels), y, x) in the network's unit.
        prior: likewise.
        channels: which.
    """
    hot = np.concatenate([[b in s.thermal for b in s.bands] for s in sensors])[list(channels)]
    return np.where(hot[:, None, None], corrected, kept_positive(corrected, prior))


def prior_forecast(sensors: Sequence[Sensor]) -> Forecast:
    """The prior as a function of visible images and days: sensor → (Q, band, H, W), its unit."""

    def forecast(seen: Mapping[str, Stack], query: Sequence[float]) -> dict[str, np.ndarray]:
        images, out, first = prior_images(sensors, seen, query).images, {}, 0
        for s in sensors:
            mean, std = (np.array(v, np.float32)[:, None, None] for v in (s.mean, s.std))
            out[s.name] = images[:, first : first + len(s.bands)] * std + mean
            first += len(s.bands)
        return out

    return forecast


def seen_by(
    sensor: Sensor, sensors: Sequence[Sensor], seen: Mapping[str, Stack], query: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """What a sensor would see on some days, on its own grid.

    Args:
        sensor: whose.
        sensors: all.
        seen: the visible images of each.
        query: (Q,) days.

    Returns:
        (Q, band, y, x) float32, NaN where nothing is known; and how little is known, as of
        :func:`prior_images`.
    """
    found = known_of(sensor, sensors, seen, query)
    return found.images, found.weight


class Known(NamedTuple):
    """What a sensor would see on some days; (Q, band, y, x) float32 on its own grid.

    Attributes:
        images: in the network's unit; NaN where nothing is known.
        weight: how little is known, as of :class:`PriorImages`.
        variance: of the error of the images, squared unit; empty unless asked for.
    """

    images: np.ndarray
    weight: np.ndarray
    variance: np.ndarray


def known_of(
    sensor: Sensor,
    sensors: Sequence[Sensor],
    seen: Mapping[str, Stack],
    query: Sequence[float],
    *,
    variance: bool = False,
) -> Known:
    """What :func:`seen_by` returns, and how far it may be from the truth.

    Args:
        sensor: whose.
        sensors: all.
        seen: the visible images of each.
        query: (Q,) days.
        variance: whether to tell that.
    """
    own = seen[sensor.name]
    shape = own.valid.shape[1:]
    stacks = [own, *(brought(sensor, s, seen[s.name]) for s in others(sensor, sensors, seen))]
    covers = [snow_cover(sensor, own.data, own.valid)]
    valued = [(own.data, np.isfinite(own.data))]
    for other, stack in zip(others(sensor, sensors, seen), stacks[1:], strict=True):
        covers.append(snow_cover(other, stack.data, stack.valid))
        share = mixture(sensor, other)
        known = np.isfinite(share).all(axis=1)
        made = np.einsum("tchw,bc->tbhw", np.nan_to_num(stack.data), np.nan_to_num(share))
        there = stack.valid & _complete(stack.data, share)
        valued.append((made, there[:, None] & known[:, None, None]))
    days = np.concatenate([s.days for s in stacks])
    source = np.concatenate([np.full(len(s.days), i) for i, s in enumerate(stacks)])
    valid = np.concatenate([s.valid for s in stacks])
    snow = _whitened(np.concatenate(covers), valid, source)
    asked = _snow_on(days, snow, valid, query)
    for image, day in zip(asked, query, strict=True):  # what the sensor itself has just seen
        for i in np.flatnonzero((source == 0) & (np.abs(days - day) < SAME_DAY)):
            image[:] = np.where(valid[i], snow[i], image)
    values = np.concatenate([v for v, _ in valued])
    there = np.concatenate([t for _, t in valued])
    out = np.full((len(query), len(sensor.bands), *shape), np.nan, np.float32)
    weight = np.ones(out.shape, np.float32)
    error = np.full(out.shape if variance else (0, *out.shape[1:]), np.nan, np.float32)
    for kernel, bands, sources in _groups(sensor, there, source):
        dates = np.isin(source, sources)
        clear = valid[dates] & there[dates][:, bands].all(axis=1)
        images = Observations(
            days[dates],
            source[dates],
            values[dates][:, bands].reshape(dates.sum(), len(bands), -1),
            clear.reshape(dates.sum(), -1),
            snow[dates].reshape(dates.sum(), -1),
        )
        made = estimate(kernel, images, query, asked.reshape(len(query), -1), energies=variance)
        there_now = images.clear[:, None] & np.isfinite(images.values)
        lowest = np.where(there_now, images.values, np.inf).min(axis=0, initial=np.inf)
        found = kept_positive(made.values, np.where(np.isfinite(lowest), lowest, 0))
        out[:, bands] = found.reshape(len(query), len(bands), *shape)
        less = made.spread / (made.spread + NOISE * kernel.noise)
        weight[:, bands] = less.reshape(len(query), 1, *shape)
        if variance:
            error[:, bands] = process_variance(kernel, made).reshape(out[:, bands].shape)
    return Known(out, weight, error)


def _groups(
    sensor: Sensor, there: np.ndarray, source: np.ndarray
) -> list[tuple[Kernel, list[int], tuple[int, ...]]]:
    """Bands that are weighed alike: of one kernel, and known to the same sensors."""
    groups: dict[tuple[Kernel, tuple[int, ...]], list[int]] = {}
    for i, band in enumerate(sensor.bands):
        known = tuple(int(k) for k in np.unique(source) if there[source == k, i].any())
        if known:
            groups.setdefault((kernel_of(sensor.name, band, sensor.thermal), known), []).append(i)
    return [(kernel, bands, known) for (kernel, known), bands in groups.items()]


def _complete(data: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Where all bands have a value that are needed at all: (T, y, x)."""
    needed = np.nan_to_num(share).any(axis=0)
    return np.asarray(np.isfinite(data[:, needed]).all(axis=1))


def _whitened(snow: np.ndarray, valid: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Ground that a sensor never sees free of snow has it in the images of others, too."""
    own = source == 0
    seen = valid[own]
    always = (seen.sum(axis=0) > 2) & (np.where(seen, snow[own], 1) >= 0.5).all(axis=0)
    return np.where(~own[:, None, None] & always, np.float32(1), snow)


def _snow_on(
    days: np.ndarray, snow: np.ndarray, valid: np.ndarray, query: Sequence[float]
) -> np.ndarray:
    """Snow on the days asked for, between the images of all sensors: (Q, y, x)."""
    if not snow.any():
        return np.zeros((len(query), *snow.shape[1:]), np.float32)
    order = np.argsort(days, kind="stable")
    stack = Stack(snow[order][:, None], valid[order], days[order])
    found = np.nan_to_num(interpolate_linear(stack, query)[:, 0])
    return np.asarray(np.round(found * SNOW_STEPS) / SNOW_STEPS, np.float32)


def _filled(images: np.ndarray) -> np.ndarray:
    """Without holes, for what looks at neighbours."""
    return images if np.isfinite(images).all() else fill_nearest(images)
