"""How sharp the bands of an image are: what is told, and what of it the pixels bear out.

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
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from trifuse.core import PSF, CubeSource, GridError, MetadataError, canonical_name
from trifuse.core.kernels import KERNELS
from trifuse.restore.mtf_search import estimate_mtf
from trifuse.restore.pixel_evidence import Evidence, pixel_evidence, search_blocks
from trifuse.restore.scene_statistics import Statistics, scene_statistics
from trifuse.restore.sharpness import LEAST_NOISE, MTF, NOISE, ON_PIXELS, Sharpness

_WHOLE = 0.02
"""A native sampling may be so far from a whole number of pixels."""

_NATIVE = {
    **dict.fromkeys(("B2", "B3", "B4", "B8"), 0),
    **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 1),
    **dict.fromkeys(("B1", "B9", "B10"), 2),
}
"""Sentinel-2's bands by native sampling: 10 m, 20 m, 60 m."""

EXPLAINED = 0.05
"""Share of what is outside the range above which a band is sharp, whatever is told of it."""

DETAIL = 0.1
"""Standard deviation outside the range, in noise told, below which there is no detail to tell by:
rounding leaves so much, and samples beyond the image's borders."""

OUTSIDE = 3.0
"""Standard deviation outside the range, in noise told, that noise does not account for."""

NOISE_DIFFERS = 1.25
"""Factor by which noise that is found must differ from the one told to count in its place: what
the pixels say of it is not exact."""

BLUR_DIFFERS = 0.15
"""Share by which a blur that was given must differ from the one that shows to be spoken of."""

_log = logging.getLogger(__name__)


def sharpness_of(
    source: CubeSource, *, mtf: float | None = None, noise: float | None = None
) -> Sharpness | None:
    """What is told of an image's sharpness.

    Args:
        source: any image; its ``sampling`` tells, as far as nothing else is given here.
        mtf: of all bands that are not sharp, in place of the source's or of 0.3.
        noise: standard deviation in all bands, in place of the source's or of 0.003.

    Returns:
        None where nothing is told of the native sampling, or all bands are sharp.

    Raises:
        MetadataError: if what metadata tell makes no sense.
        GridError: if a native pixel is no whole number of pixels.
        ConfigError: if ``mtf`` or ``noise`` is out of range.
    """
    ratios = _ratios(source)
    if ratios is None or max(ratios) == 1:
        return None
    mtfs, sigmas = known_facts(source, "mtf", mtf), known_facts(source, "noise", noise)
    source.sampling.require_clear("origin", source.name)
    coarsest = source.sampling.bands[ratios.index(max(ratios))]
    row, col = coarsest.origin or (0, 0)
    kernel = coarsest.kernel if coarsest.kernel is not None else "bicubic"
    kernel = kernel if kernel in KERNELS else "bicubic"
    return Sharpness(ratios, mtfs, sigmas, kernel, (int(row), int(col)))


def known_facts(
    source: CubeSource, fact: Literal["mtf", "noise"], given: float | None
) -> tuple[float, ...]:
    """One value per band: the one given, else the source's, else the usual one."""
    if given is not None:
        return (given,) * len(source.bands)
    source.sampling.require_clear(fact, source.name)
    usual = MTF if fact == "mtf" else NOISE
    return tuple(usual if v is None else float(v) for v in source.sampling.values(fact))


def native_class(name: str) -> int | None:
    """0, 1 or 2 for Sentinel-2's bands of 10 m, 20 m and 60 m by their name; None for others."""
    return _NATIVE.get(canonical_name(name))


def _ratios(source: CubeSource) -> tuple[int, ...] | None:
    """Pixels per native pixel of each band; None where nothing is told."""
    names, pixel = source.bands.names, source.grid.gsd[1]
    source.sampling.require_clear("gsd", source.name)
    told = dict(zip(names, source.sampling.values("gsd"), strict=True))
    native = {n: gsd for n, gsd in told.items() if gsd is not None}
    if not native:
        return None
    if missing := [n for n in names if n not in native]:
        raise MetadataError(f"native_gsd lacks band {missing[0]}", where=source.name)
    ratios = []
    for name in names:
        share = max(native[name] / pixel, 1.0)
        if not math.isfinite(share) or abs(share - round(share)) > _WHOLE * share:
            raise GridError(
                f"{name} is sampled at {native[name]:g} m, no whole number of pixels of "
                f"{pixel:g} m",
                where=source.name,
            )
        ratios.append(round(share))
    return tuple(ratios)


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
        given: whether a user gave the sharpness.
        blurs: by band that was given another blur than the pixels show: full width at half maximum
            in native pixels that they show.
    """

    sharp: tuple[str, ...]
    otherwise: tuple[str, ...]
    explained: Mapping[str, float]
    outside: Mapping[str, float]
    powers: Mapping[str, float]
    given: bool = False
    blurs: Mapping[str, float] = field(default_factory=dict)

    @property
    def contradicts(self) -> bool:
        """Whether the pixels contradict what was told, for some band."""
        return bool(self.sharp or self.otherwise)

    def warnings(self) -> list[str]:
        """What a user should know, in words."""
        found = []
        if self.sharp and self.given:
            found.append(
                f"{', '.join(self.sharp)}: given to be blurred, but by the pixels sharp, or "
                "sampled otherwise; restored as given"
            )
        elif self.sharp:
            found.append(
                f"{', '.join(self.sharp)}: told to be blurred, but as sharp as the pixels; the "
                "metadata contradict the image"
            )
        if self.otherwise:
            found.append(
                f"{', '.join(self.otherwise)}: did not come onto these pixels as "
                "taken; the restoration takes the difference for noise"
            )
        if self.blurs:
            shown = ", ".join(f"{n} by {v:.2f}" for n, v in self.blurs.items())
            found.append(f"given another blur than the pixels show: {shown} native pixels")
        return found

    def to_json(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {
            "sharp": list(self.sharp),
            "otherwise": list(self.otherwise),
            "explained": dict(self.explained),
            "outside": dict(self.outside),
            "powers": dict(self.powers),
            **({"blurs": dict(self.blurs)} if self.blurs else {}),
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
    detailed = {
        i
        for i in blurred
        if share[i] > EXPLAINED and outside[i] > DETAIL * max(sharpness.noise[i], 1e-3)
    }
    sharp = detailed | {i for i in blurred if np.isnan(share[i]) and i in too_much}

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
    given: bool = False,
    find_mtf: bool = True,
    find_noise: bool = True,
) -> tuple[Sharpness, Statistics, SharpnessCheck]:
    """The statistics of a scene, and its sharpness as far as the pixels bear it out.

    Args:
        source: the image.
        sharpness: as told.
        force: believe what is told against the pixels.
        checked: the sampling follows from the pixels, so no band is declared sharp.
        given: a user gave the sampling, so no band is declared sharp, either.
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
        check = replace(check, sharp=(), otherwise=tuple(sorted(check.sharp + check.otherwise)))
    if given:
        check = replace(check, given=True)
    if not force:
        if not given:
            sharpness = sharpness.sharp(names.index(n) for n in check.sharp)
        factor = noise_factor(sharpness, evidence)
        if factor < 1 or (find_noise and factor > 1):
            _log.info("%s: has %.3g of the noise told", source.name, factor)
            noise = tuple(min(factor * n, 1.0) for n in sharpness.noise)
            sharpness = replace(sharpness, noise=noise)
        if find_mtf and sharpness.blurred:
            mtf = estimate_mtf(search_blocks(source, sharpness), sharpness)
            sharpness = replace(sharpness, mtf=mtf)
        elif sharpness.blurred and sharpness.laid == "blurred":
            mtf = estimate_mtf(search_blocks(source, sharpness), sharpness)
            check = replace(check, blurs=_other_blurs(names, sharpness, mtf))
    for text in check.warnings():
        _log.warning("%s: %s", source.name, text)
    outside = np.where(np.array(sharpness.ratio) > 1, evidence.outside, np.nan)
    statistics = scene_statistics(source, sharpness, outside)
    return sharpness, replace(statistics, doubt=_doubt(names, sharpness, check)), check


def _other_blurs(
    names: Sequence[str], sharpness: Sharpness, found: Sequence[float]
) -> dict[str, float]:
    """Full widths at half maximum in native pixels, where they are not those given."""
    out = {}
    for name, ratio, given, shown in zip(names, sharpness.ratio, sharpness.mtf, found, strict=True):
        told, seen = PSF.from_mtf(given).sigma, PSF.from_mtf(shown).sigma
        if ratio > 1 and abs(seen - told) > BLUR_DIFFERS * told:
            out[name] = round(seen * 2 * math.sqrt(2 * math.log(2)), 3)
    return out


def _doubt(names: Sequence[str], sharpness: Sharpness, check: SharpnessCheck) -> np.ndarray | None:
    """What a sampling that does not hold says wrongly of bands, reflectance.

    What it leaves outside its range is seen; within it, it is off by about as much. Where it does
    not hold for one band, it does not for others of its ratio.
    """
    off = {*check.otherwise, *(check.sharp if check.given else ())}
    ratios = {r for n, r in zip(names, sharpness.ratio, strict=True) if n in off and r > 1}
    told = [
        check.outside.get(n, 0.0) if r in ratios else 0.0
        for n, r in zip(names, sharpness.ratio, strict=True)
    ]
    return np.array(told) if any(told) else None
