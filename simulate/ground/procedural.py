"""A hyperspectral scene from nothing but a seed: the embedded data of demos and tests.

Land is laid out in map coordinates and every material follows a physical model with parameters
of its own in each pixel (see the ``scene_*`` modules), so scenes are as hard for spectral maps as
real ones: the regression of Sentinel-3 on Sentinel-2 (ratio 10, no errors) scores 55–61 dB, and 57
on a real EnMAP block. Snow raises that to about 67 dB, because PSNR counts against the brightest
pixel. Reflectance is rounded to 1e-4, the step of EnMAP deliveries.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from trifuse.core import ConfigError, Cube, Grid
from trifuse.simulate.ground.fields import stream
from trifuse.simulate.ground.landuse import LANDCOVER
from trifuse.simulate.ground.light import Light, build_light
from trifuse.simulate.ground.spectra import SpectralLibrary
from trifuse.simulate.ground.surface import Surface, surface_at
from trifuse.simulate.ground.world import World, build_world
from trifuse.srf_data import infer_detectors, load

SNAP = 1e-4
"""Step of the reflectance, that of the product's integers."""

_DEAD = (130, 135)
"""Bands (1-based, inclusive) that flight products leave empty: water vapour near 1360 nm."""

_BLUR = 0.46
"""Standard deviation of the sensor's point spread beside its pixel, in pixels."""

_SWAY = 0.5
"""Pixels by which the detectors miss each other at most."""

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

_KEYSTONE = 0.34
"""The same within the first detector, per 450 nm."""

_ROWS = 40
_CHUNK = 2048


@dataclass(frozen=True, slots=True, eq=False)
class ProceduralScene:
    """A scene and what is known of it.

    Attributes:
        cube: reflectance as :func:`procedural_scene` returns it.
        cloud: (y, x) bool.
        shadow: (y, x) bool, cloud shadow on clear ground.
        landcover: (y, x) uint8, index into ``classes``.
        classes: names of the land-cover codes.
        height: (y, x) float32, metres above the scene's mean level.
        sun: (elevation, azimuth) in degrees.
    """

    cube: Cube
    cloud: np.ndarray
    shadow: np.ndarray
    landcover: np.ndarray
    classes: tuple[str, ...]
    height: np.ndarray
    sun: tuple[float, float]


def procedural_scene(
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    *,
    gsd: float = 30.0,
    clouds: bool = False,
    crs: str = "EPSG:32633",
    west: float = 366000.0,
    north: float = 5810010.0,
) -> Cube:
    """A landscape as EnMAP would deliver it at level 2A; the same seed gives the same bytes.

    >>> procedural_scene((20, 30), seed=1).shape
    (224, 20, 30)

    Args:
        size: edge in pixels, or (rows, columns); at least 8.
        seed: another seed is another place; ``seed % 5`` is its kind: plain, hills, lakes,
            mountains, dry country.
        gsd: pixel size in metres, 5 to 500; fields, roads and rivers keep their size on the ground.
        clouds: whether clouds and their shadows lie over it; they are not valid.
        crs: coordinate system of the grid, in metres.
        west: map coordinate of the left edge.
        north: map coordinate of the upper edge.

    Returns:
        (224, y, x) reflectance, about −0.02 to 1.2, in the order of flight products (VNIR, then
        SWIR, which overlap); NaN in the six bands that these leave empty. ``meta`` has
        ``detectors`` and ``usable``, one value per band.

    Raises:
        ConfigError: if the size or pixel size makes no scene.
    """
    return procedural_layers(
        size, seed, gsd=gsd, clouds=clouds, crs=crs, west=west, north=north
    ).cube


def procedural_layers(
    size: int | tuple[int, int] = 512,
    seed: int = 0,
    *,
    gsd: float = 30.0,
    clouds: bool = False,
    crs: str = "EPSG:32633",
    west: float = 366000.0,
    north: float = 5810010.0,
) -> ProceduralScene:
    """The scene of :func:`procedural_scene` with its masks and land cover.

    Args, Raises: see there.
    """
    rows, cols = (size, size) if isinstance(size, int) else size
    shape = (int(rows), int(cols))
    if min(shape) < 8 or seed < 0 or not 5 <= gsd <= 500:
        raise ConfigError(
            f"no scene of {shape[0]}×{shape[1]} pixels of {gsd:g} m with seed {seed}",
            fix="give at least 8 pixels of 5 to 500 m and a seed of 0 or more",
        )
    bands = load("ENMAP").bands
    centres = np.array(bands.centres)
    detectors, usable = infer_detectors(centres), _usable(len(bands))
    library = SpectralLibrary.at(centres)
    world = build_world(shape, seed, gsd)
    light = build_light(world, clouds)
    data = np.empty((len(bands), *shape), np.float32)
    cover = np.empty(shape, np.uint8)
    for block, surface in _surfaces(world):
        cover[block] = surface.cover.reshape(-1, shape[1])
        _paint(library, light, surface, block, data[:, block])
    _sense(data, library, light, np.array(detectors) == "SWIR", seed, gsd)
    data[[not u for u in usable]] = np.nan
    cloud = light.opacity > 0.06
    shadow = (light.shadow > 0.10) & ~cloud
    meta = {
        "sensor": "ENMAP",
        "level": "L2A",
        "product_id": f"procedural_{seed}_{shape[0]}x{shape[1]}",
        "detectors": detectors,
        "usable": usable,
        "seed": seed,
        "sun_elevation": round(light.elevation, 4),
        "sun_azimuth": round(light.azimuth, 4),
    }
    grid = Grid.from_origin(crs, west, north, gsd, *shape)
    cube = Cube(data, ~(cloud | shadow), bands, grid, meta)
    return ProceduralScene(
        cube, cloud, shadow, cover, LANDCOVER, world.height, (light.elevation, light.azimuth)
    )


def _usable(count: int) -> list[bool]:
    return [not _DEAD[0] <= k <= _DEAD[1] for k in range(1, count + 1)]


def _surfaces(world: World) -> Iterator[tuple[slice, Surface]]:
    for start in range(0, world.shape[0], _ROWS):
        rows = slice(start, min(start + _ROWS, world.shape[0]))
        yield rows, surface_at(world, rows)


def _paint(
    library: SpectralLibrary, light: Light, surface: Surface, rows: slice, out: np.ndarray
) -> None:
    """Spectra of some rows into ``out`` (band, row, column)."""
    width = out.shape[2]
    direct, sky = light.direct[rows].ravel(), light.sky[rows].ravel()
    opacity = light.opacity[rows].ravel()
    for start in range(0, len(direct), _CHUNK):
        part = slice(start, min(start + _CHUNK, len(direct)))
        mixed = mix(library, surface, part)
        diffuse = library.diffuse
        mixed *= direct[part, None] * (1 - diffuse) + sky[part, None] * diffuse
        if opacity[part].any():
            veil = opacity[part, None]
            mixed += veil * (library.cloud * (0.55 + 0.45 * veil) - mixed)
        index = np.arange(part.start, part.stop)
        out[:, index // width, index % width] = mixed.T


def mix(library: SpectralLibrary, s: Surface, part: slice) -> np.ndarray:
    """Reflectance of level ground in full light: (pixel, band)."""
    share = s.share[part]
    soil = library.ground(s.soil[part])
    out = library.vegetation(s.herb[part], soil)
    out *= share[:, :1]
    lit = 1 - library.diffuse
    for k, model in enumerate(("tree", "water", "built", "snow"), start=1):
        there = np.flatnonzero(share[:, k] > 1e-4)
        if not len(there):
            continue
        at = there + part.start
        if model == "tree":
            r = library.vegetation(s.tree[at], soil[there]) * (1 - s.shade[at, :1] * lit)
        elif model == "water":
            r = library.lake(s.water[at], soil[there])
        elif model == "built":
            r = library.town(s.built[at]) * (1 - s.shade[at, 1:] * lit)
        else:
            r = library.snow(s.snow[at])
        out[there] += share[there, k : k + 1] * r
    # Light that meets two surfaces of a pixel before it leaves: Altmann et al. 2012,
    # doi:10.1109/TIP.2012.2187668; strongest where surfaces mix.
    rough = 0.22 * (1 - (share**2).sum(axis=1, keepdims=True))
    out += rough * out * out
    return out


def _sense(
    data: np.ndarray,
    library: SpectralLibrary,
    light: Light,
    swir: np.ndarray,
    seed: int,
    gsd: float,
) -> None:
    """What air and sensor leave in a product, band by band, in place.

    Light scattered in from the surroundings, errors of the atmospheric correction, a small shift
    between the detectors, noise that grows where the air lets little light through, and the
    product's rounding.
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
