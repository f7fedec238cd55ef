"""Sharp multispectral scenes to train a refiner on: procedural, recoloured, mosaics, real.

Procedural scenes look like land, but their materials follow one model each, and a network learns
that model's spectra. Recolouring bends the bands of a scene against each other at random, and
mosaics of random shapes take their spectra from the moments of all training spectra: what
remains to be learnt is what holds for any image, how edges, textures and bands go together here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter, shift

from trifuse.core import CubeSource, DataError, MemorySource, Window, canonical_name
from trifuse.fusformer.refiner import BANDS
from trifuse.fusion.spectral.universal import responses, training_moments
from trifuse.simulate import convolve
from trifuse.simulate.ground.procedural import procedural_scene
from trifuse.simulate.observation import S2_NATIVE
from trifuse.srf_data import integrate, load

SATELLITES = ("S2A_MSI", "S2B_MSI", "S2C_MSI")

LEAST = 1e-3
"""No reflectance is made darker."""

_REACH = 0.25
"""Over how much of the logarithm of the wavelength recolouring is alike."""


def land(size: int, seed: int, rng: np.random.Generator) -> np.ndarray:
    """A procedural scene in Sentinel-2's bands, its landscape on pixels of 10–30 m.

    Args:
        size: edge in pixels.
        seed: of the scene.
        rng: draws the pixel size and the satellite.

    Returns:
        (12, size, size) float32 reflectance, bands as the refiner's.
    """
    gsd = float(np.exp(rng.uniform(np.log(10), np.log(30))))
    cube = procedural_scene(size, seed, gsd=gsd)
    table = load(SATELLITES[int(rng.integers(len(SATELLITES)))]).select(list(BANDS))
    operator = integrate(
        table, cube.bands, usable=cube.meta["usable"], detectors=cube.meta["detectors"]
    )
    made: np.ndarray = convolve(MemorySource(cube), operator).select(BANDS).data
    return made


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A scene with other materials: gamma, gain and mixtures of the bands' detail, all random.

    Neighbouring wavelengths are bent alike. Shapes and textures stay where they are.

    Args:
        image: (12, y, x) reflectance, NaN in bands that are not there.
        rng: draws.

    Returns:
        The same shape, float32, LEAST to 1.2; NaN in the same bands.
    """
    there = np.isfinite(image).all(axis=(1, 2))
    place = np.log(load("S2A_MSI").select(list(BANDS)).bands.centres)[there]
    apart = np.abs(place[:, None] - place[None, :])
    alike = np.exp(-0.5 * (apart / _REACH) ** 2) + 0.1 * np.eye(len(place))
    root = np.linalg.cholesky(alike)
    gamma, gain = (
        np.exp(s * (root @ rng.standard_normal(len(place))))[:, None, None] for s in (0.2, 0.35)
    )
    seen = image[there]
    mean = np.maximum(seen.mean(axis=(1, 2), keepdims=True), LEAST)
    bent = mean * np.maximum(seen / mean, LEAST) ** gamma
    detail = bent - mean
    spread = detail.std(axis=(1, 2), keepdims=True) + 1e-6
    mixing = np.eye(len(place)) + 0.08 * rng.standard_normal(apart.shape) * np.exp(-apart / 0.6)
    mixed = mean + spread * np.tensordot(mixing, detail / spread, axes=1)
    out = np.full_like(image, np.nan, np.float32)
    out[there] = np.clip(mixed * gain, LEAST, 1.2)
    return out


def mosaic(size: int, rng: np.random.Generator) -> np.ndarray:
    """Random shapes one over another, each of two materials that mix in a random texture.

    In half of the scenes shapes lie in districts of few materials each, as roofs and yards do in
    a town: what differs from shape to shape is then mostly how bright they are, whereas districts
    differ by their spectra, so bands go together otherwise in fine detail than in coarse.

    Args:
        size: edge in pixels.
        rng: draws.

    Returns:
        (12, size, size) float32 reflectance, bands as the refiner's.

    Source: Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675 (dead leaves).
    """
    fine = 2 * size  # drawn at half a pixel, then averaged: borders lie anywhere
    shapes = int(np.exp(rng.uniform(np.log(150), np.log(4000))))  # fields, up to a town
    label = _leaves(fine, shapes, rng)
    palette = materials(int(rng.integers(6, 80)), rng)
    choice = np.tile(np.arange(len(palette)), (shapes, 1))
    if rng.random() < 0.5:
        count = int(rng.integers(5, 60))
        own = rng.integers(0, len(palette), (count, int(rng.integers(1, 5))))
        choice = own[_districts(label, _leaves(fine, count, rng), shapes)]
    brightness = rng.uniform(0.05, 0.5)
    first, second = (
        palette[choice[np.arange(shapes), rng.integers(0, choice.shape[1], shapes)]]
        * np.exp(brightness * rng.standard_normal((shapes, 1)))
        for _ in range(2)
    )
    share = rng.uniform(0, 0.4, shapes)[label]
    share += rng.uniform(0, 0.35, shapes)[label] * texture(fine, rng.uniform(0.8, 1.8), rng)
    share = np.clip(share, 0, 1)
    light = 1 + rng.uniform(0.02, 0.15) * texture(fine, rng.uniform(0.8, 1.8), rng)
    blur = 2 * rng.uniform(0.3, 0.6)
    out = np.empty((len(BANDS), size, size), np.float32)
    for k, plane in enumerate(out):
        value = (first[label, k] * (1 - share) + second[label, k] * share) * light
        value = gaussian_filter(value, blur, mode="reflect")
        plane[:] = value.reshape(size, 2, size, 2).mean(axis=(1, 3))
    out += 3e-4 * rng.standard_normal(out.shape, np.float32)
    return np.maximum(out, LEAST)


def _districts(label: np.ndarray, district: np.ndarray, shapes: int) -> np.ndarray:
    """In which district the middle of each shape lies: (shapes,) int; 0 for hidden shapes."""
    flat = label.ravel()
    seen = np.maximum(np.bincount(flat, minlength=shapes), 1)
    middle = [
        (np.bincount(flat, axis.ravel(), shapes) / seen).astype(int)
        for axis in np.indices(label.shape)
    ]
    return np.asarray(district[middle[0], middle[1]])


def materials(count: int, rng: np.random.Generator) -> np.ndarray:
    """Random spectra in the refiner's bands, with the moments of the training spectra: (count, 12).

    Half of them are bent further, so that no relation between bands is sure.
    """
    table = training_moments()
    bands = load("S2A_MSI").select(list(BANDS)).bands
    response = responses(bands, "S2A_MSI", table.nm)
    draws = rng.standard_normal((count, table.factor.shape[1]))
    spectra = (table.mean + draws @ table.factor.T) @ response.T
    place = np.log(bands.centres)
    alike = np.exp(-0.5 * ((place[:, None] - place[None, :]) / _REACH) ** 2)
    root = np.linalg.cholesky(alike + 0.05 * np.eye(len(place)))
    bent = np.exp(0.3 * rng.standard_normal((count, len(place))) @ root.T)
    bent[::2] = 1
    return np.asarray(np.clip(spectra * bent, 0.005, 1.1))


def texture(size: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """A random field of mean 0 and deviation 1 whose amplitude falls with frequency ^ slope."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1
    field = np.fft.irfft2(spectrum * frequency**-slope, (size, size))
    return np.asarray((field - field.mean()) / field.std())


def cut_real(source: CubeSource, size: int, rng: np.random.Generator) -> np.ndarray:
    """A window of a real image whose bands are equally sharp.

    Returns:
        (12, size, size) float32, NaN in the refiner's bands that the image lacks.

    Raises:
        DataError: if it is smaller than the window, has no blurred or no sharpest band of
            Sentinel-2, or ten windows all have pixels missing.
    """
    there = {canonical_name(n) for n in source.bands.names}
    numbers = [i for i, n in enumerate(BANDS) if n in there]
    if len({S2_NATIVE[BANDS[i]] > 1 for i in numbers}) < 2:
        raise DataError("has too few of Sentinel-2's bands", where=source.name)
    height, width = source.grid.shape
    if min(height, width) < size:
        raise DataError(
            f"{height}×{width} pixels are fewer than {size}×{size}",
            where=source.name,
            fix="give a larger image",
        )
    for _ in range(10):
        corner = int(rng.integers(height - size + 1)), int(rng.integers(width - size + 1))
        data = source.read(Window(*corner, size, size), [BANDS[i] for i in numbers]).masked()
        if np.isfinite(data).all():
            image = np.full((len(BANDS), size, size), np.nan, np.float32)
            image[numbers] = data
            return image
    raise DataError("too many pixels are missing", where=source.name)


def imperfect(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """An image as instruments have it, each effect in half of the cases.

    All bands a little blurred; bands beyond 1000 nm, or each band, a little displaced and softer
    than the others (another detector sees them); and the image's own noise.

    Args:
        image: (12, y, x) reflectance, NaN in bands that are not there.
        rng: draws.

    Returns:
        The same shape, float32.
    """
    out = image.astype(np.float32)
    count = len(image)
    if rng.random() < 0.5:
        sigma = rng.uniform(0.2, 0.8)
        out = np.stack([gaussian_filter(plane, sigma, mode="reflect") for plane in out])
    if rng.random() < 0.5:
        far = np.array(load("S2A_MSI").select(list(BANDS)).bands.centres) > 1000
        one = np.where(far, 1.0, 0.0) if rng.random() < 0.5 else rng.random(count)
        moved = rng.uniform(-0.3, 0.3, 2)
        softer = rng.uniform(0, 0.5)
        for plane, share in zip(out, one, strict=True):
            if share and np.isfinite(plane).all():
                plane[:] = shift(plane, share * moved, order=3, mode="reflect")
                plane[:] = gaussian_filter(plane, share * softer, mode="reflect")
    if rng.random() < 0.5:
        noise = np.exp(rng.uniform(np.log(1e-4), np.log(2e-3)))
        each = noise * rng.uniform(0.5, 1.5, (count, 1, 1)).astype(np.float32)
        out += each * rng.standard_normal(out.shape, np.float32)
    return out


def _leaves(size: int, shapes: int, rng: np.random.Generator) -> np.ndarray:
    """Which shape lies on top of each pixel: (size, size) int."""
    label = np.zeros((size, size), np.int64)
    least = rng.uniform(1, 8)
    most = max(rng.uniform(30, 120) * min(1, (500 / shapes) ** 0.5), 1.5 * least)
    slope = rng.uniform(1, 3)
    for number in range(1, shapes):
        # Radii by a power law, cut at both ends.
        share = rng.random()
        radius = (most**-slope + (least**-slope - most**-slope) * share) ** (-1 / slope)
        long = rng.random() < 0.3
        aspect = np.exp(rng.uniform(1.5, 3.5) if long else rng.uniform(0, 1.6))
        a, b = radius * np.sqrt(aspect), radius / np.sqrt(aspect)
        turn, middle = rng.uniform(0, np.pi), rng.uniform(0, size, 2)
        around = int(np.ceil(np.hypot(a, b))) + 1
        low = np.clip(middle.astype(int) - around, 0, size)
        high = np.clip(middle.astype(int) + around + 1, 0, size)
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        dy, dx = y - middle[0], x - middle[1]
        along, across = (
            dy * np.cos(turn) + dx * np.sin(turn),
            dx * np.cos(turn) - dy * np.sin(turn),
        )
        box = rng.random() < 0.6
        inside = (
            (np.abs(along) < a) & (np.abs(across) < b)
            if box
            else (along / a) ** 2 + (across / b) ** 2 < 1
        )
        label[low[0] : high[0], low[1] : high[1]][inside] = number
    return label


def drop_bands(there: Sequence[int], ratios: Sequence[int], rng: np.random.Generator) -> list[int]:
    """Numbers of bands that an image keeps, of those there: all in four of five cases.

    A sharpest band and a blurred one are always left.
    """
    if rng.random() < 0.8:
        return list(there)
    kept = np.zeros(len(ratios), np.bool_)
    kept[there] = rng.random(len(there)) < rng.uniform(0.4, 0.95)
    for group in ([i for i in there if ratios[i] == 1], [i for i in there if ratios[i] > 1]):
        if not kept[group].any():
            kept[rng.choice(group)] = True
    return [int(i) for i in np.flatnonzero(kept)]
