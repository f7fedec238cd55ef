"""TAMRF and its rivals: cloudy series of several sensors in, every band on any date out."""

from trifuse.temporal.methods import BASELINES, SERIES_METHODS, get_series_method

__all__ = ["BASELINES", "SERIES_METHODS", "get_series_method"]
