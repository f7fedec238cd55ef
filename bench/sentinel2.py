"""Sentinel-2 SAFE to calibrated windows, against reading the same JPEG 2000 files raw.

    python bench/sentinel2.py               # 2196×2196 pixels, a fifth of a tile's edge
    python bench/sentinel2.py --size 1098

The product is factory-made. Times are ratios to rasterio reading the same windows of the same
bands and of SCL, nothing else.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window as Box

from trifuse.core import BandSet, Cube, Grid, TilePlan
from trifuse.products import open_sentinel2, write_sentinel2_safe
from trifuse.srf_data import S2_L2A

NATIVE = {
    "B2": 10,
    "B3": 10,
    "B4": 10,
    "B8": 10,
    "B5": 20,
    "B6": 20,
    "B7": 20,
    "B8A": 20,
    "B11": 20,
    "B12": 20,
    "B1": 60,
    "B9": 60,
}


def product(folder: Path, size: int) -> Path:
    """A delivery of smooth noise."""
    rng = np.random.default_rng(0)
    small = rng.uniform(0.02, 0.5, (12, size // 6, size // 6)).astype(np.float32)
    data = np.repeat(np.repeat(small, 6, 1), 6, 2)
    data += rng.normal(0, 0.005, data.shape).astype(np.float32)
    grid = Grid.from_origin("EPSG:32633", 399_960, 5_800_020, 10, size, size)
    cube = Cube(data, np.ones((size, size), bool), BandSet.of(S2_L2A), grid)
    return write_sentinel2_safe(folder, cube)


def best(work: Callable[[], None], repeat: int) -> float:
    """Least seconds of some runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2196, help="edge in pixels, a multiple of 6")
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        safe = product(Path(folder), options.size)
        plan = TilePlan(options.size, options.size, tile=512)

        def raw(names: list[str]) -> None:
            for name in [*names, "SCL"]:
                gsd = NATIVE.get(name, 20)
                label = name if name in ("SCL", "B8A") else f"B{int(name[1:]):02d}"
                path = next(safe.rglob(f"*_{label}_{gsd}m.jp2"))
                scale = gsd // 10
                with rasterio.open(path) as dataset:
                    for tile in plan:
                        w = tile.write
                        box = Box(
                            w.col // scale, w.row // scale, w.width // scale, w.height // scale
                        )
                        dataset.read(1, window=box)

        def ours(names: list[str]) -> None:
            with open_sentinel2(safe) as source:
                for tile in plan:
                    source.read(tile.write, names)

        figures = {}
        for label, names in (("10 m bands", ["B2", "B3", "B4", "B8"]), ("12 bands", list(NATIVE))):
            bare, mine = (best(lambda f=f, n=names: f(n), options.repeat) for f in (raw, ours))
            figures[label] = {"raw_s": bare, "ours_s": mine, "ratio": mine / bare}
            print(f"{label:12} raw {bare:6.2f} s   ours {mine:6.2f} s   ratio {mine / bare:5.2f}")
        print(json.dumps({"size": options.size, **figures}))


if __name__ == "__main__":
    main()
