"""How well classes of an index, such as NDVI, agree with a map of land cover.

An index is cut into classes at limits, in rising order; the codes of the map are grouped into the
same classes. Class numbers start at 0; :data:`UNKNOWN` is what has none, and does not count.

Source: Cristille et al. 2024, doi:10.3390/rs16163107, §6.3 (NDVI classes against the Chesapeake
land cover, by the Jaccard score).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.core import ConfigError, DataError
from trifuse.metrics.inputs import check_mask, mean

UNKNOWN = -1
"""Class number of pixels that have no class."""

NDVI_CLASSES = ("water", "bare or built", "low vegetation", "forest")
"""Kinds of land cover in the order of their NDVI."""

NDVI_LIMITS = (0.0, 0.2, 0.6)
"""Customary limits between them; from about 0.6 on vegetation is dense. (Weier and Herring 2000,
Measuring vegetation, NASA Earth Observatory.)"""

LEGENDS: Mapping[str, Mapping[int, int]] = {
    # unknown, water, cropland, grassland, bare, forest, built, snow
    "procedural": {1: 0, 2: 2, 3: 2, 4: 1, 5: 3, 6: 1, 7: 1},
    # water, tree canopy, low vegetation, barren, impervious, road
    "chesapeake": {1: 0, 2: 3, 3: 2, 4: 1, 5: 1, 6: 1},
    # open space of towns counts as vegetation, wetlands by their plants, shrubs as low
    "nlcd": {
        11: 0,
        12: 1,
        21: 2,
        22: 1,
        23: 1,
        24: 1,
        31: 1,
        41: 3,
        42: 3,
        43: 3,
        51: 2,
        52: 2,
        71: 2,
        72: 2,
        73: 2,
        74: 2,
        81: 2,
        82: 2,
        90: 3,
        95: 2,
    },
}
"""Code of a land-cover map → number of :data:`NDVI_CLASSES`: of procedural scenes, of the six-class
Chesapeake map (1 m) and of the National Land Cover Database."""

BINS = 200
"""Steps that limits are looked for at."""


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """A class map against the truth.

    Attributes:
        names: of the n classes.
        counts: (n, n) pixels, truth along rows, estimate along columns.
    """

    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def pixels(self) -> int:
        """How many were compared."""
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of pixels with the right class."""
        return float(np.trace(self.counts) / self.counts.sum())

    @property
    def jaccard_classes(self) -> np.ndarray:
        """(n,) |A ∩ B| / |A ∪ B| of each class, 0–1; NaN for one that neither map has."""
        both = np.diagonal(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) - both
        return np.where(union > 0, both / np.maximum(union, 1), np.nan)

    @property
    def jaccard(self) -> float:
        """Mean over the classes that either map has, 0–1; 1 is perfect."""
        return mean(self.jaccard_classes)

    @property
    def jaccard_weighted(self) -> float:
        """Mean weighted by the classes' shares of the truth."""
        share = self.counts.sum(axis=1) / self.counts.sum()
        return float(np.nansum(share * self.jaccard_classes))

    def to_json(self) -> dict[str, Any]:
        """Plain values; null for a class that neither map has."""
        return {
            "jaccard": self.jaccard,
            "jaccard_weighted": self.jaccard_weighted,
            "accuracy": self.accuracy,
            "pixels": self.pixels,
            "jaccard_classes": {
                n: float(v) if math.isfinite(v) else None
                for n, v in zip(self.names, self.jaccard_classes, strict=True)
            },
            "confusion": self.counts.tolist(),
        }


@dataclass(frozen=True, slots=True, eq=False)
class IndexAgreement:
    """Classes of several images of an index against one map, over the pixels that all have.

    Attributes:
        limits: between the classes, rising.
        images: name → agreement.
    """

    limits: tuple[float, ...]
    images: Mapping[str, Agreement]

    def table(self) -> str:
        """Limits, then one line per image, for a terminal."""
        names = next(iter(self.images.values())).names
        bounds = ["-∞", *(f"{v:.3g}" for v in self.limits), "∞"]
        classes = (f"{n} {a} … {b}" for n, a, b in zip(names, bounds, bounds[1:], strict=False))
        wide = max(map(len, self.images))
        lines = [
            "classes: " + "; ".join(classes),
            " " * wide + "  Jaccard  weighted  accuracy  " + "  ".join(names),
        ]
        for image, a in self.images.items():
            by_class = "  ".join(
                ("–" if math.isnan(v) else f"{v:.3f}").rjust(len(n))
                for n, v in zip(names, a.jaccard_classes, strict=True)
            )
            lines.append(
                f"{image:{wide}}  {a.jaccard:7.3f}  {a.jaccard_weighted:8.3f}  "
                f"{a.accuracy:8.3f}  {by_class}"
            )
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        images = {name: a.to_json() for name, a in self.images.items()}
        return {"limits": list(self.limits), "images": images}


def classify(values: np.ndarray, limits: Sequence[float]) -> np.ndarray:
    """Class of each value: how many limits it reaches.

    >>> classify(np.array([[-0.1, 0.2, 0.7, np.nan]]), (0.0, 0.2, 0.6)).tolist()
    [[0, 2, 3, -1]]

    Args:
        values: (y, x), NaN where missing.
        limits: rising.

    Returns:
        (y, x) int16, 0 … len(limits), :data:`UNKNOWN` where missing.

    Raises:
        ConfigError: if the limits do not rise.
    """
    edges = np.asarray(limits, float)
    if edges.ndim != 1 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise ConfigError(f"limits {list(limits)}", fix="give numbers that rise")
    classes = np.searchsorted(edges, np.nan_to_num(values), side="right")
    return np.where(np.isnan(values), UNKNOWN, classes).astype(np.int16)


def recode(codes: np.ndarray, legend: Mapping[int, int]) -> np.ndarray:
    """Codes of a map as class numbers: int16, :data:`UNKNOWN` where the legend has no code."""
    codes = np.asarray(codes)
    if codes.dtype.kind not in "iu":
        raise DataError(f"a map of {codes.dtype}", fix="give integer codes")
    classes = np.full(codes.shape, UNKNOWN, np.int16)
    for code, number in legend.items():
        classes[codes == code] = number
    return classes


def class_agreement(
    truth: np.ndarray, estimate: np.ndarray, names: Sequence[str], valid: np.ndarray | None = None
) -> Agreement:
    """Compare two class maps.

    Args:
        truth: (y, x) class numbers 0 … n−1; others do not count.
        estimate: (y, x) likewise.
        names: of the n classes.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Raises:
        DataError: if the shapes or kinds disagree, or no pixel has a class in both.
    """
    truth, estimate = np.asarray(truth), np.asarray(estimate)
    if truth.shape != estimate.shape or {truth.dtype.kind, estimate.dtype.kind} - set("iu"):
        raise DataError(
            f"truth is {truth.dtype} {truth.shape}, estimate is {estimate.dtype} {estimate.shape}",
            fix="give two class maps (integers) of one shape",
        )
    n = len(names)
    there = check_mask(valid, truth.shape)
    there = there & (truth >= 0) & (truth < n) & (estimate >= 0) & (estimate < n)
    if not there.any():
        raise DataError("no pixel has a class in both maps", fix="check the masks and the legend")
    pairs = truth[there].astype(np.int64) * n + estimate[there]
    return Agreement(tuple(names), np.bincount(pairs, minlength=n * n).reshape(n, n))


def fit_limits(
    values: np.ndarray, truth: np.ndarray, classes: int, valid: np.ndarray | None = None
) -> tuple[float, ...]:
    """The limits with the largest mean Jaccard score, exactly, at :data:`BINS` steps.

    Each class's score depends on its own two limits alone, so the best sum is found class by class
    (dynamic programming).

    Args:
        values: (y, x), NaN where missing.
        truth: (y, x) class numbers, in the order of the values.
        classes: how many there are.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        ``classes`` − 1 rising limits, multiples of a two-hundredth of the range of the values.

    Raises:
        DataError: if no pixel has a value and a class.
    """
    there = check_mask(valid, values.shape) & np.isfinite(values) & (truth >= 0)
    there = there & (truth < classes)
    if not there.any():
        raise DataError("no pixel has a value and a class", fix="check the masks and the legend")
    found, kinds = values[there].astype(np.float64), truth[there]
    edges = np.linspace(found.min(), found.max(), BINS + 1)
    edges[-1] = np.inf
    # below[c, e]: pixels of class c whose value lies below edge e.
    below = np.array([np.searchsorted(np.sort(found[kinds == c]), edges) for c in range(classes)])
    total = below[:, -1]
    score = np.full((classes, BINS + 1), -np.inf)
    start = np.zeros((classes, BINS + 1), int)
    for c in range(classes):
        both = below[c][None, :] - below[c][:, None]  # from edge (row) to edge (column)
        given = below.sum(axis=0)
        union = total[c] + (given[None, :] - given[:, None]) - both
        gain = np.where(union > 0, both / np.maximum(union, 1), 0.0)
        gain[np.tril_indices(BINS + 1)] = -np.inf  # each class has a range of its own
        before = np.where(np.arange(BINS + 1) == 0, 0.0, -np.inf) if c == 0 else score[c - 1]
        sums = before[:, None] + gain
        start[c], score[c] = sums.argmax(axis=0), sums.max(axis=0)
    at, limits = BINS, []
    for c in range(classes - 1, 0, -1):
        at = start[c, at]
        limits.append(float(edges[at]))
    return tuple(limits[::-1])


def index_agreement(
    images: Mapping[str, np.ndarray],
    cover: np.ndarray,
    legend: str | Mapping[int, int],
    *,
    limits: Sequence[float] | str = NDVI_LIMITS,
    names: Sequence[str] = NDVI_CLASSES,
    valid: np.ndarray | None = None,
) -> IndexAgreement:
    """Cut images of an index into classes and compare each with a map of land cover.

    Args:
        images: name → (y, x) index, such as NDVI; NaN where missing.
        cover: (y, x) codes of the map, on the same pixels.
        legend: code → class number, or the name of one of :data:`LEGENDS`.
        limits: between the classes; or the name of the image to which they are fitted, with
            :func:`fit_limits`, for all.
        names: of the classes, in the order of the index.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        Agreement of each image, over the pixels that every image has.

    Raises:
        ConfigError: if legend or limits are not known, or do not fit the names.
        DataError: if the shapes disagree, or no pixel counts.
    """
    if isinstance(legend, str):
        if legend not in LEGENDS:
            raise ConfigError(f"legend {legend!r}", fix=f"give one of {', '.join(LEGENDS)}")
        legend = LEGENDS[legend]
    truth = recode(cover, legend)
    there = check_mask(valid, truth.shape)
    for name, image in images.items():
        if image.shape != truth.shape:
            raise DataError(f"{name} has shape {image.shape}, the map has {truth.shape}")
        there = there & np.isfinite(image)
    if isinstance(limits, str):
        if limits not in images:
            raise ConfigError(f"limits {limits!r}", fix="give numbers, or the name of an image")
        limits = fit_limits(images[limits], truth, len(names), there)
    if len(limits) != len(names) - 1:
        raise ConfigError(f"{len(limits)} limits between {len(names)} classes")
    return IndexAgreement(
        tuple(limits),
        {n: class_agreement(truth, classify(v, limits), names, there) for n, v in images.items()},
    )
