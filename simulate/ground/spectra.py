"""Reflectance of materials from a few physical parameters each, 400–2500 nm.

Every model takes one row of parameters per pixel and returns (pixel, band) float32. Absorption
enters as an exponent, so parameters act non-linearly and a scene has the many spectral
dimensions that real scenes have. The curves are smooth forms fitted by eye to published
properties; they are plausible, not measurements.

Sources: Goudriaan 1977, Crop Micrometeorology, and Sellers 1985, doi:10.1080/01431168508948283
(canopy two-stream); Feret et al. 2008, doi:10.1016/j.rse.2008.02.012 (leaf constituents); Hale
and Querry 1973, doi:10.1364/AO.12.000555 (liquid water); Warren and Brandt 2008,
doi:10.1029/2007JD009744 (ice); Kokhanovsky and Zege 2004, doi:10.1364/AO.43.001589 (snow);
Gordon et al. 1988, doi:10.1029/JD093iD09p10909, and Lee et al. 1998, doi:10.1364/AO.37.006329
(water bodies); Clark and Roush 1984, doi:10.1029/JB089iB07p06329 (minerals).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

# Liquid water, absorption in 1/cm, and ice, imaginary part of the refractive index.
_WATER_NM = (
    400, 440, 480, 500, 520, 550, 580, 600, 650, 680, 700, 720, 740, 760, 800, 840, 880, 910, 940,
    970, 1000, 1040, 1070, 1100, 1150, 1180, 1200, 1240, 1270, 1320, 1360, 1400, 1430, 1450, 1480,
    1520, 1570, 1650, 1700, 1760, 1800, 1850, 1890, 1930, 1960, 2000, 2050, 2100, 2150, 2200, 2250,
    2300, 2350, 2400, 2450, 2500,
)  # fmt: skip
_WATER_PER_CM = (
    7e-5, 6e-5, 1.3e-4, 2e-4, 4e-4, 5.7e-4, 9e-4, 2.2e-3, 3.4e-3, 4.6e-3, 6.2e-3, .012, .024, .026,
    .020, .034, .056, .075, .22, .45, .41, .16, .13, .19, .78, 1.1, 1.23, 1.06, 1.05, 1.6, 3.4, 13,
    26, 30, 25, 15, 8.4, 5.2, 5.3, 7.0, 7.6, 13, 60, 121, 108, 69, 40, 26, 19, 16.5, 18, 23.5, 32,
    43, 60, 83,
)  # fmt: skip
_ICE_NM = (
    400, 500, 600, 700, 800, 900, 1000, 1030, 1100, 1150, 1200, 1260, 1310, 1370, 1410, 1450, 1500,
    1550, 1600, 1700, 1800, 1860, 1900, 1950, 2000, 2060, 2150, 2250, 2300, 2400, 2500,
)  # fmt: skip
_ICE_INDEX = (
    2e-10, 6e-10, 5.7e-9, 2.9e-8, 1.3e-7, 4.2e-7, 1.6e-6, 2.3e-6, 1.7e-6, 3.5e-6, 9.6e-6, 1.3e-5,
    1.2e-5, 1.5e-5, 2.2e-5, 1.5e-4, 5.5e-4, 4.2e-4, 2.7e-4, 1.6e-4, 1.15e-4, 1.3e-4, 2.6e-4, 1.1e-3,
    1.6e-3, 1.1e-3, 4.4e-4, 2.2e-4, 3e-4, 6e-4, 8e-4,
)  # fmt: skip


class Vegetation(IntEnum):
    """Columns of a canopy's parameters.

    Leaf constituents first: chlorophyll, carotenoids and anthocyanins (µg/cm²), brown pigment,
    water (cm of path), dry matter, lignin and cellulose; then the leaf albedo without absorption,
    the leaf area index and the extinction per unit of it.
    """

    CHLOROPHYLL = 0
    CAROTENOID = 1
    ANTHOCYANIN = 2
    BROWN = 3
    WATER = 4
    DRY = 5
    LIGNIN = 6
    ALBEDO = 7
    LEAF_AREA = 8
    EXTINCTION = 9


class Soil(IntEnum):
    """Columns of a soil's parameters, optical depths.

    −ln of the brightness at 2 µm, fall towards the blue, organic matter, two iron oxides, clay,
    carbonate, bound water, and surface moisture.
    """

    DARK = 0
    SLOPE = 1
    HUMUS = 2
    GOETHITE = 3
    HEMATITE = 4
    CLAY = 5
    CARBONATE = 6
    GYPSUM = 7
    WET = 8


class Water(IntEnum):
    """Columns of a water body's parameters.

    Chlorophyll (mg/m³), suspended matter (g/m³), dissolved organic absorption at 440 nm (1/m),
    depth (m), surface reflectance, spectral exponent of the particles.
    """

    CHLOROPHYLL = 0
    SEDIMENT = 1
    ORGANIC = 2
    DEPTH = 3
    GLINT = 4
    FINE = 5


class Built(IntEnum):
    """Columns of built ground: shares of eight surfaces, then grime and rust as optical depths."""

    ASPHALT = 0
    CONCRETE = 1
    TILE = 2
    BITUMEN = 3
    GRAVEL = 4
    METAL = 5
    PAINT = 6
    SLATE = 7
    GRIME = 8
    RUST = 9


SURFACES = slice(0, Built.GRIME)
"""The columns of :class:`Built` that are shares; they sum to one."""


class Snow(IntEnum):
    """Columns of snow.

    Effective grain diameter (mm), soot as an optical depth at 500 nm, liquid water (mm).
    """

    GRAIN = 0
    SOOT = 1
    LIQUID = 2


@dataclass(frozen=True, slots=True)
class SpectralLibrary:
    """The curves of all models, tabulated at given wavelengths.

    Attributes:
        nm: (band,) wavelengths.
        leaf: (7, band) absorption of the leaf constituents, per unit of :class:`Vegetation`.
        soil: (9, band) absorption per unit of :class:`Soil`.
        built: (8, band) reflectance of the surfaces of :class:`Built`.
        weather: (2, band) absorption of grime and rust.
        water: (band,) absorption of liquid water in 1/cm.
        ice: (band,) absorption of ice in 1/mm.
        pigment: (band,) absorption of phytoplankton, 1 at 440 nm.
        diffuse: (band,) share of sky light in the irradiance of a clear day.
        vapour: (band,) optical depth of water vapour, oxygen and carbon dioxide.
        cloud: (band,) reflectance of a thick cloud.
    """

    nm: np.ndarray
    leaf: np.ndarray
    soil: np.ndarray
    built: np.ndarray
    weather: np.ndarray
    water: np.ndarray
    ice: np.ndarray
    pigment: np.ndarray
    diffuse: np.ndarray
    vapour: np.ndarray
    cloud: np.ndarray

    @classmethod
    def at(cls, nm: Sequence[float] | np.ndarray) -> SpectralLibrary:
        """Tabulate at the wavelengths of a sensor's bands, in nm, any order."""
        w = np.asarray(nm, dtype=float)
        water = np.exp(np.interp(w, _WATER_NM, np.log(_WATER_PER_CM)))
        ice = np.exp(np.interp(w, _ICE_NM, np.log(_ICE_INDEX))) * 4e6 * np.pi / w
        pigment = _bump(w, 440, 32) + 0.25 * _bump(w, 490, 40) + 0.5 * _bump(w, 675, 13)
        diffuse = 0.32 * (w / 450) ** -1.7 + 0.015
        vapour = _gases(w)
        cloud = 0.88 * np.exp(-0.012 * np.sqrt(ice * 60)) * np.exp(-0.05 * vapour)
        tables = {
            "nm": w,
            "leaf": _leaf(w, water),
            "soil": _soil(w, water),
            "built": _built(w),
            "weather": _weather(w),
            "water": water,
            "ice": ice,
            "pigment": pigment,
            "diffuse": diffuse,
            "vapour": vapour,
            "cloud": cloud,
        }
        return cls(**{name: np.asarray(t, dtype=np.float32) for name, t in tables.items()})

    def vegetation(self, parameters: np.ndarray, ground: np.ndarray) -> np.ndarray:
        """Canopy over ground.

        Args:
            parameters: (pixel, 10), see :class:`Vegetation`.
            ground: (pixel, band) reflectance below.
        """
        area, extinction = (
            _column(parameters, k) for k in (Vegetation.LEAF_AREA, Vegetation.EXTINCTION)
        )
        # Single-scattering albedo of leaves; √(1−ω) governs both depth and attenuation.
        root = parameters[:, : Vegetation.ALBEDO] @ self.leaf
        np.negative(root, out=root)
        np.exp(root, out=root)
        root *= -_column(parameters, Vegetation.ALBEDO)
        root += np.float32(0.93)  # the waxy surface reflects a little at every wavelength
        np.maximum(root, 0.01, out=root)
        np.sqrt(root, out=root)
        thick = (1 - root) / (1 + root)
        through = np.exp(root * (-2 * area * extinction))
        return np.asarray(thick + (ground - thick) * through)

    def ground(self, parameters: np.ndarray) -> np.ndarray:
        """Bare soil, rock, sand: (pixel, 9), see :class:`Soil`."""
        depth = parameters @ self.soil
        np.negative(depth, out=depth)
        np.exp(depth, out=depth)
        return np.asarray(depth)

    def lake(self, parameters: np.ndarray, bottom: np.ndarray) -> np.ndarray:
        """Rivers and lakes: (pixel, 6), see :class:`Water`, over a bottom of (pixel, band)."""
        algae, sediment, organic, depth, glint, fine = (_column(parameters, k) for k in Water)
        scale = np.log(self.nm / np.float32(550))
        absorb = (self.water * 100)[None] + (0.05 * algae**0.65) * self.pigment
        absorb += organic * np.exp(-0.015 * (self.nm - 440))
        absorb += sediment * (0.03 * np.exp(-0.011 * (self.nm - 440)))
        scatter = 0.0009 * np.exp(-4.3 * scale) + (0.0013 * algae**0.6) * np.exp(-0.7 * scale)
        scatter = scatter + (0.011 * sediment) * np.exp(-fine * scale)
        absorb += scatter
        ratio = scatter / absorb
        deep = (0.15 + 0.2 * ratio) * ratio
        seen = np.exp(-2.2 * absorb * depth)
        return np.asarray(deep + (0.5 * bottom - deep) * seen + glint * np.exp(-0.25 * scale))

    def town(self, parameters: np.ndarray) -> np.ndarray:
        """Roofs, roads and yards: (pixel, 10), see :class:`Built`."""
        surface = parameters[:, SURFACES] @ self.built
        surface *= np.exp(-(parameters[:, Built.GRIME :] @ self.weather))
        return np.asarray(surface)

    def snow(self, parameters: np.ndarray) -> np.ndarray:
        """Snow and ice: (pixel, 3), see :class:`Snow`."""
        grain, soot, liquid = (_column(parameters, k) for k in Snow)
        path = grain * self.ice + liquid * (0.1 * self.water)
        return np.asarray(0.98 * np.exp(-2.2 * np.sqrt(path) - soot * (500 / self.nm)))


def _column(parameters: np.ndarray, which: int) -> np.ndarray:
    """One parameter of all pixels, as (pixel, 1) to go with the bands."""
    return parameters[:, which : which + 1]


def _bump(w: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Gaussian of height one; ``width`` is the standard deviation in nm."""
    return np.exp(-0.5 * ((w - centre) / width) ** 2)


def _bumps(
    w: np.ndarray, *bumps: tuple[float, float, float], on: float | np.ndarray = 0.0
) -> np.ndarray:
    """Gaussians of given (height, centre, standard deviation) added to a level, one by one."""
    total = on
    for height, centre, width in bumps:
        total = total + height * _bump(w, centre, width)
    return np.asarray(total)


def _edge(w: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Falls from one to zero at ``centre``."""
    return 1 / (1 + np.exp((w - centre) / width))


def _rise(w: np.ndarray, centre: float, width: float) -> np.ndarray:
    """Rises from zero to one at ``centre``."""
    return 1 - _edge(w, centre, width)


# Absorption peaks: height, centre and standard deviation in nm.
_CHLOROPHYLL = (
    (0.95, 435, 30),
    (0.55, 470, 22),
    (0.58, 548, 45),
    (0.50, 605, 30),
    (0.85, 650, 20),
    (0.95, 678, 15),
    (0.26, 706, 15),
    (0.05, 732, 14),
)
_LIGNIN = ((0.90, 2100, 55), (0.35, 2270, 22), (0.80, 2340, 40), (0.25, 1730, 18), (0.20, 1940, 40))
_GASES = (
    # water vapour
    (0.25, 723, 9),
    (0.22, 820, 12),
    (0.90, 940, 20),
    (0.40, 908, 13),
    (1.10, 1130, 19),
    (7.00, 1378, 26),
    (6.00, 1875, 38),
    (0.55, 1470, 30),
    # oxygen, and weak bands of vapour beside it
    (0.80, 761, 5.5),
    (0.12, 889, 9),
    (0.02, 860, 30),
    (0.05, 788, 9),
    # carbon dioxide
    (0.90, 2010, 18),
    (0.35, 2060, 14),
)


def _leaf(w: np.ndarray, water: np.ndarray) -> np.ndarray:
    chlorophyll = 0.058 * _bumps(w, *_CHLOROPHYLL)
    carotenoid = 0.10 * _bumps(w, (0.8, 425, 28), (1, 455, 22), (0.8, 488, 17))
    anthocyanin = 0.09 * _bumps(w, (1, 545, 32), (0.25, 450, 60))
    brown = 1.8 * np.exp(-(w - 400) / 190)
    dry = 0.06 + 0.10 * _edge(w, 790, 50) + 0.25 * _edge(w, 500, 60) + 0.35 * _rise(w, 1900, 160)
    dry = _bumps(w, (0.05, 1200, 35), (0.25, 1490, 55), (0.25, 1730, 30), on=dry)
    lignin = _bumps(w, *_LIGNIN) + 0.5 * _rise(w, 2420, 35)
    return np.stack([chlorophyll, carotenoid, anthocyanin, brown, water, dry, lignin])


def _soil(w: np.ndarray, water: np.ndarray) -> np.ndarray:
    slope = np.log1p(np.maximum(2000 - w, 0) / 700) + 0.25 * _edge(w, 560, 70)
    humus = 0.5 + 1.3 * np.exp(-0.5 * ((np.log(w) - np.log(640)) / 0.42) ** 2)
    goethite = _bumps(w, (0.35, 650, 45), (0.45, 920, 70), on=1.1 * _edge(w, 500, 30))
    hematite = _bumps(w, (0.25, 660, 30), (0.4, 865, 50), on=1.3 * _edge(w, 555, 22))
    clay = _bumps(w, (1, 2207, 22), (0.45, 2165, 18), (0.7, 1413, 20), (0.7, 1912, 32))
    clay = clay + 0.4 * _rise(w, 2330, 60)
    carbonate = _bumps(w, (1, 2338, 28), (0.35, 2500, 60), (0.25, 2160, 25))
    bound = _bumps(w, (1, 1445, 40), (1.3, 1940, 45), (0.35, 1750, 25), (0.35, 2215, 35))
    wet = 0.75 - 0.15 * _bump(w, 1000, 300) + 1.1 * water / (water + 25) + 0.004 * water
    dark = np.ones_like(w)
    return np.stack([dark, slope, humus, goethite, hematite, clay, carbonate, bound, wet])


def _built(w: np.ndarray) -> np.ndarray:
    x = np.log(w / 1000)
    hydroxyl = _bumps(w, (0.06, 1420, 45), (0.1, 1930, 50))
    tar = _bumps(w, (0.08, 1730, 25), (0.16, 2320, 40))
    asphalt = 0.13 * np.exp(0.28 * x) * (1 - 0.5 * tar)
    concrete = 0.34 * (1 - 0.45 * np.exp(-(w - 350) / 170)) * (1 - hydroxyl)
    concrete *= _bumps(w, (-0.10, 2340, 35), on=1) - 0.14 * _rise(w, 2250, 110)
    tile = 0.07 + 0.24 * _rise(w, 570, 28) + 0.14 * _rise(w, 1000, 170)
    tile *= _bumps(w, (-0.12, 870, 55), (-0.04, 2210, 25), on=1)
    bitumen = 0.065 * np.exp(0.45 * x) * (1 - tar)
    gravel = 0.30 * (1 - 0.55 * np.exp(-(w - 350) / 260)) * (1 - 0.7 * hydroxyl)
    gravel *= 1 - 0.18 * _bump(w, 2338, 26)
    metal = 0.38 * (1 - 0.08 * _bump(w, 850, 90)) * np.exp(0.10 * x) * (1 - 0.3 * _edge(w, 430, 25))
    paint = 0.62 * (1 - 0.9 * _edge(w, 415, 9)) * np.exp(-0.33 * np.maximum(x, 0))
    paint *= _bumps(
        w, (-0.16, 1720, 20), (-0.28, 2310, 35), (-0.06, 1420, 25), (-0.1, 1190, 20), on=1
    )
    slate = 0.105 * (1 + 0.35 * _bump(w, 450, 70)) * np.exp(0.12 * x)
    slate *= _bumps(w, (-0.15, 2205, 25), (-0.1, 2330, 40), on=1)
    return np.stack([asphalt, concrete, tile, bitumen, gravel, metal, paint, slate])


def _weather(w: np.ndarray) -> np.ndarray:
    grime = 0.4 + 0.9 * np.exp(-(w - 400) / 500)
    rust = _bumps(w, (0.35, 880, 70), on=1.4 * _edge(w, 560, 30))
    return np.stack([grime, rust])


def _gases(w: np.ndarray) -> np.ndarray:
    return _bumps(w, *_GASES) + 0.9 * _rise(w, 2440, 30)
