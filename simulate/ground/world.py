"""The plan of a procedural scene: everything that its rows are drawn from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.simulate.ground.country import Country, build_country
from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal, line_shares
from trifuse.simulate.ground.network import build_network
from trifuse.simulate.ground.parcels import Districts, build_districts
from trifuse.simulate.ground.terrain import Setting, Terrain, build_terrain, draw_setting

_TEXTURES = {
    # exponent of the power spectrum and outer length in metres
    "bright": (1.7, 1500),
    "moist": (2.2, 1200),
    "humus": (2.0, 900),
    "iron": (1.9, 1600),
    "clay": (1.8, 2000),
    "vigour": (1.9, 700),
    "green": (1.7, 900),
    "sap": (1.8, 1100),
    "litter": (1.5, 600),
    "species": (1.5, 900),
    "crown": (0.5, 120),
    "gap": (0.9, 180),
    "roof": (0.4, 90),
    "algae": (4.0, 3000),
    "silt": (4.0, 2000),
    "grime": (1.0, 300),
}


@dataclass(frozen=True, slots=True)
class World:
    """All that is needed to draw any rows of a scene.

    Attributes:
        seed: of the scene.
        shape: rows and columns of pixels.
        gsd: pixel size in metres.
        setting: the sort of country.
        terrain: relief and water, on a coarse grid with a margin.
        country: what decides land use, on the same grid.
        districts: regions of parcels.
        height: (y, x) metres above the mean.
        river: (y, x) share of each pixel that rivers cover.
        road: (y, x) share of each pixel that roads cover.
        textures: (y, x) fields of variance one, by name.
    """

    seed: int
    shape: tuple[int, int]
    gsd: float
    setting: Setting
    terrain: Terrain
    country: Country
    districts: Districts
    height: np.ndarray
    river: np.ndarray
    road: np.ndarray
    textures: dict[str, np.ndarray]


def build_world(shape: tuple[int, int], seed: int, gsd: float) -> World:
    """Lay out a scene: terrain, water, roads, and the textures of all materials."""
    setting = draw_setting(seed)
    extent = shape[0] * gsd, shape[1] * gsd
    terrain = build_terrain(seed, setting, extent, gsd)
    network = build_network(seed, setting, terrain)
    country = build_country(seed, setting, terrain, network)
    rng = stream(seed, "height")
    y, x = np.meshgrid(*((np.arange(n) + 0.5) * gsd for n in shape), indexing="ij")
    height = terrain.at(terrain.height, y, x, order=3)
    rough = fractal(rng, shape, gsd, beta=2.8, outer=500)
    height += (0.012 + 0.02 * setting.rugged) * setting.relief * rough
    textures = {
        name: fractal(stream(seed, f"texture {name}"), shape, gsd, beta=beta, outer=outer)
        for name, (beta, outer) in _TEXTURES.items()
    }
    return World(
        seed=seed,
        shape=shape,
        gsd=gsd,
        setting=setting,
        terrain=terrain,
        country=country,
        districts=build_districts(seed, setting, terrain),
        height=height.astype(np.float32),
        river=line_shares(terrain.rivers, shape, gsd),
        road=line_shares(network.roads, shape, gsd),
        textures=textures,
    )
