"""Which Sentinel-2 pixels are usable, from the scene classification (SCL) of the L2A product.

A mask is a list of classes to take out, each by its name here or its number in the product. By
default that is no data, saturated or defective, cloud shadow, cloud of medium and high
probability, and thin cirrus: classes 0, 1, 3, 8, 9, 10. Snow, water and dark ground stay.

Source: Sentinel-2 Products Specification Document, Level-2A scene classification.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from trifuse.products.files.layers import ClassMask, Layer
from trifuse.products.files.mask import expand_mask

CLASSES = {
    "nodata": 0,
    "saturated": 1,
    "dark": 2,
    "cloudshadow": 3,
    "vegetation": 4,
    "soil": 5,
    "water": 6,
    "unclassified": 7,
    "cloud-medium": 8,
    "cloud-high": 9,
    "cirrus": 10,
    "snow": 11,
}
"""SCL class by the name of the mask term that takes it out."""
FMASK = {"nodata": 0, "cloud-medium": 2, "cloud-high": 2, "cloudshadow": 3, "snow": 4, "water": 5}
"""Class of Geoscience Australia's ``oa_fmask`` likewise, as far as it tells them; 1 is clear."""
_DEFAULT = ("nodata", "saturated", "cloudshadow", "cloud-medium", "cloud-high", "cirrus")
PRESETS: dict[str, tuple[str, ...]] = {
    "default": _DEFAULT,
    "strict": (*_DEFAULT, "dark", "unclassified", "snow"),
    "cloud": ("cloud-medium", "cloud-high"),
    "none": (),
    **{str(number): (name,) for name, number in CLASSES.items()},
}
"""Named masks; whatever the mask, a pixel without a value in a band asked for is not valid."""


def mask_terms(mask: str | Sequence[str]) -> tuple[str, ...]:
    """The classes to take out: ``"default,snow"`` or ``["0", "cloud"]`` → names, each once.

    Raises:
        ConfigError: if a name is neither a class nor a preset.
    """
    return expand_mask(mask, CLASSES, PRESETS)


def class_mask(scl: Layer, terms: Sequence[str], classes: Mapping[str, int] = CLASSES) -> ClassMask:
    """What takes the classes of some terms out, and numbers that are no class.

    Args:
        scl: the scene classification.
        terms: as of :func:`mask_terms`.
        classes: number by term; terms that it does not tell take nothing out.
    """
    return ClassMask(scl, (1,), usable_numbers(terms, classes)[None])


def usable_numbers(terms: Sequence[str], classes: Mapping[str, int] = CLASSES) -> np.ndarray:
    """Which stored numbers of a classification leave a pixel usable: (256,) bool.

    Args:
        terms: as of :func:`mask_terms`.
        classes: as of :func:`class_mask`.
    """
    table = np.zeros(256, bool)
    table[list(classes.values())] = True
    if classes is FMASK:
        table[1] = True
    table[[classes[t] for t in terms if t in classes]] = False
    return table
