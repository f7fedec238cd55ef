"""Fusion of a whole scene on this machine: seconds and peak memory.

    python bench/fuse_scene.py --size 2000 --method network --mixer dwconv
    python bench/fuse_scene.py --size 2000 --method regression

The scene is random and made window by window, so that peak memory is the fusion's own.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import time
from pathlib import Path

import numpy as np
import torch

from trifuse.core import BandSet, Cube, CubeSource, Grid, MemorySource, Window
from trifuse.fusformer import Card, FusformerConfig, build_model
from trifuse.fusion import Network, fuse, get_method
from trifuse.fusion.methods import Method

HR = BandSet.of("B1 B2 B3 B4 B5 B6 B7 B8 B8A B9 B11 B12".split())
LR = BandSet.of(
    "Oa03 Oa04 Oa05 S1 Oa06 Oa07 S2 Oa08 Oa09 Oa10 Oa11 Oa12 Oa16 Oa17 S3 Oa18 Oa21 S5 S6".split()
)


class RandomSource(CubeSource):
    """Reflectance noise that depends on the row block only: any window is the same everywhere."""

    def __init__(self, grid: Grid, bands: BandSet) -> None:
        self.name, self.grid, self.bands, self.meta = "random", grid, bands, {}

    def read(self, window: Window | None = None, bands: object = None) -> Cube:
        """Rows are drawn whole and cut, so that windows agree."""
        window = self.grid.whole if window is None else window
        rows, cols = window.slices
        data = np.empty((len(self.bands), *window.shape), np.float32)
        for i, row in enumerate(range(rows.start, rows.stop)):
            line = np.random.default_rng(row).random((len(self.bands), self.grid.width), np.float32)
            data[:, i] = 0.05 + 0.4 * line[:, cols]
        return Cube(data, np.ones(window.shape, bool), self.bands, self.grid.window(window))


def method_of(options: argparse.Namespace) -> Method:
    if options.method != "network":
        return get_method(options.method)
    config = FusformerConfig(len(HR), len(LR), mixer=options.mixer, skip=options.skip)
    if options.original:
        config = FusformerConfig.original(len(HR), len(LR))
    torch.manual_seed(0)
    return Network(build_model(config), Card(config, HR, LR))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2000, help="edge of the scene in pixels")
    parser.add_argument("--ratio", type=int, default=10)
    parser.add_argument("--method", default="network")
    parser.add_argument("--mixer", default="dwconv")
    parser.add_argument("--skip", default="prior")
    parser.add_argument("--original", action="store_true", help="the paper's network and tiles")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="32")
    parser.add_argument("--json", action="store_true", help="one line")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()

    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, options.size, options.size)
    coarse = RandomSource(grid.zoom_out(options.ratio), LR).read()
    method, digest = method_of(options), hashlib.sha256()
    idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, start_cpu = time.perf_counter(), time.process_time()
    result = fuse(
        RandomSource(grid, HR),
        MemorySource(coarse),
        lambda window, data, valid: digest.update(data.tobytes()),
        method=method,
        tile=options.tile,
        device=options.device,
        precision=options.precision,
        preset="paper" if options.original else None,
        compile=options.compile,
    )
    figures = {
        "size": options.size,
        "method": options.method,
        "mixer": "original" if options.original else options.mixer,
        "device": options.device,
        "threads": torch.get_num_threads(),
        "tile": result.plan.tile,
        "tiles": len(result.plan),
        "halo": method.halo,
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - start_cpu, 2),
        "timings": {k: round(v, 2) for k, v in result.timings.items()},
        "megapixels_per_second": round(options.size**2 / 1e6 / result.timings["total"], 4),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "idle_mb": round(idle),
        "sha256": digest.hexdigest()[:16],
    }
    print(json.dumps(figures, indent=None if options.json else 2))
    if options.output:
        options.output.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
