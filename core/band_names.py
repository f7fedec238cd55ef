"""How bands are called: one table of spellings, for every reader.

Software that exports Sentinel-2 and Landsat names bands by number (``B02``, ``SR_B4``,
``…_B8A_20m.jp2``) or by colour (``red``, ``nir08``, ``Red Edge 1``). A name alone may fit two bands
or two satellites; the names that stand beside it, wavelengths and the size of a pixel tell which.

Sources: common names of the STAC extension *eo* 2.0 and 1.x; band tables of Earth Engine
(COPERNICUS/S2_SR, LANDSAT/LC08/C02/T1_L2), Earth Search, Sentinel Hub, openEO, Digital Earth Africa
and Australia; FORCE, in whose Sentinel-2 ``NIR`` is B8A beside ``BROADNIR``; HLS.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trifuse.core.errors import BandError

SENTINEL2: Mapping[str, tuple[str, ...]] = {
    "B1": ("coastal", "coastal aerosol", "aerosol", "aerosols"),
    "B2": ("blue",),
    "B3": ("green",),
    "B4": ("red",),
    "B5": ("rededge1", "rededge071", "rededge 705"),
    "B6": ("rededge2", "rededge075", "rededge 740"),
    "B7": ("rededge3", "rededge078", "rededge 783"),
    "B8": ("nir", "nir1", "nir wide", "broad nir"),
    "B8A": ("nir08", "nir2", "nir narrow", "narrow nir", "rededge4"),
    "B9": ("nir09", "water vapour", "water vapor"),
    "B10": ("cirrus",),
    "B11": ("swir16", "swir1"),
    "B12": ("swir22", "swir2"),
}
"""Sentinel-2's bands by their words; case, blanks, ``_`` and ``-`` do not count."""

LANDSAT: Mapping[str, tuple[str, ...]] = {
    "B1": ("coastal", "coastal aerosol", "ultra blue"),
    "B2": ("blue",),
    "B3": ("green",),
    "B4": ("red",),
    "B5": ("nir08", "nir"),
    "B6": ("swir16", "swir1"),
    "B7": ("swir22", "swir2"),
}
"""Bands of Landsat 8 and 9 that are reflectance, likewise."""

CENTRES: Mapping[str, tuple[float, float]] = {
    "B1": (440.0, 446.0),
    "B2": (488.0, 498.0),
    "B3": (557.0, 563.0),
    "B4": (662.0, 668.0),
    "B5": (702.0, 709.0),
    "B6": (737.0, 743.0),
    "B7": (778.0, 786.0),
    "B8": (830.0, 844.0),
    "B8A": (862.0, 868.0),
    "B9": (942.0, 948.0),
    "B10": (1370.0, 1380.0),
    "B11": (1605.0, 1620.0),
    "B12": (2184.0, 2206.0),
}
"""Where Sentinel-2's centres lie in nm: measured on S2A to S2C, and as they are rounded."""

WIDTHS: Mapping[str, tuple[float, float]] = {
    "B1": (15, 28),
    "B2": (60, 75),
    "B3": (30, 46),
    "B4": (27, 40),
    "B5": (12, 20),
    "B6": (11, 20),
    "B7": (15, 28),
    "B8": (95, 150),
    "B8A": (16, 36),
    "B9": (15, 30),
    "B10": (20, 80),
    "B11": (80, 150),
    "B12": (160, 250),
}
"""Where their widths lie in nm, by half maximum or as the handbooks round them."""

_CODE = r"B(?:0?[1-9]|1[0-2]|0?8A)"
_SENTINEL2_ALONE = {"B8", "B8A", "B9", "B11", "B12"}
"""Numbers that Landsat has for no surface reflectance."""
_SENTINEL2_WORDS = {
    "rededge1",
    "rededge2",
    "rededge3",
    "rededge4",
    "rededge071",
    "rededge075",
    "rededge078",
    "rededge705",
    "rededge740",
    "rededge783",
    "nir09",
    "nirnarrow",
    "narrownir",
    "nirwide",
    "broadnir",
    "watervapour",
    "watervapor",
}
_OTHER_WORDS = {"yellow", "pan", "rededge", "greeni"}
"""Bands of satellites that have a blue, green, red and infrared of their own."""
_LANDSAT_WORDS = {"lwir", "lwir11", "lwir12", "stb10", "qapixel", "qaradsat", "srqaaerosol"}
_TAIL = r"(?:10m|20m|60m|raw|\(raw\)|mean|median|reflectance|boa|l2a|cog)"
"""What may follow a band in a name without making it something else than the band."""
_NUMBERED = re.compile(
    rf"(?P<before>(?:.*[_\-. ])?)(?P<code>{_CODE})(?:[_\-. ]{_TAIL})*(?:,.*| \(.*\)| - .*)?",
    re.IGNORECASE,
)
_BEYOND = re.compile(r"B0*(?:1[3-9]|[2-9]\d|\d{3,})", re.IGNORECASE)
"""Numbers that neither satellite has: bands are counted, not named."""
_ELSEWHERE = re.compile(
    r"(?:^|[_\-. ])ST_$|sur_refl|(?:^|[_\-. ])(?:MOD|MYD|MCD|VNP)\d|(?:^|[_\-. /])L[ET]0[457]_",
    re.IGNORECASE,
)
"""Before a number: Landsat's temperature; bands of MODIS, VIIRS and Landsat 4 to 7, which count
otherwise."""
_IMAGE_SUFFIX = re.compile(r"\.(?:tiff?|jp2|j2k|img|vrt)$", re.IGNORECASE)
_WAVELENGTH = re.compile(
    r"(?<![\w.])(\d+(?:\.\d+)?)\s*\(?\s*(nm|nanomet\w+|[uµμ]m|micromet\w+|microns?)\b",
    re.IGNORECASE,
)
_COARSE = 25.0


@dataclass(frozen=True, slots=True)
class Named:
    """What bands are, as far as their names tell.

    Attributes:
        names: one per band: ``B8A`` where it is known, else the name as it was.
        sensor: ``sentinel2``, ``landsat``, or empty where nothing is known.
    """

    names: tuple[str, ...]
    sensor: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """A name taken apart: a number or a word, and whether it is the whole name."""

    code: str = ""
    word: str = ""
    surface: bool = False
    whole: bool = True


@functools.lru_cache(maxsize=4096)
def canonical_name(name: str) -> str:
    """Spelling that ignores case and leading zeros of the number: ``B08A``, ``b8a`` → ``B8A``."""
    name = name.strip().upper()
    match = re.fullmatch(r"([A-Z_]+)0*(\d.*)", name)
    return name if match is None else match[1] + match[2]


def name_bands(
    names: Sequence[str],
    centres: Sequence[float] = (),
    widths: Sequence[float] = (),
    *,
    gsd: float | None = None,
    where: str | None = None,
) -> Named:
    """Which bands of which satellite names mean, taken together.

    Args:
        names: of the bands of one image, as its file or its files have them.
        centres: in nm, as far as they are known; NaN else.
        widths: likewise.
        gsd: side of a pixel in metres, if it is known.
        where: the image, for messages.

    Raises:
        BandError: if two names mean one band, or one name fits two bands.

    >>> name_bands(["blue", "red", "rededge1", "nir", "nir08"]).names
    ('B2', 'B4', 'B5', 'B8', 'B8A')
    >>> name_bands(["SR_B4", "SR_B5"]).sensor, name_bands(["SR_B4", "SR_B8A"]).sensor
    ('landsat', 'sentinel2')
    """
    reads = [_read(n) for n in names]
    centres = centres or [math.nan] * len(names)
    widths = widths or [math.nan] * len(names)
    sensor = _sensor(names, reads, centres, gsd)
    if not sensor:
        found = by_wavelength(centres, widths)
        return Named(found, "sentinel2") if found else Named(tuple(names))
    table = _words(SENTINEL2 if sensor == "sentinel2" else LANDSAT, reads)
    bands = [r.code or table.get(r.word, "") for r in reads]
    if sensor == "sentinel2" and not _fits(bands, centres):
        return Named(tuple(names))
    if not any(bands):
        return Named(tuple(names))
    twice = {b for b in bands if b and bands.count(b) > 1}
    for band in sorted(twice):
        same = [n for n, b in zip(names, bands, strict=True) if b == band]
        if all(r.whole for r, b in zip(reads, bands, strict=True) if b == band):
            satellite = "Sentinel-2" if sensor == "sentinel2" else "Landsat"
            raise BandError(
                f"{' and '.join(same[:3])} are both {satellite}'s {band}",
                where=where,
                fix="give the names of all bands in order (--bands, in Python bands=)",
            )
    if twice:  # parts of other names, as of several dates: what they are is not for us to say
        return Named(tuple(names))
    return Named(tuple(b or n for b, n in zip(bands, names, strict=True)), sensor)


def by_wavelength(centres: Sequence[float], widths: Sequence[float] = ()) -> tuple[str, ...]:
    """Sentinel-2's bands by their centres; empty unless each is one, none twice, two at least.

    >>> by_wavelength([490, 560, 665, 842])
    ('B2', 'B3', 'B4', 'B8')
    """
    widths = widths or [math.nan] * len(centres)
    names = []
    for centre, width in zip(centres, widths, strict=True):
        for name, (low, high) in CENTRES.items():
            narrow, wide = WIDTHS[name]
            if low <= centre <= high and not (width < narrow or width > wide):
                names.append(name)
    return tuple(names) if len(names) == len(set(names)) == len(centres) > 1 else ()


def wavelength_in(name: str) -> float:
    """The wavelength in nm that a name tells with its unit; NaN for none.

    >>> wavelength_in("band 1 (0.455400 Micrometers)"), wavelength_in("B2, wavelength 490 nm")
    (455.4, 490.0)
    """
    match = _WAVELENGTH.search(name)
    if match is None:
        return math.nan
    value = float(match[1])
    return value if match[2].lower().startswith("n") else round(value * 1000, 6)


def known_name(name: str) -> str:
    """The band of Sentinel-2 that a word or a number means by itself; empty for none.

    >>> known_name("Red"), known_name("b08a"), known_name("E001")
    ('B4', 'B8A', '')
    """
    read = _read(name)
    return (read.code or _words(SENTINEL2, []).get(read.word, "")) if read.whole else ""


def centre_of(name: str) -> float:
    """About where a band lies in nm, if its name is one of Sentinel-2's; NaN else.

    >>> centre_of("B04"), centre_of("Oa08")
    (665.0, nan)
    """
    low, high = CENTRES.get(canonical_name(name), (math.nan, math.nan))
    return (low + high) / 2


def band_of_file(name: str) -> str:
    """What of the name of a file names its band: ``B02`` of ``T33UUU_…_B02_10m.jp2``; else empty.

    >>> band_of_file("T33UUU_20230912T101031_B02_10m.jp2"), band_of_file("scene_red_edge_1.tif")
    ('B02', 'red_edge_1')
    """
    stem = _IMAGE_SUFFIX.sub("", name)
    match = _numbered(stem)
    if match is not None:
        landsat = re.search(r"(?:^|[_\-. ])SR_$|HLS\.L30\.", match["before"], re.IGNORECASE)
        return ("SR_" if landsat else "") + match["code"]
    pieces = re.split(r"(?<=[_\-. ])", stem)
    known = {*_words(SENTINEL2, []), *_words(LANDSAT, [])}
    for start in range(len(pieces)):
        tail = "".join(pieces[start:])
        tail = re.sub(rf"(?:[_\-. ]{_TAIL})+$", "", tail, flags=re.IGNORECASE)
        if _fold(tail) in known:
            return tail
    return ""


def listed(names: Sequence[str], most: int = 14) -> str:
    """Names for a message; of many only the first, the last and how many there are."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:3])}, … {names[-1]} ({len(names)} bands)"


def _numbered(text: str) -> re.Match[str] | None:
    """A name by number taken apart; temperatures, and numbers of other satellites, are none."""
    match = _NUMBERED.fullmatch(text)
    return None if match is None or _ELSEWHERE.search(match["before"]) else match


def _read(name: str) -> _Read:
    text = name.strip()
    match = _numbered(text)
    if match is not None:
        before = match["before"]
        surface = re.fullmatch(r"SR_", before, re.IGNORECASE) is not None
        return _Read(canonical_name(match["code"]), "", surface, surface or not before)
    word = _fold(re.sub(rf"(?:[_\-. ]{_TAIL})+$", "", text, flags=re.IGNORECASE))
    return _Read(word=re.sub(r"^nbart(?=\w)", "", word))


def _fold(text: str) -> str:
    return re.sub(r"[\s_\-]+", "", text).lower()


def _words(table: Mapping[str, Sequence[str]], reads: Sequence[_Read]) -> dict[str, str]:
    """Folded word → band, where words that mean another band beside others are told apart."""
    words = {_fold(word): band for band, spellings in table.items() for word in spellings}
    there = {r.word for r in reads}
    if table is SENTINEL2:
        if "broadnir" in there:
            words["nir"] = "B8A"
        if {"swir2", "swir3"} <= there and "swir1" not in there:
            words |= {"swir2": "B11", "swir3": "B12"}
    return words


def _sensor(
    names: Sequence[str], reads: Sequence[_Read], centres: Sequence[float], gsd: float | None
) -> str:
    """The satellite that the names are of; empty if they are of none, or all that can be told."""
    codes, words = {r.code for r in reads} - {""}, {r.word for r in reads} - {""}
    if words & _OTHER_WORDS or any(_BEYOND.fullmatch(n.strip()) for n in names):
        return ""
    if codes & _SENTINEL2_ALONE or words & _SENTINEL2_WORDS:
        return "sentinel2"
    surface = {r.code for r in reads if r.surface}
    if words & _LANDSAT_WORDS or surface:
        # Landsat 4 to 7 have B7 and no B6 of reflectance, and count their bands otherwise.
        older = "B7" in surface and "B6" not in surface and "stb10" not in words
        return "" if older or "stb6" in words else "landsat"
    if any("HLS.L30" in n.upper() for n in names):
        return "landsat"
    known = words & {*_words(SENTINEL2, reads), *_words(LANDSAT, reads)}
    if codes:
        # The red of Landsat lies ten nanometres before Sentinel-2's, and its B5 in the infrared.
        for read, centre in zip(reads, centres, strict=True):
            if read.code and math.isfinite(centre):
                low, high = CENTRES[read.code]
                if not low - 5 <= centre <= high + 5:
                    return ""
        return "sentinel2"
    if len(known) < 2:
        return ""
    if "nir08" in known and "nir" not in known and gsd is not None and gsd > _COARSE:
        return "landsat"
    return "sentinel2"


def _fits(bands: list[str], centres: Sequence[float]) -> bool:
    """Whether wavelengths allow the bands; an infrared at 865 nm alone is the narrow one."""
    for i, (band, centre) in enumerate(zip(bands, centres, strict=True)):
        if band == "B8" and "B8A" not in bands and CENTRES["B8A"][0] <= centre <= CENTRES["B8A"][1]:
            bands[i] = band = "B8A"
        if band and math.isfinite(centre):
            low, high = CENTRES[band]
            if not low - 5 <= centre <= high + 5:
                return False
    return True
