"""The ground of a procedural scene: shares of materials and their parameters, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.simulate.ground.cover import mixture_at
from trifuse.simulate.ground.landuse import YARD
from trifuse.simulate.ground.world import World


@dataclass(frozen=True, slots=True)
class Surface:
    """The ground of some rows; the first axis is the pixel, row by row.

    Attributes:
        share: (pixel, 5) of low vegetation with its soil, trees, water, built, snow; sums to 1.
        herb: (pixel, 10) of scene_spectra.VEGETATION.
        tree: (pixel, 10) the same.
        soil: (pixel, 9) of scene_spectra.SOIL.
        water: (pixel, 6) of scene_spectra.WATER.
        built: (pixel, 10) of scene_spectra.BUILT.
        snow: (pixel, 3) of scene_spectra.SNOW.
        shade: (pixel, 2) share of trees and of built ground in their own shadow.
        cover: (pixel,) code of scene_landuse.LANDCOVER.
    """

    share: np.ndarray
    herb: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    water: np.ndarray
    built: np.ndarray
    snow: np.ndarray
    shade: np.ndarray
    cover: np.ndarray


def surface_at(world: World, rows: slice) -> Surface:
    """Draw the ground of some rows: add rivers, roads and texture to the parcels."""
    w = world
    m = mixture_at(w, rows)
    t = {name: field[rows].ravel() for name, field in w.textures.items()}
    y, x = np.meshgrid(
        (np.arange(rows.start, rows.stop) + 0.5) * w.gsd,
        (np.arange(w.shape[1]) + 0.5) * w.gsd,
        indexing="ij",
    )
    y, x = y.ravel(), x.ravel()
    river, road = w.river[rows].ravel(), w.road[rows].ravel()
    share = m.share * ((1 - river) * (1 - road))[:, None]
    share[:, 2] += river * (1 - road)
    built = (m.built * share[:, 3:4] + YARD * road[:, None]) / (share[:, 3] + road + 1e-6)[:, None]
    share[:, 3] += road
    level = w.terrain.nearest(w.terrain.level, y, x)
    lake = np.where(np.isfinite(level), level - w.height[rows].ravel(), 0)
    cover = np.where(share[:, 0] > 0, m.cover, 0)
    kinds = np.stack([cover] + [np.full_like(cover, k) for k in (5, 1, 6, 7)])
    main = share.argmax(axis=1)
    cover = kinds[main, np.arange(len(main))]
    # The gardens of a town are grassland where they prevail.
    cover = np.where((cover == 6) & (main == 0), 3, cover).astype(np.uint8)
    return Surface(
        share,
        _herb(m.herb, t),
        _tree(m.tree, t),
        _soil(w, m.soil, t, y, x),
        _water(w, t, lake, river),
        _built(built, t),
        _snow(t),
        _shade(m.tree, t),
        cover,
    )


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
            0: 0.16 * t["green"] - 0.06 * t["litter"],
            1: 0.16 * t["sap"] - 0.10 * t["green"],
            2: 0.30 * t["species"],
            3: 0.25 * t["litter"],
            4: 0.16 * t["sap"] + 0.05 * t["vigour"],
            5: 0.12 * t["species"],
            6: 0.18 * t["litter"],
            8: 0.20 * t["vigour"] + 0.05 * t["crown"],
            9: 0.06 * t["species"],
        },
    )


def _tree(mean: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    return _vary(
        mean,
        {
            0: 0.14 * t["green"],
            1: 0.10 * t["species"],
            2: 0.30 * t["vigour"],
            3: 0.22 * t["litter"],
            4: 0.14 * t["sap"] + 0.05 * t["crown"],
            5: 0.10 * t["species"],
            6: 0.12 * t["litter"],
            7: 0.020 * t["species"] + 0.008 * t["crown"],
            8: 0.16 * t["gap"] + 0.10 * t["vigour"],
            9: 0.05 * t["species"],
        },
    )


def _soil(
    w: World, change: np.ndarray, t: dict[str, np.ndarray], y: np.ndarray, x: np.ndarray
) -> np.ndarray:
    country = np.stack([w.terrain.at(layer, y, x) for layer in w.country.soil], axis=1)
    out = country * np.exp(change)
    out[:, 8] = country[:, 8] + change[:, 8]
    out = _vary(
        out,
        {
            0: 0.09 * t["bright"] + 0.03 * t["crown"],
            1: 0.10 * t["iron"],
            2: 0.30 * t["humus"],
            3: 0.20 * t["iron"],
            4: 0.22 * t["clay"] - 0.15 * t["iron"],
            5: 0.20 * t["clay"],
            6: 0.20 * t["bright"],
            7: 0.18 * t["moist"],
        },
    )
    out[:, 8] += 0.10 * t["moist"] * (1 + 2 * change[:, 8])
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
    return np.stack([algae, silt, stain, depth, glint, fine], axis=1).astype(np.float32)


def _built(mean: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    names = ("roof", "grime", "iron", "gap", "bright", "crown", "clay", "species")
    out = _vary(mean, {k: 0.25 * t[name] for k, name in enumerate(names)})
    out[:, :8] /= out[:, :8].sum(axis=1, keepdims=True) + 1e-6
    out[:, 8] = np.maximum(out[:, 8] + 0.10 * t["grime"] + 0.06 * t["roof"], 0)
    out[:, 9] *= np.exp(0.4 * t["iron"])
    return out


def _snow(t: dict[str, np.ndarray]) -> np.ndarray:
    grain = np.exp(-0.5 + 0.9 * t["bright"] + 0.3 * t["gap"])
    soot = 0.16 * np.exp(0.6 * t["grime"] + 0.4 * t["iron"])
    liquid = 0.3 * np.exp(0.8 * t["moist"])
    return np.stack([grain, soot, liquid], axis=1).astype(np.float32)


def _shade(tree: np.ndarray, t: dict[str, np.ndarray]) -> np.ndarray:
    """Dense dark crowns of conifers shade themselves most."""
    crowns = 0.20 + 2.0 * np.maximum(0.9 - tree[:, 7], 0) + 0.06 * t["crown"] + 0.04 * t["gap"]
    town = 0.16 + 0.06 * t["roof"]
    return np.stack([crowns, town], axis=1).clip(0, 0.75).astype(np.float32)
