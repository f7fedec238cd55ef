"""Relief, drainage, rivers and lakes of a procedural scene, on a coarse grid with a margin."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from trifuse.simulate.ground.drainage import Drainage, drain, erode, trace_rivers
from trifuse.simulate.ground.draws import stream
from trifuse.simulate.ground.fields import fractal, sample, smoothstep

STEP = 90.0
"""Cell of the coarse grid in metres (or the scene's pixel, if that is larger)."""

MARGIN = 4500.0
"""Metres of country around the scene, from which rivers and roads come in."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What sort of country it is; drawn from the seed.

    Attributes:
        relief: standard deviation of the heights in metres.
        rugged: 0 rolling … 1 ridges.
        lakes: share of the hollows that hold water.
        inflow: catchment in km² of the river that enters from outside; 0: none.
        dryness: 0 moist … 1 semi-arid.
        season: 0 spring … 1 late summer.
        forest: share of the land under trees.
        fields: typical parcel in hectares.
        people: settlements per 100 km².
        snowline: height above the mean, in standard deviations of the relief.
        hue: (4,) the soils' iron, humus, lime and brightness.
    """

    relief: float
    rugged: float
    lakes: float
    inflow: float
    dryness: float
    season: float
    forest: float
    fields: float
    people: float
    snowline: float
    hue: np.ndarray


KINDS = {
    # relief, rugged, lakes, dryness, forest, fields, people: typical values
    "plain": (14.0, 0.0, 0.5, 0.15, 0.16, 9.0, 11.0),
    "hills": (75.0, 0.2, 0.35, 0.15, 0.34, 5.5, 10.0),
    "lakes": (16.0, 0.0, 0.95, 0.05, 0.42, 7.0, 6.0),
    "mountains": (400.0, 0.9, 0.5, 0.1, 0.50, 5.0, 4.0),
    "dry": (55.0, 0.4, 0.2, 0.75, 0.10, 11.0, 5.0),
}


def draw_setting(seed: int) -> Setting:
    """The country of a seed; the five kinds follow one another, each varied at random."""
    rng = stream(seed, "setting")
    kind = list(KINDS)[seed % len(KINDS)]
    relief, rugged, lakes, dryness, forest, fields, people = KINDS[kind]
    spread = np.exp(rng.normal(0, 0.3, 4))
    inflow = float(np.exp(rng.uniform(np.log(150), np.log(6000)))) if rng.random() < 0.75 else 0.0
    return Setting(
        relief=relief * spread[0],
        rugged=rugged,
        lakes=lakes,
        inflow=inflow,
        dryness=float(np.clip(dryness + rng.normal(0, 0.1), 0, 1)),
        season=float(rng.random()),
        forest=float(np.clip(forest * spread[1], 0.04, 0.7)),
        fields=fields * spread[2],
        people=people * spread[3],
        snowline=1.45 if kind == "mountains" else 99.0,
        hue=rng.normal(0, 1, 4),
    )


@dataclass(frozen=True, slots=True)
class Terrain:
    """Coarse rasters over scene and margin; positions are metres from the scene's corner.

    Attributes:
        step: cell size in metres.
        origin: metres from the first cell's centre to the scene's corner, the same in y and x.
        height: (rows, columns) metres above the mean, valleys carved.
        slope: (rows, columns) rise over run.
        level: (rows, columns) lake surface, −inf where none is near.
        stream_distance: (rows, columns) metres to the next river or lake.
        rivers: lines of (y, x, width) in metres.
    """

    step: float
    origin: float
    height: np.ndarray
    slope: np.ndarray
    level: np.ndarray
    stream_distance: np.ndarray
    rivers: tuple[np.ndarray, ...]

    def position(self, y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Fractional row and column of points in metres."""
        return (y + self.origin) / self.step, (x + self.origin) / self.step

    def at(self, field: np.ndarray, y: np.ndarray, x: np.ndarray, order: int = 1) -> np.ndarray:
        """Values of a coarse raster at points in metres."""
        return sample(field, *self.position(y, x), order=order)

    def nearest(self, field: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Value of the coarse cell that each point in metres lies in."""
        row, col = (np.rint(p).astype(np.intp) for p in self.position(y, x))
        rows, cols = field.shape
        return np.asarray(field[row.clip(0, rows - 1), col.clip(0, cols - 1)])


def build_terrain(seed: int, setting: Setting, extent: tuple[float, float], gsd: float) -> Terrain:
    """Make relief and let water run over it.

    Args:
        seed: of the scene.
        setting: the sort of country.
        extent: metres of the scene in y and x.
        gsd: pixel size in metres.
    """
    rng = stream(seed, "terrain")
    step = max(STEP, gsd)
    shape = tuple(int(np.ceil((e + 2 * MARGIN) / step)) + 1 for e in extent)
    height = _relief(rng, setting, (shape[0], shape[1]), step)
    course = _main_valley(rng, setting, height, step) if setting.inflow else None
    for _ in range(2):
        flow = drain(height, course, setting.inflow, step)
        height = erode(height, flow, step, 0.0022 * setting.relief)
        height = 0.7 * height + 0.3 * ndimage.gaussian_filter(height, 0.8)
    height -= _hollows(rng, setting, height, step)
    slope = np.hypot(*np.gradient(height, step))
    stretch = min(setting.relief / height.std(), 0.75 / float(np.quantile(slope, 0.95)))
    height = (height - height.mean()) * stretch
    flow = drain(height, course, setting.inflow, step)
    level = _lakes(rng, setting, height, flow, step)
    # Shallow hollows without a lake fill with sediment: flat valley floors.
    silt = (flow.fill - height < 0.12 * setting.relief) & (level < height)
    height = np.where(silt, np.maximum(height, flow.fill), height)
    area = flow.area
    start = 7.0 * 6.0**setting.dryness
    rivers = trace_rivers(rng, flow, step, MARGIN, start)
    wet = (area > start) | (level > height)
    distance = ndimage.distance_transform_edt(~wet) * step
    slope = np.hypot(*np.gradient(ndimage.gaussian_filter(height, 0.7), step))
    return Terrain(
        step=step,
        origin=MARGIN,
        height=height.astype(np.float32),
        slope=slope.astype(np.float32),
        level=level.astype(np.float32),
        stream_distance=distance.astype(np.float32),
        rivers=tuple(rivers),
    )


def _relief(
    rng: np.random.Generator, setting: Setting, shape: tuple[int, int], step: float
) -> np.ndarray:
    share = setting.rugged
    broad = fractal(rng, shape, step, beta=3.7 + 0.5 * share, outer=9000 + 6000 * share)
    ridges = 1.2 - 2.2 * np.abs(fractal(rng, shape, step, beta=3.6, outer=9000))
    rough = fractal(rng, shape, step, beta=2.6, outer=2500)
    out = (1 - 0.4 * share) * broad + 0.6 * share * ridges + (0.10 - 0.06 * share) * rough
    return np.asarray(out * setting.relief, np.float64)


def _hollows(
    rng: np.random.Generator, setting: Setting, height: np.ndarray, step: float
) -> np.ndarray:
    """Depth of hollows that ice or wind has left, in metres."""
    basins = fractal(rng, (height.shape[0], height.shape[1]), step, beta=3.5, outer=3000, inner=60)
    start = 2.1 - 1.35 * setting.lakes
    return np.asarray(1.3 * height.std() * smoothstep(basins, start, start + 1.2))


def _main_valley(
    rng: np.random.Generator, setting: Setting, height: np.ndarray, step: float
) -> tuple[int, int]:
    """Cut the valley of a river that crosses the country; its entry cell is returned."""
    n = max(height.shape) * 2
    along = np.linspace(-0.75, 0.75, n) * max(height.shape) * step
    swing = fractal(rng, (1, n), along[1] - along[0], beta=3.0, outer=6000, inner=120)[0]
    angle = rng.uniform(0, np.pi)
    offset = rng.uniform(-0.22, 0.22) * min(height.shape) * step + 750 * swing
    y = (height.shape[0] / 2 * step + along * np.sin(angle) + offset * np.cos(angle)) / step
    x = (height.shape[1] / 2 * step + along * np.cos(angle) - offset * np.sin(angle)) / step
    inside = (y >= 0) & (y <= height.shape[0] - 1) & (x >= 0) & (x <= height.shape[1] - 1)
    mask = np.ones(height.shape, bool)
    row, col = np.rint(y[inside]).astype(int), np.rint(x[inside]).astype(int)
    mask[row, col] = False
    away, (near_row, near_col) = ndimage.distance_transform_edt(mask, return_indices=True)
    # The bed falls evenly from entry to exit, below all that lies beside it.
    order = np.zeros(height.shape)
    order[row, col] = np.linspace(1, 0, len(row))
    fall = 0.25 * setting.relief + 2.0
    bed = np.quantile(height[row, col], 0.15) - 0.8 * setting.relief - 3 + fall * order
    floor = ndimage.gaussian_filter(bed[near_row, near_col], 6)
    width = 350 + 550 * (1 - setting.rugged)
    share = smoothstep(away * step, 0.25 * width, 3.2 * width)
    height[:] = np.where(away == 0, bed, floor * (1 - share) + height * share + away * step * 2e-3)
    return int(row[0]), int(col[0])


def _lakes(
    rng: np.random.Generator, setting: Setting, height: np.ndarray, flow: Drainage, step: float
) -> np.ndarray:
    """Surfaces of the hollows that hold water, one cell wider than the water."""
    depth = flow.fill - height
    labels, count = ndimage.label(depth > 0.02 * setting.relief)
    keep = rng.random(count + 1) < setting.lakes
    deep = ndimage.maximum(depth, labels, np.arange(count + 1)) > 0.06 * setting.relief
    size = np.bincount(labels.ravel(), minlength=count + 1) * (step / 1000) ** 2
    # Large hollows hold lakes only where ice has been; elsewhere they are plains.
    held = keep & deep & (size < 2 + 14 * setting.lakes**2)
    held[0] = False
    level = np.where(held[labels], flow.fill, -np.inf)
    return np.asarray(ndimage.maximum_filter(level, 3))
