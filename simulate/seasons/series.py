"""Synthetic series of several satellites over one landscape and year, with the truth beside them.

The land is a procedural scene at 10 m whose parcels grow, ripen and are harvested; weather brings
clouds, rain and snow. Each sensor looks at its own hours through its spectral responses and point
spread, at irregular dates, past clouds and shadows. Everything follows from the seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    Cube,
    Grid,
    MemorySource,
    Series,
    blur,
    degrade,
    refuse_existing,
    writes,
)
from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.landuse import LANDCOVER
from trifuse.simulate.ground.spectra import SpectralLibrary
from trifuse.simulate.seasons.land import Land
from trifuse.simulate.seasons.season import CROPS
from trifuse.simulate.seasons.sensors import GSD, SENSORS, SeriesSensor, band_nodes
from trifuse.simulate.seasons.sky import Sky, build_sky

PAIR = ("sentinel2", "landsat")


@dataclass(frozen=True, slots=True, eq=False)
class SensorImages:
    """What one sensor saw.

    Attributes:
        sensor: name, e.g. ``landsat``.
        bands: names and wavelengths; a temperature has none.
        grid: of the images.
        days: (T,) days since the first of January, ascending.
        data: (T, band, y, x) float32; reflectance, temperature in kelvin; clouds are in it.
        valid: (T, y, x) bool, what the product's mask calls clear.
    """

    sensor: str
    bands: BandSet
    grid: Grid
    days: np.ndarray
    data: np.ndarray
    valid: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSeries:
    """Series of one landscape; made by :func:`procedural_series`.

    Attributes:
        images: what each sensor saw, by name.
        grid: the 10 m grid of the truth.
        seed: of the landscape.
        year: that the days count in.
        landcover: (y, x) uint8, index into ``classes``.
        classes: names of the land-cover codes.
        crop: (y, x) uint8, index into ``crops``: what the parcel of the pixel's corner carries.
        crops: names of the crops.
        land: the landscape itself.
    """

    images: Mapping[str, SensorImages]
    grid: Grid
    seed: int
    year: int
    landcover: np.ndarray
    classes: tuple[str, ...]
    crop: np.ndarray
    crops: tuple[str, ...]
    land: Land

    def truth(self, day: float) -> dict[str, np.ndarray]:
        """Every band at 10 m on any day, free of clouds, blur, haze and noise.

        Args:
            day: days since the first of January, 0–365; fractions are fine.

        Returns:
            sensor → (band, y, x) float32, as lit at the hour of that sensor.
        """
        return {name: self.land.observe(SENSORS[name], day) for name in self.images}

    def series(self, sensor: str) -> Series:
        """The images of a sensor as a series in memory."""
        images = self.images[sensor]
        items = []
        for day, data, valid in zip(images.days, images.data, images.valid, strict=True):
            when = date(self.year, 1, 1) + timedelta(days=int(day))
            meta = {"sensor": sensor, "procedural_seed": self.seed}
            cube = Cube(data, valid, images.bands, images.grid, meta)
            items.append((when, MemorySource(cube, f"{sensor} {when}")))
        return Series.of(sensor, items)


def procedural_series(
    size: int | tuple[int, int] = 192,
    seed: int = 0,
    *,
    year: int = 2022,
    sensors: Sequence[str] = PAIR,
    clouds: bool = True,
    min_clear: float = 0.25,
    careless: float = 0.0,
    crs: str = "EPSG:32633",
    west: float = 366000.0,
    north: float = 5810010.0,
) -> SyntheticSeries:
    """A year over a landscape as several satellites deliver it; the same seed gives the same bytes.

    >>> pair = procedural_series(24, seed=1)
    >>> pair.images["landsat"].data.shape[1:], pair.truth(180.5)["landsat"].shape
    ((8, 8, 8), (8, 24, 24))

    Args:
        size: edge in pixels of 10 m, or (rows, columns): a multiple of every sensor's ratio
            (Landsat 3, Sentinel-3 30), at least 12.
        seed: another seed is another landscape and weather; ``seed % 5`` is its kind: plain, hills,
            lakes, mountains, dry country.
        year: another year has other weather over the same landscape.
        sensors: of ``sentinel2``, ``landsat`` and ``sentinel3``.
        clouds: whether there are any.
        min_clear: images with a smaller share of clear pixels are left out, as archives do.
        careless: 0: masks cover all clouds and shadows with a rim; up to 1: they have errors at
            edges.
        crs: coordinate system of the grids, in metres.
        west: map coordinate of the left edge.
        north: map coordinate of the upper edge.

    Raises:
        ConfigError: if a value is out of range or a sensor is unknown.
    """
    shape = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
    if unknown := [s for s in sensors if s not in SENSORS]:
        raise ConfigError(f"no sensors {', '.join(unknown)}", fix=f"of {', '.join(SENSORS)}")
    ratio = max((SENSORS[s].ratio for s in sensors), default=0)
    if not ratio or min(shape) < 12 or shape[0] % ratio or shape[1] % ratio or seed < 0:
        raise ConfigError(
            f"no series of {shape[0]}×{shape[1]} pixels with seed {seed} for {len(sensors)} "
            "sensors",
            fix=f"give at least one sensor, a seed of 0 or more and multiples of {ratio or 3}, "
            "at least 12",
        )
    if not (0 <= careless <= 1 and 0 <= min_clear <= 1):
        raise ConfigError(f"careless {careless:g}, min_clear {min_clear:g}", fix="give 0 to 1")
    land = Land(shape, seed, year)
    grid = Grid.from_origin(crs, west, north, GSD, *shape)
    flight = _Flight(seed, year, clouds, min_clear, careless)
    images = {name: _fly(land, SENSORS[name], grid, flight) for name in sensors}
    crop = land.growth.crop[land.parcel].astype(np.uint8)
    landcover = land.surface.landcover.reshape(shape)
    return SyntheticSeries(images, grid, seed, year, landcover, LANDCOVER, crop, CROPS, land)


@writes(folder=True)
def write_series_pair(
    out: Path | str,
    size: int | tuple[int, int] = 192,
    seed: int = 0,
    *,
    overwrite: bool = False,
    cog: bool = True,
    **options: object,
) -> dict[str, Path]:
    """Write a synthetic year as folders of dated GeoTIFFs, one folder a sensor.

    What was seen under clouds is kept and masked out. Values are float32, to the bit.

    Args:
        out: folder that gets ``sentinel2/`` and ``landsat/`` (or what ``sensors`` names).
        size: see :func:`procedural_series`.
        seed: see there.
        overwrite: replace what is there.
        cog: cloud-optimised files.
        **options: of :func:`procedural_series`.

    Returns:
        sensor → its folder.

    Raises:
        OutputExistsError: if one of the folders holds a series and ``overwrite`` is False.
        ConfigError: as :func:`procedural_series`.
    """
    from trifuse.products import write_series

    out = Path(out)
    made = procedural_series(size, seed, **options)  # type: ignore[arg-type]
    refuse_existing(*(out / name / "index.json" for name in made.images), overwrite=overwrite)
    for name in made.images:
        write_series(out / name, made.series(name), dtype="float32", overwrite=overwrite, cog=cog)
    return {name: out / name for name in made.images}


@dataclass(frozen=True, slots=True)
class _Flight:
    """What decides a year's images; see :func:`procedural_series`."""

    seed: int
    year: int
    clouds: bool
    min_clear: float
    careless: float


def _fly(land: Land, sensor: SeriesSensor, grid: Grid, flight: _Flight) -> SensorImages:
    """All images of one sensor."""
    seed, year = flight.seed, flight.year
    rng = stream(seed, f"orbit {year} {sensor.name}")
    passes = np.arange(int(rng.integers(sensor.phase)), 365, sensor.revisit)
    passes = passes[rng.random(len(passes)) >= sensor.missed]
    days, data, valid = [], [], []
    for day in passes.tolist():
        light = land.light(day, sensor.hour)
        sky = build_sky(
            seed,
            year,
            sensor.name,
            day,
            land.shape,
            cloudy=land.weather.at("cloudy", day) if flight.clouds else 0.0,
            sun=(light.elevation, light.azimuth),
            careless=flight.careless,
        )
        clear = _sampled_mask(sky.valid, sensor.ratio)
        if clear.mean() < flight.min_clear:
            continue
        days.append(day)
        valid.append(clear)
        data.append(_image(land, sensor, day, sky, stream(seed, f"{sensor.name} {year} {day}")))
    coarse = grid.zoom_out(sensor.ratio)
    empty = (0, len(sensor.bands), *coarse.shape)
    return SensorImages(
        sensor=sensor.name,
        bands=sensor.bands,
        grid=coarse,
        days=np.array(days, dtype=np.int64),
        data=np.stack(data) if data else np.empty(empty, np.float32),
        valid=np.stack(valid) if valid else np.empty((0, *coarse.shape), bool),
    )


def _image(
    land: Land, sensor: SeriesSensor, day: int, sky: Sky, rng: np.random.Generator
) -> np.ndarray:
    """One image as the sensor delivers it: (band, y, x)."""
    scene = _through_air(land, sensor, day, sky)
    count = len(sensor.reflective)
    sigma = np.array([sensor.noise * 0.6] * count + [sensor.thermal_noise] * bool(sensor.thermal))
    if sensor.ratio > 1:
        seen = degrade(scene, sensor.ratio, [PSF(s / sensor.ratio) for s in sensor.sigma])
        noise = rng.standard_normal(seen.shape, dtype=np.float32) * sigma[:, None, None]
        noise[:count] *= np.sqrt(1 + 4 * np.clip(seen[:count], 0, 1))
        return np.asarray(seen + noise, np.float32)
    noise = rng.standard_normal(scene.shape, dtype=np.float32)
    noise *= sigma[:, None, None].astype(np.float32)
    noise[:count] *= np.sqrt(1 + 4 * np.clip(scene[:count], 0, 1))
    # Bands of 20 m have their noise in 20 m, too: it goes through the same blur.
    soft = [i for i, s in enumerate(sensor.sigma) if s > 0]
    noise[soft] *= np.float32(1.6)
    scene += noise
    scene[soft] = blur(scene[soft], [sensor.sigma[i] for i in soft])
    return np.ascontiguousarray(scene, np.float32)


def _through_air(land: Land, sensor: SeriesSensor, day: int, sky: Sky) -> np.ndarray:
    """All bands at 10 m under clouds and haze, as calibrated: (band, y, x)."""
    scene = land.observe(sensor, day, sky.shadow)
    library = SpectralLibrary.at(band_nodes(sensor.srf, sensor.reflective).ravel())
    count = len(sensor.reflective)
    nm = library.nm.reshape(count, -1).mean(1)[:, None, None]
    cloud = library.cloud.reshape(count, -1).mean(1)[:, None, None]
    reflected = scene[:count]
    reflected *= np.float32(sky.gain)
    reflected += sky.haze * (nm / 450) ** -1.8
    reflected += sky.opacity * (cloud * (0.55 + 0.45 * sky.opacity) - reflected)
    if sensor.thermal:
        scene[count] += sky.opacity * (np.float32(sky.top) - scene[count])
    return scene


def _sampled_mask(valid: np.ndarray, ratio: int) -> np.ndarray:
    """Clear coarse pixels: those without any cloudy ground in them."""
    rows, cols = (n // ratio for n in valid.shape)
    return np.asarray(valid.reshape(rows, ratio, cols, ratio).all(axis=(1, 3)))
