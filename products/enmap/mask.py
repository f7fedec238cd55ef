"""Which EnMAP pixels are usable, from the quality layers of a delivery.

A mask is a list of what is taken out. The default is what training needs: land or water, no
cloud, no cloud shadow, no medium or thick cirrus, nothing saturated, no artefacts.

Source: EnMAP L2A product specification; value meanings as in the SNAP reader (QualityLayerInfo).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from trifuse.products.files.mask import expand_mask

Flags = Callable[[np.ndarray, Collection[str]], np.ndarray]


@dataclass(frozen=True, slots=True)
class Rule:
    """What one mask term takes out.

    Attributes:
        layer: the quality layer it reads, without ``QL_``.
        flagged: (uint8 values (band, y, x), detectors in use) → bool, True = not usable.
        meaning: for help texts.
    """

    layer: str
    flagged: Flags
    meaning: str


def _bits(swir: int, vnir: int) -> Flags:
    """TESTFLAGS has one bit per detector; only those of the detectors in use count."""

    def flagged(values: np.ndarray, detectors: Collection[str]) -> np.ndarray:
        wanted = (1 << swir) * ("SWIR" in detectors) | (1 << vnir) * ("VNIR" in detectors)
        result: np.ndarray = (values & np.uint8(wanted)) != 0
        return result

    return flagged


RULES: dict[str, Rule] = {
    "background": Rule("QUALITY_CLASSES", lambda v, _: (v != 1) & (v != 2), "no land or water"),
    "water": Rule("QUALITY_CLASSES", lambda v, _: v == 2, "water"),
    "land": Rule("QUALITY_CLASSES", lambda v, _: v == 1, "land"),
    "cloud": Rule("QUALITY_CLOUD", lambda v, _: v != 0, "cloud"),
    "cloudshadow": Rule("QUALITY_CLOUDSHADOW", lambda v, _: v != 0, "cloud shadow"),
    "cirrus": Rule("QUALITY_CIRRUS", lambda v, _: v >= 2, "medium and thick cirrus"),
    "thincirrus": Rule("QUALITY_CIRRUS", lambda v, _: v >= 1, "any cirrus"),
    "haze": Rule("QUALITY_HAZE", lambda v, _: v != 0, "haze"),
    "snow": Rule("QUALITY_SNOW", lambda v, _: v != 0, "snow"),
    "saturated": Rule("QUALITY_TESTFLAGS", _bits(4, 5), "saturated in a detector in use"),
    "artefact": Rule("QUALITY_TESTFLAGS", _bits(6, 7), "artefact in a detector in use"),
    "interpolated": Rule("QUALITY_TESTFLAGS", _bits(2, 3), "interpolated in a detector in use"),
    "lowquality": Rule("QUALITY_TESTFLAGS", lambda v, _: (v & 3) >= 2, "quality low or none"),
    "defective": Rule("PIXELMASK", lambda v, _: v == 1, "defective in a band asked for"),
}
PRESETS: dict[str, tuple[str, ...]] = {
    "default": ("background", "cloud", "cloudshadow", "cirrus", "saturated", "artefact"),
    "strict": (
        "background",
        "cloud",
        "cloudshadow",
        "thincirrus",
        "haze",
        "snow",
        "saturated",
        "artefact",
        "interpolated",
        "lowquality",
        "defective",
    ),
    "none": (),
}
"""Named masks; whatever the mask, a pixel without a value in a band asked for is not valid."""


def mask_terms(mask: str | Sequence[str]) -> tuple[str, ...]:
    """Expand presets: ``"default,snow"`` or ``["default", "snow"]`` → the terms, each once.

    Raises:
        ConfigError: if a name is neither a term nor a preset.
    """
    return expand_mask(mask, RULES, PRESETS)


def layers_of(terms: Sequence[str]) -> tuple[str, ...]:
    """The quality layers that some terms read."""
    return tuple(dict.fromkeys(RULES[t].layer for t in terms))
