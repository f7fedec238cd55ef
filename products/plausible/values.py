"""Looks at values: of a band, and of bands against each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from trifuse.products.plausible.seen import Seen
from trifuse.products.sentinel2.witness import IMPOSSIBLE, MANY, MOST_BANDS, SOME


def negative(seen: Seen) -> str:
    """Reflectance that no surface has."""
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


def unscaled(seen: Seen) -> str:
    """Counts taken for reflectance."""
    bright = {b: float((v > 1.5).mean()) for b, v in seen.spectra.items()}
    if not bright or np.mean(list(bright.values())) < 0.5:
        return ""
    top = max(float(np.median(v)) for v in seen.spectra.values())
    return (
        f"values up to {top:.4g} in the middle of a band cannot be reflectance: the scale is "
        "missing or wrong (1e-4 for reflectance × 10000)"
    )


def too_small(seen: Seen) -> str:
    """Nothing but black."""
    tops = [float(np.percentile(v, 99)) for v in seen.spectra.values()]
    if len(tops) < 3 or not 0 < max(tops) < 0.005:
        return ""
    return (
        f"no value above {max(tops):.2g} in any band: the scale seems to be applied twice, or "
        "it is night"
    )


def gone_round(seen: Seen) -> str:
    """Counts below zero in an unsigned type."""
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


def offset_left(seen: Seen) -> str:
    """Sentinel-2 whose darkest pixels are all as bright as the offset."""
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


def neighbours(seen: Seen) -> str:
    """Bands of nearly the same wavelengths."""
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


def constant(seen: Seen) -> str:
    """Bands of one value."""
    spread = {b: float(np.ptp(v)) for b, v in seen.spectra.items()}
    dead = [b for b, s in spread.items() if s == 0]
    if not dead or len(dead) > len(spread) / 2:
        return ""
    return f"{', '.join(dead)} has one value everywhere, the other bands have not"
