"""A year over a procedural scene: sun, weather, soil water, snow, and what grows in each parcel."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from scipy.special import expit, ndtr

from trifuse.simulate.ground.draws import Salt, choose, normal, normals, stream, uniform
from trifuse.simulate.ground.landuse import CANOPIES, CANOPY_SPREAD, Canopy, Landcover
from trifuse.simulate.ground.spectra import Vegetation
from trifuse.simulate.ground.terrain import Setting

_LEAD = 90
"""Days of weather before the first of January, which snow and soil remember."""


@dataclass(frozen=True, slots=True)
class Weather:
    """Daily weather; index 0 is the first of January, values beyond a year repeat the last.

    Attributes:
        latitude: degrees north.
        air: air temperature in kelvin when the satellites pass.
        cloudy: share of the sky under clouds, 0–1.
        wet: soil moisture 0–1.
        snow: on the ground; about 1 hides everything.
        lag: days by which the season runs late.
    """

    latitude: float
    air: np.ndarray
    cloudy: np.ndarray
    wet: np.ndarray
    snow: np.ndarray
    lag: float

    def at(self, name: str, day: float) -> float:
        """A daily value, linear in between."""
        values = getattr(self, name)
        return float(np.interp(day, np.arange(len(values)), values))


def build_weather(seed: int, year: int, setting: Setting) -> Weather:
    """Draw a year: spells of fair and bad weather, rain, and snow when it is cold."""
    rng = stream(seed, f"weather {year}")
    days = np.arange(-_LEAD, 370)
    warmth = 8.0 * setting.dryness - 3.0 * setting.rugged
    latitude = 48.5 - 8 * setting.dryness + rng.uniform(-3, 3)
    spell = _red_noise(rng, len(days), 2.6)
    winter = np.cos(2 * np.pi * (days - 15) / 365)
    grey = ndtr(spell + 0.35 * winter - 0.9 * setting.dryness * (1 - winter) / 2)
    cloudy = np.clip((grey - 0.28) / 0.40, 0, 1)
    swing = _red_noise(rng, len(days), 5.0)
    air = 283.5 + warmth - (10.3 + 2 * setting.dryness) * np.cos(2 * np.pi * (days - 22) / 365)
    air = air + 3.2 * swing - 1.5 * cloudy * (1 - winter)
    falls = np.maximum(grey - 0.72, 0) * 3.6 * rng.random(len(days))
    wet, snow = np.zeros(len(days)), np.zeros(len(days))
    water, pack = 0.5, 0.0
    for i, temperature in enumerate(air):
        cold = temperature < 273.8
        thaw = 0.02 + 0.10 * max(temperature - 272.3, 0)
        pack = max(pack + 1.3 * falls[i] * cold - thaw, 0)
        dry_out = 0.035 + 0.012 * max(temperature - 278, 0)
        water = min(water * (1 - dry_out) + 0.55 * falls[i] * (not cold), 1.0)
        wet[i], snow[i] = water, min(pack, 1.3)
    lag = rng.normal(0, 5) - 0.9 * warmth
    air, cloudy, wet, snow = (a[_LEAD:] for a in (air, cloudy, wet, snow))
    return Weather(latitude, air, cloudy, wet, snow, float(lag))


def sun_at(latitude: float, day: float, hour: float) -> tuple[float, float]:
    """Elevation and azimuth (clockwise from north) in radians at a local solar time."""
    declination = np.radians(-23.44) * np.cos(2 * np.pi * (day + 10) / 365.25)
    phi, angle = np.radians(latitude), np.radians(15 * (hour - 12))
    sine = np.sin(phi) * np.sin(declination) + np.cos(phi) * np.cos(declination) * np.cos(angle)
    elevation = np.arcsin(sine)
    south = np.arctan2(
        np.sin(angle), np.cos(angle) * np.sin(phi) - np.tan(declination) * np.cos(phi)
    )
    return float(elevation), float(np.pi + south)


class Crop(IntEnum):
    """What a parcel carries through a year."""

    WINTER_CEREAL = 0
    WINTER_RAPE = 1
    SPRING_CEREAL = 2
    MAIZE = 3
    BEET = 4
    POTATO = 5
    FALLOW = 6
    MEADOW = 7
    PASTURE = 8
    SCRUB = 9
    LAWN = 10
    PIT = 11


CROPS = tuple(crop.name.lower().replace("_", " ") for crop in Crop)
"""Names of the crops."""

_NEVER = 999.0


@dataclass(frozen=True, slots=True)
class Calendar:
    """Leaf areas and dates of parcels, (parcel,) each; dates are days of the year.

    Attributes:
        winter: leaf area in winter.
        peak: leaf area at its peak.
        greening: middle of the greening.
        greening_pace: days in which it rises by a factor e.
        ripening: middle of the ripening.
        ripening_pace: as for the greening.
        harvest: day of it; 999 for never, as with the next two.
        tillage: day of it.
        following: emergence of the next crop.
    """

    winter: np.ndarray
    peak: np.ndarray
    greening: np.ndarray
    greening_pace: np.ndarray
    ripening: np.ndarray
    ripening_pace: np.ndarray
    harvest: np.ndarray
    tillage: np.ndarray
    following: np.ndarray


_CALENDARS = {
    # in the order of Calendar, and the scatter of the dates in days
    #                   winter peak  green pace ripe  pace harvest till  next  scatter
    Crop.WINTER_CEREAL: (0.9, 4.2,   97.,  11., 174.,  7., 202.,  236., 296.,  6.),
    Crop.WINTER_RAPE:   (1.4, 4.0,   84.,   9., 167.,  8., 197.,  222., 290.,  6.),
    Crop.SPRING_CEREAL: (0.0, 3.4,  126.,   9., 197.,  7., 217.,  252., 300.,  7.),
    Crop.MAIZE:         (0.0, 3.8,  172.,  10., 263.,  9., 281.,  301., _NEVER, 9.),
    Crop.BEET:          (0.0, 3.9,  165.,  11., 330., 20., 296.,  298., _NEVER, 9.),
    Crop.POTATO:        (0.0, 3.3,  160.,   8., 236.,  9., 262.,  265., 305.,  9.),
    Crop.FALLOW:        (0.4, 0.9,  115.,  20., 215., 20., _NEVER, _NEVER, _NEVER, 10.),
    Crop.MEADOW:        (1.1, 3.6,   97.,  14., 292., 18., _NEVER, _NEVER, _NEVER, 7.),
    Crop.PASTURE:       (1.0, 2.2,   99.,  16., 290., 20., _NEVER, _NEVER, _NEVER, 7.),
    Crop.SCRUB:         (1.1, 1.9,  112.,  18., 285., 20., _NEVER, _NEVER, _NEVER, 6.),
    Crop.LAWN:          (1.2, 2.2,   95.,  14., 300., 20., _NEVER, _NEVER, _NEVER, 5.),
    Crop.PIT:           (.04, .04,  100.,  20., _NEVER, 20., _NEVER, _NEVER, _NEVER, 1.),
}  # fmt: skip
_NUMBERS = np.array([_CALENDARS[crop] for crop in Crop])

_CANOPIES = {
    Crop.WINTER_CEREAL: Canopy.CEREAL,
    Crop.WINTER_RAPE: Canopy.CEREAL,
    Crop.SPRING_CEREAL: Canopy.CEREAL,
    Crop.MAIZE: Canopy.MAIZE,
    Crop.BEET: Canopy.BEET,
    Crop.POTATO: Canopy.BEET,
    Crop.FALLOW: Canopy.SCRUB,
    Crop.MEADOW: Canopy.MEADOW,
    Crop.PASTURE: Canopy.MEADOW,
    Crop.SCRUB: Canopy.SCRUB,
    Crop.LAWN: Canopy.LAWN,
    Crop.PIT: Canopy.PIT,
}
_GREEN = np.array([_CANOPIES[crop] for crop in Crop])
"""(crop,) the canopy in full growth."""

_DRYING = (Crop.MEADOW, Crop.PASTURE, Crop.SCRUB, Crop.LAWN, Crop.FALLOW)
"""Grass turns to hay, the others ripen."""

_ARABLE_SHARES = {
    Crop.WINTER_CEREAL: 0.34,
    Crop.WINTER_RAPE: 0.11,
    Crop.SPRING_CEREAL: 0.11,
    Crop.MAIZE: 0.20,
    Crop.BEET: 0.08,
    Crop.POTATO: 0.05,
    Crop.MEADOW: 0.07,
    Crop.FALLOW: 0.04,
}
_GRASS_SHARES = {Crop.MEADOW: 0.5, Crop.PASTURE: 0.32, Crop.SCRUB: 0.18}


@dataclass(frozen=True, slots=True)
class Growth:
    """What the parcels of a scene carry through a year.

    Attributes:
        crop: (parcel,) codes of :class:`Crop`, index into :data:`CROPS`.
        calendar: leaf areas and dates.
        green: (parcel, 10) by :class:`~trifuse.simulate.ground.spectra.Vegetation`, in full growth.
        ripe: (parcel, 10) when ripe, dry or cut.
        mown: (parcel, 3) days on which meadows are mown.
        drought: (parcel,) how much summer dries the grass, 0–1.
    """

    crop: np.ndarray
    calendar: Calendar
    green: np.ndarray
    ripe: np.ndarray
    mown: np.ndarray
    drought: np.ndarray

    def canopy(self, day: float) -> np.ndarray:
        """Vegetation parameters of each parcel on a day: (parcel, 10)."""
        green, brown = self._leaf_areas(day)
        total = green + brown
        share = (brown / np.maximum(total, 1e-6))[:, None]
        age = day - self.calendar.greening
        bloom = np.exp(-(((age - 36) / 9) ** 2)) * (self.crop == Crop.WINTER_RAPE)
        leaves = self.green + bloom[:, None] * (CANOPIES[Canopy.RAPE] - self.green)
        out = leaves + share * (self.ripe - leaves)
        out[:, Vegetation.LEAF_AREA] = total
        return np.asarray(out, np.float32)

    def _leaf_areas(self, day: float) -> tuple[np.ndarray, np.ndarray]:
        """Leaf area of green and of brown leaves, (parcel,) each."""
        c = self.calendar
        rise = expit((day - c.greening) / c.greening_pace)
        fall = expit((day - c.ripening) / c.ripening_pace)
        green = (c.winter + (c.peak - c.winter) * rise) * (1 - fall) + 0.25 * c.winter * fall
        brown = 0.6 * (c.peak - c.winter) * rise * fall
        age = day - self.mown
        cut = np.where(age >= 0, 0.72 * np.exp(-np.maximum(age, 0) / 20), 0).max(axis=1)
        brown = brown + 0.35 * cut * green
        green = green * (1 - cut)
        thirst = self.drought * np.exp(-(((day - 222) / 38) ** 2))
        green, brown = green * (1 - 0.75 * thirst), brown + 0.55 * thirst * green
        seedling = np.maximum(c.winter, 0.6) * expit((day - c.following - 14) / 7)
        seedling = np.where(c.following < _NEVER, seedling, 0)
        stubble = np.where(day < c.tillage, 0.7, 0.0)
        cleared = day >= c.harvest
        return np.where(cleared, seedling, green), np.where(cleared, stubble, brown)

    def tilled(self, day: float) -> np.ndarray:
        """Moisture that fresh tillage has brought up: (parcel,)."""
        age = day - self.calendar.tillage
        return np.asarray(np.where(age >= 0, 0.25 * np.exp(-np.maximum(age, 0) / 9), 0), np.float32)


def build_growth(
    ids: np.ndarray, landcover: np.ndarray, pit: np.ndarray, lag: np.ndarray, setting: Setting
) -> Growth:
    """Sow the parcels.

    Args:
        ids: (parcel,) uint32.
        landcover: (parcel,) codes of :class:`~trifuse.simulate.ground.landuse.Landcover`.
        pit: (parcel,) bool, quarries.
        lag: (parcel,) days by which the season runs late there.
        setting: the sort of country.
    """
    crop = _sow(ids, landcover, pit)
    drying = np.isin(crop, _DRYING)
    spread = 0.7 * CANOPY_SPREAD * normals(ids, Salt.CROP_CANOPY)
    ripe = CANOPIES[np.where(drying, Canopy.DRY_GRASS, Canopy.RIPE)]
    thirst = 0.25 + 0.9 * setting.dryness + 0.25 * normal(ids, Salt.DROUGHT)
    return Growth(
        crop=crop,
        calendar=_calendar(ids, crop, lag, setting),
        green=np.asarray(CANOPIES[_GREEN[crop]] * np.exp(spread), np.float32),
        ripe=np.asarray(ripe * np.exp(0.7 * spread), np.float32),
        mown=_mowings(ids, crop, lag),
        drought=np.asarray(np.clip(thirst, 0, 1) * drying, np.float32),
    )


def _sow(ids: np.ndarray, landcover: np.ndarray, pit: np.ndarray) -> np.ndarray:
    """Codes of :class:`Crop`, by land cover and by chance."""
    arable = np.isin(landcover, (Landcover.CROPLAND, Landcover.BARE))
    crop = np.where(
        arable,
        _pick(_ARABLE_SHARES, uniform(ids, Salt.ARABLE_CROP)),
        _pick(_GRASS_SHARES, uniform(ids, Salt.GRASS_CROP)),
    )
    crop = np.where(landcover == Landcover.BUILT, Crop.LAWN, crop)
    crop = np.where(landcover == Landcover.FOREST, Crop.SCRUB, crop)
    return np.where(pit, Crop.PIT, crop)


def _pick(shares: dict[Crop, float], drawn: np.ndarray) -> np.ndarray:
    """Choose crops by their shares and (parcel,) values drawn uniformly from [0, 1)."""
    crops = np.array(list(shares))
    return np.asarray(crops[choose(np.array(list(shares.values())), drawn)])


def _calendar(ids: np.ndarray, crop: np.ndarray, lag: np.ndarray, setting: Setting) -> Calendar:
    """Dates scatter around those of the crop, and the season's lag moves them."""
    *typical, scatter = _NUMBERS[crop].T
    row = dict(zip((f.name for f in fields(Calendar)), typical, strict=True))
    # A field that starts late also ends late, more or less.
    late = 0.6 * normal(ids, Salt.SEASON_LATE)
    dates = ("greening", "ripening", "harvest", "tillage", "following")
    for name, own in zip(dates, normals(ids, Salt.CROP_DATES).T, strict=True):
        moved = row[name] + scatter * (late + 0.5 * own) + lag
        row[name] = np.where(row[name] < _NEVER, moved, _NEVER)
    ploughed = np.where(row["tillage"] < _NEVER, row["tillage"] - 2, _NEVER)
    row["harvest"] = np.minimum(row["harvest"], ploughed)
    size = np.exp(0.22 * normal(ids, Salt.LEAF_AREA)) * (1 - 0.3 * setting.dryness)
    for name in ("winter", "peak"):
        row[name] = row[name] * size
    return Calendar(**{name: np.asarray(values, np.float32) for name, values in row.items()})


def _mowings(ids: np.ndarray, crop: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """Days on which meadows are mown, one to three times: (parcel, 3)."""
    first = 146 + 9 * normal(ids, Salt.FIRST_MOWING) + lag
    gaps = 50 + 8 * normals(ids, Salt.MOWING_GAPS)
    days = np.column_stack([first, first + gaps[:, 0], first + gaps.sum(axis=1)])
    count = 1 + (3 * uniform(ids, Salt.MOWINGS)).astype(int)
    mown = (crop == Crop.MEADOW)[:, None] & (np.arange(3) < count[:, None])
    return np.asarray(np.where(mown, days, _NEVER), np.float32)


def leaves_of_trees(day: float, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of deciduous trees: (share of the leaves that is out, share of these in autumn colours)."""
    out = 0.12 + 0.88 * expit((day - 117 - lag) / 5) * (1 - expit((day - 306 - 0.5 * lag) / 6))
    return out, expit((day - 287 - 0.5 * lag) / 6)


def _red_noise(rng: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """Standard normal values that forget each other over ``memory`` days."""
    keep = np.exp(-1 / memory)
    drawn = rng.standard_normal(count)
    out = np.empty(count)
    out[0] = drawn[0]
    for i in range(1, count):
        out[i] = keep * out[i - 1] + np.sqrt(1 - keep**2) * drawn[i]
    return out
