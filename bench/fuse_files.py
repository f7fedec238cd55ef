"""Fusion from files to a product on disk: seconds, CPU seconds, peak memory, by method.

    python bench/fuse_files.py                               # 2010², ratio 30, regression
    python bench/fuse_files.py --method regression physics --size 2010 --jobs 2

The inputs are 12 bands of int16 in a cloud-optimised GeoTIFF and 19 bands of Sentinel-3; the
output is a cloud-optimised GeoTIFF of 19 bands with its quicklook and sidecar. Each method runs
in a process of its own, so that peak memory is its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _child import call, measured, peak_mb, timed


def make(folder: Path, size: int, ratio: int) -> None:
    from _scenes import Landscape, coarse

    from trifuse.products import write_cube
    from trifuse.products.write.writer import copy_source

    scene = Landscape(size, native=True)
    copy_source(folder / "s2.tif", scene)
    write_cube(folder / "s3.tif", coarse(scene, ratio).read(), dtype="float32")


def untrained(folder: Path, **changes: int) -> Path:
    """Weights of the depth-wise network over all bands, as fresh as they are drawn."""
    import torch
    from _scenes import HR, LR

    from trifuse.fusformer import Card, FusformerConfig, build_model, save_weights

    torch.manual_seed(0)
    config = FusformerConfig(len(HR), len(LR), **changes)
    path = folder / "w.safetensors"
    if not path.exists():
        save_weights(path, build_model(config), Card(config, HR, LR))
    return path


def child(options: argparse.Namespace, folder: Path) -> None:
    from trifuse.flows.fuse import fuse

    method = options.method[0]
    how = {"method": method}
    if method == "network":
        how = {"weights": untrained(folder)}
    idle = peak_mb()
    done, taken = timed(
        lambda: fuse(
            folder / "s2.tif",
            folder / "s3.tif",
            folder / f"{method}.tif",
            device=options.device,
            jobs=options.jobs,
            overwrite=True,
            **how,
        )
    )
    figures = {
        "method": method,
        "size": options.size,
        "jobs": options.jobs,
        **taken,
        "idle_mb": idle,
        "peak_mb": peak_mb(),
        "output_mb": (folder / f"{method}.tif").stat().st_size / 2**20,
        "timings": {k: round(v, 2) for k, v in done.record["timings"].items()},
    }
    print(json.dumps(figures))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2010, help="edge of the scene in pixels")
    parser.add_argument("--ratio", type=int, default=30)
    parser.add_argument("--method", nargs="+", default=["regression"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="keep files here; inputs there are used")
    parser.add_argument("--child", choices=["make", "fuse"], help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    options = parser.parse_args()
    if options.child == "make":
        make(options.folder, options.size, options.ratio)
        return
    if options.child:
        child(options, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        common = {"size": options.size, "ratio": options.ratio, "folder": folder}
        common |= {"device": options.device, "jobs": options.jobs}
        if not (folder / "s3.tif").exists():
            call(__file__, child="make", **common)
        found = [measured(__file__, child="fuse", method=m, **common) for m in options.method]
        size = (folder / "s2.tif").stat().st_size / 2**20
    if options.json:
        print(json.dumps(found))
        return
    print(f"{options.size}² pixels, ratio {options.ratio}, S2 of {size:.0f} MB")
    for f in found:
        print(
            f"{f['method']:12} {f['seconds']:7.1f} s  {f['cpu_seconds']:7.1f} CPU s  peak "
            f"{f['peak_mb']:5.0f} MB (before {f['idle_mb']:.0f})  {f['timings']}"
        )


if __name__ == "__main__":
    main()
