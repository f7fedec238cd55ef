"""Where water goes in a procedural scene: catchments, valleys that it carves, rivers.

Sources: drainage by the minimum spanning tree of the passes between cells gives the same filled
levels as priority flooding, Barnes et al. 2014, doi:10.1016/j.cageo.2013.04.024; valleys in which
slope falls with a power of the catchment, Flint 1974, doi:10.1029/WR010i005p00969.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import csgraph

from trifuse.simulate.ground.fields import fractal, smooth_line


@dataclass(frozen=True, slots=True)
class Drainage:
    """Flow over a raster of heights.

    Attributes:
        receiver: (cell,) number of the next cell; the number of cells where it leaves.
        levels: cells by their number of steps from the outlets, from there up.
        area: (rows, columns) upstream area in km².
        fill: (rows, columns) height to which hollows fill before they overflow.
    """

    receiver: np.ndarray
    levels: tuple[np.ndarray, ...]
    area: np.ndarray
    fill: np.ndarray


def drain(
    height: np.ndarray, entry: tuple[int, int] | None, inflow: float, step: float
) -> Drainage:
    """Let water run over a relief.

    Args:
        height: (rows, columns) metres.
        entry: cell where a river comes in from outside.
        inflow: its catchment in km².
        step: cell size in metres.
    """
    rows, cols = height.shape
    size = height.size
    z = height.ravel() - height.min() + 1.0
    number = np.arange(size).reshape(rows, cols)
    pairs, weights = [], []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        a = number[: rows - dy, max(0, -dx) : cols - max(0, dx)].ravel()
        b = number[dy:, max(0, dx) : cols - max(0, -dx)].ravel()
        high, low = np.maximum(z[a], z[b]), np.minimum(z[a], z[b])
        # Equal passes are decided by the steepest fall.
        weights.append(high - 1e-4 * (high - low) / np.hypot(dy, dx))
        pairs.append((a, b))
    edge = np.unique(np.r_[number[0], number[-1], number[:, 0], number[:, -1]])
    pairs.append((np.full(len(edge), size), edge))
    weights.append(z[edge])
    a, b = (np.concatenate(side) for side in zip(*pairs, strict=True))
    graph = sparse.csr_matrix((np.concatenate(weights), (a, b)), shape=(size + 1, size + 1))
    tree = csgraph.minimum_spanning_tree(graph)
    order, receiver = csgraph.breadth_first_order(tree, size, directed=False)
    rank = np.empty(size + 1, int)
    rank[order] = np.arange(size + 1)
    behind = rank[receiver[order[1:]]]
    bounds = [0, 1]
    while bounds[-1] < size + 1:
        bounds.append(1 + int(np.searchsorted(behind, bounds[-1])))
    area = np.full(size + 1, (step / 1000) ** 2)
    if entry is not None:
        area[number[entry]] += inflow
    fill = np.r_[z, 0.0]
    levels = tuple(order[i:j] for i, j in itertools.pairwise(bounds[1:]))
    for cells in levels:
        fill[cells] = np.maximum(fill[cells], fill[receiver[cells]])
    for cells in reversed(levels):
        np.add.at(area, receiver[cells], area[cells])
    level = fill[:size].reshape(rows, cols) + height.min() - 1.0
    return Drainage(receiver[:size], levels, area[:size].reshape(rows, cols), level)


def erode(height: np.ndarray, flow: Drainage, step: float, steepest: float) -> np.ndarray:
    """Cut slopes down to what the water above them allows.

    Args:
        height: (rows, columns) metres.
        flow: over these heights.
        step: cell size in metres.
        steepest: rise over run of slopes without a stream.

    Returns:
        (rows, columns) metres; no cell rises faster from its receiver than its catchment allows.
    """
    cols = height.shape[1]
    z = np.r_[height.ravel(), np.inf]
    limit = steepest * (1 + flow.area.ravel() / 0.05) ** -0.5 * step
    for cells in flow.levels:
        to = flow.receiver[cells]
        diagonal = np.hypot(*(np.array(np.divmod(to, cols)) - np.array(np.divmod(cells, cols))))
        run = np.where(to < height.size, diagonal, 1.0)
        z[cells] = np.minimum(z[cells], z[to] + limit[cells] * run)
    return np.asarray(z[:-1].reshape(height.shape))


def trace_rivers(
    rng: np.random.Generator, flow: Drainage, step: float, origin: float, start: float
) -> list[np.ndarray]:
    """Rivers as smooth lines of (y, x, width): each from its spring to where it joins another.

    Args:
        rng: random stream.
        flow: where the water goes.
        step: cell size in metres.
        origin: metres from the first cell's centre to the point that y and x count from.
        start: catchment in km² at which a river begins.
    """
    rows, cols = flow.area.shape
    flat, receiver = flow.area.ravel(), flow.receiver
    channel = flat > start
    bends = [fractal(rng, (rows, cols), step, beta=2.2, outer=900, inner=60) for _ in range(2)]
    donors = np.zeros(flat.size + 1, int)
    np.add.at(donors, receiver[channel], 1)
    heads = np.flatnonzero(channel & (donors[:-1] == 0))
    seen = np.zeros(flat.size, bool)
    lines = []
    # The longest first, so that main stems are unbroken.
    rank = np.empty(flat.size, int)
    for steps, cells in enumerate(flow.levels):
        rank[cells] = steps
    for head in heads[np.argsort(-rank[heads], kind="stable")]:
        path = [int(head)]
        while not seen[path[-1]]:
            seen[path[-1]] = True
            if receiver[path[-1]] >= flat.size:
                break
            path.append(int(receiver[path[-1]]))
        if len(path) < 4:
            continue
        row, col = np.divmod(np.array(path), cols)
        width = 4.5 * flat[path[:-1]] ** 0.42
        metres = np.stack([row, col], axis=1) * step - origin
        metres += 55.0 * np.stack([b[row, col] for b in bends], axis=1)
        widths = ndimage.gaussian_filter1d(np.r_[width, width[-1]], 3, mode="nearest")
        lines.append(np.c_[smooth_line(metres, 1.6), widths])
    return lines
