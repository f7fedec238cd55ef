"""The ways to predict an image of any day from a series, by name."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trifuse.core import ConfigError
from trifuse.stf.methods import PAIRWISE_METHODS

if TYPE_CHECKING:
    from trifuse.temporal.config import Sensor
    from trifuse.temporal.contract import SeriesMethod

SERIES_METHODS: dict[str, str] = {
    "tamrf": "trifuse.temporal.tamrf:tamrf",
    "prior": "trifuse.temporal.prior:Prior",
    "nearest": "trifuse.temporal.baselines:Nearest",
    "linear": "trifuse.temporal.baselines:Linear",
    "change": "trifuse.temporal.baselines:FinePlusChange",
    **dict.fromkeys(PAIRWISE_METHODS, "trifuse.temporal.pairwise:PairwiseSeries"),
}
"""Methods by their name on the command line, and where each is: loaded when asked for, so that no
method costs the others its imports. Each is called with the sensors of the series and its own
options; all pairwise methods (:data:`trifuse.stf.PAIRWISE_METHODS`) are among them."""

BASELINES = ("nearest", "linear", "change", "prior")
"""What stands beside a network in every table: of the methods, those without weights."""


def get_series_method(
    name: str,
    *,
    sensors: Sequence[Sensor] | None = None,
    weights: Path | str | None = None,
    **options: Any,
) -> SeriesMethod:
    """A method by its name on the command line.

    >>> get_series_method("linear").name
    'linear'

    Args:
        name: one of :data:`SERIES_METHODS`.
        sensors: of the series; default: Landsat and Sentinel-2. Networks have their own.
        weights: file of the network, for methods that are one.
        options: of the method.

    Raises:
        ConfigError: if the name is unknown, or the method has no such option or no weights.
        WeightsError: if the weights cannot be used.
    """
    from trifuse.temporal.config import PUBLISHED

    if name not in SERIES_METHODS:
        known = ", ".join(SERIES_METHODS)
        raise ConfigError(f"unknown method {name!r}", fix=f"give one of {known}")
    given = options if weights is None else {**options, "weights": weights}
    if name in PAIRWISE_METHODS:
        given = {"name": name, "options": given}
    module, _, attribute = SERIES_METHODS[name].partition(":")
    make = getattr(import_module(module), attribute)
    if unknown := sorted(set(given) - set(inspect.signature(make).parameters)):
        raise ConfigError(f"method {name!r} takes no {', '.join(unknown)}", fix="leave it out")
    made: SeriesMethod = make(tuple(PUBLISHED.sensors if sensors is None else sensors), **given)
    return made
