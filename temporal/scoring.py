"""One series, one question: what a prediction and the baselines make of the dates hidden from them.

The comparison is on clear pixels, in what the sensor would have seen of the prediction.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159 (tasks of the evaluation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trifuse.temporal.baselines import (
    Stack,
    fine_plus_change,
    interpolate_linear,
    nearest_clear,
    partners,
)
from trifuse.temporal.config import Sensor
from trifuse.temporal.forecast import Forecast
from trifuse.temporal.metrics import date_angles, date_errors
from trifuse.temporal.observation import GSD, observe
from trifuse.temporal.prior import prior_forecast
from trifuse.temporal.strategies import Selection

BASELINES = ("nearest", "linear", "change", "prior")


def baseline_images(
    name: str,
    sensor: Sensor,
    sensors: Sequence[Sensor],
    seen: Mapping[str, Stack],
    query: Sequence[float],
) -> np.ndarray:
    """A baseline's images of a sensor on its own grid: (Q, band, y, x).

    Args:
        name: ``nearest``, ``linear`` (clear pixels of the sensor itself), ``change`` (the nearest
            image plus the change that the coarser sensor saw; without one the nearest), or
            ``prior`` (:func:`trifuse.temporal.prior.prior_images`, as the sensor sees it).
        sensor: to be predicted.
        sensors: all.
        seen: the visible images of each.
        query: days.
    """
    own = seen[sensor.name]
    if name == "prior":
        return as_seen(prior_forecast(sensors)(seen, query)[sensor.name], sensor)
    coarser = [s for s in sensors if s.ratio > sensor.ratio and s.name in seen]
    if name == "linear":
        return interpolate_linear(own, query)
    if name == "nearest" or not coarser:
        return nearest_clear(own, query)
    other = min(coarser, key=lambda s: s.ratio)
    pairs = partners(sensor.bands, other.bands)
    return fine_plus_change(own, seen[other.name], query, other.ratio // sensor.ratio, pairs)


def as_seen(images: np.ndarray, sensor: Sensor) -> np.ndarray:
    """(Q, band, H, W) on the target grid as the sensor would sample it."""
    with torch.no_grad():
        return observe(torch.from_numpy(np.ascontiguousarray(images, np.float32)), sensor).numpy()


def score_hidden(
    forecast: Forecast | None,
    sensors: Sequence[Sensor],
    images: Mapping[str, Stack],
    selection: Selection,
    *,
    margin: float = 90.0,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, dict[str, np.ndarray]]:
    """Errors on the dates that are asked for and not shown.

    Args:
        forecast: the network as a function; None scores the baselines only.
        sensors: of the network.
        images: everything that was seen, in the network's unit.
        selection: what is shown and what is asked for.
        margin: metres left out at each edge.
        baselines: of :data:`BASELINES`.

    Returns:
        sensor → arrays ``<method>/rmse`` (T, band), ``<method>/sam`` (T,) degrees, over its hidden
        dates ``days`` (T,); the network is the method ``network``. Sensors without a hidden date
        that has a clear pixel are left out.
    """
    seen = {s.name: images[s.name].only(selection.visible.get(s.name, ())) for s in sensors}
    hidden = {s.name: selection.hidden(s.name) for s in sensors}
    query = sorted({d for days in hidden.values() for d in days})
    predicted = forecast(seen, query) if forecast is not None and query else {}
    out: dict[str, dict[str, np.ndarray]] = {}
    for sensor in sensors:
        days = hidden[sensor.name]
        rim = round(margin / (GSD * sensor.ratio))
        inner = np.s_[..., rim : -rim or None, rim : -rim or None]
        target = images[sensor.name].only(days)
        reference, valid = target.data[inner], target.valid[inner]
        if not len(days) or not valid.any():
            continue
        made = {}
        if sensor.name in predicted:
            at = [query.index(d) for d in days]
            made["network"] = as_seen(predicted[sensor.name][at], sensor)[inner]
        for name in baselines:
            made[name] = baseline_images(name, sensor, sensors, seen, days)[inner]
        # All methods are judged on the pixels that all of them have.
        for estimate in made.values():
            valid = valid & np.isfinite(estimate).all(axis=1)
        reflective = [i for i, b in enumerate(sensor.bands) if b not in sensor.thermal]
        scores: dict[str, np.ndarray] = {"days": np.asarray(days, float)}
        for name, estimate in made.items():
            scores[f"{name}/rmse"] = date_errors(reference, estimate, valid)[0]
            scores[f"{name}/sam"] = date_angles(
                reference[:, reflective], estimate[:, reflective], valid
            )
        out[sensor.name] = scores
    return out
