"""Whether the pixels bear out what is told of their sharpness, and what follows if they do not.

A band that was interpolated by a known rule lies in the range of that rule but for noise that was
added later. A sharp band does not, and what lies outside is detail: the sharp bands' own detail
explains much of it (a tenth to all of it in 14 scenes with and without noise), whereas of a blurred
band they explain nothing (less than 2 % for any MTF, noise and rule of interpolation). To restore
a sharp band would invert a blur that never was, so that band is then taken as sharp.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from trifuse.core import CubeSource
from trifuse.restore.mtf_search import found_mtf
from trifuse.restore.pixel_evidence import Evidence, pixel_evidence, search_blocks
from trifuse.restore.scene_statistics import Statistics, scene_statistics
from trifuse.restore.sharpness import LEAST_NOISE, ON_PIXELS, Sharpness

EXPLAINED = 0.05
"""Share of what is outside the range above which a band is sharp, whatever is told of it."""

OUTSIDE = 3.0
"""Standard deviation outside the range, in noise told, that noise does not account for."""

NOISE_DIFFERS = 1.25
"""Factor by which noise that is found must differ from the one told to count in its place: what
the pixels say of it is not exact."""

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
            "sharp": list(self.sharp),
            "otherwise": list(self.otherwise),
            "explained": dict(self.explained),
            "outside": dict(self.outside),
            "powers": dict(self.powers),
        }


def check_sharpness(
    names: Sequence[str], sharpness: Sharpness, evidence: Evidence
) -> SharpnessCheck:
    """Hold what is found in the pixels against what is told of their sharpness.

    Args:
        names: of the bands.
        sharpness: as told.
        evidence: found under its ratios.
    """
    blurred = [i for i, r in enumerate(sharpness.ratio) if r > 1]
    share, outside = evidence.detail, evidence.outside
    # Without sharp bands nothing explains; then too much outside is all there is to go by.
    too_much = {i for i in blurred if outside[i] > OUTSIDE * max(sharpness.noise[i], 1e-3)}
    sharp = {i for i in blurred if share[i] > EXPLAINED or (np.isnan(share[i]) and i in too_much)}

    def told(values: np.ndarray, numbers: Sequence[int]) -> dict[str, float]:
        return {names[i]: round(float(values[i]), 6) for i in numbers if np.isfinite(values[i])}

    return SharpnessCheck(
        tuple(names[i] for i in sorted(sharp)),
        tuple(names[i] for i in sorted(too_much - sharp)),
        told(share, blurred),
        told(outside, blurred),
        told(evidence.ratio_of_powers, range(len(names))),
    )


def noise_factor(sharpness: Sharpness, evidence: Evidence) -> float:
    """By how much the noise that is found differs from the one that is told.

    Noise that came after the interpolation shows outside its range, and tells of the sharp bands'
    noise too, which cannot be told from their detail. Where there is none, the samples' noise has
    a limit, so it may be less than told, but never more. One factor for all bands: what is told
    is mostly one value for all, and of the coarsest bands there are too few to tell.

    Args:
        sharpness: with the noise told, bands that are sharp declared so.
        evidence: found in the pixels.

    Returns:
        The factor; 1 where nothing is found, or what is found differs by less than a quarter.
    """
    told = np.maximum(sharpness.noise, LEAST_NOISE)
    outside = np.nan_to_num(np.where(np.array(sharpness.ratio) > 1, evidence.outside, 0))
    measured = outside > ON_PIXELS * told
    if measured.any():
        factor = float(np.median(outside[measured] / told[measured]))
    else:
        limit = evidence.noise_limit
        # In the samples, noise that came after the interpolation is not white.
        known = np.isfinite(limit) & ~(outside > ON_PIXELS * limit)
        factor = min(1.0, float((limit[known] / told[known]).min())) if known.any() else 1.0
    factor = max(factor, LEAST_NOISE / float(told.max()))
    return factor if abs(math.log(factor)) > math.log(NOISE_DIFFERS) else 1.0


def learn(
    source: CubeSource,
    sharpness: Sharpness,
    *,
    force: bool = False,
    checked: bool = False,
    find_mtf: bool = True,
    find_noise: bool = True,
) -> tuple[Sharpness, Statistics, SharpnessCheck]:
    """The statistics of a scene, and its sharpness as far as the pixels bear it out.

    Args:
        source: the image.
        sharpness: as told.
        force: believe what is told against the pixels.
        checked: the sampling follows from the pixels: no band is declared sharp, nor warned of.
        find_mtf: look for the modulation transfer in the pixels; what is told stays where they
            agree.
        find_noise: let noise that is found count in place of what is told. Else it only is taken
            for less than is told where the pixels cannot have as much: noise overstated costs
            more than noise understated.

    Returns:
        The sharpness, with bands that turn out to be sharp declared so (and a warning logged),
        the noise and the modulation transfer that are found; the statistics under it; the check
        of what was told.

    Raises:
        DataError: if the image is too small to learn from, or holds no valid pixel.
    """
    evidence = pixel_evidence(source, sharpness)
    names = source.bands.names
    check = check_sharpness(names, sharpness, evidence)
    if checked:
        check = replace(check, sharp=(), otherwise=())
    for text in check.warnings():
        _log.warning("%s: %s", source.name, text)
    if not force:
        sharpness = sharpness.sharp(names.index(n) for n in check.sharp)
        factor = noise_factor(sharpness, evidence)
        if factor < 1 or (find_noise and factor > 1):
            _log.info("%s: has %.3g of the noise told", source.name, factor)
            noise = tuple(min(factor * n, 1.0) for n in sharpness.noise)
            sharpness = replace(sharpness, noise=noise)
        if find_mtf and sharpness.blurred:
            mtf = found_mtf(search_blocks(source, sharpness), sharpness)
            sharpness = replace(sharpness, mtf=mtf)
    outside = np.where(np.array(sharpness.ratio) > 1, evidence.outside, np.nan)
    return sharpness, scene_statistics(source, sharpness, outside), check
