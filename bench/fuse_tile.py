"""The default method on one tile of 150×150 against the original Fusformer on the same tile.

    python bench/fuse_tile.py                 # ratio 10, all cores
    OMP_NUM_THREADS=1 python bench/fuse_tile.py --repeat 5

Ours is all of ``trifuse.fuse`` in memory: statistics, restoration, co-registration, map, residual.
The original is its network alone, with fused attention. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _child import measured, peak_mb


def default(size: int, ratio: int, method: str) -> Callable[[], object]:
    from _scenes import Landscape, coarse

    from trifuse.flows.fuse import fuse

    scene = Landscape(size, native=True)
    s2, s3 = scene.read(), coarse(scene, ratio).read()
    return lambda: fuse(s2, s3, method=method)


def fusformer(size: int, ratio: int, method: str) -> Callable[[], object]:
    import torch

    from trifuse.fusformer import FusformerConfig, build_model

    torch.manual_seed(0)
    model = build_model(FusformerConfig.original(12, 19)).eval()
    hrmsi, skip = torch.rand(1, 12, size, size), torch.rand(1, 19, size, size)

    def work() -> object:
        with torch.inference_mode():
            return model.highpass(hrmsi, skip)

    return work


def measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Best of a few runs, the first included: nothing is kept from one to the next."""
    make = {"default": default, "fusformer": fusformer}[name]
    work = make(options.size, options.ratio, options.method)
    idle = peak_mb()
    seconds, cpu = [], []
    for _ in range(options.repeat):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - start)
        cpu.append(time.process_time() - start_cpu)
    return {
        "seconds": min(seconds),
        "cpu_seconds": min(cpu),
        "first": seconds[0],
        "idle_mb": idle,
        "peak_mb": peak_mb(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=150)
    parser.add_argument("--ratio", type=int, default=10)
    parser.add_argument("--method", default="refined")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    parser.add_argument("--only", choices=["default", "fusformer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only:
        print(json.dumps(measure(options.only, options)))
        return
    given = {k: getattr(options, k) for k in ("size", "ratio", "method", "repeat")}
    found = {name: measured(__file__, only=name, **given) for name in ("default", "fusformer")}
    ratio = {k: found["default"][k] / found["fusformer"][k] for k in ("seconds", "cpu_seconds")}
    if options.json:
        print(json.dumps({"size": options.size, "method": options.method, "ratio": ratio, **found}))
        return
    for name, f in found.items():
        print(
            f"{name:10} {f['seconds']:7.2f} s  {f['cpu_seconds']:7.2f} CPU s  peak "
            f"{f['peak_mb']:5.0f} MB (before {f['idle_mb']:.0f})"
        )
    print(f"default / original: {ratio['seconds']:.2f} ({ratio['cpu_seconds']:.2f} of CPU time)")


if __name__ == "__main__":
    main()
