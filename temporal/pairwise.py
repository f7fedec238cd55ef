"""Pairwise methods on series: a coarse image of the day asked for, fine images of days near it.

For each day and each sensor that has a coarser one beside it: the coarse sensor's images are put
into the sensor's bands (:func:`trifuse.temporal.views.mixture`) and interpolated linearly between
its clear dates, pixel by pixel; references are the nearest dates of the sensor itself. What clouds
hide in these is predicted from the next ones. What the method cannot tell stays as on the nearest
clear date: bands that the coarse sensor does not have, and all of the coarsest sensor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.core import BandSet, Cube, DataError, Grid
from trifuse.stf.methods import get_pairwise
from trifuse.stf.pairwise import Pair, Pairwise, Target
from trifuse.temporal.baselines import interpolate_linear, nearest_clear, next_coarser
from trifuse.temporal.block_images import HALO
from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import StackMethod
from trifuse.temporal.observation import GSD
from trifuse.temporal.stack import Days, Stack
from trifuse.temporal.views import mixture

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PairwiseSeries(StackMethod):
    """A pairwise method as a method on series.

    Attributes:
        name: of the method, in :data:`trifuse.stf.PAIRWISE_METHODS`.
        options: of the method.
        method: the method itself.

    Raises:
        ConfigError: if the name or an option is unknown, or out of range.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    method: Pairwise = field(init=False, repr=False)
    halo: int | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        method = get_pairwise(self.name, **self.options)
        object.__setattr__(self, "method", method)
        object.__setattr__(self, "halo", _cells(method.options.halo, self.sensors))

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """Each sensor's images with those of the next coarser one."""
        sensors = {s.name: s for s in self.sensors}
        return {name: self._images(sensors[name], seen, query) for name, query in asked.items()}

    def _images(
        self, sensor: Sensor, seen: Mapping[str, Stack], query: Sequence[float]
    ) -> np.ndarray:
        own, other = seen[sensor.name], next_coarser(sensor, self.sensors, seen)
        out = nearest_clear(own, query)
        if other is None or not len(own.days) or not len(seen[other.name].days):
            return out
        share = mixture(sensor, other)
        bands = np.flatnonzero(np.isfinite(share).all(axis=1))
        if not len(bands):
            return out
        names = BandSet.of([sensor.bands[b] for b in bands])
        coarse = _mixed(seen[other.name], share[bands])
        fine = np.where(own.valid[:, None], own.data[:, bands], np.float32(np.nan))
        then = interpolate_linear(coarse, own.days.tolist())
        days = [
            Pair(
                _cube(fine[i], names, sensor.ratio),
                _cube(then[i], names, other.ratio),
                float(own.days[i]),
            )
            for i in range(len(own.days))
        ]
        for image, now, day in zip(out, interpolate_linear(coarse, query), query, strict=True):
            target = Target(_cube(now, names, other.ratio), float(day))
            made = _patched(self.method, days, own.valid, target)
            image[bands] = np.where(np.isfinite(made), made, image[bands])
        return out


def _cells(halo: int | None, sensors: Sequence[Sensor]) -> int | None:
    """Pixels around a pixel of any sensor but the coarsest, in cells of that; at least ten."""
    *finer, coarsest = sorted({s.ratio for s in sensors})
    if halo is None or not finer:
        return None if halo is None else HALO
    return max(HALO, -(-halo * finer[-1] // coarsest))


def _patched(
    method: Pairwise, days: Sequence[Pair], valid: np.ndarray, target: Target
) -> np.ndarray:
    """A prediction from the nearest references; where these are clouded, from the next, and so on.

    Args:
        method: the method.
        days: all that can be references.
        valid: (T, y, x) bool, where each is clear.
        target: the day.

    Returns:
        (band, y, x) float32, NaN where none can tell.
    """
    made = np.full(days[0].fine.shape, np.nan, np.float32)
    missing = valid.any(axis=0)
    left = sorted(range(len(days)), key=lambda i: abs(days[i].day - target.day))
    while missing.any():
        left = [i for i in left if (valid[i] & missing).any()]
        chosen, left = left[: method.options.pairs], left[method.options.pairs :]
        if not chosen:
            break
        try:
            found = method([days[i] for i in chosen], target).image.data
        except DataError as e:  # too little of a cloudy image is clear
            _log.debug("%s: day %g from %s: %s", method.name, target.day, chosen, e)
            continue
        new = missing & np.isfinite(found).all(axis=0)
        made[:, new] = found[:, new]
        missing &= ~new
    return made


def _mixed(coarse: Stack, share: np.ndarray) -> Stack:
    """A coarse sensor's images in a fine one's bands; clear where all that it takes has a value."""
    data = np.where(coarse.valid[:, None], coarse.data, np.float32(np.nan))
    needed = share.any(axis=0)
    clear = coarse.valid & np.isfinite(data[:, needed]).all(axis=1)
    made = np.einsum("tchw,bc->tbhw", np.nan_to_num(data), share)
    return Stack(made, clear, coarse.days)


def _cube(data: np.ndarray, names: BandSet, ratio: int) -> Cube:
    """An image of a stack, which lies nowhere, on a grid that nests with those of other ratios."""
    gsd = GSD * ratio
    grid = Grid.from_origin("", 0.0, 0.0, gsd, *data.shape[1:])
    data = np.asarray(data, np.float32)
    return Cube(data, np.isfinite(data).all(axis=0), names, grid)
