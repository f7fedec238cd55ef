"""The ground of a synthetic series on any day of the year: reflectance and temperature at 10 m."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial

import numpy as np
from scipy import sparse

from trifuse.simulate.ground.cover import mixture_at
from trifuse.simulate.ground.fields import smoothstep
from trifuse.simulate.ground.landuse import Use, decide
from trifuse.simulate.ground.parcels import Parcels, parcels_at
from trifuse.simulate.ground.spectra import SpectralLibrary
from trifuse.simulate.ground.surface import surface_at
from trifuse.simulate.ground.world import World, build_world
from trifuse.simulate.seasons.season import (
    Growth,
    Weather,
    build_growth,
    build_weather,
    leaves_of_trees,
    sun_at,
)
from trifuse.simulate.seasons.sensors import GSD, SeriesSensor, band_nodes

_SUB = 2
_CHUNK = 4096
_AUTUMN = np.array([0.35, 0.9, 3.0, 1.8, 0.8, 1.0, 1.3, 1.0, 1.0, 1.0], np.float32)
"""What autumn makes of the leaves' constituents."""


@dataclass(frozen=True, slots=True)
class Light:
    """Sunlight of a moment; (y, x) arrays are relative to a level surface.

    Attributes:
        elevation: of the sun in radians.
        azimuth: of the sun in radians, clockwise from north.
        direct: direct light.
        sky: share of the sky that is seen.
    """

    elevation: float
    azimuth: float
    direct: np.ndarray
    sky: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The cover of all pixels on a day.

    Attributes:
        share: (pixel, 5) of low vegetation, trees, water, built, snow.
        herb: (pixel, 10) canopies.
        tree: (pixel, 10).
        soil: (pixel, 9).
        green: (pixel,) share of the ground that leaves shade and cool.
        wet: 0–1.
    """

    share: np.ndarray
    herb: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    green: np.ndarray
    wet: float


class Land:
    """A landscape through a year; every day of it can be asked for.

    Attributes:
        world: the plan of the scene.
        surface: what the seasons do not change.
        weather: of the year.
        growth: of the parcels.
        parcel: (y, x) number of the parcel at each pixel's corner.
    """

    def __init__(self, shape: tuple[int, int], seed: int, year: int) -> None:
        self.world = world = build_world(shape, seed, GSD)
        self.surface = surface_at(world, slice(0, shape[0]))
        self.weather: Weather = build_weather(seed, year, world.setting)
        points, use, which = _parcels(world)
        at = np.argsort(which, kind="stable")
        first = at[np.searchsorted(which[at], np.arange(len(points.id)))]
        height = world.height.ravel()[_pixel_of(first, world.shape)]
        late = self.weather.lag + 0.03 * height
        pit = use.soil[:, 2] <= -2.0
        self.growth: Growth = build_growth(points.id, use.cover, pit, late, world.setting)
        self.parcel = which[_point_of(shape)].reshape(shape)
        self._parcels = _averages(which, shape)
        # Texture, rows of machines and rock act on any canopy as they do on the scene's own.
        mean = self._parcels @ use.canopy
        self._factor = np.clip(self.surface.herb / np.maximum(mean, 1e-6), 0, 3)
        mixed = mixture_at(world, slice(0, shape[0]))
        self._deciduous = smoothstep(mixed.tree[:, 7], 0.84, 0.88)
        species = world.textures["species"].ravel()
        self._tree_lag = self.weather.lag + 0.03 * world.height.ravel() + 3.5 * species
        self._static: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.world.shape

    def light(self, day: float, hour: float) -> Light:
        """Sunlight at a local solar time; nearly all of the relief is left in, as products do."""
        elevation, azimuth = sun_at(self.weather.latitude, day, hour)
        fall_y, fall_x = np.gradient(self.world.height, GSD)
        facing = (-fall_x * np.sin(azimuth) + fall_y * np.cos(azimuth)) * np.cos(elevation)
        steep = np.sqrt(1 + fall_x**2 + fall_y**2)
        direct = np.clip((facing + np.sin(elevation)) / steep / np.sin(elevation), 0.06, 1.8)
        sky = (1 + 1 / steep) / 2
        return Light(elevation, azimuth, direct.astype(np.float32), sky.astype(np.float32))

    def observe(
        self, sensor: SeriesSensor, day: float, shadow: np.ndarray | None = None
    ) -> np.ndarray:
        """All bands of a sensor at 10 m, without its blur and noise.

        Args:
            sensor: for its bands and its hour.
            day: days since the first of January, 0–365.
            shadow: (y, x) share of the direct light that clouds take.

        Returns:
            (band, y, x) float32; reflectance, temperature in kelvin last.
        """
        state = self._state(day)
        light = self.light(day, sensor.hour)
        direct = light.direct if shadow is None else light.direct * (1 - 0.85 * shadow)
        library = SpectralLibrary.at(band_nodes(sensor.srf, sensor.reflective).ravel())
        bands = len(sensor.reflective)
        low = np.tan(np.radians(50)) / np.tan(light.elevation)
        shade = np.clip(self.surface.shade * np.clip(low, 0.5, 2.2), 0, 0.85)
        out = np.empty((bands + bool(sensor.thermal), *self.shape), np.float32)
        flat = out.reshape(len(out), -1)
        diffuse = library.diffuse.reshape(bands, -1).mean(1)
        # A low sun leaves more of the light to the sky.
        diffuse = np.minimum(
            diffuse * np.sqrt(np.sin(np.radians(50)) / np.sin(light.elevation)), 0.8
        )[:, None]
        water, built = self._unchanging(sensor, library)
        for start in range(0, flat.shape[1], _CHUNK):
            part = slice(start, min(start + _CHUNK, flat.shape[1]))
            mixed = self._mix(library, state, part, shade[part], water, built)
            flat[:bands, part] = mixed.reshape(len(mixed), bands, -1).mean(2).T
        lit = direct.ravel() * (1 - diffuse) + light.sky.ravel() * diffuse
        flat[:bands] *= lit
        if sensor.thermal:
            out[bands] = self._temperature(state, day, light, direct)
        return out

    def _state(self, day: float) -> _State:
        s, weather = self.surface, self.weather
        wet = weather.at("wet", day)
        herb = (self._parcels @ self.growth.canopy(day)) * self._factor
        leaves, autumn = leaves_of_trees(day, self._tree_lag)
        tree = s.tree.copy()
        tree[:, 8] *= 1 - self._deciduous * (1 - leaves)
        tree *= 1 + (self._deciduous * autumn)[:, None] * (_AUTUMN - 1)
        soil = s.soil.copy()
        soil[:, 8] += 0.55 * (wet - 0.35) + self._parcels @ self.growth.tilled(day)
        np.maximum(soil[:, 8], 0, out=soil[:, 8])
        share = self._snowed(weather.at("snow", day))
        covered = 1 - np.exp(-0.55 * herb[:, 8] * (1 - np.clip(herb[:, 3], 0, 1)))
        shaded = 1 - 0.7 * self._deciduous * (1 - leaves)
        green = share[:, 0] * covered + share[:, 1] * shaded
        return _State(share, herb.astype(np.float32), tree.astype(np.float32), soil, green, wet)

    def _snowed(self, cover: float) -> np.ndarray:
        """Shares of the materials under a cover of snow."""
        share = self.surface.share
        if cover <= 0:
            return share
        w = self.world
        depth = cover + 0.003 * w.height + 0.12 * w.textures["gap"] + 0.06 * w.textures["crown"]
        white = smoothstep(depth.ravel(), 0.15, 0.75)[:, None]
        # Snow slides off trees and melts on roofs, and lakes stay open.
        hidden = share * white * np.array([0.97, 0.35, 0.0, 0.6, 0.0])
        out = share - hidden
        out[:, 4] += hidden.sum(axis=1)
        return np.asarray(out, np.float32)

    def _unchanging(
        self, sensor: SeriesSensor, library: SpectralLibrary
    ) -> tuple[np.ndarray, np.ndarray]:
        """Spectra of water and of built ground, which are made once per sensor."""
        if sensor.name not in self._static:
            s = self.surface
            wet = np.flatnonzero(s.share[:, 2] > 1e-4)
            lake = np.zeros((len(s.share), len(library.nm)), np.float32)
            lake[wet] = library.lake(s.water[wet], library.ground(s.soil[wet]))
            self._static[sensor.name] = lake, library.town(s.built)
        return self._static[sensor.name]

    def _mix(
        self,
        library: SpectralLibrary,
        state: _State,
        part: slice,
        shade: np.ndarray,
        water: np.ndarray,
        built: np.ndarray,
    ) -> np.ndarray:
        """Reflectance of level ground in full light: (pixel, wavelength)."""
        share = state.share[part]
        soil = library.ground(state.soil[part])
        lit = 1 - library.diffuse
        out = library.vegetation(state.herb[part], soil)
        out *= share[:, :1]
        out += share[:, 2:3] * water[part]
        out += share[:, 3:4] * built[part] * (1 - shade[:, 1:] * lit)
        there = np.flatnonzero(share[:, 1] > 1e-3)
        if len(there):
            trees = library.vegetation(state.tree[part][there], soil[there])
            out[there] += share[there, 1:2] * trees * (1 - shade[there, :1] * lit)
        there = np.flatnonzero(share[:, 4] > 1e-3)
        if len(there):
            out[there] += share[there, 4:5] * library.snow(self.surface.snow[part][there])
        return np.asarray(out)

    def _temperature(
        self, state: _State, day: float, light: Light, direct: np.ndarray
    ) -> np.ndarray:
        """Surface temperature in kelvin: (y, x).

        Air temperature by height, and the sun's heating: strong on dry bare ground and in towns,
        weak where leaves or wet soil evaporate water. Lakes follow the air with weeks of delay.
        """
        air = self.weather.at("air", day)
        seasonal = 283.5 - 9.0 * np.cos(2 * np.pi * (day - 50) / 365)
        sun = np.sin(light.elevation)
        share, dry = state.share, 1 - state.wet
        bare = np.maximum(1 - state.green - share[:, 2:].sum(axis=1), 0)
        stress = 0.4 + 0.6 * dry
        warm = bare * (5 + 17 * dry) + state.green * 4.5 * stress + share[:, 3] * 17
        warm -= 2.0 * share[:, 1]
        heated = sun * (0.35 + 0.65 * direct.ravel()) * warm
        land = air - 0.0065 * self.world.height.ravel() + heated
        lake = 0.25 * air + 0.75 * np.maximum(seasonal, 274.0)
        out = land + share[:, 2] * (lake - land)
        out += share[:, 4] * (np.minimum(land, 272.8) - out)
        texture = 0.25 * self.world.textures["vigour"] + 0.2 * self.world.textures["moist"]
        return np.asarray(out.reshape(self.shape) - texture * sun, np.float32)


def _parcels(world: World) -> tuple[Parcels, Use, np.ndarray]:
    """Parcels of a scene, their use, and the parcel of each point (2×2 a pixel, row by row)."""
    step = world.gsd / _SUB
    y, x = np.meshgrid(*((np.arange(n * _SUB) + 0.5) * step for n in world.shape), indexing="ij")
    points = parcels_at(
        world.seed, world.districts, world.terrain, y.ravel(), x.ravel(), partial(_area, world)
    )
    _, first, which = np.unique(points.id, return_index=True, return_inverse=True)
    parts = {f.name: getattr(points, f.name)[..., first] for f in fields(Parcels)}
    unique = Parcels(**parts)
    return unique, decide(world.setting, world.terrain, world.country, unique), which.ravel()


def _area(world: World, y: np.ndarray, x: np.ndarray, base: np.ndarray) -> np.ndarray:
    plots = world.terrain.nearest(world.country.plots, y, x)
    return np.where(plots > 0, plots, base)


def _pixel_of(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    row, col = np.divmod(points, shape[1] * _SUB)
    return np.asarray(row // _SUB * shape[1] + col // _SUB)


def _point_of(shape: tuple[int, int]) -> np.ndarray:
    """The first point of each pixel."""
    row, col = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    return np.asarray(row * _SUB * shape[1] * _SUB + col * _SUB)


def _averages(which: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    """(pixel, parcel): from values of parcels to means of pixels."""
    pixel = _pixel_of(np.arange(len(which)), shape)
    weight = np.full(len(which), 1 / _SUB**2, np.float32)
    return sparse.csr_matrix((weight, (pixel, which)), shape=(shape[0] * shape[1], which.max() + 1))
