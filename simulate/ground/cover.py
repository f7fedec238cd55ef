"""What a procedural scene's ground is made of at points within pixels.

Borders of parcels run through pixels, so these are mixed as those of real images are.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from trifuse.simulate.ground.draws import Salt, uniform
from trifuse.simulate.ground.fields import sample, smoothstep
from trifuse.simulate.ground.landuse import IRRIGATED, STREET, Landcover, Use, Zone, decide
from trifuse.simulate.ground.parcels import Parcels, parcels_at
from trifuse.simulate.ground.spectra import Soil, Vegetation
from trifuse.simulate.ground.world import World

SUB = 2
"""Points a pixel and axis."""


class Material(IntEnum):
    """Columns of the shares of a pixel; low vegetation is with its soil."""

    HERB = 0
    TREE = 1
    WATER = 2
    BUILT = 3
    SNOW = 4


@dataclass(frozen=True, slots=True)
class Layout:
    """Points within the pixels of some rows, and the parcels that they lie in.

    Attributes:
        shape: rows and columns of pixels; each has 2×2 points.
        y: (point,) metres from the scene's corner, row by row of points.
        x: (point,) metres likewise.
        points: one entry a point.
        parcels: one entry a parcel, in the order of their numbers.
        use: one entry a parcel.
        which: (point,) index of its parcel.
        first: (parcel,) index of its first point.
    """

    shape: tuple[int, int]
    y: np.ndarray
    x: np.ndarray
    points: Parcels
    parcels: Parcels
    use: Use
    which: np.ndarray
    first: np.ndarray

    def by_pixel(self, values: np.ndarray) -> np.ndarray:
        """(point, …) values as (row, point, column, point, …)."""
        rows, cols = self.shape
        return values.reshape(rows, SUB, cols, SUB, *values.shape[1:])

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Means of pixels, (pixel, n) float32, of (point,) or (point, n) values."""
        means = self.by_pixel(values.reshape(len(values), -1)).mean(axis=(1, 3))
        return np.asarray(means.reshape(self.shape[0] * self.shape[1], -1), np.float32)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the pixels of some rows are made of, before roads, rivers and texture.

    Attributes:
        share: (pixel, 5) by :class:`Material`.
        herb: (pixel, 10) mean canopy of the low vegetation.
        tree: (pixel, 10) mean canopy of the trees.
        soil: (pixel, 9) deviation from the country's soil.
        built: (pixel, 10) mean of the surfaces.
        landcover: (pixel,) code of its parcel, whatever else lies on it.
    """

    share: np.ndarray
    herb: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    built: np.ndarray
    landcover: np.ndarray


def layout_at(world: World, rows: slice) -> Layout:
    """Find the parcels of some rows, and what they are used for."""
    shape = (rows.stop - rows.start, world.shape[1])
    y = (rows.start + (np.arange(shape[0] * SUB) + 0.5) / SUB) * world.gsd
    x = (np.arange(shape[1] * SUB) + 0.5) / SUB * world.gsd
    y, x = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))

    def target(y: np.ndarray, x: np.ndarray, typical: np.ndarray) -> np.ndarray:
        plots = world.terrain.nearest(world.country.plots, y, x)
        return np.where(plots > 0, plots, typical)

    points = parcels_at(world.seed, world.districts, world.terrain, y, x, target)
    _, first, which = np.unique(points.id, return_index=True, return_inverse=True)
    parcels = points.take(first)
    use = decide(world.setting, world.terrain, world.country, parcels)
    return Layout(shape, y, x, points, parcels, use, which.ravel(), first)


def mixture_of(world: World, layout: Layout) -> Mixture:
    """Mix what lies within each pixel."""
    use, which = layout.use, layout.which
    part = _parts(world, layout)
    built = part.roof + part.paved
    herb = (1 - part.tree - built - part.lake - part.snow).clip(0, 1)
    canopy = use.canopy[which]
    canopy[:, Vegetation.LEAF_AREA] *= _stripes(layout.points, use.zone[which]) * (1 - part.rock)
    irrigated = use.pivot[which] & (((layout.points.inner - 0.5) ** 2).sum(axis=0) < 0.235)
    canopy[irrigated] = IRRIGATED
    soil = use.soil[which]
    soil[:, Soil.SLOPE] -= 0.5 * part.rock
    soil[:, Soil.HUMUS] -= 1.8 * part.rock
    surfaces = use.built[which] * part.roof[:, None] + STREET * part.paved[:, None]
    shares = {
        Material.HERB: herb,
        Material.TREE: part.tree,
        Material.WATER: part.lake,
        Material.BUILT: built,
        Material.SNOW: part.snow,
    }
    share = {material: layout.mean(values) for material, values in shares.items()}
    some = {material: np.maximum(values, 1e-6) for material, values in share.items()}
    code = np.where(part.rock > 0.5, np.uint8(Landcover.BARE), use.landcover[which])
    return Mixture(
        share=np.concatenate([share[material] for material in Material], axis=1),
        herb=layout.mean(canopy * herb[:, None]) / some[Material.HERB],
        tree=layout.mean(use.tree[which] * part.tree[:, None]) / some[Material.TREE],
        soil=layout.mean(soil),
        built=layout.mean(surfaces) / some[Material.BUILT],
        landcover=layout.by_pixel(code)[:, 0, :, 0].ravel(),
    )


def _strip(away: np.ndarray, width: float, cell: float) -> np.ndarray:
    """Share of a cell that a strip of ``width`` covers whose axis is ``away`` from its centre."""
    inside = np.minimum(away + cell / 2, width / 2) - np.maximum(away - cell / 2, -width / 2)
    return np.asarray(np.clip(inside / cell, 0, 1), np.float32)


def _stripes(points: Parcels, zone: np.ndarray) -> np.ndarray:
    """Vigour by the width of a machine: the texture of rows within a field."""
    across = np.where(points.side[0] > points.side[1], points.inner[1], points.inner[0])
    width = np.minimum(points.side[0], points.side[1])
    row = (across * width / 27).astype(np.uint32)
    swath = (across * width / 110).astype(np.uint32)
    by_row, by_swath = uniform(points.id + row, Salt.ROW), uniform(points.id + swath, Salt.SWATH)
    wave = 0.22 * (by_row - 0.5) + 0.2 * (by_swath - 0.5)
    return np.where(zone == Zone.FIELD, 1 + wave, 1).astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Parts:
    """Shares of the ground at points, (point,) each; what is left is low vegetation.

    Attributes:
        tree: trees.
        roof: roofs.
        paved: streets, tracks and yards.
        lake: lakes.
        snow: snow.
        rock: 0–1, how rocky the open ground is; no share of its own.
    """

    tree: np.ndarray
    roof: np.ndarray
    paved: np.ndarray
    lake: np.ndarray
    snow: np.ndarray
    rock: np.ndarray


def _parts(w: World, layout: Layout) -> _Parts:
    """What lies at points: water, rock and snow, then trees, then what people have built."""
    y, x = layout.y, layout.x
    row, col = y / w.gsd - 0.5, x / w.gsd - 0.5
    pixel = np.rint(row).astype(np.intp).clip(0, w.shape[0] - 1) * w.shape[1]
    pixel += np.rint(col).astype(np.intp).clip(0, w.shape[1] - 1)
    texture = {name: w.textures[name].ravel()[pixel] for name in ("gap", "species", "crown")}
    level = w.terrain.nearest(w.terrain.level, y, x)
    lake = (sample(w.height, row, col) < level).astype(np.float32)
    alpine = w.terrain.at(w.country.alpine, y, x)
    slope = w.terrain.at(w.terrain.slope, y, x)
    ragged = alpine + 0.16 * texture["species"] + 0.10 * texture["gap"]
    rock = smoothstep(ragged + 1.1 * (slope - 0.35), -0.55, -0.05)
    snow = smoothstep(ragged - 0.5 * np.maximum(slope - 0.5, 0), -0.02, 0.22) * (1 - lake)
    stand = _stand(w, layout, slope, texture)
    tree = _trees(w, layout, stand, texture["gap"])
    tree = tree * (1 - rock) * (1 - smoothstep(alpine, -0.75, -0.45))
    roof, paved = _built(w, layout, stand)
    town = layout.use.zone[layout.which] == Zone.TOWN
    garden = layout.use.garden[layout.which]
    grown = np.clip(garden * np.exp(0.8 * texture["crown"]), 0, 0.9)
    tree = np.where(town, (1 - roof - paved) * grown, tree * (1 - paved))
    land = (1 - lake) * (1 - snow)
    return _Parts(tree * land, roof * land, paved * land, lake, snow, rock)


def _stand(
    w: World, layout: Layout, slope: np.ndarray, texture: dict[str, np.ndarray]
) -> np.ndarray:
    """Whether points lie in forest, 0–1.

    Forest ends at borders of parcels where they are near, else where nature lets it.
    """
    zone = layout.use.zone[layout.which]
    wood = w.terrain.at(w.country.wood, layout.y, layout.x)
    wood = wood + 0.10 * texture["species"] + 0.05 * texture["gap"]
    wood += np.where(zone == Zone.WOOD, 0.45, -0.45) * (1 - 0.85 * smoothstep(slope, 0.12, 0.3))
    return np.asarray(smoothstep(wood, -0.07, 0.07) * (zone != Zone.TOWN))


def _trees(w: World, layout: Layout, stand: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """Share of trees outside towns: forest, trees in fields, along water and in hedges."""
    points, zone = layout.points, layout.use.zone[layout.which]
    dryness, town = w.setting.dryness, zone == Zone.TOWN
    mingled = np.clip(layout.use.mingled[layout.which] * np.exp(0.7 * gap), 0, 1)
    forest = stand * (1 - mingled * (zone == Zone.WOOD))
    tree = forest + (1 - stand) * mingled * (zone == Zone.FIELD)
    bank = w.terrain.at(w.terrain.stream_distance, layout.y, layout.x) + 35 * gap
    along_water = 0.7 * (1 - smoothstep(bank, 25, 90)) * ~town * (1 - 0.5 * dryness)
    tree = np.maximum(tree, along_water)
    hedge = uniform(points.border, Salt.HEDGE) < 0.30 * (1 - 0.8 * dryness)
    hedges = hedge * ~town * _strip(points.margin, 9.0, w.gsd / SUB) * 0.9
    return np.asarray(np.maximum(tree, hedges))


def _built(w: World, layout: Layout, stand: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of roofs and of pavement: streets and yards in towns, tracks between fields."""
    points, use, which = layout.points, layout.use, layout.which
    town, cell = use.zone[which] == Zone.TOWN, w.gsd / SUB
    half = np.sqrt(use.roof[which]) / 2
    inside = (np.abs(points.inner - 0.5) < half).all(axis=0)
    street = np.where(town, _strip(points.lane, 11.0, cell), 0)
    track = uniform(points.border, Salt.TRACK) < 0.6
    street = np.where(town | (stand > 0.5), street, track * _strip(points.lane, 4.0, cell))
    roof = town * inside * (1 - street)
    return roof, street + (1 - street - roof) * town * use.paved[which]
