"""What the search for the sampling of a stack costs beside its fusion, in one run.

    python -m bench stacks_cost
    python -m bench stacks_cost -- --size 600

A made landscape, as blurred as Sentinel-2, that tells nothing but the names of its bands.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import trifuse
from bench._scenes import Landscape, coarse
from trifuse.core import Cube
from trifuse.restore import view


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2010)
    options = parser.parse_args()
    scene = Landscape(options.size, native=True)
    made = scene.read()
    stack = Cube(made.data, made.valid, made.bands, made.grid, {"quantity": "reflectance"})
    search = view.scene_sampling
    spent: list[float] = []

    def timed(*given: object, **options: object) -> object:
        start = time.process_time()
        found = search(*given, **options)  # type: ignore[arg-type]
        spent.append(time.process_time() - start)
        return found

    view.scene_sampling = timed  # type: ignore[assignment]
    start = time.process_time()
    done = trifuse.fuse(stack, coarse(scene), quicklook=False)
    total = time.process_time() - start
    figures = {
        "size": options.size,
        "search_cpu_seconds": round(sum(spent), 2),
        "all_cpu_seconds": round(total, 2),
        "share": round(sum(spent) / total, 4),
        "lines": list(done.record["about"]["restoration"]["sampling"]["lines"]),
    }
    print(json.dumps(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main())
