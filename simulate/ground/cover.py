"""Land cover of a procedural scene at points within pixels, so that borders are mixed pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.simulate.ground.fields import sample, smoothstep, uniform
from trifuse.simulate.ground.landuse import FIELD, IRRIGATED, TOWN, WOOD, YARD, Use, decide
from trifuse.simulate.ground.parcels import Parcels, parcels_at
from trifuse.simulate.ground.world import World

_SUB = 2
"""Points a pixel and axis."""


@dataclass(frozen=True, slots=True)
class Mixture:
    """What the pixels of some rows are made of, before roads, rivers and texture.

    Attributes:
        share: (pixel, 5) of low vegetation with its soil, trees, water, built and snow.
        herb: (pixel, 10) mean canopy of the low vegetation.
        tree: (pixel, 10) mean canopy of the trees.
        soil: (pixel, 9) deviation from the country's soil.
        built: (pixel, 10) mean of the surfaces.
        cover: (pixel,) code of the low vegetation in scene_landuse.LANDCOVER.
    """

    share: np.ndarray
    herb: np.ndarray
    tree: np.ndarray
    soil: np.ndarray
    built: np.ndarray
    cover: np.ndarray


def mixture_at(world: World, rows: slice) -> Mixture:
    """Find the parcels of some rows and mix what lies within each pixel."""
    w, sub = world, _SUB
    n_y, n_x = rows.stop - rows.start, w.shape[1]
    y = (rows.start + (np.arange(n_y * sub) + 0.5) / sub) * w.gsd
    x = (np.arange(n_x * sub) + 0.5) / sub * w.gsd
    y, x = (a.ravel() for a in np.meshgrid(y, x, indexing="ij"))
    points = parcels_at(w.seed, w.districts, w.terrain, y, x, lambda *a: _target(w, *a))
    _, first, which = np.unique(points.id, return_index=True, return_inverse=True)
    use = decide(w.setting, w.terrain, w.country, _take(points, first))

    def mean(values: np.ndarray) -> np.ndarray:
        """Points to pixels."""
        shaped = values.reshape(n_y, sub, n_x, sub, -1)
        return np.asarray(shaped.mean(axis=(1, 3)).reshape(n_y * n_x, -1), np.float32)

    tree, roof, paved, lake, snow, rock = _shares(w, points, use, which, y, x)
    built = roof + paved
    herb = (1 - tree - built - lake - snow).clip(0, 1)
    canopy = use.canopy[which]
    canopy[:, 8] *= _stripes(points, use.kind[which]) * (1 - rock)
    irrigated = use.pivot[which] & (((points.inner - 0.5) ** 2).sum(axis=0) < 0.235)
    canopy[irrigated] = IRRIGATED
    ground = use.soil[which]
    ground[:, 1] -= 0.5 * rock
    ground[:, 2] -= 1.8 * rock
    surfaces = use.built[which] * roof[:, None] + YARD * paved[:, None]
    share = [mean(a) for a in (herb, tree, lake, built, snow)]
    some = [np.maximum(s, 1e-6) for s in share]
    code = np.where(rock > 0.5, np.uint8(4), use.cover[which])
    code = code.reshape(n_y, sub, n_x, sub)[:, 0, :, 0].ravel()
    return Mixture(
        np.concatenate(share, axis=1),
        mean(canopy * herb[:, None]) / some[0],
        mean(use.tree[which] * tree[:, None]) / some[1],
        mean(ground),
        mean(surfaces) / some[3],
        code,
    )


def _target(w: World, y: np.ndarray, x: np.ndarray, base: np.ndarray) -> np.ndarray:
    plots = w.terrain.nearest(w.country.plots, y, x)
    return np.where(plots > 0, plots, base)


def _take(points: Parcels, which: np.ndarray) -> Parcels:
    return Parcels(
        points.id[which],
        points.centre[:, which],
        points.area[which],
        points.inner[:, which],
        points.side[:, which],
        points.margin[which],
        points.border[which],
        points.lane[which],
    )


def _strip(away: np.ndarray, width: float, cell: float) -> np.ndarray:
    """Share of a cell that a strip of ``width`` covers whose axis is ``away`` from its centre."""
    inside = np.minimum(away + cell / 2, width / 2) - np.maximum(away - cell / 2, -width / 2)
    return np.asarray(np.clip(inside / cell, 0, 1), np.float32)


def _stripes(points: Parcels, kind: np.ndarray) -> np.ndarray:
    """Vigour by the width of a machine: the texture of rows within a field."""
    across = np.where(points.side[0] > points.side[1], points.inner[1], points.inner[0])
    width = np.minimum(points.side[0], points.side[1])
    row = (across * width / 27).astype(np.uint32)
    swath = (across * width / 110).astype(np.uint32)
    wave = 0.22 * (uniform(points.id + row, 120) - 0.5) + 0.2 * (
        uniform(points.id + swath, 121) - 0.5
    )
    return np.where(kind == FIELD, 1 + wave, 1).astype(np.float32)


def _shares(
    w: World, points: Parcels, use: Use, which: np.ndarray, y: np.ndarray, x: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Shares of trees, roofs, pavement, lake and snow at points, and how rocky the ground is."""
    cell = w.gsd / _SUB
    row, col = y / w.gsd - 0.5, x / w.gsd - 0.5
    pixel = np.rint(row).astype(np.intp).clip(0, w.shape[0] - 1) * w.shape[1]
    pixel += np.rint(col).astype(np.intp).clip(0, w.shape[1] - 1)
    texture = {
        k: v.ravel()[pixel] for k, v in w.textures.items() if k in ("gap", "species", "crown")
    }
    kind, clump = use.kind[which], use.clump[which]
    town = kind == TOWN
    lake = (sample(w.height, row, col) < w.terrain.nearest(w.terrain.level, y, x)).astype(
        np.float32
    )

    alpine = w.terrain.at(w.country.alpine, y, x)
    slope = w.terrain.at(w.terrain.slope, y, x)
    ragged = alpine + 0.16 * texture["species"] + 0.10 * texture["gap"]
    rock = smoothstep(ragged + 1.1 * (slope - 0.35), -0.55, -0.05)
    snow = smoothstep(ragged - 0.5 * np.maximum(slope - 0.5, 0), -0.02, 0.22) * (1 - lake)

    # Forest ends at borders of parcels where they are near, else where nature lets it.
    wood = w.terrain.at(w.country.wood, y, x) + 0.10 * texture["species"] + 0.05 * texture["gap"]
    wood += np.where(kind == WOOD, 0.45, -0.45) * (1 - 0.85 * smoothstep(slope, 0.12, 0.3))
    stand = smoothstep(wood, -0.07, 0.07) * ~town
    open_ground = np.clip(clump * np.exp(0.7 * texture["gap"]), 0, 1)
    tree = stand * (1 - open_ground * (kind == WOOD)) + (1 - stand) * open_ground * (kind == FIELD)
    bank = w.terrain.at(w.terrain.stream_distance, y, x) + 35 * texture["gap"]
    tree = np.maximum(
        tree, 0.7 * (1 - smoothstep(bank, 25, 90)) * ~town * (1 - 0.5 * w.setting.dryness)
    )
    hedge = uniform(points.border, 122) < 0.30 * (1 - 0.8 * w.setting.dryness)
    tree = np.maximum(tree, hedge * ~town * _strip(points.margin, 9.0, cell) * 0.9)
    tree = tree * (1 - rock) * (1 - smoothstep(alpine, -0.75, -0.45))

    house, grove, pave = use.plot[which].T
    half = np.sqrt(house) / 2
    inside = (np.abs(points.inner - 0.5) < half).all(axis=0)
    street = np.where(town, _strip(points.lane, 11.0, cell), 0)
    track = uniform(points.border, 123) < 0.6
    street = np.where(town | (stand > 0.5), street, track * _strip(points.lane, 4.0, cell))
    roof = town * inside * (1 - street)
    paved = street + (1 - street - roof) * town * pave
    grown = np.clip(grove * np.exp(0.8 * texture["crown"]), 0, 0.9)
    tree = np.where(town, (1 - roof - paved) * grown, tree * (1 - paved))
    land = (1 - lake) * (1 - snow)
    return tree * land, roof * land, paved * land, lake, snow, rock
