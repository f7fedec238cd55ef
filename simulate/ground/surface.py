"""The ground of a procedural scene: shares of materials and their parameters, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.simulate.ground.cover import Material, Mixture, layout_at, mixture_of
from trifuse.simulate.ground.landuse import STREET, Landcover
from trifuse.simulate.ground.spectra import SURFACES, Built, Soil, Vegetation, Water
from trifuse.simulate.ground.world import World

_DARKEST = 0.75
"""Share of the ground in its own shadow at most."""


@dataclass(frozen=True, slots=True)
class Surface:
    """The ground of some rows; the first axis is the pixel, row by row.

    Attributes:
        share: (pixel, 5) by :class:`~trifuse.simulate.ground.cover.Material`; sums to 1.
        herb: (pixel, 10) by :class:`~trifuse.simulate.ground.spectra.Vegetation`.
        tree: (pixel, 10) the same.
        soil: (pixel, 9) by ``Soil`` of the same module.
        water: (pixel, 6) by ``Water``.
        built: (pixel, 10) by ``Built``.
        snow: (pixel, 3) by ``Snow``.
        crown_shade: (pixel,) share of the trees in their own shadow.
        town_shade: (pixel,) share of built ground in its own shadow.
        landcover: (pixel,) uint8, codes of :class:`~trifuse.simulate.ground.landuse.Landcover`.
    """

    share: np.ndarray
    herb: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    water: np.ndarray
    built: np.ndarray
    snow: np.ndarray
    crown_shade: np.ndarray
    town_shade: np.ndarray
    landcover: np.ndarray


def surface_at(world: World, rows: slice) -> Surface:
    """Draw the ground of some rows."""
    return surface_of(world, rows, mixture_of(world, layout_at(world, rows)))


def surface_of(world: World, rows: slice, mixture: Mixture) -> Surface:
    """Add rivers, roads and texture to what the pixels of some rows are made of."""
    w, m = world, mixture
    t = {name: field[rows].ravel() for name, field in w.textures.items()}
    y, x = np.meshgrid(
        (np.arange(rows.start, rows.stop) + 0.5) * w.gsd,
        (np.arange(w.shape[1]) + 0.5) * w.gsd,
        indexing="ij",
    )
    y, x = y.ravel(), x.ravel()
    river, road = w.river[rows].ravel(), w.road[rows].ravel()
    share = m.share * ((1 - river) * (1 - road))[:, None]
    share[:, Material.WATER] += river * (1 - road)
    town = share[:, Material.BUILT]
    built = (m.built * town[:, None] + STREET * road[:, None]) / (town + road + 1e-6)[:, None]
    share[:, Material.BUILT] += road
    level = w.terrain.nearest(w.terrain.level, y, x)
    lake = np.where(np.isfinite(level), level - w.height[rows].ravel(), 0)
    return Surface(
        share=share,
        herb=_herb(m.herb, t),
        tree=_tree(m.tree, t),
        soil=_soil(w, m.soil, t, y, x),
        water=_water(w, t, lake, river),
        built=_built(built, t),
        snow=_snow(t),
        crown_shade=_crown_shade(m.tree, t),
        town_shade=(0.16 + 0.06 * t["roof"]).clip(0, _DARKEST).astype(np.float32),
        landcover=_landcover(m, share),
    )


def _landcover(m: Mixture, share: np.ndarray) -> np.ndarray:
    """Code of what prevails in each pixel."""
    low = np.where(share[:, Material.HERB] > 0, m.landcover, 0)
    codes = {
        Material.HERB: low,
        Material.TREE: Landcover.FOREST,
        Material.WATER: Landcover.WATER,
        Material.BUILT: Landcover.BUILT,
        Material.SNOW: Landcover.SNOW,
    }
    main = share.argmax(axis=1)
    code = np.choose(main, [codes[material] for material in Material])
    # The gardens of a town are grassland where they prevail.
    garden = (code == Landcover.BUILT) & (main == Material.HERB)
    return np.where(garden, Landcover.GRASSLAND, code).astype(np.uint8)


def _vary(parameters: np.ndarray, terms: dict[int, np.ndarray]) -> np.ndarray:
    """Multiply columns by exponentials of textures."""
    out = parameters.copy()
    for column, exponent in terms.items():
        out[:, column] *= np.exp(exponent)
    return out


def _herb(mean: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    return _vary(
        mean,
        {
            Vegetation.CHLOROPHYLL: 0.16 * t["green"] - 0.06 * t["litter"],
            Vegetation.CAROTENOID: 0.16 * t["sap"] - 0.10 * t["green"],
            Vegetation.ANTHOCYANIN: 0.30 * t["species"],
            Vegetation.BROWN: 0.25 * t["litter"],
            Vegetation.WATER: 0.16 * t["sap"] + 0.05 * t["vigour"],
            Vegetation.DRY: 0.12 * t["species"],
            Vegetation.LIGNIN: 0.18 * t["litter"],
            Vegetation.LEAF_AREA: 0.20 * t["vigour"] + 0.05 * t["crown"],
            Vegetation.EXTINCTION: 0.06 * t["species"],
        },
    )


def _tree(mean: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    return _vary(
        mean,
        {
            Vegetation.CHLOROPHYLL: 0.14 * t["green"],
            Vegetation.CAROTENOID: 0.10 * t["species"],
            Vegetation.ANTHOCYANIN: 0.30 * t["vigour"],
            Vegetation.BROWN: 0.22 * t["litter"],
            Vegetation.WATER: 0.14 * t["sap"] + 0.05 * t["crown"],
            Vegetation.DRY: 0.10 * t["species"],
            Vegetation.LIGNIN: 0.12 * t["litter"],
            Vegetation.ALBEDO: 0.020 * t["species"] + 0.008 * t["crown"],
            Vegetation.LEAF_AREA: 0.16 * t["gap"] + 0.10 * t["vigour"],
            Vegetation.EXTINCTION: 0.05 * t["species"],
        },
    )


def _soil(
    w: World, change: np.ndarray, t: dict[str, np.ndarray], y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    country = np.stack([w.terrain.at(layer, y, x) for layer in w.country.soil], axis=1)
    out = country * np.exp(change)
    out[:, Soil.WET] = country[:, Soil.WET] + change[:, Soil.WET]
    out = _vary(
        out,
        {
            Soil.DARK: 0.09 * t["bright"] + 0.03 * t["crown"],
            Soil.SLOPE: 0.10 * t["iron"],
            Soil.HUMUS: 0.30 * t["humus"],
            Soil.GOETHITE: 0.20 * t["iron"],
            Soil.HEMATITE: 0.22 * t["clay"] - 0.15 * t["iron"],
            Soil.CLAY: 0.20 * t["clay"],
            Soil.CARBONATE: 0.20 * t["bright"],
            Soil.GYPSUM: 0.18 * t["moist"],
        },
    )
    out[:, Soil.WET] += 0.10 * t["moist"] * (1 + 2 * change[:, Soil.WET])
    np.maximum(out, 0, out=out)
    return out


def _water(w: World, t: dict[str, np.ndarray], lake: np.ndarray, river: np.ndarray) -> np.ndarray:
    # Hollows of flat country are shallow on the map but not for the eye.
    scale = float(np.clip(90 / w.setting.relief, 0.4, 6.0))
    depth = np.where(lake > 0, 0.25 + np.maximum(lake, 0) * scale, 1.2 + 1.6 * river)
    stirred = np.exp(-depth / 1.2)
    algae = np.exp(1.9 + 0.45 * t["algae"])
    river_silt = np.where(lake > 0, 1.0, 1.6)
    silt = np.exp(0.7 + 0.5 * t["silt"] + 0.03 * t["grime"]) * (1 + 1.5 * stirred) * river_silt
    stain = np.exp(-0.3 + 0.4 * t["algae"] - 0.3 * t["silt"])
    glint = 0.0035 * np.exp(0.2 * t["sap"] + 0.05 * t["crown"])
    fine = np.clip(0.9 + 0.25 * t["silt"], 0.2, 1.8)
    columns = {
        Water.CHLOROPHYLL: algae,
        Water.SEDIMENT: silt,
        Water.ORGANIC: stain,
        Water.DEPTH: depth,
        Water.GLINT: glint,
        Water.FINE: fine,
    }
    return np.stack([columns[k] for k in Water], axis=1).astype(np.float32)


def _built(mean: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    names = ("roof", "grime", "iron", "gap", "bright", "crown", "clay", "species")
    out = _vary(mean, {k: 0.25 * t[name] for k, name in enumerate(names)})
    out[:, SURFACES] /= out[:, SURFACES].sum(axis=1, keepdims=True) + 1e-6
    grime = out[:, Built.GRIME] + 0.10 * t["grime"] + 0.06 * t["roof"]
    out[:, Built.GRIME] = np.maximum(grime, 0)
    out[:, Built.RUST] *= np.exp(0.4 * t["iron"])
    return out


def _snow(t: dict[str, np.ndarray]) -> np.ndarray:
    grain = np.exp(-0.5 + 0.9 * t["bright"] + 0.3 * t["gap"])
    soot = 0.16 * np.exp(0.6 * t["grime"] + 0.4 * t["iron"])
    liquid = 0.3 * np.exp(0.8 * t["moist"])
    return np.stack([grain, soot, liquid], axis=1).astype(np.float32)


def _crown_shade(tree: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    """Dense dark crowns of conifers shade themselves most."""
    dark = np.maximum(0.9 - tree[:, Vegetation.ALBEDO], 0)
    crowns = 0.20 + 2.0 * dark + 0.06 * t["crown"] + 0.04 * t["gap"]
    return np.asarray(crowns.clip(0, _DARKEST), np.float32)
