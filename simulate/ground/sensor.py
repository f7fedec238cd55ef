"""What air and sensor leave in a product.

Light scattered in from the surroundings, errors of the atmospheric correction, a small shift
between the detectors, noise that grows where the air lets little light through, and the product's
rounding.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.light import Light
from trifuse.simulate.ground.spectra import SpectralLibrary

SNAP = 1e-4
"""Step of the reflectance, that of the product's integers."""

_BLUR = 0.46
"""Standard deviation of the sensor's point spread beside its pixel, in pixels."""

_SWAY = 0.5
"""Pixels by which the detectors miss each other at most."""

_KEYSTONE = 0.34
"""The same within the first detector, per 450 nm."""

# Wavelength in nm and noise of a reflectance of 0.2: as measured on a flight product, and raised in
# the blue and the near infrared until the scenes are as hard to fuse as real ones.
_NOISE_VNIR = (
    (418, 440, 480, 560, 660, 690, 740, 752, 763, 776, 800, 870, 900, 930, 960, 993),
    (1.3e-3, 1.1e-3, 6.0e-4, 4.6e-4, 3.8e-4, 5.2e-4, 8.0e-4, 1.3e-3, 2.8e-3, 1.1e-3, 8.5e-4,
     1.05e-3, 1.5e-3, 2.0e-3, 1.7e-3, 1.2e-3),
)  # fmt: skip
_NOISE_SWIR = (
    (902, 932, 955, 985, 1010, 1085, 1120, 1145, 1190, 1300, 1345, 1450, 1473, 1500, 1530, 1740,
     1760, 1939, 1960, 1980, 2010, 2035, 2100, 2250, 2330, 2380, 2440),
    (1.2e-3, 2.8e-3, 8e-4, 4e-4, 2.8e-4, 3.0e-4, 3.0e-3, 1.6e-3, 3.9e-4, 3.6e-4, 3e-3, 4e-3,
     1.6e-3, 6e-4, 3.0e-4, 5.0e-4, 8e-3, 1.5e-2, 5e-3, 1e-3, 2.5e-3, 7e-4, 5e-4, 6e-4, 8.5e-4,
     1.3e-3, 2.5e-3),
)  # fmt: skip


def sense(
    data: np.ndarray,
    library: SpectralLibrary,
    light: Light,
    swir: np.ndarray,
    seed: int,
    gsd: float,
) -> None:
    """Turn reflectance into what a product holds of it, band by band, in place.

    Args:
        data: (band, y, x) float32 reflectance; changed.
        library: at the bands.
        light: errors of vapour and haze count here.
        swir: (band,) bool, which detector a band is of.
        seed: of the scene.
        gsd: pixel size in metres.
    """
    scale = library.nm / 450
    reach = 450 / gsd
    rng = stream(seed, "noise")
    sway = _detector_offset((data.shape[1], data.shape[2]), rng)
    moist = light.vapour + np.float32(0.018) * rng.standard_normal(sway[0].shape, dtype=np.float32)
    for k, band in enumerate(data):
        w = float(scale[k])
        band += 0.06 * w**-1.3 * (_surroundings(band, reach) - band)
        band[:] = ndimage.gaussian_filter(band, _BLUR, mode="nearest", radius=2)
        band[:] = _sway(band, sway if swir[k] else sway * np.float32(_KEYSTONE * (w - 1.45)))
        band *= 1 + moist * np.float32(library.vapour[k])
        band += light.haze * np.float32(w**-1.8)
        sigma = np.interp(library.nm[k], *(_NOISE_SWIR if swir[k] else _NOISE_VNIR))
        noise = rng.standard_normal(band.shape, dtype=np.float32)
        band += np.float32(sigma) * noise * np.sqrt(0.3 + 3.5 * np.maximum(band, 0))
        np.rint(band / np.float32(SNAP), out=band)
        band *= np.float32(SNAP)


def _detector_offset(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Where the second detector looks beside the first: (2, y, x) pixels.

    Each detector's rows run across the map at the tilt of the orbit and go to the nearest pixel
    of the map, so the offset between the two beats at a few pixels, as it does in real products.
    """
    tilt = np.radians(rng.uniform(9, 15))
    y, x = np.ogrid[: shape[0], : shape[1]]
    phase = rng.random((2, 2))
    swath = np.stack([y * np.cos(tilt) + x * np.sin(tilt), x * np.cos(tilt) - y * np.sin(tilt)])
    first, second = (swath * 1.017 + phase[:, k, None, None] for k in (0, 1))
    beat = (first - np.rint(first)) - (second - np.rint(second))
    return np.asarray(_SWAY * beat, np.float32)


def _sway(band: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """The band seen at an offset from its pixels, linear between neighbours."""
    for axis in (0, 1):
        ahead = np.take(
            band, np.arange(1, band.shape[axis] + 1).clip(0, band.shape[axis] - 1), axis
        )
        behind = np.take(band, np.arange(-1, band.shape[axis] - 1).clip(0), axis)
        by = offset[axis]
        band = band + np.maximum(by, 0) * (ahead - band) + np.maximum(-by, 0) * (behind - band)
    return band


def _surroundings(band: np.ndarray, reach: float) -> np.ndarray:
    """Mean over some hundred metres, computed on a thinned image."""
    thin = max(int(reach / 3), 1)
    rows, cols = (-(-n // thin) for n in band.shape)
    padded = np.pad(
        band, ((0, rows * thin - band.shape[0]), (0, cols * thin - band.shape[1])), "edge"
    )
    small = padded.reshape(rows, thin, cols, thin).mean(axis=(1, 3))
    small = ndimage.gaussian_filter(small, reach / thin, mode="nearest")
    y = (np.arange(band.shape[0]) + 0.5) / thin - 0.5
    x = (np.arange(band.shape[1]) + 0.5) / thin - 0.5
    return _bilinear(small, y, x)


def _bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Values at the crossings of rows ``y`` and columns ``x``."""
    for axis, at in ((0, y), (1, x)):
        low = np.floor(at).astype(int).clip(0, max(image.shape[axis] - 2, 0))
        high = np.minimum(low + 1, image.shape[axis] - 1)
        share = (at - low).clip(0, 1).astype(np.float32)
        share = share[:, None] if axis == 0 else share[None]
        image = np.take(image, low, axis) * (1 - share) + np.take(image, high, axis) * share
    return image
