"""Chance in a landscape: seeded streams for rasters, hashes for parcels of land.

A raster is drawn from a stream of its own, so that one part never shifts another. What belongs to
a parcel, to a border or to a branch of the splits is a hash of its number and of a salt, so that it
is the same whichever rows of a scene are drawn, and in whatever order.
"""

from __future__ import annotations

import zlib
from enum import Enum, unique

import numpy as np


@unique
class Salt(Enum):
    """What is drawn by hash, in landscapes and in their seasons, each under salts of its own.

    A member's value is its salt, or the first of its salts and their number. Salts are 1 to 999;
    a normal draw of the salt s is the sum of four uniform ones, of the salts 1000 s to
    1000 s + 3. No salt is two members', and each member is drawn in one place only: two draws of
    one salt from the same number would be the same value. Another salt makes other scenes of all
    seeds.
    """

    # Splits of land, by the branch that is split.
    SPLIT_GOAL = 1
    SPLIT_EARLY_END = 2
    SPLIT_SHARE = 3
    SPLIT_SLANTED = 4
    SPLIT_SLANT = 5
    SPLIT_BORDER = 6
    SPLIT_HALVES = 11, 2

    # Use of parcels, by the parcel.
    TOWN_EDGE = 21
    FOREST_EDGE = 22
    GRASS_LIKING = 23
    GRASS = 24
    GRASS_KIND = 25
    CROP_KIND = 26
    PIT = 27
    CLEARING = 28
    PIVOT = 29
    CONIFER = 30
    OPEN_WOOD = 31
    CANOPY = 40, 10
    BARE_LEAVES = 51
    TREE = 60, 10
    SOIL = 75, 9
    PLOUGHED = 85
    PIT_BRIGHTNESS = 86
    SURFACES = 90, 8
    GRIME = 99
    RUST = 100
    TOWN_GREEN = 101
    PLOT_HAS_ROOF = 102
    GARDEN_TREES = 103
    PLOT_PAVED = 104
    PARK_TREES = 105
    ORCHARD = 106
    ORCHARD_TREES = 107
    PLOT_KIND = 110

    # Rows of machines, by parcel and row; what stands on borders, by the border.
    ROW = 120
    SWATH = 121
    HEDGE = 122
    TRACK = 123

    # What grows through a year, by the parcel.
    ARABLE_CROP = 301
    GRASS_CROP = 302
    SEASON_LATE = 310
    CROP_DATES = 311, 5
    LEAF_AREA = 320
    CROP_CANOPY = 330, 10
    FIRST_MOWING = 350
    MOWING_GAPS = 351, 2
    MOWINGS = 353
    DROUGHT = 354

    def __init__(self, first: int, count: int = 1) -> None:
        self.first = first
        self.count = count


def stream(seed: int, name: str) -> np.random.Generator:
    """A random stream of its own for every part, by its name."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])


def scramble(numbers: np.ndarray, salt: int | np.ndarray) -> np.ndarray:
    """Hash uint32 numbers (the finaliser of MurmurHash3 by A. Appleby, public domain)."""
    stir = (np.asarray(salt, np.uint64) * np.uint64(0x9E3779B1)).astype(np.uint32)
    x: np.ndarray = numbers ^ stir
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return np.asarray(x ^ (x >> np.uint32(16)))


def renumber(numbers: np.ndarray, salt: Salt, which: np.ndarray | None = None) -> np.ndarray:
    """New uint32 numbers of what comes from old ones.

    Args:
        numbers: uint32.
        salt: of the draw.
        which: for each number, which of the salts (default: the first).
    """
    return scramble(numbers, salt.first if which is None else salt.first + which)


def uniform(numbers: np.ndarray, salt: Salt) -> np.ndarray:
    """A float32 in [0, 1) for each uint32 number."""
    return _uniform(numbers, salt.first)


def normal(numbers: np.ndarray, salt: Salt) -> np.ndarray:
    """A float32 of about standard normal distribution, never beyond ±3.5, for each number."""
    return _normal(numbers, salt.first)


def normals(numbers: np.ndarray, salt: Salt) -> np.ndarray:
    """As :func:`normal`, one column for each of the salts: (number, salt)."""
    drawn = [_normal(numbers, salt.first + k) for k in range(salt.count)]
    return np.stack(drawn, axis=1)


def choose(shares: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """Index into shares (n,), of any sum, for each value drawn uniformly from [0, 1)."""
    steps = np.cumsum(shares) / np.sum(shares)
    found = np.searchsorted(steps, drawn, side="right")
    return np.asarray(found.clip(0, len(shares) - 1))


def _uniform(numbers: np.ndarray, salt: int) -> np.ndarray:
    return (scramble(numbers, salt) >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)


def _normal(numbers: np.ndarray, salt: int) -> np.ndarray:
    total = sum(_uniform(numbers, 1000 * salt + k) for k in range(4))
    return np.asarray((total - 2) * np.float32(np.sqrt(3)), np.float32)
