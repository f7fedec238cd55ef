"""Which detector saw each band of an EnMAP cube, by the channel lists and by the wavelengths.

METADATA.XML lists the bands of either detector. Who writes the cube anew (EnPT leaves out bands, or
sorts them by wavelength) often keeps the lists of the cube it read; then the wavelengths tell. The
channels of a detector lie evenly, VNIR's closer than SWIR's, so where both see the same stretch two
combs lie over each other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

OVERLAP = (890.0, 1010.0)
"""Wavelengths in nm outside of which only one of the detectors sees."""
MIDDLE = 955.0
"""Where the detectors part if the wavelengths leave it open, as in the simulated cubes."""
MIN_BANDS = 20
"""Fewer bands show no comb."""
UNEVEN, EVEN = 1.0, 0.1
"""Lists are not believed whose detectors are more uneven than the first, where another division
has less than this share of it. Cubes as delivered have 0.05, two combs taken for one above 5."""

VNIR, SWIR = "VNIR", "SWIR"


def detectors(
    lists: tuple[str, str], centres: Sequence[float]
) -> tuple[tuple[str, ...] | None, str]:
    """The detector of every band, and what there is to say.

    Args:
        lists: ``expectedChannelsList`` of VNIR and SWIR: numbers from 1, by commas.
        centres: of all bands in nm, in the order of the image.

    Returns:
        ``VNIR`` or ``SWIR`` per band, and a note, empty where lists and wavelengths agree. None
        where neither tells; then the text says what is wrong with the lists.
    """
    listed, wrong = _by_lists(lists, len(centres))
    seen = by_wavelength(centres)
    if listed is None:
        note = f"{wrong}: the detectors are told by the wavelengths"
        return (seen, note) if seen is not None else (None, wrong)
    if seen is not None and seen != listed:
        stated, found = unevenness(listed, centres), unevenness(seen, centres)
        if stated > UNEVEN and found < EVEN * stated:
            count = sum(a != b for a, b in zip(listed, seen, strict=True))
            return seen, (
                f"the expectedChannelsList contradict the wavelengths for {count} of "
                f"{len(centres)} bands: the detectors are told by the wavelengths"
            )
    return listed, ""


def _by_lists(lists: tuple[str, str], count: int) -> tuple[tuple[str, ...] | None, str]:
    """What the lists say if they name every band once; else what is wrong with them."""
    found: dict[int, str] = {}
    for detector, text in zip((VNIR, SWIR), lists, strict=True):
        path = f"specific/{detector.lower()}ProductQuality/expectedChannelsList"
        for entry in filter(None, map(str.strip, text.split(","))):
            number = int(entry) if re.fullmatch(r"[0-9]{1,6}", entry) else 0
            if not 1 <= number <= count or number in found:
                return None, (
                    f"{path} names {entry[:20]!r}, which is no band of 1 to {count}, or named "
                    "already"
                )
            found[number] = detector
    if missing := [n for n in range(1, count + 1) if n not in found]:
        return None, (
            f"the expectedChannelsList of VNIR and SWIR lack {len(missing)} of {count} bands "
            f"(first: {missing[0]})"
        )
    return tuple(found[n] for n in range(1, count + 1)), ""


def by_wavelength(centres: Sequence[float]) -> tuple[str, ...] | None:
    """Detectors by the wavelengths alone: by their one fall, else as two even combs; else None."""
    if len(centres) < MIN_BANDS:
        return None
    falls = [i for i in range(1, len(centres)) if centres[i] <= centres[i - 1]]
    low, high = OVERLAP
    if len(falls) == 1:
        at = falls[0]
        if not (centres[at] >= low and centres[at - 1] <= high):
            return None
        return (VNIR,) * at + (SWIR,) * (len(centres) - at)
    if falls:
        return None
    first = sum(c < low for c in centres)
    last = sum(c <= high for c in centres)
    start, stop = max(0, first - 2), min(len(centres), last + 2)
    forced = dict.fromkeys(range(start, first), VNIR) | dict.fromkeys(range(last, stop), SWIR)
    told = _combs(centres[start:stop], {i - start: d for i, d in forced.items()})
    return (VNIR,) * start + told + (SWIR,) * (len(centres) - stop)


Pair = tuple[float, ...]


def _combs(centres: Sequence[float], forced: dict[int, str]) -> tuple[str, ...]:
    """The division of rising wavelengths into the two most even sequences (dynamic programme)."""
    states: dict[tuple[Pair, Pair], tuple[float, tuple[str, ...]]] = {((), ()): (0.0, ())}
    for i, centre in enumerate(centres):
        following: dict[tuple[Pair, Pair], tuple[float, tuple[str, ...]]] = {}
        for (vnir, swir), (cost, told) in states.items():
            for detector, last in ((VNIR, vnir), (SWIR, swir)):
                if forced.get(i, detector) != detector:
                    continue
                beyond = centre - MIDDLE if detector == VNIR else MIDDLE - centre
                more = cost + _bend(last, centre) + 1e-6 * max(0.0, beyond)
                moved = (*last, centre)[-2:]
                key = (moved, swir) if detector == VNIR else (vnir, moved)
                if key not in following or more < following[key][0]:
                    following[key] = more, (*told, detector)
        states = following
    return min(states.values())[1]


def _bend(last: Pair, centre: float) -> float:
    """How much a step differs from the one before: the squared logarithm of their ratio."""
    if len(last) < 2:
        return 0.0
    before, step = last[1] - last[0], centre - last[1]
    return math.log(step / before) ** 2 if before > 0 and step > 0 else math.inf


def unevenness(told: Sequence[str], centres: Sequence[float]) -> float:
    """Sum of the bends of both detectors' wavelengths around the overlap."""
    total = 0.0
    low, high = OVERLAP
    for detector in (VNIR, SWIR):
        own = [
            c
            for c, d in zip(centres, told, strict=True)
            if d == detector and low - 15 < c < high + 15
        ]
        total += sum(_bend(tuple(own[i - 2 : i]), own[i]) for i in range(2, len(own)))
    return total
