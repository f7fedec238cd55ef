"""Whether the pixels bear out what is told of their sharpness, and what follows if they do not.

A band that was interpolated by a known rule lies in the range of that rule but for noise that was
added later. A sharp band does not, and what lies outside is detail: the sharp bands' own detail
explains much of it (a tenth to all of it in 14 scenes with and without noise), whereas of a blurred
band they explain nothing (less than 2 % for any MTF, noise and rule of interpolation). To restore
a sharp band would invert a blur that never was, so that band is then taken as sharp.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifuse.core import CubeSource
from trifuse.fusformer.prior.mtf_search import found_mtf, search_blocks
from trifuse.fusformer.prior.scene_statistics import Statistics, scene_statistics
from trifuse.fusformer.prior.sharpness import LEAST_NOISE, ON_PIXELS, Sharpness

EXPLAINED = 0.05
"""Share of what is outside the range above which a band is sharp, whatever is told of it."""

OUTSIDE = 3.0
"""Standard deviation outside the range, in noise told, that noise does not account for."""

POSSIBLE = 0.8
"""Noise is only taken for less than is told below this share of it: limits are not exact."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SharpnessCheck:
    """What the pixels say of the sharpness told.

    Attributes:
        sharp: bands told to be blurred that are sharp.
        otherwise: bands that are blurred, but came onto the pixels in another way than is told.
        explained: by blurred band, the share (0–1) of what is outside the range of the
            interpolation that the sharp bands' detail explains.
        outside: by blurred band, the standard deviation outside the range (reflectance).
        powers: by band, power at 0.03–0.07 over that at 0.15–0.22 cycles per pixel relative to
            the sharpest bands': about 1 if it is as sharp.
    """

    sharp: tuple[str, ...]
    otherwise: tuple[str, ...]
    explained: Mapping[str, float]
    outside: Mapping[str, float]
    powers: Mapping[str, float]

    def warnings(self) -> list[str]:
        """What a user should know, in words."""
        found = []
        if self.sharp:
            found.append(
                f"{', '.join(self.sharp)}: told to be blurred, but as sharp as the pixels; the "
                "metadata contradict the image"
            )
        if self.otherwise:
            found.append(
                f"{', '.join(self.otherwise)}: did not come onto these pixels as told; the "
                "restoration takes the difference for noise"
            )
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "sharp": list(self.sharp), "otherwise": list(self.otherwise),
            "explained": dict(self.explained), "outside": dict(self.outside),
            "powers": dict(self.powers),
        }  # fmt: skip


def check_sharpness(
    names: Sequence[str], sharpness: Sharpness, statistics: Statistics
) -> SharpnessCheck:
    """Hold the statistics of a scene against what is told of its sharpness.

    Args:
        names: of the bands.
        sharpness: as told.
        statistics: found under that assumption.
    """
    blurred = [i for i, r in enumerate(sharpness.ratio) if r > 1]
    share, outside = statistics.detail, statistics.outside
    # Without sharp bands nothing explains; then too much outside is all there is to go by.
    too_much = {i for i in blurred if outside[i] > OUTSIDE * max(sharpness.noise[i], 1e-3)}
    sharp = {
        i for i in blurred if share[i] > EXPLAINED or (np.isnan(share[i]) and i in too_much)
    }  # fmt: skip

    def told(values: np.ndarray, numbers: Sequence[int]) -> dict[str, float]:
        return {names[i]: round(float(values[i]), 6) for i in numbers if np.isfinite(values[i])}

    return SharpnessCheck(
        tuple(names[i] for i in sorted(sharp)),
        tuple(names[i] for i in sorted(too_much - sharp)),
        told(share, blurred), told(outside, blurred),
        told(statistics.ratio_of_powers, range(len(names))),
    )  # fmt: skip


def possible_noise(sharpness: Sharpness, statistics: Statistics) -> float:
    """The share of the noise told that the pixels can have at most; 1 where they bear it out.

    One factor for all bands: what is told is mostly one value for all, and of the coarsest bands
    there are too few to tell. Noise that is understated costs less than noise overstated.

    Args:
        sharpness: as told.
        statistics: found under that assumption.
    """
    told = np.maximum(sharpness.noise, LEAST_NOISE)
    outside = np.nan_to_num(statistics.outside)
    measured = outside > ON_PIXELS * told
    if measured.any():  # noise that came after the interpolation shows outside its range
        found = outside[measured] / told[measured]
        least = float(np.median(found))
    else:
        limit = told if statistics.noise_limit is None else statistics.noise_limit
        # In the samples, noise that came after the interpolation is not white.
        known = np.isfinite(limit) & ~(outside > ON_PIXELS * limit)
        least = float((limit[known] / told[known]).min()) if known.any() else 1.0
    return max(least, LEAST_NOISE / float(told.max())) if least < POSSIBLE else 1.0


def learn(
    source: CubeSource, sharpness: Sharpness, *, force: bool = False, search: bool = True
) -> tuple[Sharpness, Statistics, SharpnessCheck]:
    """The statistics of a scene, and its sharpness as far as the pixels bear it out.

    Args:
        source: the image.
        sharpness: as told.
        force: believe what is told against the pixels.
        search: look for the modulation transfer in the pixels; what is told stays where they
            agree.

    Returns:
        The sharpness, with bands that turn out to be sharp declared so (and a warning logged),
        no more noise than the pixels can have, and the modulation transfer that is found;
        the statistics under it; the check of what was told.

    Raises:
        DataError: if the image is too small to learn from, or holds no valid pixel.
    """
    statistics = scene_statistics(source, sharpness)
    factor = 1.0 if force else possible_noise(sharpness, statistics)
    if factor < 1:
        _log.info("%s: has at most %.3g of the noise told", source.name, factor)
        sharpness = replace(sharpness, noise=tuple(factor * n for n in sharpness.noise))
        statistics = scene_statistics(source, sharpness)
    names = source.bands.names
    check = check_sharpness(names, sharpness, statistics)
    for text in check.warnings():
        _log.warning("%s: %s", source.name, text)
    if check.sharp and not force:
        sharpness = sharpness.sharp(names.index(n) for n in check.sharp)
        if sharpness.blurred:
            statistics = scene_statistics(source, sharpness)
    if search and not force and sharpness.blurred:
        found = found_mtf(search_blocks(source, sharpness), sharpness)
        if found != sharpness.mtf:
            sharpness = replace(sharpness, mtf=found)
            statistics = scene_statistics(source, sharpness)
    return sharpness, statistics, check
