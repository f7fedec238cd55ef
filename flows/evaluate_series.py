"""How good are predicted dates: on images hidden from a method, or sharper than those it saw.

Tasks and margins as in Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159. All methods go
through one protocol; unless others are named, the baselines stand beside the network.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trifuse.core import ConfigError, DataError, Series, Window, fill_nearest
from trifuse.core.runtime import Runtime
from trifuse.flows.interpolate import TAMRF, Clouds, choose_method, method_area
from trifuse.products.series.find import open_sensors
from trifuse.temporal.area import KELVIN, Area
from trifuse.temporal.blocks import block_side
from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import SeriesMethod, forecast_of
from trifuse.temporal.methods import BASELINES, SERIES_METHODS, get_series_method
from trifuse.temporal.metrics import brisque, date_angles, date_errors, frequency_restoration
from trifuse.temporal.observation import GSD, compensate_residual
from trifuse.temporal.scoring import as_seen, score_methods
from trifuse.temporal.stack import Stack, upsampled
from trifuse.temporal.strategies import Selection
from trifuse.temporal.strategies import task as select_dates
from trifuse.temporal.tamrf import Trained

TASKS = ("gap-filling", "band-sharpening", "fusion", "thermal")
CLEAR_SHARE = 0.99
"""Sharpness is compared on dates that are at least so clear."""

_log = logging.getLogger(__name__)
Scores = dict[str, dict[str, float]]
"""Method → measure → value."""


@dataclass(frozen=True, slots=True)
class SeriesEvaluation:
    """Scores of methods, by their names in :data:`trifuse.temporal.SERIES_METHODS`.

    Attributes:
        task: of :data:`TASKS`.
        scores: sensor → method → measure → mean over dates and bands. ``rmse`` is in reflectance,
            ``rmse_k`` of temperatures in kelvin, ``sam`` in degrees, ``fr`` in dB.
        bands: sensor → method → band → RMSE.
        dates: sensor → number of dates compared.
        record: everything, as plain JSON values.
    """

    task: str
    scores: Mapping[str, Scores]
    bands: Mapping[str, Scores]
    dates: Mapping[str, int]
    record: Mapping[str, Any] = field(default_factory=dict)

    def table(self, *, per_band: bool = False) -> str:
        """Aligned text for a terminal."""
        lines = []
        for sensor, methods in self.scores.items():
            parts = self.bands[sensor] if per_band else {m: {} for m in methods}
            names = list(next(iter(methods.values()))) + list(next(iter(parts.values())))
            lines.append(
                f"{self.task}: {sensor}, {self.dates[sensor]} dates, "
                f"{self.record['margin_m']:g} m left out at each edge"
            )
            lines.append(f"  {'':20}" + "".join(f"{n:>10}" for n in names))
            for method, values in methods.items():
                every = {**values, **parts.get(method, {})}
                lines.append(f"  {method:20}" + "".join(f"{_number(every[n]):>10}" for n in names))
        return "\n".join(lines)


def evaluate_series(
    series: Path | str | Mapping[str, Series],
    *,
    methods: Sequence[str | SeriesMethod] | None = None,
    weights: Path | str | Trained | None = None,
    task: str = "gap-filling",
    margin: float = 300.0,
    days_origin: str | None = None,
    clouds: Clouds = "auto",
    with_brisque: bool = False,
    device: str = "auto",
    max_memory: float = 4.0,
) -> SeriesEvaluation:
    """Score methods on a series.

    * ``gap-filling``: images within gaps of 30 days are hidden.
    * ``fusion``: images of the fine sensor are hidden on days on which both sensors have one.
    * ``band-sharpening``: all images of the fine sensor are seen; its coarser bands are compared.
    * ``thermal``: everything is seen; temperatures are compared on the days of the coarse sensor,
      also after the residual against the observation is added.

    Predictions go through the observation model of the sensor before they are compared with what
    it saw on clear pixels. Areas that memory does not hold are scored in their middle.

    Args:
        series: as of :func:`trifuse.flows.interpolate.interpolate`.
        methods: names in :data:`trifuse.temporal.SERIES_METHODS`, or methods, in the order of the
            table; default: that which :func:`trifuse.flows.interpolate.interpolate` would take,
            and for hidden dates the baselines.
        weights: of ``tamrf``, as of :func:`trifuse.flows.interpolate.interpolate`.
        task: of :data:`TASKS`.
        margin: metres left out at each edge.
        days_origin: as of :func:`trifuse.flows.interpolate.interpolate`.
        clouds: likewise.
        with_brisque: for the two sharpening tasks: also BRISQUE (needs piq).
        device: ``auto``, ``cpu`` or ``cuda``.
        max_memory: GB.

    Raises:
        ConfigError: for an unknown task or method, or none.
        DataError: if there is nothing to compare: a sensor is absent, the margin leaves nothing,
            no date is hidden or none is clear.
        MissingExtraError: if BRISQUE is wanted and piq is not installed.
    """
    if task not in TASKS:
        raise ConfigError(f"no task {task!r}", fix=f"give one of {', '.join(TASKS)}")
    if not (math.isfinite(margin) and margin >= 0):
        raise ConfigError(f"margin of {margin} m", fix="give 0 or more")
    opened = series if isinstance(series, Mapping) else open_sensors(series)
    main = choose_method(TAMRF if methods and TAMRF in methods else None, weights, opened)
    area = method_area(main, opened, days_origin=days_origin, clouds=clouds)
    hides = task in ("gap-filling", "fusion")
    scored = _scored(methods, main, hides)
    sensors = area.config.sensors
    fine = min(sensors, key=lambda s: s.ratio)
    coarse = max(sensors, key=lambda s: s.ratio)
    needed = {"band-sharpening": (fine,), "thermal": (coarse,), "fusion": tuple(sensors)}.get(
        task, area.sensors
    )
    if absent := [s.name for s in needed if s.name not in area.series]:
        raise DataError(
            f"there is no series of {', '.join(absent)}, which {task} needs",
            fix="give series of these sensors",
        )
    block = _middle(area, max_memory * 1e9)
    if min(block.shape) * GSD - 2 * margin < 6 * GSD * max(s.ratio for s in needed):
        raise DataError(
            f"a margin of {margin:g} m leaves nothing of {block.height}×{block.width} pixels",
            fix="give a smaller margin or a larger area",
        )
    images = {s.name: _stack(area, s, block) for s in sensors}
    chosen = select_dates(
        task, {s.name: images[s.name].days.tolist() for s in sensors}, coarse.name, fine.name
    )
    runtime = Runtime(device)
    main.move_to(runtime.torch_device)
    scores: dict[str, Scores] = {}
    bands: dict[str, Scores] = {}
    dates: dict[str, int] = {}
    with runtime.computing():
        if hides:
            over = [method.over(area, block) for method in scored]
            made = score_methods(over, sensors, images, chosen, margin=margin)
            for sensor in sensors:
                if sensor.name in made:
                    means = _means(sensor, made[sensor.name], [m.name for m in scored])
                    scores[sensor.name], bands[sensor.name] = means
                    dates[sensor.name] = len(made[sensor.name]["days"])
        else:
            sensor = fine if task == "band-sharpening" else coarse
            seen = {s.name: images[s.name].only(chosen.visible.get(s.name, ())) for s in sensors}
            query = list(chosen.target[sensor.name])
            found = _score_sharpened(
                {m.name: forecast_of(m, area, block)(seen, query)[sensor.name] for m in scored},
                images[sensor.name].only(query),
                sensor,
                _sharpened(sensor, task),
                margin,
                with_brisque,
            )
            scores[sensor.name], bands[sensor.name], dates[sensor.name] = found
    if not scores:
        raise DataError(
            f"{task} hides no image that has a clear pixel",
            where=", ".join(area.series),
            fix="give a longer series or another task",
        )
    record = {
        "task": task,
        "margin_m": margin,
        "days_origin": area.origin.isoformat(),
        "clouds": "withheld" if area.blank else "shown",
        "model": dict(main.record),
        "window": [block.row, block.col, block.height, block.width],
        "scores": scores,
        "bands": bands,
        "dates": dates,
        "shown": _counts(chosen),
    }
    return SeriesEvaluation(task, scores, bands, dates, record)


def _scored(
    methods: Sequence[str | SeriesMethod] | None, main: SeriesMethod, hides: bool
) -> list[SeriesMethod]:
    """The methods of the table, each once: those asked for, or the main one and what needs less."""
    if methods is None:
        beside = BASELINES if hides else ()
        methods = beside if main.name in beside else (main.name, *beside)
    named = {m if isinstance(m, str) else m.name: m for m in methods}
    if not named:
        raise ConfigError("no methods to score", fix=f"give some of {', '.join(SERIES_METHODS)}")
    out = []
    for name, method in named.items():
        if isinstance(method, str) and name != main.name:
            method = get_series_method(name, sensors=main.config.sensors)
        out.append(main if isinstance(method, str) else method)
    return out


def _middle(area: Area, budget: float) -> Window:
    """The whole area, or its middle as far as memory goes."""
    dates = sum(len(s) for s in area.series.values())
    bands = len(area.config.outputs)
    # Images, baselines and predictions of every date are held at once.
    side = block_side(area, dates, 4 * bands, budget)
    height, width = (min(n, side) for n in area.grid.shape)
    if (height, width) != area.grid.shape:
        _log.warning(
            "only the middle %d×%d pixels are scored; more memory takes more", height, width
        )
    step = area.step
    row, col = (
        (n - m) // 2 // step * step for n, m in zip(area.grid.shape, (height, width), strict=True)
    )
    return Window(row, col, height // step * step, width // step * step)


def _stack(area: Area, sensor: Sensor, block: Window) -> Stack:
    """What a sensor saw, also under clouds; empty without a series."""
    shape = (block.height // sensor.ratio, block.width // sensor.ratio)
    if sensor.name not in area.series:
        return Stack(
            np.empty((0, len(sensor.bands), *shape), np.float32),
            np.empty((0, *shape), bool),
            np.empty(0),
        )
    pairs = [area.read(sensor, day, block) for day in area.series[sensor.name].dates]
    return Stack(
        np.stack([d for d, _ in pairs]),
        np.stack([v for _, v in pairs]),
        np.array(area.days[sensor.name]),
    )


def _sharpened(sensor: Sensor, task: str) -> list[int]:
    """Positions of the bands that a sharpening task is about."""
    if task == "thermal":
        which = [i for i, b in enumerate(sensor.bands) if b in sensor.thermal]
    else:
        which = [i for i, r in enumerate(sensor.resolution) if r > GSD * sensor.ratio]
    if not which:
        raise DataError(f"{sensor.name} has no band for {task}", fix="give another task")
    return which


def _score_sharpened(
    predicted: Mapping[str, np.ndarray],
    observed: Stack,
    sensor: Sensor,
    which: Sequence[int],
    margin: float,
    with_brisque: bool,
) -> tuple[Scores, Scores, int]:
    """Agreement with the observation, and sharpness against it, of some bands."""
    # What clouds hide is bridged: neither their cold nor a gap may blur into clear pixels.
    clear = np.where(observed.valid[:, None], observed.data, np.nan).astype(np.float32)
    known = np.stack([fill_nearest(image) for image in clear])
    up = upsampled(known, sensor.ratio) if sensor.ratio > 1 else known
    methods = {}
    for name, images in predicted.items():
        methods[name] = images
        if sensor.ratio > 1:
            given = (torch.from_numpy(np.nan_to_num(images)), torch.from_numpy(known))
            methods[f"{name} + residual"] = compensate_residual(*given, sensor).numpy()
    methods["as observed"] = up
    rim, edge = round(margin / GSD / sensor.ratio), round(margin / GSD)
    inner = np.s_[..., rim : -rim or None, rim : -rim or None]
    fine = np.s_[..., edge : -edge or None, edge : -edge or None]
    valid = observed.valid[inner] & np.isfinite(observed.data[:, which][inner]).all(axis=1)
    sharp = [
        i
        for i, v in enumerate(valid)
        if v.mean() >= CLEAR_SHARE
        and all(np.isfinite(images[i, which][fine]).all() for images in methods.values())
    ]
    if not valid.any():
        raise DataError("no clear pixel to compare with", where=sensor.name)
    hot = any(sensor.bands[i] in sensor.thermal for i in which)
    unit = KELVIN if hot else 1.0
    labels = [sensor.bands[i] for i in which]
    scores: Scores = {}
    bands: Scores = {}
    for method, images in methods.items():
        seen = as_seen(np.nan_to_num(images), sensor)[inner]
        rmse = date_errors(observed.data[inner][:, which], seen[:, which], valid)[0] * unit
        scores[method] = {"rmse_k" if hot else "rmse": _mean(rmse)}
        if not hot:
            angle = date_angles(observed.data[inner][:, which], seen[:, which], valid)
            scores[method]["sam"] = _mean(angle)
        ratio = [frequency_restoration(up[i, which][fine], images[i, which][fine]) for i in sharp]
        scores[method]["fr"] = _mean(np.array(ratio))
        if with_brisque:
            scores[method]["brisque"] = _mean(
                np.array(
                    [
                        brisque(_unit_range(images[i, b][fine], up[i, b][fine], hot))
                        for i in sharp
                        for b in which
                    ]
                )
            )
        bands[method] = {n: _mean(rmse[:, i]) for i, n in enumerate(labels)}
    return scores, bands, int(valid.any(axis=(1, 2)).sum())


def _unit_range(image: np.ndarray, reference: np.ndarray, hot: bool) -> np.ndarray:
    """Temperatures in the range of what was observed; reflectance as it is."""
    if not hot:
        return image
    low, high = float(reference.min()), float(reference.max())
    return (image - low) / max(high - low, 1e-9)


def _means(
    sensor: Sensor, made: Mapping[str, np.ndarray], names: Sequence[str]
) -> tuple[Scores, Scores]:
    """Means over dates and bands, temperatures apart."""
    hot = np.array([b in sensor.thermal for b in sensor.bands])
    scores: Scores = {}
    bands: Scores = {}
    for method in names:
        if f"{method}/rmse" not in made:
            continue
        rmse = made[f"{method}/rmse"] * np.where(hot, KELVIN, 1.0)
        scores[method] = {"rmse": _mean(rmse[:, ~hot]), "sam": _mean(made[f"{method}/sam"])}
        if hot.any():
            scores[method]["rmse_k"] = _mean(rmse[:, hot])
        bands[method] = {b: _mean(rmse[:, i]) for i, b in enumerate(sensor.bands)}
    return scores, bands


def _counts(chosen: Selection) -> dict[str, int]:
    return {name: len(days) for name, days in chosen.visible.items()}


def _mean(values: np.ndarray) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else math.nan


def _number(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.4f}"
