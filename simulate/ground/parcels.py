"""Parcels of land: districts of one orientation, split again and again like inherited fields.

Everything is a function of position, evaluated at any points: a point walks down a tree of
splits whose every choice is a hash of the branch it stands on, so no polygon is ever stored.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from trifuse.simulate.ground.draws import Salt, renumber, scramble, stream, uniform
from trifuse.simulate.ground.fields import fractal, sample
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

    def take(self, which: np.ndarray) -> Parcels:
        """Those of some points, by number."""
        return Parcels(*(getattr(self, f.name)[..., which] for f in fields(self)))


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
    walk = _enter(seed, districts, terrain, y, x)
    live = np.arange(len(y))
    for _ in range(_LEVELS):
        key, area = walk.id[live], walk.size[0, live] * walk.size[1, live]
        centre = walk.centre(districts, live)
        goal = target(centre[0], centre[1], walk.typical[live])
        goal = goal * np.exp(1.1 * (uniform(key, Salt.SPLIT_GOAL) - 0.5))
        early = (area < 5 * goal) & (uniform(key, Salt.SPLIT_EARLY_END) < 0.10)
        further = ~((area < goal) | early)
        live = live[further]
        if not len(live):
            break
        walk.split(live, goal[further])
    centre = walk.centre(districts, np.arange(len(y)))
    area = walk.size[0] * walk.size[1]
    return Parcels(
        walk.id, centre, area, walk.inner, walk.size, walk.margin, walk.border, walk.lane
    )


@dataclass(slots=True)
class _Walk:
    """Where points stand in the tree of splits; changed in place from split to split.

    Attributes:
        district: (point,) number of the district.
        aspect: (point,) preferred ratio of a parcel's sides.
        typical: (point,) area of the district's parcels in m².
        id: (point,) uint32 of the branch.
        corner: (2, point) metres from the district's corner, along its two axes.
        size: (2, point) metres of the branch's sides.
        inner: (2, point) position within the branch, 0–1 along its sides.
        margin: (point,) metres to the nearest border.
        border: (point,) uint32 of that border.
        lane: (point,) metres to the nearest border of first order.
    """

    district: np.ndarray
    aspect: np.ndarray
    typical: np.ndarray
    id: np.ndarray
    corner: np.ndarray
    size: np.ndarray
    inner: np.ndarray
    margin: np.ndarray
    border: np.ndarray
    lane: np.ndarray

    def centre(self, districts: Districts, which: np.ndarray) -> np.ndarray:
        """Centres of the branches of some points, (2, point) metres on the map.

        The warp is small and left out.
        """
        who = self.district[which]
        middle = self.corner[:, which] + self.size[:, which] / 2
        a, b = middle - np.float32(districts.radius)
        cos, sin = np.cos(districts.angle)[who], np.sin(districts.angle)[who]
        y = districts.sites[who, 0] + a * sin + b * cos
        x = districts.sites[who, 1] + a * cos - b * sin
        return np.stack([y, x]).astype(np.float32)

    def split(self, live: np.ndarray, goal: np.ndarray) -> None:
        """Cut the branches of some points across their long side; each point goes to its half.

        Args:
            live: (n,) numbers of the points.
            goal: (n,) area in m² that the splits of each branch lead to.
        """
        key, size, each = self.id[live], self.size[:, live], np.arange(len(live))
        area = size[0] * size[1]
        long = size[0] > size[1] * np.where(area > 30 * goal, 1.0, self.aspect[live])
        u, v = self.inner[:, live]
        along, across = np.where(long, u, v), np.where(long, v, u)
        share = 0.30 + 0.40 * uniform(key, Salt.SPLIT_SHARE)
        # A split seldom runs quite parallel to the side.
        slanted = uniform(key, Salt.SPLIT_SLANTED) < 0.45
        slant = np.where(slanted, 0.22 * (uniform(key, Salt.SPLIT_SLANT) - 0.5), 0)
        cut = share + slant * (across - 0.5)
        second = along >= cut
        inside = np.where(second, (along - cut) / (1 - cut), along / cut)
        self.inner[:, live] = np.where(long, inside, u), np.where(long, v, inside)
        axis = np.where(long, 0, 1)
        length = size[axis, each]
        away = np.abs(along - cut) * length
        nearer = away < self.margin[live]
        self.margin[live] = np.where(nearer, away, self.margin[live])
        border = renumber(key, Salt.SPLIT_BORDER)
        self.border[live] = np.where(nearer, border, self.border[live])
        main = (area > 8 * goal) | (area > _FIELD * 10)
        self.lane[live] = np.where(main & (away < self.lane[live]), away, self.lane[live])
        self.corner[axis, live] += np.where(second, share * length, 0)
        self.size[axis, live] *= np.where(second, 1 - share, share)
        self.id[live] = renumber(key, Salt.SPLIT_HALVES, np.where(second, 0, 1))


def _enter(
    seed: int, districts: Districts, terrain: Terrain, y: np.ndarray, x: np.ndarray
) -> _Walk:
    """Points in metres at the root of their district's tree."""
    row, col = terrain.position(y, x)
    y, x = y + sample(districts.warp[0], row, col), x + sample(districts.warp[1], row, col)
    gaps, who = cKDTree(districts.sites).query(np.stack([y, x], 1), k=2)
    first, second = who.T
    dy, dx = y - districts.sites[first, 0], x - districts.sites[first, 1]
    cos, sin = np.cos(districts.angle)[first], np.sin(districts.angle)[first]
    span = np.float32(2 * districts.radius)
    inner = np.stack([(dx * cos + dy * sin) / span, (dy * cos - dx * sin) / span]) + 0.5
    apart = np.hypot(*(districts.sites[first] - districts.sites[second]).T)
    edge = ((gaps[:, 1] ** 2 - gaps[:, 0] ** 2) / (2 * apart)).astype(np.float32)
    low, high = who.min(axis=1).astype(np.uint32), who.max(axis=1).astype(np.uint32)
    return _Walk(
        district=first,
        aspect=districts.aspect[first].astype(np.float32),
        typical=districts.area[first].astype(np.float32),
        # Every scene hashes its districts with a salt of its own.
        id=scramble(first.astype(np.uint32), seed * 7919 + 17),
        corner=np.zeros((2, len(y)), np.float32),
        size=np.full((2, len(y)), span, np.float32),
        inner=inner.clip(0, 1).astype(np.float32),
        margin=edge.copy(),
        border=scramble(low, high),
        lane=edge.copy(),
    )
