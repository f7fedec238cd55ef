"""A year over a procedural scene: sun, weather, soil water, snow, and what grows in each parcel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr

from trifuse.simulate.ground.fields import normal, stream, uniform
from trifuse.simulate.ground.landuse import CANOPY, CANOPY_SPREAD, USES
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
        snow: snow cover; about 1 covers everything.
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
    water, cover = 0.5, 0.0
    for i, temperature in enumerate(air):
        cold = temperature < 273.8
        thaw = 0.02 + 0.10 * max(temperature - 272.3, 0)
        cover = max(cover + 1.3 * falls[i] * cold - thaw, 0)
        dry_out = 0.035 + 0.012 * max(temperature - 278, 0)
        water = min(water * (1 - dry_out) + 0.55 * falls[i] * (not cold), 1.0)
        wet[i], snow[i] = water, min(cover, 1.3)
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


# Crops: leaf area in winter and at the peak; middle and pace of greening and of ripening;
# harvest, tillage, emergence of the next crop; scatter of the dates. Days of the year.
_NEVER = 999.0
_CROPS = {
    #                winter peak  green pace ripe  pace harvest till  next  scatter use
    "winter cereal": (0.9, 4.2,   97.,  11., 174.,  7., 202.,  236., 296.,  6., "cereal"),
    "winter rape":   (1.4, 4.0,   84.,   9., 167.,  8., 197.,  222., 290.,  6., "cereal"),
    "spring cereal": (0.0, 3.4,  126.,   9., 197.,  7., 217.,  252., 300.,  7., "cereal"),
    "maize":         (0.0, 3.8,  172.,  10., 263.,  9., 281.,  301., _NEVER, 9., "maize"),
    "beet":          (0.0, 3.9,  165.,  11., 330., 20., 296.,  298., _NEVER, 9., "beet"),
    "potato":        (0.0, 3.3,  160.,   8., 236.,  9., 262.,  265., 305.,  9., "beet"),
    "fallow":        (0.4, 0.9,  115.,  20., 215., 20., _NEVER, _NEVER, _NEVER, 10., "scrub"),
    "meadow":        (1.1, 3.6,   97.,  14., 292., 18., _NEVER, _NEVER, _NEVER, 7., "meadow"),
    "pasture":       (1.0, 2.2,   99.,  16., 290., 20., _NEVER, _NEVER, _NEVER, 7., "meadow"),
    "scrub":         (1.1, 1.9,  112.,  18., 285., 20., _NEVER, _NEVER, _NEVER, 6., "scrub"),
    "lawn":          (1.2, 2.2,   95.,  14., 300., 20., _NEVER, _NEVER, _NEVER, 5., "lawn"),
    "pit":           (.04, .04,  100.,  20., _NEVER, 20., _NEVER, _NEVER, _NEVER, 1., "pit"),
}  # fmt: skip
CROPS = tuple(_CROPS)
_NUMBERS = np.array([row[:-1] for row in _CROPS.values()])
_GREEN = np.array([USES.index(row[-1]) for row in _CROPS.values()])
_RIPE, _YELLOW, _DRY = (USES.index(k) for k in ("ripe", "rape", "dry grass"))
_MEADOW, _RAPE, _PIT = (CROPS.index(k) for k in ("meadow", "winter rape", "pit"))

_ARABLE = {
    "winter cereal": 0.34,
    "winter rape": 0.11,
    "spring cereal": 0.11,
    "maize": 0.20,
    "beet": 0.08,
    "potato": 0.05,
    "meadow": 0.07,
    "fallow": 0.04,
}
_GRASS = {"meadow": 0.5, "pasture": 0.32, "scrub": 0.18}


@dataclass(frozen=True, slots=True)
class Growth:
    """What the parcels of a scene carry through a year.

    Attributes:
        crop: (parcel,) index into :data:`CROPS`.
        table: (parcel, 9) leaf areas and dates as in the table of crops.
        green: (parcel, 10) of scene_spectra.VEGETATION in full growth.
        ripe: (parcel, 10) when ripe, dry or cut.
        mown: (parcel, 3) days on which meadows are mown.
        drought: (parcel,) how much summer dries the grass, 0–1.
    """

    crop: np.ndarray
    table: np.ndarray
    green: np.ndarray
    ripe: np.ndarray
    mown: np.ndarray
    drought: np.ndarray

    def canopy(self, day: float) -> np.ndarray:
        """Vegetation parameters of each parcel on a day: (parcel, 10)."""
        winter, peak, start, pace, end, fade, harvest, till, following, _ = self.table.T
        rise, fall = expit((day - start) / pace), expit((day - end) / fade)
        green = (winter + (peak - winter) * rise) * (1 - fall) + 0.25 * winter * fall
        brown = 0.6 * (peak - winter) * rise * fall
        age = day - self.mown
        cut = np.where(age >= 0, 0.72 * np.exp(-np.maximum(age, 0) / 20), 0).max(axis=1)
        brown = brown + 0.35 * cut * green
        green = green * (1 - cut)
        thirst = self.drought * np.exp(-(((day - 222) / 38) ** 2))
        green, brown = green * (1 - 0.75 * thirst), brown + 0.55 * thirst * green
        stubble = np.where(day < till, 0.7, 0.0)
        seedling = np.maximum(winter, 0.6) * expit((day - following - 14) / 7)
        cleared = day >= harvest
        green = np.where(cleared, np.where(following < _NEVER, seedling, 0), green)
        brown = np.where(cleared, stubble, brown)
        total = green + brown
        share = (brown / np.maximum(total, 1e-6))[:, None]
        leaves = self.green
        bloom = np.exp(-(((day - start - 36) / 9) ** 2)) * (self.crop == _RAPE)
        leaves = leaves + bloom[:, None] * (CANOPY[_YELLOW, :10] - leaves)
        out = leaves + share * (self.ripe - leaves)
        out[:, 8] = total
        return np.asarray(out, np.float32)

    def tilled(self, day: float) -> np.ndarray:
        """Moisture that fresh tillage has brought up: (parcel,)."""
        age = day - self.table[:, 7]
        return np.asarray(np.where(age >= 0, 0.25 * np.exp(-np.maximum(age, 0) / 9), 0), np.float32)


def build_growth(
    ids: np.ndarray, cover: np.ndarray, pit: np.ndarray, lag: np.ndarray, setting: Setting
) -> Growth:
    """Sow the parcels.

    Args:
        ids: (parcel,) uint32.
        cover: (parcel,) code of scene_landuse.LANDCOVER.
        pit: (parcel,) bool, quarries.
        lag: (parcel,) days by which the season runs late there.
        setting: the sort of country.
    """
    arable = np.isin(cover, (2, 4))
    crop = np.where(arable, _pick(_ARABLE, ids, 301), _pick(_GRASS, ids, 302))
    crop = np.where(cover == 6, CROPS.index("lawn"), crop)
    crop = np.where(cover == 5, CROPS.index("scrub"), crop)
    crop = np.where(pit, _PIT, crop)
    table = _NUMBERS[crop].copy()
    for k, column in enumerate((2, 4, 6, 7, 8)):
        # A field that starts late also ends late, more or less.
        shift = 0.6 * normal(ids, 310) + 0.5 * normal(ids, 311 + k)
        moved = table[:, column] + table[:, 9] * shift + lag
        table[:, column] = np.where(table[:, column] < _NEVER, moved, _NEVER)
    table[:, 6] = np.minimum(table[:, 6], np.where(table[:, 7] < _NEVER, table[:, 7] - 2, _NEVER))
    table[:, :2] *= np.exp(0.22 * normal(ids, 320))[:, None] * (1 - 0.3 * setting.dryness)
    spread = 0.7 * CANOPY_SPREAD * np.stack([normal(ids, 330 + k) for k in range(10)], axis=1)
    green = CANOPY[_GREEN[crop], :10] * np.exp(spread)
    dry = np.isin(crop, [CROPS.index(k) for k in ("meadow", "pasture", "scrub", "lawn", "fallow")])
    ripe = CANOPY[np.where(dry, _DRY, _RIPE), :10] * np.exp(0.7 * spread)
    first = 146 + 9 * normal(ids, 350) + lag
    gaps = 50 + 8 * np.stack([normal(ids, 351), normal(ids, 352)], axis=1)
    cuts = np.column_stack([first, first + gaps[:, 0], first + gaps.sum(axis=1)])
    last = 1 + (3 * uniform(ids, 353)).astype(int)
    kept = (crop == _MEADOW)[:, None] & (np.arange(3) < last[:, None])
    mown = np.where(kept, cuts, _NEVER)
    thirst = np.clip(0.25 + 0.9 * setting.dryness + 0.25 * normal(ids, 354), 0, 1) * dry
    numbers = (table, green, ripe, mown, thirst)
    return Growth(crop, *(np.asarray(a, np.float32) for a in numbers))


def leaves_of_trees(day: float, lag: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of deciduous trees: (share of the leaves that is out, share of these in autumn colours)."""
    out = 0.12 + 0.88 * expit((day - 117 - lag) / 5) * (1 - expit((day - 306 - 0.5 * lag) / 6))
    return out, expit((day - 287 - 0.5 * lag) / 6)


def _pick(weights: dict[str, float], ids: np.ndarray, salt: int) -> np.ndarray:
    steps = np.cumsum(list(weights.values()))
    found = np.searchsorted(steps / steps[-1], uniform(ids, salt), side="right")
    codes = np.array([CROPS.index(name) for name in weights])
    return np.asarray(codes[found.clip(0, len(codes) - 1)])


def _red_noise(rng: np.random.Generator, count: int, memory: float) -> np.ndarray:
    """Standard normal values that forget each other over ``memory`` days."""
    keep = np.exp(-1 / memory)
    drawn = rng.standard_normal(count)
    out = np.empty(count)
    out[0] = drawn[0]
    for i in range(1, count):
        out[i] = keep * out[i - 1] + np.sqrt(1 - keep**2) * drawn[i]
    return out
