"""Which Sentinel-3 pixels are usable, by the flags of the product.

Bits move between processing baselines, so a flag is found by its meaning in the file. A mask is a
list of what is taken out.

For SY_2_SYN the default takes out cloud, ambiguous cloud and the margin of clouds, and keeps water;
``land`` also takes out water, which is the practice for vegetation; ``strict`` also takes out
snow and doubtful retrievals. For OL_1_EFR the default takes out invalid and saturated pixels;
``land`` also water, and ``strict`` also bright (mostly cloud), doubtful, cosmetic, glint and stray
light. Whatever the mask, a pixel without a value is not usable.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.products.files.hdf5 import Variable
from trifuse.products.files.mask import expand_mask


@dataclass(frozen=True, slots=True)
class Rule:
    """What one mask term takes out.

    Attributes:
        flags: (variable, meaning) in order of preference; the first that the product has counts.
            ``*`` at the end of a meaning stands for the name of each band in use.
        wanted: whether a pixel is taken out where the flag is *not* raised.
        meaning: for help texts.
    """

    flags: tuple[tuple[str, str], ...]
    meaning: str
    wanted: bool = False


SYN_RULES: dict[str, Rule] = {
    "cloud": Rule((("CLOUD_flags", "cloud"), ("SYN_flags", "cloud")), "cloud"),
    "ambiguous": Rule(
        (("CLOUD_flags", "cloud_ambiguous"), ("SYN_flags", "partly_cloudy")), "perhaps cloud"
    ),
    "margin": Rule((("CLOUD_flags", "cloud_margin"),), "beside a cloud"),
    "snow": Rule((("CLOUD_flags", "snow_ice"), ("SYN_flags", "snow_risk")), "snow or ice"),
    "water": Rule((("SYN_flags", "land"),), "no land", wanted=True),
    "toolow": Rule((("SYN_flags", "too_low"),), "aerosol retrieval too low"),
    "higherror": Rule((("SYN_flags", "high_error"),), "error of the retrieval high"),
    "climatology": Rule((("SYN_flags", "aot_climato"),), "aerosol from climatology"),
}
SYN_PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("cloud", "ambiguous", "margin"),
    "land": ("cloud", "ambiguous", "margin", "water"),
    "strict": (
        "cloud",
        "ambiguous",
        "margin",
        "water",
        "snow",
        "toolow",
        "higherror",
        "climatology",
    ),
    "none": (),
}
OLCI_RULES: dict[str, Rule] = {
    "invalid": Rule((("quality_flags", "invalid"),), "invalid"),
    "saturated": Rule(
        (("quality_flags", "saturated"), ("quality_flags", "saturated_*")), "saturated"
    ),
    "water": Rule((("quality_flags", "land"),), "no land", wanted=True),
    "bright": Rule((("quality_flags", "bright"),), "bright: mostly cloud or snow"),
    "dubious": Rule((("quality_flags", "dubious"),), "doubtful"),
    "cosmetic": Rule((("quality_flags", "cosmetic"),), "filled from neighbours"),
    "glint": Rule((("quality_flags", "sun_glint_risk"),), "sun glint"),
    "straylight": Rule((("quality_flags", "straylight_risk"),), "stray light"),
}
OLCI_PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("invalid", "saturated"),
    "land": ("invalid", "saturated", "water"),
    "strict": (
        "invalid",
        "saturated",
        "water",
        "bright",
        "dubious",
        "cosmetic",
        "glint",
        "straylight",
    ),
    "none": (),
}


def mask_terms(mask: str | Sequence[str], *, level1: bool = False) -> tuple[str, ...]:
    """Expand presets of SY_2_SYN or OL_1_EFR by :func:`trifuse.products.files.mask.expand_mask`.

    Raises:
        ConfigError: if a name is neither a term nor a preset.
    """
    rules, presets = (OLCI_RULES, OLCI_PRESETS) if level1 else (SYN_RULES, SYN_PRESETS)
    return expand_mask(mask, rules, presets)


@dataclass(frozen=True, slots=True)
class Mask:
    """Mask terms bound to the flags of one product.

    Attributes:
        terms: in force, each with its flags as ``variable.meaning``.
        missing: terms whose flags the product does not have, so nothing is taken out for them.
        bits: per flag variable (bits that take a pixel out where raised, where not raised).
        bands: likewise raised bits that concern one band only, by band.
    """

    terms: Mapping[str, str]
    missing: tuple[str, ...]
    bits: Mapping[str, tuple[int, int]]
    bands: Mapping[str, Mapping[str, int]]

    def usable(self, flags: Mapping[str, np.ndarray], bands: Iterable[str]) -> np.ndarray | None:
        """Where no term takes the pixel out: bool of the flags' shape; None if there is no term.

        Args:
            flags: values of each variable in ``bits``.
            bands: in use.
        """
        used = set(bands)
        good: np.ndarray | None = None
        for name, (raised, absent) in self.bits.items():
            for band, bit in self.bands.get(name, {}).items():
                raised |= bit if band in used else 0
            values = flags[name]
            fine = (values & values.dtype.type(raised)) == 0
            if absent:
                fine &= (values & values.dtype.type(absent)) == absent
            good = fine if good is None else good & fine
        return good


def bind_mask(
    terms: Sequence[str], rules: Mapping[str, Rule], variables: Sequence[Variable]
) -> Mask:
    """Find the flags of the terms by their meanings in the file."""
    known = {
        v.name: {_plain(m): b for m, b in zip(v.meanings, v.masks, strict=True)} for v in variables
    }
    found: dict[str, str] = {}
    bits: dict[str, tuple[int, int]] = {}
    bands: dict[str, dict[str, int]] = {}
    for term in terms:
        rule = rules[term]
        for variable, meaning in rule.flags:
            bit = known.get(variable, {}).get(meaning, 0)
            each: dict[str, int] = {}
            if meaning.endswith("*"):
                start = meaning[:-1]
                each = {
                    m.removeprefix(start).capitalize(): b
                    for m, b in known.get(variable, {}).items()
                    if m.startswith(start)
                }
            if not bit and not each:
                continue
            raised, absent = bits.get(variable, (0, 0))
            bits[variable] = (raised, absent | bit) if rule.wanted else (raised | bit, absent)
            bands.setdefault(variable, {}).update(each)
            found[term] = f"{variable}.{meaning}"
            break
    return Mask(found, tuple(t for t in terms if t not in found), bits, bands)


def _plain(meaning: str) -> str:
    """``SYN_land`` and ``land`` are the same flag in different baselines."""
    return meaning.lower().removeprefix("syn_")
