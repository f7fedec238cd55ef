"""How much larger errors are than the closed forms say, by band: fitted on procedural scenes.

The restoration's posterior knows Gaussian detail alone (:mod:`restored_errors`), the spectral map's
takes cells as free of errors of the sharp bands, of the shift and of the PSF
(:mod:`empirical_bayes`), and what no linear map can do is known of usual spectra
(:mod:`map_errors`). All are made good by factors (``bench/uncertainty`` fits them and tells what
they cover on scenes that it did not see).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from statistics import median

import numpy as np

from trifuse.core import canonical_name
from trifuse.restore.view import Calibrated


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
        local: likewise where bands are restored place by place.
        refined: likewise where a network has corrected that.
        map: error of the map's numbers over their posterior deviation.
        usual: by S3 band, what a scene's map leaves on pixels that are as its cells are over what
            the universal one leaves of usual spectra.
        growth: by S3 band, exponent with which that grows with the distance from the cells.
        finer: by S3 band, what the map leaves on such pixels over what it leaves in cells.
        source: what they were fitted on.
    """

    restoration: Factors
    local: Factors
    refined: Factors
    map: float
    usual: Factors
    growth: Factors
    finer: Factors
    source: str


@cache
def calibration() -> Calibration:
    """The factors that come with the package."""
    file = files("trifuse.fusion.spectral").joinpath("calibration.json")
    values = json.loads(file.read_text(encoding="utf-8"))
    by_band = ("restoration", "local", "refined", "usual", "growth", "finer")
    return Calibration(
        **{k: Factors(values[k]) for k in by_band}, map=values["map"], source=values["source"]
    )


def restored_factors(step: Calibrated | None, names: Sequence[str]) -> np.ndarray:
    """Factors of the deviations of bands after a step of the restoration: (l,); 1 after none."""
    if step is None:
        return np.ones(len(names))
    factors: Factors = getattr(calibration(), step)
    return np.array([factors(n) for n in names])
