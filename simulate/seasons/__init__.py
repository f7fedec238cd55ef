"""Procedural series: made ground through a year, seen by sensors through clouds."""

from trifuse.simulate.seasons.season import CROPS
from trifuse.simulate.seasons.sensors import SENSORS, SeriesSensor
from trifuse.simulate.seasons.series import (
    PAIR,
    SensorImages,
    SyntheticSeries,
    procedural_series,
    write_series_pair,
)

__all__ = [
    "procedural_series",
    "write_series_pair",
    "SyntheticSeries",
    "SensorImages",
    "SeriesSensor",
    "SENSORS",
    "PAIR",
    "CROPS",
]
