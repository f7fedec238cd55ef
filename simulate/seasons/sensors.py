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
    name="sentinel2",
    srf="S2A_MSI",
    reflective=("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12"),
    resolution=(10, 10, 10, 20, 20, 20, 10, 20, 20, 20),
    mtf=(1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3),
    ratio=1,
    revisit=5,
    phase=5,
    missed=0.10,
    hour=10.6,
    noise=0.0025,
)

LANDSAT = SeriesSensor(
    name="landsat",
    srf="L8_OLI",
    reflective=("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
    resolution=(*(30.0,) * 7, 90.0),
    mtf=(*(0.3,) * 7, 0.2),
    ratio=3,
    revisit=8,
    phase=8,
    missed=0.06,
    hour=10.2,
    noise=0.0015,
    thermal="LST",
    thermal_noise=0.3,
)

SENTINEL3 = SeriesSensor(
    name="sentinel3",
    srf="S3A_SYN",
    reflective=S3_SYN_19,
    resolution=(300.0,) * 19,
    mtf=(0.3,) * 19,
    ratio=30,
    revisit=2,
    phase=2,
    missed=0.05,
    hour=10.0,
    noise=0.001,
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
