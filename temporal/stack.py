"""The images of one sensor over one ground, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.core import upsample
from trifuse.temporal.renamed import renamed

Days = Mapping[str, Sequence[float]]
"""Sensor → days since the origin of the series."""


@dataclass(frozen=True, slots=True, eq=False)
class Stack:
    """Images of one sensor.

    Attributes:
        data: (T, band, y, x), any unit; anything where it is not valid.
        valid: (T, y, x) bool, True where clear.
        days: (T,) since the origin of the series, ascending; fractions of a day are fine.
    """

    data: np.ndarray
    valid: np.ndarray
    days: np.ndarray

    doy = renamed("doy", "days")

    def only(self, days: Sequence[float]) -> Stack:
        """The images of some days."""
        at = np.flatnonzero(np.isin(self.days, np.asarray(days, float)))
        return Stack(self.data[at], self.valid[at], self.days[at])


def upsampled(coarse: np.ndarray, ratio: int) -> np.ndarray:
    """Cubic convolution of (Q, band, y, x) to pixels ``ratio`` times smaller, holes bridged.

    Holes are NaN again over their own ground.
    """
    return np.stack([upsample(np.asarray(image, np.float32), ratio) for image in coarse])
