"""Coarse rasters of a procedural scene that decide what its land is used for."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal, smoothstep
from trifuse.simulate.ground.network import Network
from trifuse.simulate.ground.spectra import Soil
from trifuse.simulate.ground.terrain import Setting, Terrain

# Plots in m² within the core of a town, in other settlements, and where works stand.
_TOWN_PLOT, _VILLAGE_PLOT, _WORKS_PLOT = 1600.0, 1000.0, 8000.0


@dataclass(frozen=True, slots=True)
class Conditions:
    """What land use follows from: rasters of the terrain's grid, or values at points.

    Attributes:
        wood: > 0 where forest is likely.
        urban: > 0 in settlements, about 1 in the core of a town.
        industry: > 0 on industrial ground.
        park: > 0 where towns have green.
        wet: 0–1, ground water near the surface.
        alpine: height against the snow line, in standard deviations of the relief; below −5
            where there is none.
        conifer: > 0 where conifers prevail.
    """

    wood: np.ndarray
    urban: np.ndarray
    industry: np.ndarray
    park: np.ndarray
    wet: np.ndarray
    alpine: np.ndarray
    conifer: np.ndarray


@dataclass(frozen=True, slots=True)
class Site(Conditions):
    """The country at some points, (point,) each.

    Attributes:
        slope: rise over run.
        stream_distance: metres to the next river or lake.
    """

    slope: np.ndarray
    stream_distance: np.ndarray


@dataclass(frozen=True, slots=True)
class Country(Conditions):
    """Geology, moisture and zones of vegetation, (rows, columns) on the terrain's grid.

    Attributes:
        soil: (9, rows, columns) of :class:`~trifuse.simulate.ground.spectra.Soil` before parcels
            and moisture vary it.
        plots: area in m² below which land is split no more; 0 leaves it to the district.
    """

    soil: np.ndarray
    plots: np.ndarray

    def at(self, terrain: Terrain, y: np.ndarray, x: np.ndarray) -> Site:
        """The country at points in metres from the scene's corner."""
        names = [f.name for f in fields(Conditions)]
        return Site(
            **{name: terrain.at(getattr(self, name), y, x) for name in names},
            slope=terrain.at(terrain.slope, y, x),
            stream_distance=terrain.at(terrain.stream_distance, y, x),
        )


def build_country(seed: int, setting: Setting, terrain: Terrain, network: Network) -> Country:
    """Draw geology, moisture and vegetation zones.

    Args:
        seed: of the scene.
        setting: the sort of country.
        terrain: relief and water.
        network: settlements.
    """
    rng = stream(seed, "country")
    shape, step = terrain.height.shape, terrain.step

    def field(beta: float, outer: float) -> np.ndarray:
        return fractal(rng, shape, step, beta=beta, outer=outer)

    z = (terrain.height - terrain.height.mean()) / terrain.height.std()
    wet = np.exp(-terrain.stream_distance / 350) * np.exp(-terrain.slope / 0.03)
    wet = np.clip(wet + 0.12 * np.maximum(-z, 0), 0, 1) * (1 - 0.6 * setting.dryness)
    alpine = z - setting.snowline if setting.snowline < 50 else np.full(shape, -9.0)
    wood = field(2.6, 3500) + 0.35 * field(1.6, 900) + 7.0 * np.minimum(terrain.slope, 0.5)
    wood += 0.5 * z * (setting.rugged < 0.5) - 1.2 * smoothstep(network.urban, -0.45, 0.0)
    wood -= 0.7 * wet
    wood -= np.quantile(wood, 1 - setting.forest)
    wood -= 6 * smoothstep(alpine, -0.85, -0.45)
    iron, humus, lime, bright = setting.hue
    dry = setting.dryness
    # In the order of the draws.
    soil = {
        Soil.DARK: 1.08 - 0.10 * bright - 0.12 * dry + 0.10 * field(2.4, 5000),
        Soil.SLOPE: 0.56 + 0.06 * field(2.2, 4000),
        Soil.HUMUS: 0.30 - 0.14 * dry + 0.08 * humus + 0.10 * field(2.4, 3500) + 0.5 * wet,
        Soil.GOETHITE: np.exp(np.log(0.34) + 0.25 * iron + 0.45 * field(2.6, 6000)),
        Soil.HEMATITE: np.exp(np.log(0.10 + 0.22 * dry) + 0.35 * iron + 0.5 * field(2.6, 5000)),
        Soil.CLAY: np.exp(np.log(0.16) + 0.40 * field(2.4, 4000)),
        Soil.CARBONATE: np.exp(np.log(0.06) + 0.5 * lime + 0.7 * field(3.0, 7000)),
        Soil.GYPSUM: np.exp(np.log(0.08) + 0.4 * field(2.2, 4000)),
        Soil.WET: 0.12 + 0.55 * wet,
    }
    limits = {Soil.DARK: (0.55, 1.5), Soil.SLOPE: (0.25, 1.1), Soil.HUMUS: (0.02, 1.2)}
    for layer, (low, high) in limits.items():
        soil[layer] = np.clip(soil[layer], low, high)
    conifer = field(2.6, 4000) + 0.6 * setting.rugged + 0.35 * z - 0.1
    park = field(2.0, 900) - 1.15
    rasters = {
        "wood": wood,
        "urban": network.urban,
        "industry": network.industry,
        "park": park,
        "wet": wet,
        "alpine": alpine,
        "conifer": conifer,
        "soil": np.stack([soil[layer] for layer in Soil]),
        "plots": _plots(network, terrain, alpine),
    }
    return Country(**{name: np.asarray(r, np.float32) for name, r in rasters.items()})


def _plots(network: Network, terrain: Terrain, alpine: np.ndarray) -> np.ndarray:
    """Area of plots in m², 0 where the district decides."""
    town = np.where(network.urban > 0.5, _TOWN_PLOT, _VILLAGE_PLOT)
    plots = np.where(network.urban > 0, town, 0)
    plots = np.where(network.industry > 0, _WORKS_PLOT, plots)
    # Steep and high ground was never divided into fields.
    plots = np.where((plots == 0) & (terrain.slope > 0.22), 2e5, plots)
    return np.where((plots == 0) & (alpine > -1.3), 2e6, plots)
