"""Which Landsat pixels are usable, from QA_PIXEL of a Collection 2 scene.

A mask is a list of flags to take out. By default that is fill, dilated cloud, cirrus, cloud and
cloud shadow: bits 0 to 4. Snow (5) and water (7) stay.

Source: Landsat 8-9 Collection 2 Level 2 Science Product Guide (USGS, LSDS-1619), QA_PIXEL.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trifuse.products.files.mask import expand_mask

BITS = {
    "fill": 0,
    "dilatedcloud": 1,
    "cirrus": 2,
    "cloud": 3,
    "cloudshadow": 4,
    "snow": 5,
    "water": 7,
}
"""Bit of QA_PIXEL by the name of the mask term; bit 6 (clear) only repeats bits 1 and 3."""
_DEFAULT = ("fill", "dilatedcloud", "cirrus", "cloud", "cloudshadow")
PRESETS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    "strict": (*_DEFAULT, "snow"),
    "none": (),
}
"""Named masks; whatever the mask, a pixel without reflectance in a band asked for is not valid."""


def mask_terms(mask: str | Sequence[str]) -> tuple[str, ...]:
    """The flags to take out: ``"default,water"`` → names, each once.

    Raises:
        ConfigError: if a name is neither a flag nor a preset.
    """
    return expand_mask(mask, BITS, PRESETS)


def usable(qa: np.ndarray, terms: Sequence[str]) -> np.ndarray:
    """Where no flag takes the pixel out: bool, the shape of ``qa`` (uint16)."""
    bits = np.uint16(sum(1 << BITS[t] for t in terms))
    result: np.ndarray = (qa & bits) == 0
    return result
