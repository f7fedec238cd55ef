"""How sharp and how noisy each band of an image is, as its metadata tell."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from trifuse.core import PSF, ConfigError, CubeSource, GridError, MetadataError

Upsampling = Literal["bicubic", "nearest"]

MTF, NOISE = 0.3, 0.003
"""Where nothing is known: modulation transfer at the native Nyquist frequency, and the standard
deviation of the noise (reflectance)."""

LEAST_NOISE = 1e-4
"""No band is taken for cleaner: the step of counts, and what keeps the equations well posed."""

_WHOLE = 0.02
"""A native sampling may be so far from a whole number of pixels."""


@dataclass(frozen=True, slots=True)
class Sharpness:
    """How each band was sampled before it came onto the pixels of the image.

    Attributes:
        ratio: pixels per native pixel, one per band; 1 is sharp. Each must divide the next
            larger one.
        mtf: modulation transfer at the native Nyquist frequency, one per band, in (0, 1]; of
            bands of ratio 1 it is not used, they are what is to be reached.
        noise: standard deviation of the noise of each band at its native sampling (reflectance).
        upsampling: how native pixels came onto the image's.
        origin: (row, column) in pixels where some native pixel of the coarsest bands starts.

    >>> s = Sharpness((1, 2, 6), (0.3,) * 3, (0.003,) * 3)
    >>> s.ratios, s.period, round(s.sigma(1), 3)
    ((1, 2, 6), 6, 0.988)
    """

    ratio: tuple[int, ...]
    mtf: tuple[float, ...]
    noise: tuple[float, ...]
    upsampling: Upsampling = "bicubic"
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
        if self.upsampling not in ("bicubic", "nearest"):
            raise ConfigError(f"upsampling {self.upsampling!r}", fix="give bicubic or nearest")

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

    def sharp(self, numbers: Iterable[int]) -> Sharpness:
        """The same with some bands declared sharp."""
        declared = set(numbers)
        ratio = tuple(1 if i in declared else r for i, r in enumerate(self.ratio))
        return replace(self, ratio=ratio)


def sharpness_of(
    source: CubeSource,
    *,
    mtf: float | None = None,
    noise: float | None = None,
    native: Mapping[str, float] | None = None,
) -> Sharpness | None:
    """What a source's metadata say of its sharpness.

    ``meta["native_gsd"]`` (name → metres, or one value per band) tells the native sampling,
    ``native_mtf`` and ``noise`` (alike) the rest; ``upsampling`` says how bands came onto the
    pixels, ``native_origin`` (row, column) where native pixels start, if not at the image's origin.

    Args:
        source: any image.
        mtf: of all bands that are not sharp, in place of the metadata's or of 0.3.
        noise: standard deviation in all bands, in place of the metadata's or of 0.003.
        native: native sampling by band in map units, in place of the metadata's.

    Returns:
        None where nothing is told of the native sampling, or all bands are sharp: such an image
        is taken as it is.

    Raises:
        MetadataError: if the metadata make no sense.
        GridError: if a native pixel is no whole number of pixels.
        ConfigError: if ``mtf`` or ``noise`` is out of range.
    """
    names = source.bands.names
    told = source.meta.get("native_gsd") if native is None else native
    samplings = by_band(told, names, "native_gsd", source.name)
    if samplings is None:
        return None
    pixel = source.grid.gsd[1]
    ratios = []
    for name, gsd in zip(names, samplings, strict=True):
        share = max(gsd / pixel, 1.0)
        if not math.isfinite(share) or abs(share - round(share)) > _WHOLE * share:
            raise GridError(
                f"{name} is sampled at {gsd:g} m, no whole number of pixels of {pixel:g} m",
                where=source.name,
            )
        ratios.append(round(share))
    if max(ratios) == 1:
        return None
    mtfs = by_band(
        source.meta.get("native_mtf") if mtf is None else mtf, names, "native_mtf", source.name
    )
    sigmas = by_band(
        source.meta.get("noise") if noise is None else noise, names, "noise", source.name
    )
    how = source.meta.get("upsampling", "bicubic")
    return Sharpness(
        tuple(ratios),
        tuple(mtfs or (MTF,) * len(names)),
        tuple(sigmas or (NOISE,) * len(names)),
        "nearest" if how == "nearest" else "bicubic",
        _origin(source.meta.get("native_origin", (0, 0)), source.name),
    )


def _origin(value: Any, where: str) -> tuple[int, int]:
    try:
        row, col = (int(v) for v in value)
    except (TypeError, ValueError):
        raise MetadataError(f"native_origin is {value!r}", where=where) from None
    return row, col


def by_band(value: Any, names: Sequence[str], what: str, where: str) -> list[float] | None:
    """One number per band out of a mapping by name, a list, or one number for all.

    Raises:
        MetadataError: if a band has none.
    """
    if value is None:
        return None
    try:
        if isinstance(value, Mapping):
            return [float(value[n]) for n in names]
        if isinstance(value, int | float):
            return [float(value)] * len(names)
        values = [float(v) for v in value]
    except KeyError as e:
        raise MetadataError(f"{what} lacks band {e.args[0]}", where=where) from None
    except (TypeError, ValueError):
        raise MetadataError(f"{what} is {value!r}", where=where) from None
    if len(values) != len(names):
        raise MetadataError(f"{what} has {len(values)} values for {len(names)} bands", where=where)
    return values


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
