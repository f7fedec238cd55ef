"""How reflectance varies in time, in the few numbers that decide how dates are weighed.

The numbers are medians of what maximum likelihood found on synthetic series, scene by scene; no
script here repeats that search, and ``bench/tamrf_accuracy.py`` measures what comes of it. Only
ratios of variances matter, so they hold for bright and for dull ground; all are relative to the
variance of what changes slowly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Kernel:
    """Covariance in time of what a group of bands sees of a pixel.

    Attributes:
        slow_days: correlation time of growth and harvest (Matérn 3/2).
        fast: variance of rain, mowing, and what else comes and goes.
        fast_days: correlation time of that (exponential).
        noise: variance of noise, haze and calibration of the sensor itself.
        offset: variance of the constant difference to what another sensor says of the pixel.
        drift: variance of what changes in that difference.
        drift_days: correlation time of that (exponential).
        other_noise: variance of noise of the other sensor.
        snow: variance that a full cover of snow adds.
    """

    slow_days: float
    fast: float
    fast_days: float
    noise: float
    offset: float = 1.0
    drift: float = 0.1
    drift_days: float = 100.0
    other_noise: float = 0.001
    snow: float = 0.0

    def covariance(self, days: np.ndarray) -> np.ndarray:
        """Of two moments so many days apart, without snow: of the shape of ``days``."""
        slow = np.abs(days) / self.slow_days
        return np.asarray(
            (1 + slow) * np.exp(-slow) + self.fast * np.exp(-np.abs(days) / self.fast_days)
        )


VISIBLE = Kernel(29.0, 0.24, 40.0, 0.024, 10.0, 0.74, 100.0, 0.0035, 140.0)
INFRARED = Kernel(53.0, 0.078, 22.0, 0.0018, 1.5, 0.17, 110.0, 0.0004, 3.3)
SHORTWAVE = Kernel(40.0, 0.12, 22.0, 0.0033, 3.0, 0.13, 98.0, 0.001, 0.6)
THERMAL = Kernel(90.0, 0.08, 2.0, 0.004)

_INFRARED = {"B6", "B7", "B8", "B8A", "landsat B5"} | {f"Oa{n}" for n in (*range(11, 22),)} | {"S3"}
_SHORTWAVE = {"B11", "B12", "landsat B6", "landsat B7", "S5", "S6"}


def kernel_of(sensor: str, band: str, thermal: Sequence[str] = ()) -> Kernel:
    """The kernel of a band: by its part of the spectrum; that of the visible if unknown.

    Args:
        sensor: its name, for Landsat counts bands in its own way.
        band: its name.
        thermal: bands of the sensor that are temperatures.
    """
    if band in thermal:
        return THERMAL
    name = f"landsat {band}" if sensor == "landsat" else band
    if name in _SHORTWAVE:
        return SHORTWAVE
    return INFRARED if name in _INFRARED else VISIBLE
