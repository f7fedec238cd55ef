"""Numbers that are not told to be reflectance: what they can be, by how all bands are spread.

Exports hold counts without saying so: reflectance × 10000, with or without the 1000 that
Sentinel-2's products add since baseline 04.00, or per cent. Where the numbers allow but one
reading, that is taken and said; where they allow several, or speak for an offset that is still in
them, the work stops and says what to give.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from trifuse.core import ConfigError, CubeSource, DataError, MetadataError, ProductError, Window
from trifuse.core.band_names import CENTRES, SENTINEL2, canonical_name, listed
from trifuse.products.reading import rescaled

REFLECTANCE = 2.0
"""Reflectance of nearly all pixels of any ground, snow and glint included, is below."""
PER_CENT = 130.0
"""In per cent likewise; counts of 1e-4 that are all below would be darker than any ground."""
COUNTS = (1600.0, 20_000.0)
"""The brightest band's bright end in counts of 1e-4: 0.16 to 2. Counts of 1e-3 end below."""
ADDED = 900.0
"""Where no band has darker counts, the 1000 that are added may still be in them."""
DARK = 1400.0
"""Blue, green and red have shadow or vegetation darker than 0.04 in most images."""
LANDSAT = (6800.0, 12_000.0)
"""Darkest counts of Landsat Collection 2, which stores 0 as 7273."""
_FEW = 30
_APART = 20.0
"""Bands of one scale end less far apart, over water too."""
_SIDE, _ACROSS, _WHOLE = 96, 3, 320
_MOST_BANDS = 16
_UNTOLD = (
    "the file: stored as values",
    "no scale in the file: values as stored",
    "values as they are",
)
_SEEMS = ", it seems (--offset -0.1)"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What numbers are.

    Attributes:
        scale: by which they become reflectance; None where they do not tell.
        text: what they look like; empty if they are reflectance as they are.
        fix: what to give where they cannot be taken; empty where they can.
        stops: whether a ratio of bands would be wrong as well.
    """

    scale: float | None
    text: str = ""
    fix: str = ""
    stops: bool = False


def as_reflectance(source: CubeSource, *, guess: bool = True, ratio: bool = False) -> CubeSource:
    """The same image as reflectance, where its numbers are not told to be that.

    Images whose calibration is told, and such that hold something else, are left as they are.

    Args:
        source: any image.
        guess: whether counts of 1e-4 and per cent may be taken as such, with a word; else they
            stop the work as well.
        ratio: whether only ratios of bands are wanted, which need no scale.

    Raises:
        DataError: if the numbers are no reflectance, and what they are cannot be told.
        ConfigError: if the offset that was given cannot be.
        MetadataError: if the offset that the file states cannot be.
    """
    if not _spectral(source):
        return source
    _require_offset(source)
    verdict = judge(source)
    if not verdict.fix and verdict.scale is not None and verdict.scale != 1 and guess:
        text = f"{verdict.text}: taken times {verdict.scale:g}; --scale says it otherwise"
        _log.warning("%s: %s", source.name, text)
        return rescaled(source, verdict.scale, None, f"by the pixels: {text}")
    if verdict.scale == 1 and verdict.text:
        _log.warning("%s: %s", source.name, verdict.text)
        return source
    if not verdict.text or (ratio and not verdict.stops):
        return source
    fix = verdict.fix or f"give --scale {verdict.scale:g}, in Python Reading(…, scale=…)"
    raise DataError(verdict.text, where=source.name, fix=fix)


def look_at_scale(source: CubeSource) -> str:
    """What a user should know of numbers whose scale is not told; empty if all is well."""
    if not _spectral(source):
        return ""
    verdict = judge(source)
    if not verdict.text:
        return ""
    if verdict.fix or verdict.scale == 1:
        return f"{verdict.text}; {verdict.fix}".removesuffix("; ")
    return f"{verdict.text}: commands take them times {verdict.scale:g}"


def judge(source: CubeSource) -> Verdict:
    """What the numbers of an image look like, by a few blocks of it, as far as nothing is told."""
    told = _told(source)
    if "scale" in told:
        return _judged_scaled(source, told)
    values = _sample(source)
    eight_bits = source.meta.get("dtype") == "uint8"
    verdict = _judged(values, eight_bits=eight_bits, sentinel2=_sentinel2(source, values))
    if "offset" not in told or not verdict.text or verdict.scale == 1:
        return verdict
    fix = verdict.fix or f"give --scale {verdict.scale:g} too"
    return Verdict(None, f"an offset is given and no scale: {verdict.text}", fix, True)


def _judged_scaled(source: CubeSource, told: Collection[str]) -> Verdict:
    """Of an image whose scale is told: whether it is that of all bands, and the offset."""
    facts = source.meta.get("calibration")
    if isinstance(facts, Mapping) and isinstance(facts.get("scale"), list):
        mixed = _mixed(_sample(source))
        if mixed.text:
            return mixed
    if "offset" in told or not _sentinel2(source, source.bands.names):
        return Verdict(None)
    values = _sample(source)
    low = min((float(np.percentile(v, 0.5)) for v in values.values()), default=0.0)
    found = _offset_in(values, low, 1.0)
    if found is None:
        return Verdict(None)
    if "by the user" not in told:
        return found
    text = found.text.removesuffix(_SEEMS)
    return Verdict(None, text, "give --offset -0.1; if it was, --offset 0", True)


def _judged(values: Mapping[str, np.ndarray], *, eight_bits: bool, sentinel2: bool) -> Verdict:
    if not values:
        return Verdict(None)
    if (fill := _fill(values)) is not None:
        share, number = fill
        return Verdict(
            None,
            f"{100 * share:.0f} % of the values are {number:g}, which is no reflectance but fill",
            f"give --nodata {number:g}",
            True,
        )
    top = max(float(np.percentile(v, 99)) for v in values.values())
    low = min(float(np.percentile(v, 0.5)) for v in values.values())
    if top <= 0:
        return Verdict(None)
    if (mixed := _mixed(values)).text:
        return mixed
    if top <= REFLECTANCE:
        return (_offset_in(values, low, 1.0) if sentinel2 else None) or Verdict(1.0)
    if eight_bits:
        return Verdict(
            None,
            f"numbers up to {top:g} in 8 bits are a picture, not reflectance",
            "give the image itself, or --scale",
        )
    if top <= PER_CENT:
        return Verdict(0.01, f"numbers up to {top:.3g} can only be reflectance in per cent")
    if LANDSAT[0] <= low <= LANDSAT[1]:
        return Verdict(
            None,
            f"no number below {low:.0f}, as where Landsat stores 0 as 7273",
            "give --scale 2.75e-5 --offset -0.2",
            True,
        )
    if COUNTS[0] <= top <= COUNTS[1]:
        if sentinel2 and (stopped := _offset_in(values, low, 1e-4)):
            return stopped
        return Verdict(1e-4, f"numbers of {low:.0f} to {top:.0f} can only be counts of 1e-4")
    return Verdict(
        None,
        f"numbers of {low:.4g} to {top:.4g} are no reflectance, and what they are cannot be told",
        "give --scale (1e-4 for reflectance × 10000), in Python Reading(…, scale=…)",
    )


def _offset_in(values: Mapping[str, np.ndarray], low: float, scale: float) -> Verdict | None:
    """What to say where 1000 counts may still be in the numbers of Sentinel-2."""
    names = {canonical_name(n): n for n in values}
    if low * scale < ADDED * 1e-4:
        return None
    seen = [values[names[b]] for b in ("B2", "B3", "B4") if b in names]
    visible = [float(np.percentile(v, 0.5)) for v in seen]
    never = (
        f"no band starts below {low:.4g}, blue to red start at {max(visible, default=0):.4g} at "
        "most: the offset of −1000 that Sentinel-2 has since 2022 was never applied"
    )
    dark = bool(visible) and max(visible) * scale <= DARK * 1e-4
    if scale == 1:
        # A scale was applied, so somebody looked: it is said, and not taken for certain.
        return Verdict(1.0, never + _SEEMS) if dark else None
    given = f"--scale {scale:g}"
    if dark:
        return Verdict(None, never, f"give {given} --offset -0.1; if it was, --offset 0", True)
    return Verdict(
        None,
        f"no band has a number below {low:.0f}: whether the offset of −1000 was applied cannot "
        "be told",
        f"give {given} and --offset 0 or --offset -0.1",
        True,
    )


def _mixed(values: Mapping[str, np.ndarray]) -> Verdict:
    """Whether some bands are reflectance and others are not."""
    tops = {n: float(np.percentile(v, 99)) for n, v in values.items()}
    small = [n for n, t in tops.items() if 0 < t <= REFLECTANCE]
    large = [n for n, t in tops.items() if t > REFLECTANCE]
    if not small or not large:
        return Verdict(None)
    bright, dim = max(tops[n] for n in large), max(tops[n] for n in small)
    if bright <= PER_CENT and bright < _APART * dim:  # water in per cent
        return Verdict(None)
    return Verdict(
        None,
        f"there are two scales in it: {listed(small, 6)} end at {dim:.3g}, "
        f"{listed(large, 6)} at {bright:.4g}",
        "give --scale with a number for each band",
        True,
    )


def _fill(values: Mapping[str, np.ndarray]) -> tuple[float, float] | None:
    """(share, number) of a number far below 0 that stands in a thousandth of all values."""
    every = np.concatenate(list(values.values()))
    below = every[every <= -900]
    if below.size < max(_FEW, 0.001 * every.size):
        return None
    numbers, counts = np.unique(below, return_counts=True)
    most = int(counts.argmax())
    if counts[most] < 0.9 * below.size:
        return None
    return float(counts[most]) / every.size, float(numbers[most])


def _spectral(source: CubeSource) -> bool:
    """Whether an image may hold reflectance at all."""
    quantity = source.meta.get("quantity")
    if quantity is not None and not str(quantity).endswith("reflectance"):
        return False
    centres = np.array(source.bands.centres)
    known = centres[np.isfinite(centres)]
    return not known.size or bool(((known > 350) & (known < 3000)).any())


def _sentinel2(source: CubeSource, names: Collection[str]) -> bool:
    """Whether all bands are, by name and as far as known by wavelength, Sentinel-2's."""
    for band in source.bands:
        if band.name in names:
            centres = CENTRES.get(canonical_name(band.name))
            if centres is None or not (
                math.isnan(band.centre) or centres[0] - 5 <= band.centre <= centres[1] + 5
            ):
                return False
    return True


def _told(source: CubeSource) -> frozenset[str]:
    """Which of ``scale`` and ``offset`` are told; and ``by the user``, where one of them is.

    Of a file that states a scale and no offset, the offset is not: 0 is what is written of none.
    """
    facts = source.meta.get("calibration")
    if facts is None:
        return frozenset()
    if not isinstance(facts, Mapping):
        return frozenset(("scale", "offset"))
    words = str(facts.get("from"))
    given, as_given, rest = words.partition(" as given; else ")
    said = set(given.split(", ")) & {"scale", "offset"} if as_given else set()
    rest = rest if as_given else words
    if said:
        said.add("by the user")
    if rest == "the file":
        said.add("scale")
        if facts.get("offset") != 0:
            said.add("offset")
    elif rest not in _UNTOLD:
        said |= {"scale", "offset"}
    return frozenset(said)


def _require_offset(source: CubeSource) -> None:
    facts = source.meta.get("calibration")
    if not isinstance(facts, Mapping) or not _bands(source):
        return
    stated = facts.get("offset")
    several = stated if isinstance(stated, list) else [stated]
    numbers = [float(v) for v in several if isinstance(v, int | float)]
    if not (wrong := [v for v in numbers if abs(v) > 1]) or source.meta.get("band_units"):
        return
    fix = "give it in reflectance: −0.1 for counts of 1e-4 with 1000 added"
    what = f"an offset of {wrong[0]:g} cannot be one of reflectance"
    if "offset" in str(facts.get("from")).partition(" as given")[0].split(", "):
        raise ConfigError(what, where=source.name, fix=fix)
    raise MetadataError(f"the file states {what}", where=source.name, fix=fix)


def _bands(source: CubeSource) -> list[str]:
    """Bands to look at: those of reflectance that are usable, spread over all."""
    usable = source.meta.get("usable") or [True] * len(source.bands)
    units = source.meta.get("band_units") or {}
    names = [
        b.name
        for b, ok in zip(source.bands, usable, strict=True)
        if ok and b.name not in units and not (b.centre > 3000)
    ]
    names = [n for n in names if canonical_name(n) in SENTINEL2] or names  # no classes, no masks
    if len(names) <= _MOST_BANDS:
        return names
    return [
        names[i] for i in np.unique(np.linspace(0, len(names) - 1, _MOST_BANDS).round()).astype(int)
    ]


def _sample(source: CubeSource) -> dict[str, np.ndarray]:
    """Values of valid pixels by band, (n,) each; pixels that are 0 in all bands count as fill."""
    names = _bands(source)
    parts: dict[str, list[np.ndarray]] = {n: [] for n in names}
    if not names:
        return {}
    for window in _windows(*source.grid.shape):
        try:
            cube = source.read(window, names)
        except ProductError:  # whoever reads there is told what is damaged
            continue
        seen = cube.valid & np.isfinite(cube.data).any(axis=0) & (cube.data != 0).any(axis=0)
        for name, plane in zip(names, cube.data, strict=True):
            parts[name].append(plane[seen & np.isfinite(plane)])
    values = {n: np.concatenate(p) for n, p in parts.items() if p}
    return {n: v for n, v in values.items() if v.size >= _FEW}


def _windows(height: int, width: int) -> Iterator[Window]:
    if max(height, width) <= _WHOLE:
        yield Window(0, 0, height, width)
        return
    tops, lefts = (
        sorted({round((n - min(_SIDE, n)) * i / (_ACROSS - 1)) for i in range(_ACROSS)})
        for n in (height, width)
    )
    for top in tops:
        for left in lefts:
            yield Window(top, left, min(_SIDE, height - top), min(_SIDE, width - left))
