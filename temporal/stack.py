"""The images of one sensor over one area, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.temporal.renamed import renamed


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
