"""Which dates a network sees, in training and in each evaluation task.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159 (masking strategies and tasks).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from trifuse.core import ConfigError
from trifuse.temporal.stack import Days


@dataclass(frozen=True, slots=True)
class Selection:
    """Dates to see and dates to predict.

    Attributes:
        visible: sensor → days given to the network.
        target: sensor → days compared with the prediction.
    """

    visible: dict[str, tuple[float, ...]]
    target: dict[str, tuple[float, ...]]

    def hidden(self, sensor: str) -> tuple[float, ...]:
        """Target days of a sensor that the network does not see."""
        seen = set(self.visible.get(sensor, ()))
        return tuple(d for d in self.target.get(sensor, ()) if d not in seen)


def keep(days: Days, rule: Callable[[str, float], bool]) -> dict[str, tuple[float, ...]]:
    """The days of each sensor for which ``rule(sensor, day)`` holds."""
    return {s: tuple(d for d in ds if rule(s, d)) for s, ds in days.items()}


def everything(days: Days) -> dict[str, tuple[float, ...]]:
    """All days of all sensors."""
    return keep(days, lambda *_: True)


def hide_random(days: Days, rate: float, rng: np.random.Generator) -> Selection:
    """Hide ⌈rate·T⌉ of the T dates of each sensor at random; ``rate`` 0–1."""
    seen = {}
    for sensor, ds in days.items():
        count = int(np.ceil(rate * len(ds)))
        gone = set(rng.choice(len(ds), size=min(count, len(ds)), replace=False).tolist())
        seen[sensor] = tuple(d for i, d in enumerate(ds) if i not in gone)
    return Selection(seen, everything(days))


def hide_gaps(
    days: Days, size: float, span: float = 365.0, first: float | None = None
) -> Selection:
    """Hide what lies strictly inside gaps of ``size`` days, from day ``first`` on, every 2·size.

    The first gap starts on day ``size`` unless told otherwise; none from day ``span`` on.
    """
    starts = np.arange(size if first is None else first, span, 2 * size)

    def visible(_: str, day: float) -> bool:
        return not any(start < day < start + size for start in starts)

    return Selection(keep(days, visible), everything(days))


def hide_after(days: Days, pivot: float) -> Selection:
    """Forecast: see days up to the pivot."""
    return Selection(keep(days, lambda _, d: d <= pivot), everything(days))


def hide_before(days: Days, pivot: float) -> Selection:
    """Backcast: see days from the pivot on."""
    return Selection(keep(days, lambda _, d: d >= pivot), everything(days))


def hide_sensor(days: Days, sensor: str) -> Selection:
    """See the other sensors only."""
    return Selection(keep(days, lambda s, _: s != sensor), everything(days))


def conjunctions(days: Days) -> frozenset[float]:
    """Days on which all sensors have an image."""
    return frozenset.intersection(*(frozenset(d) for d in days.values()))


def fusion_task(
    days: Days,
    coarse: str,
    fine: str,
    *,
    see_all_coarse: bool = False,
    see_other_fine: bool = True,
    see_coarse: bool = True,
) -> Selection:
    """Predict the fine sensor on the days it shares with the coarse one, from the coarse image.

    The defaults see the coarse images of the shared days and the fine images of the others.
    """
    shared = conjunctions({k: days[k] for k in (coarse, fine)})

    def visible(sensor: str, day: float) -> bool:
        if sensor == fine:
            return see_other_fine and day not in shared
        return sensor == coarse and see_coarse and (see_all_coarse or day in shared)

    return Selection(keep(days, visible), {fine: tuple(d for d in days[fine] if d in shared)})


def sharpening_task(days: Days, fine: str) -> Selection:
    """See and predict all images of the fine sensor."""
    return Selection(keep(days, lambda s, _: s == fine), {fine: tuple(days[fine])})


def draw_training(days: Days, rng: np.random.Generator, span: float = 365.0) -> Selection:
    """One of the published mixture: random dates 1/2, gaps 1/4, a sensor, forecast, backcast.

    Of 16 equal draws 8 hide random dates (20–70 %), 4 hide gaps (30–90 days), one each hides a
    sensor (two draws), the future or the past of a pivot (day 65–300). Days count from the
    first of January of the series' year or its first image.
    """
    names = sorted(days)
    draw = int(rng.integers(16))
    if draw < 8:
        return hide_random(days, float(rng.uniform(0.2, 0.7)), rng)
    if draw < 12:
        return hide_gaps(days, float(rng.integers(30, 91)), span)
    if draw < 14 and len(names) > 1:
        return hide_sensor(days, names[int(rng.integers(len(names)))])
    pivot = float(rng.integers(65, 301))
    return hide_after(days, pivot) if draw % 2 == 0 else hide_before(days, pivot)


def draw_tasks(days: Days, rng: np.random.Generator, coarse: str, fine: str) -> Selection:
    """A mixture for networks that fill gaps and fuse: gaps 9/20, random dates 6/20, fusion 5/20.

    Gaps last 20 to 60 days and start anywhere; 20–70 % of random dates are hidden; what fusion
    sees of the coarse sensor is its shared days or, as often, all.
    """
    draw = rng.random()
    if draw < 0.45:
        size = float(rng.integers(20, 61))
        return hide_gaps(days, size, first=float(rng.uniform(0, 2 * size)))
    if draw < 0.75 or coarse == fine or not conjunctions({k: days[k] for k in (coarse, fine)}):
        return hide_random(days, float(rng.uniform(0.2, 0.7)), rng)
    return fusion_task(days, coarse, fine, see_all_coarse=bool(rng.random() < 0.5))


def task(name: str, days: Days, coarse: str, fine: str) -> Selection:
    """The selection of an evaluation task.

    Args:
        name: ``gap-filling``, ``band-sharpening``, ``fusion`` or ``thermal``.
        days: days of each sensor.
        coarse: the sensor of lower resolution.
        fine: the sensor on the target grid.

    Raises:
        ConfigError: for another name.
    """
    if name == "gap-filling":
        return hide_gaps(days, 30)
    if name == "band-sharpening":
        return sharpening_task(days, fine)
    if name == "fusion":
        return fusion_task(days, coarse, fine)
    if name == "thermal":
        return Selection(everything(days), {coarse: tuple(days[coarse])})
    raise ConfigError(
        f"no task {name!r}", fix="give gap-filling, band-sharpening, fusion or thermal"
    )
