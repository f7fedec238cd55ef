"""Settlements and the roads between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph
from scipy.spatial import Delaunay

from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal, smooth_line, smoothstep
from trifuse.simulate.ground.terrain import MARGIN, Setting, Terrain


@dataclass(frozen=True, slots=True)
class Network:
    """Where people live and travel; rasters are on the terrain's coarse grid.

    Attributes:
        urban: (rows, columns) > 0 in settlements, rising to about 1 in the core of a town.
        industry: (rows, columns) > 0 where works and stores stand.
        roads: lines of (y, x, width) in metres.
    """

    urban: np.ndarray
    industry: np.ndarray
    roads: tuple[np.ndarray, ...]


def build_network(seed: int, setting: Setting, terrain: Terrain) -> Network:
    """Choose sites for towns and villages, then join neighbours by cheap ways."""
    rng = stream(seed, "network")
    shape, step = terrain.height.shape, terrain.step
    dry = terrain.level < terrain.height
    z = (terrain.height - terrain.height.mean()) / terrain.height.std()
    liking = np.exp(-terrain.slope / 0.07) * (0.4 + np.exp(-terrain.stream_distance / 900)) * dry
    liking *= np.exp(-0.8 * np.maximum(z, -1))
    area = shape[0] * shape[1] * (step / 1000) ** 2
    count = max(3, rng.poisson(setting.people * area / 100))
    order = np.argsort(-np.log(rng.random(liking.size)) / (liking.ravel() + 1e-9), kind="stable")
    apart = 0.62 * np.sqrt(area / count) * 1000
    sites = _spread(order[: 60 * count], shape[1], apart / step, count)
    # Sizes follow a power law: one town, many villages.
    size = 230 * (1 - rng.random(len(sites)) * 0.985) ** -0.45
    size = np.clip(size, 200, 1600)
    wobble = fractal(rng, shape, step, beta=2.4, outer=1500)
    fringe = fractal(rng, shape, step, beta=1.2, outer=500)
    ways = _ways(rng, setting, terrain, sites)
    near_road = np.ones(shape, bool)
    for way in ways:
        near_road[way[:, 0], way[:, 1]] = False
    to_road = ndimage.distance_transform_edt(near_road) * step
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    urban = np.full(shape, -1.0)
    for (row, col), radius in zip(sites, size, strict=True):
        away = np.hypot(yy - row, xx - col) * step
        # Settlements stretch along the roads that lead into them.
        away = away + 0.35 * np.minimum(to_road, 600) - 0.25 * radius
        urban = np.maximum(urban, 0.85 * (1 - away / radius) * min(1, (radius / 900) ** 0.35))
    urban += 0.16 * wobble + 0.09 * fringe - 2.5 * np.maximum(terrain.slope - 0.12, 0)
    urban = np.where(dry, urban, -1)
    edge = np.exp(-(((urban - 0.02) / 0.12) ** 2)) * smoothstep(-to_road, -500, -100)
    industry = edge * (0.75 + 0.8 * fractal(rng, shape, step, beta=2.0, outer=2500)) - 0.55
    roads = [
        _draw(rng, way, step, width) for way, width in zip(ways, _widths(rng, ways), strict=True)
    ]
    return Network(urban.astype(np.float32), industry.astype(np.float32), tuple(roads))


def _spread(order: np.ndarray, cols: int, apart: float, count: int) -> np.ndarray:
    """The first sites in order of merit that keep a distance from one another."""
    chosen: list[tuple[int, int]] = []
    for cell in order:
        row, col = divmod(int(cell), cols)
        if all((row - r) ** 2 + (col - c) ** 2 > apart**2 for r, c in chosen):
            chosen.append((row, col))
        if len(chosen) == count:
            break
    return np.array(chosen)


def _ways(
    rng: np.random.Generator, setting: Setting, terrain: Terrain, sites: np.ndarray
) -> list[np.ndarray]:
    """Cheapest ways between neighbours, as cells of the coarse grid (n, 2)."""
    links = _links(rng, sites)
    # Half the resolution is enough for a way and four times as fast.
    thin = slice(None, None, 2)
    steep = terrain.slope[thin, thin]
    wet = (terrain.level > terrain.height)[thin, thin]
    river = (terrain.stream_distance < terrain.step)[thin, thin]
    whim = fractal(rng, steep.shape, 2 * terrain.step, beta=2.0, outer=2500)
    cost = 1 + (steep / 0.05) ** 1.6 + 90 * wet + 5 * river
    graph = _graph(cost * np.exp(0.35 * whim))
    nodes = np.minimum((sites + 1) // 2, np.array(steep.shape) - 1)
    cells = (nodes[:, 0] * steep.shape[1] + nodes[:, 1]).tolist()
    limit = np.array(terrain.height.shape) - 1
    out = []
    for i in sorted({i for i, _ in links}):
        _, before = csgraph.dijkstra(graph, indices=cells[i], return_predecessors=True)
        for j in sorted(j for k, j in links if k == i):
            path = _back(before, cells[i], cells[j])
            if len(path) > 3:
                way = 2 * np.stack(np.divmod(path, steep.shape[1]), axis=1)
                out.append(np.minimum(way, limit))
    return out


def _links(rng: np.random.Generator, sites: np.ndarray) -> set[tuple[int, int]]:
    """Pairs of neighbouring sites: joined unless a third lies clearly between them."""
    if len(sites) < 4:
        links = {(i, j) for i in range(len(sites)) for j in range(i)}
    else:
        links = {
            (int(max(a, b)), int(min(a, b)))
            for tri in Delaunay(sites + rng.normal(0, 1e-3, sites.shape)).simplices
            for a, b in zip(tri, np.roll(tri, 1), strict=True)
        }
    away = np.hypot(*(sites[:, None] - sites[None]).transpose(2, 0, 1))
    return {
        (i, j)
        for i, j in links
        if not np.any(np.delete(np.maximum(away[i], away[j]), [i, j]) < 0.92 * away[i, j])
    }


def _back(before: np.ndarray, source: int, target: int) -> np.ndarray:
    """Cells from a target back to the source, by the predecessor of each cell."""
    path = [target]
    while path[-1] != source and before[path[-1]] >= 0:
        path.append(int(before[path[-1]]))
    return np.array(path)


def _graph(cost: np.ndarray) -> sparse.csr_matrix:
    number = np.arange(cost.size).reshape(cost.shape)
    flat = cost.ravel()
    rows, cols, values = [], [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1)):
        a = number[: cost.shape[0] - dy, max(0, -dx) : cost.shape[1] - max(0, dx)].ravel()
        b = number[dy:, max(0, dx) : cost.shape[1] - max(0, -dx)].ravel()
        rows += [a, b]
        cols += [b, a]
        values += [np.hypot(dy, dx) * (flat[a] + flat[b]) / 2] * 2
    index = (np.concatenate(rows), np.concatenate(cols))
    return sparse.csr_matrix((np.concatenate(values), index), shape=(cost.size, cost.size))


def _widths(rng: np.random.Generator, ways: list[np.ndarray]) -> np.ndarray:
    """Metres of pavement: the longest way of all is a trunk road."""
    width = rng.choice([6.0, 7.5, 9.0, 12.0], len(ways), p=[0.35, 0.35, 0.2, 0.1])
    if ways:
        width[int(np.argmax([len(w) for w in ways]))] = 22.0
    return np.asarray(width)


def _draw(rng: np.random.Generator, way: np.ndarray, step: float, width: float) -> np.ndarray:
    metres = way * step - MARGIN
    smooth = smooth_line(metres, rng.uniform(1.3, 2.5) + width / 12)
    return np.column_stack([smooth, np.full(len(smooth), width)])
