"""How sharp and how noisy each band of an image is taken to be."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from trifuse.core import PSF, ConfigError
from trifuse.core.kernels import kernel_of

MTF, NOISE = 0.3, 0.003
"""Where nothing is known: modulation transfer at the native Nyquist frequency, and the standard
deviation of the noise (reflectance)."""

LEAST_NOISE = 1e-4
"""No band is taken for cleaner: the step of counts, and what keeps the equations well posed."""


Laid = Literal["lattice", "warped", "blurred"]
"""Where samples of blurred bands lie: on whole pixels; on none, because the image was warped to
another grid; or there never were any, and the bands are but blurred."""


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
        laid: where the samples lie. Unless on whole pixels, bands are treated by their blur, which
            is then that of sampling and kernel together, and ``ratio`` says at what sampling they
            are compared with others.
        others: (ratio, kernel) of ratios whose native pixels came by another kernel.

    >>> s = Sharpness((1, 2, 6), (0.3,) * 3, (0.003,) * 3)
    >>> s.ratios, s.period, round(s.sigma(1), 3)
    ((1, 2, 6), 6, 0.988)
    """

    ratio: tuple[int, ...]
    mtf: tuple[float, ...]
    noise: tuple[float, ...]
    upsampling: str = "bicubic"
    origin: tuple[int, int] = (0, 0)
    laid: Laid = "lattice"
    others: tuple[tuple[int, str], ...] = ()

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
        for name in (self.upsampling, *(k for _, k in self.others)):
            kernel_of(name)

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

    @property
    def steps(self) -> tuple[int, ...]:
        """Pixels from sample to sample as equations have it, one per band: 1 without a lattice."""
        return self.ratio if self.laid == "lattice" else (1,) * len(self.ratio)

    def kernel(self, ratio: int) -> str:
        """That by which native pixels of a ratio came onto the image's."""
        return dict(self.others).get(ratio, self.upsampling)

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
