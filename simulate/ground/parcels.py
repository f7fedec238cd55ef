"""Parcels of land: districts of one orientation, split again and again like inherited fields.

Everything is a function of position, evaluated at any points: a point walks down a tree of
splits whose every choice is a hash of the branch it stands on, so no polygon is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from trifuse.simulate.ground.fields import fractal, mix, sample, stream, uniform
from trifuse.simulate.ground.terrain import MARGIN, Setting, Terrain

_LEVELS = 26
_FIELD = 60_000.0
"""Splits of land above this many m² have a track or hedge on them; of towns, a street."""


@dataclass(frozen=True, slots=True)
class Districts:
    """Regions whose parcels share an orientation and a habit of splitting.

    Attributes:
        sites: (district, 2) metres.
        angle: (district,) radians.
        aspect: (district,) preferred ratio of a parcel's sides.
        area: (district,) typical parcel in m².
        warp: (2, rows, columns) displacement in metres on the terrain's grid, so that no border
            is a ruler's line.
        radius: half side in metres of the square that each district starts from.
    """

    sites: np.ndarray
    angle: np.ndarray
    aspect: np.ndarray
    area: np.ndarray
    warp: np.ndarray
    radius: float


@dataclass(frozen=True, slots=True)
class Parcels:
    """The parcels that given points lie in; every array has one value a point.

    Attributes:
        id: uint32.
        centre: (2, point) metres.
        area: m².
        inner: (2, point) position within the parcel, 0–1 along its sides.
        side: (2, point) metres.
        margin: metres to the nearest border.
        border: uint32 of that border, the same on both sides.
        lane: metres to the nearest border of first order: a track, or a street.
    """

    id: np.ndarray
    centre: np.ndarray
    area: np.ndarray
    inner: np.ndarray
    side: np.ndarray
    margin: np.ndarray
    border: np.ndarray
    lane: np.ndarray


def build_districts(seed: int, setting: Setting, terrain: Terrain) -> Districts:
    """Scatter the districts of a scene."""
    rng = stream(seed, "districts")
    shape, step = terrain.height.shape, terrain.step
    spacing = 1500 + 160 * np.sqrt(setting.fields) * 2
    counts = [int(np.ceil(n * step / spacing)) + 2 for n in shape]
    grid = np.stack(np.meshgrid(*map(np.arange, counts), indexing="ij"), -1).reshape(-1, 2)
    sites = (grid - 0.5 + rng.uniform(-0.42, 0.42, grid.shape)) * spacing - MARGIN
    sites = sites[rng.random(len(sites)) > 0.25]
    row, col = terrain.position(*sites.T)
    trend = fractal(rng, shape, step, beta=3.0, outer=8000)
    down = [sample(g, row, col) for g in np.gradient(terrain.height, step)]
    steep = np.hypot(*down)
    # On slopes fields follow the contours, on plains the old roads.
    contour = np.arctan2(down[0], down[1])
    angle = np.where(steep > 0.04, contour, 0.9 * sample(trend, row, col))
    angle = angle + rng.normal(0, 0.22, len(sites)) + rng.choice([0, np.pi / 2], len(sites))
    area = 1e4 * setting.fields * np.exp(rng.normal(0, 0.55, len(sites)))
    broad = [fractal(rng, shape, step, beta=3.4, outer=5000, inner=350) for _ in range(2)]
    fine = [fractal(rng, shape, step, beta=2.4, outer=700, inner=70) for _ in range(2)]
    warp = 48 * np.stack(broad) + 5 * np.stack(fine)
    aspect = np.exp(rng.normal(0.45, 0.45, len(sites)))
    return Districts(sites, angle, aspect, area, warp.astype(np.float32), 2.4 * spacing)


def parcels_at(
    seed: int,
    districts: Districts,
    terrain: Terrain,
    y: np.ndarray,
    x: np.ndarray,
    target: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Parcels:
    """Find the parcels of points.

    Args:
        seed: of the scene.
        districts: from :func:`build_districts`.
        terrain: the coarse grid that the warp lies on.
        y: (point,) metres.
        x: (point,) metres.
        target: called with the centre (y, x) of parcels and the district's area; returns the
            area in m² below which they are split no more.
    """
    row, col = terrain.position(y, x)
    wy, wx = y + sample(districts.warp[0], row, col), x + sample(districts.warp[1], row, col)
    gaps, who = cKDTree(districts.sites).query(np.stack([wy, wx], 1), k=2)
    first = who[:, 0]
    n = len(y)
    cos, sin = np.cos(districts.angle), np.sin(districts.angle)
    dy, dx = wy - districts.sites[first, 0], wx - districts.sites[first, 1]
    span = np.float32(2 * districts.radius)
    u = ((dx * cos[first] + dy * sin[first]) / span + 0.5).clip(0, 1).astype(np.float32)
    v = ((dy * cos[first] - dx * sin[first]) / span + 0.5).clip(0, 1).astype(np.float32)
    ids = mix(first.astype(np.uint32), seed * 7919 + 17)
    size = np.full((2, n), span, np.float32)
    corner = np.zeros((2, n), np.float32)
    apart = np.hypot(*(districts.sites[first] - districts.sites[who[:, 1]]).T)
    edge = ((gaps[:, 1] ** 2 - gaps[:, 0] ** 2) / (2 * apart)).astype(np.float32)
    margin, lane = edge.copy(), edge.copy()
    border = mix(who.min(axis=1).astype(np.uint32), who.max(axis=1).astype(np.uint32))
    aspect = districts.aspect[first].astype(np.float32)
    base = districts.area[first].astype(np.float32)

    live = np.arange(n)
    for _ in range(_LEVELS):
        key, s = ids[live], size[:, live]
        area = s[0] * s[1]
        centre = _centre(districts, cos, sin, first[live], corner[:, live] + s / 2)
        goal = target(centre[0], centre[1], base[live])
        goal = goal * np.exp(1.1 * (uniform(key, 1) - 0.5))
        done = (area < goal) | ((area < 5 * goal) & (uniform(key, 2) < 0.10))
        go = ~done
        live, key, s, area = live[go], key[go], s[:, go], area[go]
        if not len(live):
            break
        long = s[0] > s[1] * np.where(area > 30 * goal[go], 1.0, aspect[live])
        along, across = np.where(long, u[live], v[live]), np.where(long, v[live], u[live])
        share = 0.30 + 0.40 * uniform(key, 3)
        # A split seldom runs quite parallel to the side.
        slant = np.where(uniform(key, 4) < 0.45, 0.22 * (uniform(key, 5) - 0.5), 0)
        cut = share + slant * (across - 0.5)
        second = along >= cut
        inside = np.where(second, (along - cut) / (1 - cut), along / cut)
        u[live] = np.where(long, inside, u[live])
        v[live] = np.where(long, v[live], inside)
        part = np.where(second, 1 - share, share)
        axis = np.where(long, 0, 1)
        away = np.abs(along - cut) * s[axis, np.arange(len(live))]
        nearer = away < margin[live]
        margin[live] = np.where(nearer, away, margin[live])
        border[live] = np.where(nearer, mix(key, 6), border[live])
        main = (area > 8 * goal[go]) | (area > _FIELD * 10)
        lane[live] = np.where(main & (away < lane[live]), away, lane[live])
        corner[axis, live] += np.where(second, share * s[axis, np.arange(len(live))], 0)
        size[axis, live] *= part
        ids[live] = mix(key, np.where(second, 11, 12))
    centre = _centre(districts, cos, sin, first, corner + size / 2)
    return Parcels(ids, centre, size[0] * size[1], np.stack([u, v]), size, margin, border, lane)


def _centre(
    districts: Districts, cos: np.ndarray, sin: np.ndarray, who: np.ndarray, at: np.ndarray
) -> np.ndarray:
    """District coordinates back to metres on the map (the warp is small and left out)."""
    a, b = at - np.float32(districts.radius)
    y = districts.sites[who, 0] + a * sin[who] + b * cos[who]
    x = districts.sites[who, 1] + a * cos[who] - b * sin[who]
    return np.stack([y, x]).astype(np.float32)
