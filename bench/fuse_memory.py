"""Peak memory of a fusion against the size of the scene: it must be flat.

    python bench/fuse_memory.py                                    # 1k², 2k², 4k², regression
    python bench/fuse_memory.py --sizes 1000 2000 4000 8000 --method regression network
    python bench/fuse_memory.py --sizes 8010 --rows 600 --method refined
    python bench/fuse_memory.py --plot memory.png

The scene is made window by window and the product is written, cloud-optimised, so that the peak
is that of the fusion from end to end. Each size runs in a process of its own. For methods that
restore, bands of 20 m and 60 m are as blurred as Sentinel-2's.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _child import measured, peak_mb, timed

NETWORKS = {"network": {}, "small-network": {"width": 15, "encoder": 1, "decoder": 1}}
"""The default network, and one of a tenth of its cost for the largest scenes."""


def child(options: argparse.Namespace) -> None:
    from _scenes import Landscape, coarse
    from fuse_files import untrained

    from trifuse.flows.fuse import fuse

    size, method = options.sizes[0], options.method[0]
    scene = Landscape(size, native=method in ("physics", "refined"), rows=options.rows)
    cells = coarse(scene)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        weights = None
        if method in NETWORKS:
            weights = untrained(Path(folder), **NETWORKS[method])
        idle = peak_mb()
        done, taken = timed(
            lambda: fuse(
                scene,
                cells,
                Path(folder) / "out.tif",
                method=None if weights else method,
                weights=weights,
                device=options.device,
                precision=options.precision,
                tile=options.tile,
                jobs=options.jobs,
            )
        )
        figures = {
            "size": size,
            "rows": options.rows or size,
            "method": method,
            "idle_mb": idle,
            "device": options.device,
            "peak_mb": peak_mb(),
            **taken,
            "timings": {k: round(v, 2) for k, v in done.record["timings"].items()},
            "output_mb": (Path(folder) / "out.tif").stat().st_size / 2**20,
        }
        print(json.dumps(figures))


def plot(found: list[dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    def pixels(f: dict) -> float:
        return f["size"] * f["rows"] / 1e6

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for method in dict.fromkeys(f["method"] for f in found):
        mine = [f for f in found if f["method"] == method]
        peaks = [f["peak_mb"] / 1024 for f in mine]
        axes.plot([pixels(f) for f in mine], peaks, "o-", label=method)
    pairs = sorted({(pixels(f), pixels(f) * 1e6 * 19 * 4 / 2**30) for f in found})
    axes.plot(*zip(*pairs, strict=True), ":", color="grey", label="the result in memory")
    axes.set(xscale="log", xlabel="megapixels of the scene", ylabel="peak memory, GiB", ylim=(0, 6))
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 4000])
    parser.add_argument("--rows", type=int, help="of the scene, where it is no square")
    parser.add_argument("--method", nargs="+", default=["regression"])
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="32")
    parser.add_argument("--tile", type=int)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where products are written; then removed")
    parser.add_argument("--plot", type=Path)
    earlier = "JSON of earlier runs, to plot and nothing else"
    parser.add_argument("--found", type=Path, nargs="+", default=[], help=earlier)
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return
    found = [f for path in options.found for f in json.loads(path.read_text())]
    if found and options.plot:
        plot(found, options.plot)
        return
    names = ("device", "precision", "jobs", "rows", "tile", "folder")
    passed = {name: getattr(options, name) for name in names}
    for method in options.method:
        for size in options.sizes:
            f = measured(__file__, child=True, sizes=size, method=method, **passed)
            found.append(f)
            if not options.json:
                print(
                    f"{method:12} {size:6}×{f['rows']}  peak {f['peak_mb']:6.0f} MB (before "
                    f"{f['idle_mb']:.0f})  {f['seconds']:7.1f} s  {f['cpu_seconds']:7.1f} CPU s",
                    flush=True,
                )
    if options.json:
        print(json.dumps(found))
    if options.plot:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
