"""The looks there are; another one joins by a row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trifuse.products.plausible import place, stated, values
from trifuse.products.plausible.seen import Seen


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


LOOKS = (
    Look(
        "negative",
        "values below −0.05",
        "a hundredth of them in three quarters of the bands, or a tenth of all",
        "the offset is out of the counts already and taken again",
        True,
        values.negative,
    ),
    Look(
        "unscaled",
        "values above 1.5",
        "half of all",
        "integers without a scale",
        True,
        values.unscaled,
    ),
    Look(
        "too small",
        "the 99th percentile of each band",
        "below 0.005 in all of three bands or more",
        "the scale is taken twice",
        False,
        values.too_small,
    ),
    Look(
        "gone round",
        "values of 6.3 to 6.5535",
        "a thousandth of a band that is below 2 otherwise",
        "counts below zero in an unsigned type",
        False,
        values.gone_round,
    ),
    Look(
        "offset left",
        "the 1st percentile of each band of Sentinel-2 since 04.00, offset said to be out",
        "0.1 or more in all bands, and 0.14 or less in B2, B3 and B4",
        "the offset is in the counts still",
        False,
        values.offset_left,
    ),
    Look(
        "neighbours",
        "medians of bands within 35 nm",
        "0.1 apart, and one less than 0.4 of the other",
        "a band is scaled otherwise, or is another",
        False,
        values.neighbours,
    ),
    Look(
        "constant",
        "range of each band",
        "0 in less than half of the bands",
        "a band was not written",
        False,
        values.constant,
    ),
    Look(
        "tile",
        "zone, latitude and corner of the grid against the MGRS tile",
        "another zone, 1.5° beyond the band of latitude, or 20 km off the square",
        "placed by wrong metadata, or named wrongly",
        False,
        place.tile,
    ),
    Look(
        "row",
        "place of the grid against the centre of Landsat's path and row",
        "2° of the great circle off",
        "placed by wrong metadata, or named wrongly",
        False,
        place.path_row,
    ),
    Look(
        "date",
        "first date of the name against the time stated",
        "more than a day",
        "metadata of another product",
        False,
        stated.date,
    ),
    Look(
        "clouds",
        "share of values that the mask hides against the cloud cover stated",
        "above 95 % with 5 % stated or less, or below 1 % with 99 % stated or more",
        "a mask of another product, or bits read wrongly",
        False,
        stated.clouds,
    ),
    Look(
        "nodata",
        "places without a value against the share without data stated",
        "one with 1 % stated or less",
        "files cut short, or another product's",
        False,
        stated.nodata,
    ),
)
"""In the order in which they are told."""
