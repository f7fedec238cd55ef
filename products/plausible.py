"""Cheap looks at a source that is open: what its values say against what is stated of it.

A few blocks are read at full size; each look is a small function that finds nothing in healthy
products, or one contradiction that it puts into words. What makes every result wrong is told by
:attr:`Look.stops`, for the commands that go by the values.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import Any

import numpy as np

from trifuse.core import BandSet, CubeSource, DataError, Grid, ProductError, Window
from trifuse.products.sentinel2.delivery import NATIVE
from trifuse.products.sentinel2.place import tile_crs
from trifuse.products.sentinel2.witness import IMPOSSIBLE, MANY, MOST_BANDS, SOME

SIDE = (32, 256)
"""Least and greatest side of a block in pixels."""
SHARE = 0.005
"""Of the image's pixels, about what one block holds."""
BANDS = 12
"""Bands looked at, spread over those that are usable."""
_PLACES = ((0.5, 0.5), (0.27, 0.97), (0.73, 0.27), (0.27, 0.27), (0.73, 0.73))
"""Down and across. On a tile of Sentinel-2 blocks there lie in one stored block of each image."""
_BLOCKS = 2
_FEW = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What the looks go by.

    Attributes:
        name: of the source.
        bands: those looked at.
        grid: of the source.
        meta: of the source.
        values: by band, those of all blocks that are finite: (n,) float32.
        hidden: share of pixels with values that the mask takes out; NaN without values.
    """

    name: str
    bands: BandSet
    grid: Grid
    meta: Mapping[str, Any]
    values: Mapping[str, np.ndarray]
    hidden: float

    @property
    def reflectance(self) -> bool:
        """Whether the values are reflectance, stated or by names that only such bands have."""
        quantity = self.meta.get("quantity")
        if quantity is not None:
            return str(quantity).endswith("reflectance")
        centres = np.array(self.bands.centres)
        optical = np.isfinite(centres) & (centres > 350) & (centres < 3000)
        return bool(optical.all()) or set(self.bands.names) <= set(NATIVE)

    @property
    def spectra(self) -> dict[str, np.ndarray]:
        """Values of bands of reflectance; temperatures are none."""
        units = self.meta.get("band_units") or {}
        if not self.reflectance:
            return {}
        return {b: v for b, v in self.values.items() if v.size >= _FEW and b not in units}


@dataclass(frozen=True, slots=True)
class Look:
    """One look.

    Attributes:
        name: of it.
        what: is looked at.
        threshold: from which on it speaks, in words.
        why: a product may be so.
        stops: whether results would be wrong with it.
        find: what it has to say; empty for nothing.
    """

    name: str
    what: str
    threshold: str
    why: str
    stops: bool
    find: Callable[[Seen], str]


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a look found: its name, a line of text, and whether results would be wrong."""

    look: str
    text: str
    stops: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"look": self.look, "text": self.text, "stops": self.stops}


def doubts(source: CubeSource) -> list[Doubt]:
    """What speaks against a source; empty if nothing does.

    Raises:
        ProductError: never for what a block holds: damage is told by whoever reads there.
    """
    seen = see(source)
    return [Doubt(k.name, text, k.stops) for k in LOOKS if (text := k.find(seen))]


def require_plausible(source: CubeSource, *, unless: Collection[str] = ()) -> list[Doubt]:
    """The same, for what goes by the values themselves.

    Args:
        source: to look at.
        unless: looks that do not matter to the result, by name: a ratio needs no scale.

    Raises:
        DataError: if with what was found the result would be wrong.
    """
    found = doubts(source)
    if wrong := [d for d in found if d.stops and d.look not in unless]:
        raise DataError(
            wrong[0].text,
            where=source.name,
            fix="correct its metadata, or write it with the scale and offset that are right",
        )
    return found


def see(source: CubeSource) -> Seen:
    """Read the blocks; of each place the first band tells whether there is anything."""
    usable = source.meta.get("usable") or [True] * len(source.bands)
    names = [n for n, ok in zip(source.bands.names, usable, strict=True) if ok]
    names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, BANDS).round().astype(int))]
    parts: dict[str, list[np.ndarray]] = {n: [] for n in names}
    present = hidden = blocks = 0
    for window in _windows(source.grid):
        try:
            if not np.isfinite(source.read(window, names[:1]).data).any():
                continue
            cube = source.read(window, names)
        except ProductError:
            continue
        finite = np.isfinite(cube.data)
        for name, plane, ok in zip(names, cube.data, finite, strict=True):
            parts[name].append(plane[ok])
        there = finite.all(axis=0)
        present, hidden = present + int(there.sum()), hidden + int((there & ~cube.valid).sum())
        if (blocks := blocks + 1) == _BLOCKS:
            break
    values = {n: np.concatenate(p) if p else np.empty(0, np.float32) for n, p in parts.items()}
    share = hidden / present if present else math.nan
    bands = source.bands.select(source.bands.indices(names))
    return Seen(source.name, bands, source.grid, source.meta, values, share)


def _windows(grid: Grid) -> Iterator[Window]:
    """Blocks of a lattice of them, the middle first; each once."""
    least, most = SIDE
    side = min(most, max(least, int(math.sqrt(SHARE * grid.height * grid.width))))
    done = set()
    for down, right in _PLACES:
        row = int(down * max(0, grid.height - 1)) // side * side
        col = int(right * max(0, grid.width - 1)) // side * side
        if (row, col) not in done:
            done.add((row, col))
            yield Window(row, col, min(side, grid.height - row), min(side, grid.width - col))


def _negative(seen: Seen) -> str:
    below = {b: float((v < IMPOSSIBLE).mean()) for b, v in seen.spectra.items()}
    if not below:
        return ""
    some = float(np.mean([s >= SOME for s in below.values()]))
    every = float(np.mean(list(below.values())))
    if (some < MOST_BANDS or every < SOME) and every < MANY:
        return ""
    return (
        f"{100 * every:.0f} % of the values are below {IMPOSSIBLE:g}, which no surface reflects: "
        "an offset seems to be taken twice"
    )


def _unscaled(seen: Seen) -> str:
    bright = {b: float((v > 1.5).mean()) for b, v in seen.spectra.items()}
    if not bright or np.mean(list(bright.values())) < 0.5:
        return ""
    top = max(float(np.median(v)) for v in seen.spectra.values())
    return (
        f"values up to {top:.4g} in the middle of a band cannot be reflectance: the scale is "
        "missing or wrong (1e-4 for reflectance × 10000)"
    )


def _too_small(seen: Seen) -> str:
    tops = [float(np.percentile(v, 99)) for v in seen.spectra.values()]
    if len(tops) < 3 or not 0 < max(tops) < 0.005:
        return ""
    return (
        f"no value above {max(tops):.2g} in any band: the scale seems to be applied twice, or "
        "it is night"
    )


def _gone_round(seen: Seen) -> str:
    found = {}
    for band, values in seen.spectra.items():
        round_ = (values >= 6.3) & (values <= 6.5535)
        rest = values[~round_]
        if round_.mean() >= 0.001 and rest.size and np.percentile(rest, 99) < 2:
            found[band] = int(round_.sum())
    if not found:
        return ""
    told = ", ".join(f"{n} of {b}" for b, n in found.items())
    return f"values of 6.3 to 6.55 ({told}) are counts below zero that went round"


def _offset_left(seen: Seen) -> str:
    calibration = seen.meta.get("calibration")
    baseline = str(seen.meta.get("baseline") or "")
    taken = calibration.get("offset") if isinstance(calibration, Mapping) else None
    late = baseline[:2].isdigit() and 4 <= int(baseline[:2]) < 99
    if not (late and "Sentinel-2" in str(seen.meta.get("kind")) and taken == 0):
        return ""
    spectra = seen.spectra
    lows = {b: float(np.percentile(v, 1)) for b, v in spectra.items() if np.ptp(v) > 0}
    visible = [lows.get(b, 0.0) for b in ("B2", "B3", "B4")]
    if min(lows.values(), default=0.0) < 0.1 or max(visible) > 0.14 or min(visible) < 0.1:
        return ""
    return (
        f"no band starts below {min(lows.values()):.3f}, although the offset of −0.1 is said to be "
        "out of the counts: it may still be in them"
    )


def _neighbours(seen: Seen) -> str:
    centres = dict(zip(seen.bands.names, seen.bands.centres, strict=True))
    medians = {b: float(np.median(v)) for b, v in seen.spectra.items()}
    for one, other in combinations(medians, 2):
        if not abs(centres[one] - centres[other]) <= 35:  # NaN: unknown
            continue
        low, high = sorted((medians[one], medians[other]))
        if high - low > 0.1 and low < 0.4 * high:
            return (
                f"{one} and {other} see nearly the same wavelengths, but their medians are "
                f"{medians[one]:.3f} and {medians[other]:.3f}"
            )
    return ""


def _constant(seen: Seen) -> str:
    spread = {b: float(np.ptp(v)) for b, v in seen.spectra.items()}
    dead = [b for b, s in spread.items() if s == 0]
    if not dead or len(dead) > len(spread) / 2:
        return ""
    return f"{', '.join(dead)} has one value everywhere, the other bands have not"


def _tile(seen: Seen) -> str:
    tile = str(seen.meta.get("tile") or "")
    expected = tile_crs(tile)
    utm = re.fullmatch(r"EPSG:32([67])(\d\d)", seen.grid.crs)
    if not expected or utm is None:
        return ""
    if seen.grid.crs != expected:
        return f"lies in {seen.grid.crs}, its tile {tile} in {expected}"
    letters = "CDEFGHJKLMNPQRSTUVWX"
    south = -80 + 8 * letters.index(tile[2])
    low, high = _latitudes(seen.grid)
    if high < south - 1.5 or low > south + (12 if tile[2] == "X" else 8) + 1.5:
        return f"lies at {low:.1f} to {high:.1f}° N, its tile {tile} beyond {south}° N"
    return ""


def _path_row(seen: Seen) -> str:
    match = re.match(r"L[COTEM]\d\d_L2S[PR]_\d{3}(\d{3})_", str(seen.meta.get("product_id") or ""))
    if match is None or not re.fullmatch(r"EPSG:32[67]\d\d", seen.grid.crs):
        return ""
    # WRS-2: 248 rows around the globe, row 60 at the equator, an orbit inclined by 98.2°.
    along = math.radians((60 - int(match[1])) * 360 / 248)
    expected = math.degrees(math.asin(math.sin(along) * math.sin(math.radians(98.2))))
    low, high = _latitudes(seen.grid)
    if low - 2 <= expected <= high + 2:
        return ""
    return f"lies at {low:.1f} to {high:.1f}° N, its row {match[1]} at {expected:.1f}° N"


def _latitudes(grid: Grid) -> tuple[float, float]:
    """Of the south and north edge of a grid in UTM, to a tenth of a degree."""
    falsely = 1e7 if grid.crs.startswith("EPSG:327") else 0.0
    _, south, _, north = grid.bounds
    return (south - falsely) / 110_900, (north - falsely) / 110_900


_DAYS = re.compile(r"(?<!\d)(\d{8})(?:T\d{6})?(?!\d)")


def _date(seen: Seen) -> str:
    name = str(seen.meta.get("product_id") or "")
    try:
        stated = datetime.fromisoformat(str(seen.meta.get("start_time"))).date()
        found = _DAYS.search(name)
        named = datetime.strptime(found[1], "%Y%m%d").date() if found else stated
    except ValueError:
        return ""
    if abs((named - stated).days) <= 1:
        return ""
    return f"the name is of {named}, the metadata of {stated}"


def _clouds(seen: Seen) -> str:
    stated = seen.meta.get("cloud_cover_pct")
    if not isinstance(stated, int | float) or not 0 <= stated <= 5 or not seen.hidden > 0.95:
        return ""
    return (
        f"the mask takes out {100 * seen.hidden:.0f} % of the pixels looked at, although the "
        f"metadata state {stated:g} % of clouds"
    )


LOOKS = (
    Look(
        "negative",
        "values below −0.05",
        "a hundredth of them in three quarters of the bands, or a tenth of all",
        "the offset is out of the counts already and taken again",
        True,
        _negative,
    ),
    Look(
        "unscaled", "values above 1.5", "half of all", "integers without a scale", True, _unscaled
    ),
    Look(
        "too small",
        "the 99th percentile of each band",
        "below 0.005 in all of three bands or more",
        "the scale is taken twice",
        False,
        _too_small,
    ),
    Look(
        "gone round",
        "values of 6.3 to 6.5535",
        "a thousandth of a band that is below 2 otherwise",
        "counts below zero in an unsigned type",
        False,
        _gone_round,
    ),
    Look(
        "offset left",
        "the 1st percentile of each band of Sentinel-2 since 04.00, offset said to be out",
        "0.1 or more in all bands, and 0.14 or less in B2, B3 and B4",
        "the offset is in the counts still",
        False,
        _offset_left,
    ),
    Look(
        "neighbours",
        "medians of bands within 35 nm",
        "0.1 apart, and one less than 0.4 of the other",
        "a band is scaled otherwise, or is another",
        False,
        _neighbours,
    ),
    Look(
        "constant",
        "range of each band",
        "0 in less than half of the bands",
        "a band was not written",
        False,
        _constant,
    ),
    Look(
        "tile",
        "zone and latitude of the grid against the MGRS tile",
        "another zone, or 1.5° beyond the band of latitude",
        "placed by wrong metadata, or named wrongly",
        False,
        _tile,
    ),
    Look(
        "row",
        "latitude of the grid against Landsat's row",
        "2° off",
        "placed by wrong metadata, or named wrongly",
        False,
        _path_row,
    ),
    Look(
        "date",
        "first date of the name against the time stated",
        "more than a day",
        "metadata of another product",
        False,
        _date,
    ),
    Look(
        "clouds",
        "share of values that the mask hides against the cloud cover stated",
        "above 95 % with 5 % stated or less",
        "a mask of another product, or bits read wrongly",
        False,
        _clouds,
    ),
)
"""In the order in which they are told."""
