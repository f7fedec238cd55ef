"""What real sensors do to a clean triplet: blur by band, calibration, noise, displacement, clouds.

    Sentinel-2 band b:  x_b = g_b · B_b m_b + o_b + n_b
    Sentinel-3 band k:  y_k = H(shift, width) f_k + e_k

m and f are the sharp bands of both sensors. B_b is what a band of 20 m or 60 m went through before
it lies on pixels of 10 m: Gaussian blur, a sample at the centre of each native pixel, cubic
convolution back. H is the PSF of Sentinel-3, displaced and of another width than is known. Every
effect has a random stream of its own, so one that is switched off does not change the others.

Sources: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (Gaussian by the MTF at Nyquist).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np
from scipy import sparse
from scipy.ndimage import gaussian_filter

from trifuse.core import PSF, BandSet, ConfigError, Cube, DataError, degrade, fill_nearest
from trifuse.core.bands import canonical_name
from trifuse.core.resample import blur_matrix, upsample_matrix

S2_NATIVE: Mapping[str, int] = MappingProxyType({
    "B1": 6, "B2": 1, "B3": 1, "B4": 1, "B5": 2, "B6": 2, "B7": 2, "B8": 1, "B8A": 2, "B9": 6,
    "B10": 6, "B11": 2, "B12": 2,
})  # fmt: skip
"""Native sampling of Sentinel-2's bands in pixels of 10 m."""

NoiseAt = Literal["pixel", "native"]
P = TypeVar("P", PSF, tuple[PSF, ...])


def _within(errors: Any, limits: Mapping[str, tuple[float, float]]) -> None:
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
        _within(self, {"mtf": (0.01, 1), "gain": (0, 1), "offset": (0, 1), "noise": (0, 1),
                       "clouds": (0, 0.95)})  # fmt: skip
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
        _within(self, {"shift": (0, 5), "width": (0, 0.9), "noise": (0, 1), "clouds": (0, 0.95)})


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
PROTOCOLS: Mapping[str, ObservationErrors] = MappingProxyType({
    "clean": CLEAN,
    "real-world": REAL_WORLD,
    "native-noise": replace(REAL_WORLD, sharp=SharpErrors(noise_at="native")),
    "mtf20": replace(REAL_WORLD, sharp=SharpErrors(mtf=0.20)),
    "mtf45": replace(REAL_WORLD, sharp=SharpErrors(mtf=0.45)),
    "noise-half": replace(REAL_WORLD, told=Told(sharp_noise=0.0015)),
    "noise-double": replace(REAL_WORLD, told=Told(sharp_noise=0.006)),
    "cloudy": replace(REAL_WORLD, coarse=CoarseErrors(clouds=0.05)),
    "sharp-as-blurred": replace(CLEAN, told=Told(coarse_noise=0.0)),
})  # fmt: skip
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
        hrmsi: (l, y, x) the sharp image. ``meta`` says what is told: ``native_gsd`` and
            ``native_mtf`` and ``noise``, each by band.
        lrhsi: (L, y / ratio, x / ratio) the coarse image; ``meta["noise"]`` by band.
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
    native_noise = sharp.noise if sharp.noise_at == "native" else 0.0
    seen = calibrated
    if sharp.blur:
        seen = calibrate(native_view(clean, ratios, sharp.mtf), gain, offset)
        if native_noise:
            seen = seen + native_field(clean.shape, ratios, native_noise, rng["noise"])
    elif native_noise:
        seen = add_noise(seen, native_noise, rng["noise"])
    if sharp.noise_at == "pixel":
        seen = add_noise(seen, sharp.noise, rng["noise"])
    seen = hide(seen, sharp.clouds, float(ratio), rng["clouds"])
    told = replace(
        s2_sharp,
        data=seen,
        valid=s2_sharp.valid & np.isfinite(seen).any(axis=0),
        meta={**s2_sharp.meta, **_told_sharp(s2_sharp, ratios, errors.told)},
    )
    true_psf, shift, width = displace(psf, coarse, ratio, rng["shift"])
    cells = degrade(s3_truth.masked(), ratio, true_psf, shift=shift)
    cells = add_noise(cells, coarse.noise, rng["cells"])
    cells = hide(cells, coarse.clouds, 1.0, rng["coarse clouds"])
    lrhsi = Cube(
        cells, np.isfinite(cells).any(axis=0), s3_truth.bands, s3_truth.grid.zoom_out(ratio),
        {**s3_truth.meta, "ratio": ratio, "psf_sigma_cells": [psf.sigma] * len(cells),
         "noise": dict.fromkeys(s3_truth.bands.names, errors.told.coarse_noise)},
    )  # fmt: skip
    return Observed(
        told, lrhsi, s3_truth, replace(s2_sharp, data=calibrated), psf,
        Drawn(gain, offset, shift, width),
    )  # fmt: skip


_STREAMS = ("calibration", "noise", "clouds", "shift", "cells", "coarse clouds")


def native_ratios(bands: BandSet | Sequence[str]) -> tuple[int, ...]:
    """Native sampling of Sentinel-2 bands in pixels of 10 m: 1, 2 or 6; 1 for other sensors'.

    >>> native_ratios(["B2", "B8A", "B9"])
    (1, 2, 6)
    """
    names = bands.names if isinstance(bands, BandSet) else bands
    return tuple(S2_NATIVE.get(canonical_name(n), 1) for n in names)


def native_axis(
    n: int, ratio: int, mtf: float = 0.3
) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """One axis of what a band goes through: to its native pixels, and back by cubic convolution.

    Args:
        n: number of pixels; the last native pixel may stand over the edge.
        ratio: pixels per native pixel.
        mtf: modulation transfer at the native Nyquist frequency.

    Returns:
        (ceil(n / ratio), n) and (n, ceil(n / ratio)) float64; the rows of both sum to one.
    """
    cells = -(-n // ratio)
    centres = np.arange(cells) * ratio + (ratio - 1) / 2
    sigma = PSF.from_mtf(mtf).pixels(ratio)
    down = blur_matrix(n, sigma, centres, spread=0.0 if ratio % 2 else 0.5)
    return down, upsample_matrix(cells, ratio)[:n]


def native_view(
    data: np.ndarray, ratios: Sequence[int], mtf: float | Sequence[float] = 0.3
) -> np.ndarray:
    """Sharp bands as their native sampling leaves them, interpolated to the same pixels.

    Args:
        data: (l, y, x) reflectance; NaN stays NaN and is bridged from its neighbours.
        ratios: pixels per native pixel, one per band; bands of 1 stay as they are.
        mtf: modulation transfer at the native Nyquist frequency, one for all or one per band.

    Returns:
        The same shape and dtype.
    """
    mtfs = list(mtf) if isinstance(mtf, Sequence) else [mtf] * len(data)
    out = data.copy()
    filled = fill_nearest(data) if np.isnan(data).any() else data
    for plane, target, ratio, m in zip(filled, out, ratios, mtfs, strict=True):
        if ratio == 1:
            continue
        (down_y, up_y), (down_x, up_x) = (native_axis(n, ratio, m) for n in plane.shape)
        cells = down_x @ (down_y @ plane.astype(np.float64)).T
        target[:] = (up_x @ (up_y @ cells.T).T).T
    return np.where(np.isnan(data), np.float32(np.nan), out)


def native_field(
    shape: tuple[int, ...], ratios: Sequence[int], sigma: float, rng: np.random.Generator
) -> np.ndarray:
    """White noise at each band's native sampling, interpolated to the pixels: (l, y, x) float32."""
    out = np.empty(shape, np.float32)
    for plane, ratio in zip(out, ratios, strict=True):
        n_y, n_x = plane.shape
        cells = sigma * rng.standard_normal((-(-n_y // ratio), -(-n_x // ratio)))
        if ratio == 1:
            plane[:] = cells
        else:
            up_y, up_x = (upsample_matrix(-(-n // ratio), ratio)[:n] for n in (n_y, n_x))
            plane[:] = (up_x @ (up_y @ cells).T).T
    return out


def draw_calibration(
    count: int, gain: float, offset: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Gain about 1 and offset about 0 of each band: (l,) float32 each."""
    drawn = rng.standard_normal((2, count))
    return (1 + gain * drawn[0]).astype(np.float32), (offset * drawn[1]).astype(np.float32)


def calibrate(data: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """(l, y, x) bands with a gain and an offset each."""
    out: np.ndarray = data * gain[:, None, None] + offset[:, None, None]
    return out


def add_noise(data: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """White Gaussian noise added; the input itself where there is none."""
    if not sigma:
        return data
    noise = rng.standard_normal(data.shape, np.float32)
    noise *= np.float32(sigma)
    noise += data
    return noise


def displace(
    psf: P, errors: CoarseErrors, ratio: int, rng: np.random.Generator
) -> tuple[P, tuple[float, float], float]:
    """Where the coarse cells really lie and how wide they really see.

    Returns:
        The true PSF (or one per band); the shift (rows, columns) in sharp pixels; true over told
        width.
    """
    dy, dx, wide = rng.uniform(-1, 1, 3)
    factor = float(1 + errors.width * wide)
    true = (
        PSF(psf.sigma * factor)
        if isinstance(psf, PSF)
        else tuple(PSF(p.sigma * factor) for p in psf)
    )
    reach = errors.shift * ratio
    return true, (float(reach * dy), float(reach * dx)), factor


def cloud_mask(
    shape: tuple[int, int], share: float, size: float, rng: np.random.Generator
) -> np.ndarray:
    """Clouds as blobs: (y, x) bool, True where hidden.

    Args:
        shape: (y, x).
        share: of the pixels that are hidden, 0–1; exact to one pixel, one at least if not 0.
        size: about the radius of a blob in pixels.
        rng: draws the field.
    """
    field_ = gaussian_filter(rng.standard_normal(shape), size)
    count = max(1, round(share * field_.size)) if share else 0
    mask = np.zeros(field_.size, bool)
    mask[np.argsort(field_, axis=None)[field_.size - count :]] = True
    return mask.reshape(shape)


def hide(data: np.ndarray, share: float, size: float, rng: np.random.Generator) -> np.ndarray:
    """NaN in all bands under clouds, see :func:`cloud_mask`; the input itself without clouds."""
    if not share:
        return data
    mask = cloud_mask((data.shape[1], data.shape[2]), share, size, rng)
    return np.where(mask, np.float32(np.nan), data)


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
