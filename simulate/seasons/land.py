"""The ground of a synthetic series on any day of the year: reflectance and temperature at 10 m."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from trifuse.simulate.ground.cover import SUB, Layout, Material, layout_at, mixture_of
from trifuse.simulate.ground.fields import smoothstep
from trifuse.simulate.ground.light import slope_light
from trifuse.simulate.ground.spectra import Soil, SpectralLibrary, Vegetation
from trifuse.simulate.ground.surface import surface_of
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

_CHUNK = 4096
_AUTUMN = np.array([0.35, 0.9, 3.0, 1.8, 0.8, 1.0, 1.3, 1.0, 1.0, 1.0], np.float32)
"""What autumn makes of the leaves' constituents, by :class:`Vegetation`."""

_SNOW_STAYS = {
    Material.HERB: 0.97,
    Material.TREE: 0.35,
    Material.WATER: 0.0,
    Material.BUILT: 0.6,
    Material.SNOW: 0.0,
}
"""Share of its ground that snow hides: it slides off trees and melts on roofs and lakes."""

_USUAL_SUN = np.radians(50)
"""Elevation of the sun that shades and sky light of a scene stand for."""


@dataclass(frozen=True, slots=True)
class Sunlight:
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
class _Fixed:
    """What a sensor sees of the ground on every day.

    Attributes:
        library: at the wavelengths that stand for its bands.
        water: (pixel, wavelength) reflectance of water, 0 where there is none.
        built: (pixel, wavelength) reflectance of built ground.
    """

    library: SpectralLibrary
    water: np.ndarray
    built: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class _State:
    """The ground of all pixels on a day.

    Attributes:
        share: (pixel, 5) by :class:`~trifuse.simulate.ground.cover.Material`.
        herb: (pixel, 10) canopies, by :class:`~trifuse.simulate.ground.spectra.Vegetation`.
        tree: (pixel, 10) likewise.
        soil: (pixel, 9) by :class:`~trifuse.simulate.ground.spectra.Soil`.
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
        rows = slice(0, shape[0])
        layout = layout_at(world, rows)
        mixture = mixture_of(world, layout)
        self.surface = surface_of(world, rows, mixture)
        self.weather: Weather = build_weather(seed, year, world.setting)
        self.growth: Growth = _grow(self.weather, world, layout)
        self.parcel = layout.by_pixel(layout.which)[:, 0, :, 0]
        self._averages = _averages(layout)
        # Texture, rows of machines and rock act on any canopy as they do on the scene's own.
        mean = self._averages @ layout.use.canopy
        self._factor = np.clip(self.surface.herb / np.maximum(mean, 1e-6), 0, 3)
        self._deciduous = smoothstep(mixture.tree[:, Vegetation.ALBEDO], 0.84, 0.88)
        species = world.textures["species"].ravel()
        self._tree_lag = self.weather.lag + 0.03 * world.height.ravel() + 3.5 * species
        self._fixed: dict[str, _Fixed] = {}

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.world.shape

    def light(self, day: float, hour: float) -> Sunlight:
        """Sunlight at a local solar time; nearly all of the relief is left in, as products do."""
        elevation, azimuth = sun_at(self.weather.latitude, day, hour)
        direct, sky = slope_light(self.world.height, GSD, elevation, azimuth)
        direct = np.clip(direct, 0.06, 1.8)
        return Sunlight(elevation, azimuth, direct.astype(np.float32), sky.astype(np.float32))

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
        fixed = self._fixed_of(sensor)
        bands = len(sensor.reflective)
        out = np.empty((bands + bool(sensor.thermal), *self.shape), np.float32)
        flat = out.reshape(len(out), -1)
        # Shadows are longer under a low sun, which leaves more of the light to the sky.
        longer = np.clip(np.tan(_USUAL_SUN) / np.tan(light.elevation), 0.5, 2.2)
        shades = [
            np.clip(shade * longer, 0, 0.85)
            for shade in (self.surface.crown_shade, self.surface.town_shade)
        ]
        for start in range(0, flat.shape[1], _CHUNK):
            part = slice(start, min(start + _CHUNK, flat.shape[1]))
            mixed = self._mix(fixed, state, part, *(shade[part, None] for shade in shades))
            flat[:bands, part] = mixed.reshape(len(mixed), bands, -1).mean(2).T
        diffuse = fixed.library.diffuse.reshape(bands, -1).mean(1)
        diffuse = diffuse * np.sqrt(np.sin(_USUAL_SUN) / np.sin(light.elevation))
        diffuse = np.minimum(diffuse, 0.8)[:, None]
        flat[:bands] *= direct.ravel() * (1 - diffuse) + light.sky.ravel() * diffuse
        if sensor.thermal:
            out[bands] = self._temperature(state, day, light, direct)
        return out

    def _state(self, day: float) -> _State:
        s, weather = self.surface, self.weather
        wet = weather.at("wet", day)
        herb = (self._averages @ self.growth.canopy(day)) * self._factor
        leaves, autumn = leaves_of_trees(day, self._tree_lag)
        tree = s.tree.copy()
        tree[:, Vegetation.LEAF_AREA] *= 1 - self._deciduous * (1 - leaves)
        tree *= 1 + (self._deciduous * autumn)[:, None] * (_AUTUMN - 1)
        soil = s.soil.copy()
        soil[:, Soil.WET] += 0.55 * (wet - 0.35) + self._averages @ self.growth.tilled(day)
        np.maximum(soil[:, Soil.WET], 0, out=soil[:, Soil.WET])
        share = self._snowed(weather.at("snow", day))
        area, brown = herb[:, Vegetation.LEAF_AREA], herb[:, Vegetation.BROWN]
        covered = 1 - np.exp(-0.55 * area * (1 - np.clip(brown, 0, 1)))
        shaded = 1 - 0.7 * self._deciduous * (1 - leaves)
        green = share[:, Material.HERB] * covered + share[:, Material.TREE] * shaded
        return _State(share, herb.astype(np.float32), tree.astype(np.float32), soil, green, wet)

    def _snowed(self, snow: float) -> np.ndarray:
        """Shares of the materials under so much snow."""
        share = self.surface.share
        if snow <= 0:
            return share
        w = self.world
        depth = snow + 0.003 * w.height + 0.12 * w.textures["gap"] + 0.06 * w.textures["crown"]
        white = smoothstep(depth.ravel(), 0.15, 0.75)[:, None]
        hidden = share * white * np.array([_SNOW_STAYS[material] for material in Material])
        out = share - hidden
        out[:, Material.SNOW] += hidden.sum(axis=1)
        return np.asarray(out, np.float32)

    def _fixed_of(self, sensor: SeriesSensor) -> _Fixed:
        """What one sensor sees of the ground on every day, made once."""
        if sensor.name not in self._fixed:
            s = self.surface
            library = SpectralLibrary.at(band_nodes(sensor.srf, sensor.reflective).ravel())
            wet = np.flatnonzero(s.share[:, Material.WATER] > 1e-4)
            water = np.zeros((len(s.share), len(library.nm)), np.float32)
            water[wet] = library.lake(s.water[wet], library.ground(s.soil[wet]))
            self._fixed[sensor.name] = _Fixed(library, water, library.town(s.built))
        return self._fixed[sensor.name]

    def _mix(
        self,
        fixed: _Fixed,
        state: _State,
        part: slice,
        crown_shade: np.ndarray,
        town_shade: np.ndarray,
    ) -> np.ndarray:
        """Reflectance of some pixels of level ground in full light: (pixel, wavelength).

        Args:
            fixed: of the sensor.
            state: of the day.
            part: of the pixels.
            crown_shade: (pixel, 1) share of their trees in their own shadow.
            town_shade: (pixel, 1) share of their built ground in its own shadow.
        """
        library, share = fixed.library, state.share[part]
        soil = library.ground(state.soil[part])
        lit = 1 - library.diffuse
        out = library.vegetation(state.herb[part], soil)
        out *= share[:, Material.HERB, None]
        out += share[:, Material.WATER, None] * fixed.water[part]
        out += share[:, Material.BUILT, None] * fixed.built[part] * (1 - town_shade * lit)
        there = np.flatnonzero(share[:, Material.TREE] > 1e-3)
        if len(there):
            trees = library.vegetation(state.tree[part][there], soil[there])
            trees = share[there, Material.TREE, None] * trees
            out[there] += trees * (1 - crown_shade[there] * lit)
        there = np.flatnonzero(share[:, Material.SNOW] > 1e-3)
        if len(there):
            snow = library.snow(self.surface.snow[part][there])
            out[there] += share[there, Material.SNOW, None] * snow
        return np.asarray(out)

    def _temperature(
        self, state: _State, day: float, light: Sunlight, direct: np.ndarray
    ) -> np.ndarray:
        """Surface temperature in kelvin: (y, x).

        Air temperature by height, and the sun's heating: strong on dry bare ground and in towns,
        weak where leaves or wet soil evaporate water. Lakes follow the air with weeks of delay.
        """
        air = self.weather.at("air", day)
        seasonal = 283.5 - 9.0 * np.cos(2 * np.pi * (day - 50) / 365)
        sun = np.sin(light.elevation)
        share, dry = state.share, 1 - state.wet
        water, built, snow = (share[:, k] for k in (Material.WATER, Material.BUILT, Material.SNOW))
        bare = np.maximum(1 - state.green - share[:, Material.WATER :].sum(axis=1), 0)
        stress = 0.4 + 0.6 * dry
        warm = bare * (5 + 17 * dry) + state.green * 4.5 * stress + built * 17
        warm -= 2.0 * share[:, Material.TREE]
        heated = sun * (0.35 + 0.65 * direct.ravel()) * warm
        land = air - 0.0065 * self.world.height.ravel() + heated
        lake = 0.25 * air + 0.75 * np.maximum(seasonal, 274.0)
        out = land + water * (lake - land)
        out += snow * (np.minimum(land, 272.8) - out)
        texture = 0.25 * self.world.textures["vigour"] + 0.2 * self.world.textures["moist"]
        return np.asarray(out.reshape(self.shape) - texture * sun, np.float32)


def _grow(weather: Weather, world: World, layout: Layout) -> Growth:
    """What the parcels carry; the season is later where they lie higher."""
    height = world.height.ravel()[_pixel_of(layout.first, layout.shape)]
    late = weather.lag + 0.03 * height
    use = layout.use
    return build_growth(layout.parcels.id, use.landcover, use.pit, late, world.setting)


def _pixel_of(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Numbers of the pixels that points lie in, both counted row by row."""
    row, col = np.divmod(points, shape[1] * SUB)
    return np.asarray(row // SUB * shape[1] + col // SUB)


def _averages(layout: Layout) -> sparse.csr_matrix:
    """(pixel, parcel): from values of parcels to means of pixels."""
    which, shape = layout.which, layout.shape
    pixel = _pixel_of(np.arange(len(which)), shape)
    weight = np.full(len(which), 1 / SUB**2, np.float32)
    return sparse.csr_matrix((weight, (pixel, which)), shape=(shape[0] * shape[1], which.max() + 1))
