"""A full SY_2_SYN frame onto the ground of one Sentinel-2 tile, against reading its files raw.

    python bench/swath.py FOLDER
    python bench/swath.py FOLDER --rows 1000 --columns 1200

The frame is made once in FOLDER (4091 × 4865 pixels, 21 bands, about 1 GB) and kept there. Raw
reading is h5py alone: first every image in full, then the rows and columns that the tile needs.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from trifuse.core import Cube, Grid, Window
from trifuse.products import open_sentinel3, write_syn
from trifuse.products.sentinel3.grid import SwathSource
from trifuse.srf_data import load

TILE = Grid.from_origin("EPSG:32633", 399_960, 5_800_020, 300, 366, 366)


def frame(folder: Path, shape: tuple[int, int]) -> Path:
    """A frame around the tile, sampled from a landscape in cells of 3 km, and noise on it."""
    found = sorted(folder.glob("S3A_SY_2_SYN*.SEN3"))
    if found:
        return found[0]
    half = max(shape) * 300 // 2 + 60_000
    west, south, east, north = TILE.bounds
    x, y = (west + east) / 2, (south + north) / 2
    cells = 2 * half // 3000
    grid = Grid.from_origin("EPSG:32633", x - half, y + half, 3000, cells, cells)
    rng = np.random.default_rng(0)
    bands = load("S3A_SYN").bands
    data = rng.uniform(0.02, 0.5, (len(bands), cells, cells)).astype(np.float32)
    cube = Cube(data, np.ones((cells, cells), bool), bands, grid)
    cloud = rng.random((cells, cells)) < 0.1
    return write_syn(folder, cube, shape=shape, cloud=cloud)


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """(seconds by the clock, seconds of the processor, result)."""
    clock, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - clock, time.process_time() - cpu, result


def raw(folder: Path, window: Window | None) -> int:
    """Read all nadir reflectances, both flags and both coordinates; returns the bytes."""
    images = [(p, p.stem.split("_")[1]) for p in sorted(folder.glob("Syn_*_reflectance.nc"))]
    wanted = [(p, f"SDR_{view}") for p, view in images if not view.endswith("O")]
    wanted += [(folder / "flags.nc", n) for n in ("SYN_flags", "CLOUD_flags")]
    wanted += [(folder / "geolocation.nc", n) for n in ("lat", "lon")]
    size = 0
    for path, name in wanted:
        with h5py.File(path) as f:
            size += f[name][() if window is None else window.slices].nbytes
    return size


def needed(source: SwathSource) -> Window:
    """Rows and columns of the swath that the tile needs."""
    whole = Window(0, 0, *source.swath.geolocation.shape)
    covering = source._covering(source.grid) or whole
    found = source._places(covering, source.grid)
    assert found is not None
    return found[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=4091)
    parser.add_argument("--columns", type=int, default=4865)
    options = parser.parse_args()
    made, _, folder = timed(lambda: frame(options.folder, (options.rows, options.columns)))
    raw(folder, None)  # once, so that the disk is in memory for all that follows
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    opened = timed(lambda: open_sentinel3(folder, grid=TILE))
    source = opened[2]
    gridded = timed(source.read)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    window = needed(source)
    part, whole = (timed(lambda w=w: raw(folder, w)) for w in (window, None))
    busy = opened[1] + gridded[1]
    report = {
        "frame": list(source.swath.geolocation.shape),
        "needed": list(window.shape),
        "valid_share": float(gridded[2].valid.mean()),
        "made_s": round(made, 2),
        "open_s": round(opened[0], 3),
        "grid_s": round(gridded[0], 3),
        "raw_window_s": round(part[0], 3),
        "raw_full_s": round(whole[0], 3),
        "cpu_s": {
            "open_and_grid": round(busy, 3),
            "raw_window": round(part[1], 3),
            "raw_full": round(whole[1], 3),
        },
        "cpu_ratio_to_raw_window": round(busy / part[1], 2),
        "cpu_ratio_to_raw_full": round(busy / whole[1], 2),
        "peak_growth_MiB": (peak - before) // 1024,
    }
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
