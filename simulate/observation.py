"""What real sensors do to a clean triplet: blur by band, calibration, noise, displacement, clouds.

    Sentinel-2 band b:  x_b = g_b · B_b m_b + o_b + n_b
    Sentinel-3 band k:  y_k = H(shift, width) f_k + e_k

m and f are the sharp bands of both sensors. B_b is what a band of 20 m or 60 m went through before
it lies on pixels of 10 m: Gaussian blur, a sample at the centre of each native pixel, cubic
convolution back. H is the PSF of Sentinel-3, displaced and of another width than is known. Every
effect has a random stream of its own, so one that is switched off does not change the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from trifuse.core import PSF, ConfigError, Cube, DataError, degrade
from trifuse.core.native import native_field, native_view
from trifuse.simulate.observation_effects import (
    S2_NATIVE,
    add_noise,
    calibrate,
    cloud_mask,
    displace,
    draw_calibration,
    hide,
    native_ratios,
)

__all__ = [
    "SharpErrors",
    "CoarseErrors",
    "Told",
    "ObservationErrors",
    "REAL_WORLD",
    "CLEAN",
    "PROTOCOLS",
    "Drawn",
    "Observed",
    "observe",
    "S2_NATIVE",
    "native_ratios",
    "draw_calibration",
    "calibrate",
    "add_noise",
    "displace",
    "cloud_mask",
    "hide",
]

NoiseAt = Literal["pixel", "native"]


def _within(errors: Any, **limits: tuple[float, float]) -> None:
    for name, (low, high) in limits.items():
        value = getattr(errors, name)
        if not low <= value <= high:
            raise ConfigError(f"{name} is {value}", fix=f"give {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class SharpErrors:
    """What happens to the sharp image (Sentinel-2).

    Attributes:
        blur: whether bands have their native sharpness of 1:2:6 pixels; else all are sharp.
        mtf: true modulation transfer of the blurred bands at their native Nyquist frequency.
        gain: standard deviation of each band's gain about 1.
        offset: standard deviation of each band's offset, reflectance.
        noise: standard deviation of the white noise, reflectance.
        noise_at: where the noise is added: on the pixels of the result, or at each band's native
            sampling, before it is interpolated.
        clouds: share of the pixels that clouds hide, 0–1.
    """

    blur: bool = True
    mtf: float = 0.3
    gain: float = 0.02
    offset: float = 0.003
    noise: float = 0.003
    noise_at: NoiseAt = "pixel"
    clouds: float = 0.0

    def __post_init__(self) -> None:
        _within(self, mtf=(0.01, 1), gain=(0, 1), offset=(0, 1), noise=(0, 1), clouds=(0, 0.95))
        if self.noise_at not in ("pixel", "native"):
            raise ConfigError(f"noise at {self.noise_at!r}", fix="give pixel or native")


@dataclass(frozen=True, slots=True)
class CoarseErrors:
    """What happens to the coarse image (Sentinel-3).

    Attributes:
        shift: cells by which it is displaced at most, in rows and in columns (uniform).
        width: share by which its PSF is wider or narrower than is told at most (uniform).
        noise: standard deviation of the white noise, reflectance.
        clouds: share of the cells that clouds hide, 0–1.
    """

    shift: float = 0.5
    width: float = 0.2
    noise: float = 0.001
    clouds: float = 0.0

    def __post_init__(self) -> None:
        _within(self, shift=(0, 5), width=(0, 0.9), noise=(0, 1), clouds=(0, 0.95))


@dataclass(frozen=True, slots=True)
class Told:
    """What a method is told of the images, right or wrong.

    Attributes:
        blur: whether the sharp image's bands are said to be 1:2:6.
        mtf: of the blurred bands.
        sharp_noise: standard deviation of the sharp image's noise, reflectance.
        coarse_noise: of the coarse image's.
    """

    blur: bool = True
    mtf: float = 0.3
    sharp_noise: float = 0.003
    coarse_noise: float = 0.001


@dataclass(frozen=True, slots=True)
class ObservationErrors:
    """All that lies between a clean triplet and an observed one; the default is ``real-world``."""

    sharp: SharpErrors = field(default_factory=SharpErrors)
    coarse: CoarseErrors = field(default_factory=CoarseErrors)
    told: Told = field(default_factory=Told)


REAL_WORLD = ObservationErrors()
CLEAN = ObservationErrors(
    SharpErrors(blur=False, gain=0.0, offset=0.0, noise=0.0),
    CoarseErrors(shift=0.0, width=0.0, noise=0.0),
    Told(blur=False, sharp_noise=0.0, coarse_noise=0.0),
)
PROTOCOLS: Mapping[str, ObservationErrors] = MappingProxyType(
    {
        "clean": CLEAN,
        "real-world": REAL_WORLD,
        "native-noise": replace(REAL_WORLD, sharp=SharpErrors(noise_at="native")),
        "mtf20": replace(REAL_WORLD, sharp=SharpErrors(mtf=0.20)),
        "mtf45": replace(REAL_WORLD, sharp=SharpErrors(mtf=0.45)),
        "noise-half": replace(REAL_WORLD, told=Told(sharp_noise=0.0015)),
        "noise-double": replace(REAL_WORLD, told=Told(sharp_noise=0.006)),
        "cloudy": replace(REAL_WORLD, coarse=CoarseErrors(clouds=0.05)),
        "sharp-as-blurred": replace(CLEAN, told=Told(coarse_noise=0.0)),
    }
)
"""Errors by name. In ``noise-half`` and ``noise-double`` the noise is the same as in
``real-world`` and a half or the double of it is told; in ``mtf…`` the true MTF is not the one
told; in ``sharp-as-blurred`` nothing is wrong but what is told."""


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """The errors of one draw, hidden from methods.

    Attributes:
        gain: (l,) of the sharp bands.
        offset: (l,) likewise, reflectance.
        shift: (rows, columns) in sharp pixels by which the coarse cells lie beside their grid.
        width: true over told width of the PSF.
    """

    gain: np.ndarray
    offset: np.ndarray
    shift: tuple[float, float]
    width: float


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """A pair as sensors deliver it, with the truth.

    Attributes:
        hrmsi: (l, y, x) the sharp image. Its ``sampling`` is what is told: the native GSD, the
            MTF and the noise, each by band.
        lrhsi: (L, y / ratio, x / ratio) the coarse image; its ``sampling`` tells the noise.
        truth: (L, y, x) what fusion should return.
        sharp: (l, y, x) what restoration should return: the sharp image in the observed
            radiometry (gain and offset kept), without blur, noise and clouds.
        psf: of the coarse image, as told.
        drawn: the errors.
    """

    hrmsi: Cube
    lrhsi: Cube
    truth: Cube
    sharp: Cube
    psf: PSF
    drawn: Drawn


def observe(
    s2_sharp: Cube,
    s3_truth: Cube,
    ratio: int,
    errors: ObservationErrors = REAL_WORLD,
    seed: int = 0,
    *,
    psf: PSF | None = None,
) -> Observed:
    """Observe a scene with errors; the same seed gives the same bytes.

    Without errors (``CLEAN``) the images are those of :func:`trifuse.simulate.scene_views`.

    Args:
        s2_sharp: (l, y, x) reflectance, all bands sharp.
        s3_truth: (L, y, x) reflectance on the same grid.
        ratio: sharp pixels per coarse cell.
        errors: what goes wrong, and what is told.
        seed: another seed is another draw of the same errors.
        psf: of the coarse sensor as told; default: MTF 0.3 at Nyquist.

    Raises:
        DataError: if the grids differ.
        GridError: if the scene is smaller than a cell.
    """
    if s2_sharp.grid != s3_truth.grid:
        raise DataError("the two sharp views lie on different grids")
    psf = PSF.from_mtf() if psf is None else psf
    rng = {name: np.random.default_rng([seed, i]) for i, name in enumerate(_STREAMS)}
    sharp, coarse = errors.sharp, errors.coarse
    ratios = native_ratios(s2_sharp.bands)
    clean = s2_sharp.masked()
    gain, offset = draw_calibration(len(clean), sharp.gain, sharp.offset, rng["calibration"])
    calibrated = calibrate(clean, gain, offset)
    seen = calibrated
    if sharp.blur:
        seen = calibrate(native_view(clean, ratios, sharp.mtf), gain, offset)
    seen = _noisy(seen, sharp, ratios, rng["noise"])
    seen = hide(seen, sharp.clouds, float(ratio), rng["clouds"])
    told = replace(
        s2_sharp.with_meta(_told_sharp(s2_sharp, ratios, errors.told)),
        data=seen,
        valid=s2_sharp.valid & np.isfinite(seen).any(axis=0),
    )
    true_psf, shift, width = displace(psf, coarse.shift, coarse.width, ratio, rng["shift"])
    cells = degrade(s3_truth.masked(), ratio, true_psf, shift=shift)
    cells = add_noise(cells, coarse.noise, rng["cells"])
    cells = hide(cells, coarse.clouds, 1.0, rng["coarse clouds"])
    lrhsi = Cube(
        cells,
        np.isfinite(cells).any(axis=0),
        s3_truth.bands,
        s3_truth.grid.zoom_out(ratio),
        {
            **s3_truth.meta,
            "ratio": ratio,
            "psf_sigma_cells": [psf.sigma] * len(cells),
            "noise": dict.fromkeys(s3_truth.bands.names, errors.told.coarse_noise),
        },
    )
    unblurred = replace(s2_sharp, data=calibrated)
    return Observed(told, lrhsi, s3_truth, unblurred, psf, Drawn(gain, offset, shift, width))


_STREAMS = ("calibration", "noise", "clouds", "shift", "cells", "coarse clouds")


def _noisy(
    seen: np.ndarray, errors: SharpErrors, ratios: Sequence[int], rng: np.random.Generator
) -> np.ndarray:
    """The sharp image with its noise, on pixels or as each band's native sampling spreads it."""
    if errors.noise_at == "native" and errors.blur and errors.noise:
        return np.asarray(seen + native_field(seen.shape, ratios, errors.noise, rng))
    return add_noise(seen, errors.noise, rng)


def _told_sharp(cube: Cube, ratios: Sequence[int], told: Told) -> dict[str, Any]:
    gsd = cube.grid.gsd[0]
    said = [r if told.blur else 1 for r in ratios]
    names = cube.bands.names
    return {
        "native_gsd": {n: gsd * r for n, r in zip(names, said, strict=True)},
        "native_mtf": {n: told.mtf if r > 1 else 1.0 for n, r in zip(names, said, strict=True)},
        "upsampling": "bicubic",
        "noise": dict.fromkeys(names, told.sharp_noise),
    }
