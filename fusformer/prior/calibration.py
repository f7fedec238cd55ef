"""How much larger errors are than the closed forms say, by band: fitted on procedural scenes.

The restoration's posterior knows stationary fields of one covariance, whether bands are restored
under it or place by place, and coarse cells show a part of what a linear map leaves on the pixels.
Both are made good by factors per band
(``bench/uncertainty`` fits them and tells what they cover on scenes that it did not see).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import median

import numpy as np

from trifuse.core import CubeSource, canonical_name


class Factors:
    """Factors by band; other bands have their median."""

    def __init__(self, values: Mapping[str, float]) -> None:
        self._values = {canonical_name(n): float(v) for n, v in values.items()}
        self._other = median(self._values.values())

    def __call__(self, band: str) -> float:
        """That of a band."""
        return self._values.get(canonical_name(band), self._other)


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """All factors.

    Attributes:
        restoration: by S2 band, error of a restored band over its posterior deviation.
        local: likewise where bands are restored place by place (the deviation is the same).
        map: by S3 band, what the map leaves on pixels over what it leaves in cells.
        most: by S3 band, what any scene's map leaves on pixels over what the universal one leaves
            of its own spectra, at most; at least 1.
        source: what they were fitted on.
    """

    restoration: Factors
    local: Factors
    map: Factors
    most: Factors
    source: str


@cache
def calibration() -> Calibration:
    """The factors that come with the package."""
    file = files("trifuse.fusformer.prior").joinpath("calibration.json")
    values = json.loads(file.read_text(encoding="utf-8"))
    kinds = ("restoration", "local", "map", "most")
    return Calibration(**{k: Factors(values[k]) for k in kinds}, source=values["source"])


def restored_deviation(s2: CubeSource) -> np.ndarray:
    """Standard deviation of the errors of a view's bands: (l,) reflectance; 0 where not known."""
    about = s2.meta.get("restoration", {})
    told = about.get("deviation", {})
    own = np.array([told.get(n, 0.0) for n in s2.bands.names], np.float64)
    if not about.get("restored"):
        return own
    known = calibration()
    factors = known.local if about.get("by_place") else known.restoration
    return own * [factors(n) for n in s2.bands.names]
