"""One series, one question: what methods make of the dates that are hidden from them.

The comparison is on clear pixels, in what the sensor would have seen of the prediction.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159 (tasks of the evaluation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trifuse.temporal.config import Sensor
from trifuse.temporal.contract import Forecast, ForecastMethod, SeriesMethod
from trifuse.temporal.methods import BASELINES, get_series_method
from trifuse.temporal.metrics import date_angles, date_errors
from trifuse.temporal.observation import GSD, observe
from trifuse.temporal.stack import Stack
from trifuse.temporal.strategies import Selection

__all__ = ["BASELINES", "as_seen", "images_seen", "score_hidden", "score_methods"]


def images_seen(
    method: SeriesMethod, sensor: Sensor, seen: Mapping[str, Stack], query: Sequence[float]
) -> np.ndarray:
    """What a sensor would see of a method's prediction: (Q, band, y, x), the network's unit.

    Args:
        method: any.
        sensor: one that the method predicts.
        seen: the visible images of each sensor.
        query: days since the origin.
    """
    made = method.predict(seen, {sensor.name: query})[sensor.name]
    return made if method.sampling == "own" else as_seen(made, sensor)


def as_seen(images: np.ndarray, sensor: Sensor) -> np.ndarray:
    """(Q, band, H, W) on the target grid as the sensor would sample it: (Q, band, y, x)."""
    with torch.no_grad():
        return observe(torch.from_numpy(np.ascontiguousarray(images, np.float32)), sensor).numpy()


def score_methods(
    methods: Sequence[SeriesMethod],
    sensors: Sequence[Sensor],
    images: Mapping[str, Stack],
    selection: Selection,
    *,
    margin: float = 90.0,
) -> dict[str, dict[str, np.ndarray]]:
    """Errors on the dates that are asked for and not shown: one protocol for every method.

    All are judged by what the sensor would have seen of their prediction, on the clear pixels
    that all of them have.

    Args:
        methods: each of another name.
        sensors: that are scored.
        images: everything that was seen, in the network's unit.
        selection: what is shown and what is asked for.
        margin: metres left out at each edge.

    Returns:
        sensor → arrays ``<method>/rmse`` (T, band) in the network's unit and ``<method>/sam`` (T,)
        in degrees, over its hidden dates ``days`` (T,). Sensors without a hidden date that has a
        clear pixel are left out, and methods that had nothing to start from.
    """
    seen = {s.name: images[s.name].only(selection.visible.get(s.name, ())) for s in sensors}
    asked = {s.name: days for s in sensors if (days := selection.hidden(s.name))}
    predicted = {method.name: method.predict(seen, asked) for method in methods}
    out: dict[str, dict[str, np.ndarray]] = {}
    for sensor in sensors:
        days = asked.get(sensor.name, ())
        rim = round(margin / (GSD * sensor.ratio))
        inner = np.s_[..., rim : -rim or None, rim : -rim or None]
        target = images[sensor.name].only(days)
        reference, valid = target.data[inner], target.valid[inner]
        if not len(days) or not valid.any():
            continue
        made = {}
        for method in methods:
            if sensor.name in predicted[method.name]:
                found = predicted[method.name][sensor.name]
                found = found if method.sampling == "own" else as_seen(found, sensor)
                made[method.name] = found[inner]
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


def score_hidden(
    forecast: Forecast | None,
    sensors: Sequence[Sensor],
    images: Mapping[str, Stack],
    selection: Selection,
    *,
    margin: float = 90.0,
    baselines: Sequence[str] = BASELINES,
) -> dict[str, dict[str, np.ndarray]]:
    """The same for a network as a function, named ``network``, and methods by name.

    Args:
        forecast: the network; None scores the others only.
        sensors: of the network.
        images: as of :func:`score_methods`.
        selection: likewise.
        margin: likewise.
        baselines: of :data:`trifuse.temporal.SERIES_METHODS`.
    """
    methods = [get_series_method(name, sensors=sensors) for name in baselines]
    if forecast is not None:
        methods = [ForecastMethod(tuple(sensors), forecast), *methods]
    return score_methods(methods, sensors, images, selection, margin=margin)
