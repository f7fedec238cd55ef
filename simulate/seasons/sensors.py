"""Sensors of a synthetic series: their bands, sharpness, sampling and calendar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trifuse.core import PSF, Band, BandSet
from trifuse.srf_data import S3_SYN_19, load

GSD = 10.0
"""Pixel in metres of the ground that all sensors look at."""

_NODES = 4
"""Wavelengths that stand for one band."""


@dataclass(frozen=True, slots=True)
class SeriesSensor:
    """One sensor.

    Attributes:
        name: key of its series.
        srf: response table.
        reflective: names of its reflective bands in the table.
        resolution: true resolution of each band in metres, temperature last.
        mtf: modulation transfer at Nyquist of each band; 1: no blur.
        ratio: ground pixels per delivered pixel.
        revisit: days between passes.
        phase: passes start on a random day before this one.
        missed: share of the passes without an image.
        hour: local solar time of the pass.
        noise: standard deviation of the noise, in reflectance.
        thermal: name of a band of surface temperature in kelvin, or empty.
        thermal_noise: standard deviation of its noise in kelvin.
    """

    name: str
    srf: str
    reflective: tuple[str, ...]
    resolution: tuple[float, ...]
    mtf: tuple[float, ...]
    ratio: int
    revisit: int
    phase: int
    missed: float
    hour: float
    noise: float
    thermal: str = ""
    thermal_noise: float = 0.0

    @property
    def bands(self) -> BandSet:
        """Bands in order, temperature last."""
        bands = load(self.srf).bands.select(self.reflective)
        return bands if not self.thermal else BandSet((*bands, Band(self.thermal)))

    @property
    def sigma(self) -> list[float]:
        """Standard deviation of each band's PSF in ground pixels; 0 where there is no blur."""
        pairs = zip(self.mtf, self.resolution, strict=True)
        return [PSF.from_mtf(m).pixels(r / GSD) if m < 1 else 0.0 for m, r in pairs]


SENTINEL2 = SeriesSensor(
    "sentinel2", "S2A_MSI",
    ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
    (10, 10, 10, 20, 20, 20, 10, 20, 20, 20), (1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3),
    1, 5, 5, 0.10, 10.6, 0.0025,
)  # fmt: skip

LANDSAT = SeriesSensor(
    "landsat",
    "L8_OLI",
    ("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
    (*(30.0,) * 7, 90.0),
    (*(0.3,) * 7, 0.2),
    3,
    8,
    8,
    0.06,
    10.2,
    0.0015,
    "LST",
    0.3,
)

SENTINEL3 = SeriesSensor(
    "sentinel3", "S3A_SYN", S3_SYN_19, (300.0,) * 19, (0.3,) * 19, 30, 2, 2, 0.05, 10.0, 0.001
)

SENSORS = {s.name: s for s in (SENTINEL2, LANDSAT, SENTINEL3)}


@lru_cache(maxsize=8)
def band_nodes(srf: str, names: tuple[str, ...]) -> np.ndarray:
    """Wavelengths whose plain mean stands for each band's response.

    They split the area under the response curve into equal parts.

    Returns:
        (band, nodes) nm.
    """
    table = load(srf)
    rows = []
    for name in names:
        wavelength, response = table.curve(name)
        steps = np.diff(wavelength) * (response[1:] + response[:-1]) / 2
        area = np.r_[0.0, np.cumsum(steps)]
        middle = (np.arange(_NODES) + 0.5) / _NODES * area[-1]
        rows.append(np.interp(middle, area, wavelength))
    return np.array(rows)
