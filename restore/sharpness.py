"""How sharp and how noisy each band of an image is told to be, by its source or by who asks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from trifuse.core import PSF, ConfigError, CubeSource, GridError, MetadataError, canonical_name
from trifuse.core.kernels import KERNELS, kernel_of

MTF, NOISE = 0.3, 0.003
"""Where nothing is known: modulation transfer at the native Nyquist frequency, and the standard
deviation of the noise (reflectance)."""

LEAST_NOISE = 1e-4
"""No band is taken for cleaner: the step of counts, and what keeps the equations well posed."""

_WHOLE = 0.02
"""A native sampling may be so far from a whole number of pixels."""

_NATIVE = {
    **dict.fromkeys(("B2", "B3", "B4", "B8"), 0),
    **dict.fromkeys(("B5", "B6", "B7", "B8A", "B11", "B12"), 1),
    **dict.fromkeys(("B1", "B9", "B10"), 2),
}
"""Sentinel-2's bands by native sampling: 10 m, 20 m, 60 m."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How each band was sampled before it came onto the pixels of the image.

    Attributes:
        ratio: pixels per native pixel, one per band; 1 is sharp. Each must divide the next
            larger one.
        mtf: modulation transfer at the native Nyquist frequency, one per band, in (0, 1]; of
            bands of ratio 1 it is not used, they are what is to be reached.
        noise: standard deviation of the noise of each band at its native sampling (reflectance).
        upsampling: kernel by which native pixels came onto the image's, one of
            :data:`trifuse.core.kernels.KERNELS`.
        origin: (row, column) in pixels where some native pixel of the coarsest bands starts.

    >>> s = Sharpness((1, 2, 6), (0.3,) * 3, (0.003,) * 3)
    >>> s.ratios, s.period, round(s.sigma(1), 3)
    ((1, 2, 6), 6, 0.988)
    """

    ratio: tuple[int, ...]
    mtf: tuple[float, ...]
    noise: tuple[float, ...]
    upsampling: str = "bicubic"
    origin: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        if not len(self.ratio) == len(self.mtf) == len(self.noise) > 0:
            raise ConfigError(
                f"{len(self.ratio)} ratios, {len(self.mtf)} MTFs and {len(self.noise)} noise "
                "levels",
                fix="give one of each per band",
            )
        if min(self.ratio) < 1 or not all(0.01 <= m <= 1 for m in self.mtf):
            raise ConfigError(
                f"ratios {self.ratio} and MTFs {self.mtf}",
                fix="give ratios from 1 and MTFs of 0.01 to 1",
            )
        if not all(0 <= n <= 1 for n in self.noise):
            raise ConfigError(f"noise of {self.noise}", fix="give reflectance, 0 to 1")
        steps = self.ratios
        if any(b % a for a, b in itertools.pairwise(steps)):
            raise ConfigError(
                f"native samplings of {steps} pixels do not nest", fix="leave out bands"
            )
        kernel_of(self.upsampling)

    def __len__(self) -> int:
        return len(self.ratio)

    @property
    def ratios(self) -> tuple[int, ...]:
        """The different ratios, in rising order."""
        return tuple(sorted(set(self.ratio)))

    @property
    def period(self) -> int:
        """Pixels after which the sampling of all bands repeats."""
        return max(self.ratio)

    @property
    def blurred(self) -> bool:
        """Whether some band is less sharp than the image's pixels."""
        return self.period > 1

    def sigma(self, band: int) -> float:
        """Standard deviation of a band's blur in pixels of the image; 0 if it is sharp."""
        ratio = self.ratio[band]
        return PSF.from_mtf(self.mtf[band]).pixels(ratio) if ratio > 1 else 0.0

    def select(self, numbers: Iterable[int]) -> Sharpness:
        """Some bands, in the order asked for."""
        n = list(numbers)
        return replace(
            self,
            ratio=tuple(self.ratio[i] for i in n),
            mtf=tuple(self.mtf[i] for i in n),
            noise=tuple(self.noise[i] for i in n),
        )

    def to_json(self, names: Sequence[str]) -> dict[str, Any]:
        """Plain values by the names of the bands."""
        facts = zip(names, self.ratio, self.mtf, self.noise, strict=True)
        return {n: {"ratio": r, "mtf": m, "noise": e} for n, r, m, e in facts}

    def sharp(self, numbers: Iterable[int]) -> Sharpness:
        """The same with some bands declared sharp."""
        declared = set(numbers)
        ratio = tuple(1 if i in declared else r for i, r in enumerate(self.ratio))
        return replace(self, ratio=ratio)


def sharpness_of(
    source: CubeSource, *, mtf: float | None = None, noise: float | None = None
) -> Sharpness | None:
    """What is told of an image's sharpness.

    Args:
        source: any image; its ``sampling`` tells, as far as nothing else is given here.
        mtf: of all bands that are not sharp, in place of the source's or of 0.3.
        noise: standard deviation in all bands, in place of the source's or of 0.003.

    Returns:
        None where nothing is told of the native sampling, or all bands are sharp: such an image
        is taken as it is.

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
    kernel = coarsest.kernel if coarsest.kernel in KERNELS else "bicubic"
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


def pixel_noise(sharpness: Sharpness, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the noise of each band sits: (l,) on the pixels and (l,) on the native samples.

    What lies outside the range of the interpolation is noise that was added after it, and can be
    measured whatever the scene. Where it is found it counts in place of what is told; else the
    noise told is that of the native samples.

    Args:
        sharpness: with the noise told.
        measured: (l,) standard deviation outside the range; NaN for bands of ratio 1.
    """
    told = np.maximum(np.asarray(sharpness.noise), LEAST_NOISE)
    pixel = np.nan_to_num(measured)
    on_pixels = pixel > ON_PIXELS * told
    native = np.where(on_pixels, LEAST_NOISE, told)
    return np.where(on_pixels, pixel, 0.0), native


ON_PIXELS = 0.3
"""Noise of the pixels below this share of what is told is left from rounding."""
