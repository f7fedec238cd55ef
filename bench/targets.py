"""Every target of speed and size in one table, beside the least that the machine needs for it.

    python -m bench targets                     # all that this machine can measure
    python -m bench targets -- --rows simulate ndvi
    python -m bench targets -- --quick          # a smaller scene each: to see that it runs
    python bench/targets.py --rows ndvi --record bench/targets.json    # a part of the table anew

Each figure comes from a process of its own. Ratios are of runs beside each other. "Least" is what
moving the bytes and doing the operations would take one core of this machine, at the rates of a
copy, a matrix product and GDAL's codec measured at the start. CPU seconds are told beside seconds:
on a shared machine the two part, and only the first can be compared.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from _child import measured
from _machine import facts, gpu, rates

HERE = Path(__file__).parent
Row = dict[str, Any]
NOT_MEASURED = "not measured (no GPU)"


def run(script: str, **options: Any) -> Any:
    """Figures that a script prints as JSON; options as of :func:`measured`."""
    return measured(HERE / script, json=True, **options)


def row(work: str, target: str, measured: str, met: bool | None, least: str, **figures: Any) -> Row:
    words = {"work": work, "target": target, "measured": measured}
    return {**words, "met": met, "least": least, "figures": figures}


def seconds(f: dict) -> str:
    return f"{f['seconds']:.1f} s ({f['cpu_seconds']:.1f} CPU s), {f['peak_mb'] / 1024:.2f} GB"


def tile(can: dict, o: argparse.Namespace) -> list[Row]:
    size = 60 if o.quick else 150
    f = run("fuse_tile.py", size=size)
    share, memory = f["ratio"]["seconds"], f["default"]["peak_mb"] / 1024
    work, target = f"tile of {size}², all of the default method", "≤ 0.2 × the original's, ≤ 1 GB"
    text = f"{share:.3f} × ({f['ratio']['cpu_seconds']:.3f} of CPU time); {seconds(f['default'])}"
    met = max(f["ratio"].values()) <= 0.2 and memory <= 1
    return [row(work, target, text, met, "", **f)]


def simulate(can: dict, o: argparse.Namespace) -> list[Row]:
    size = 300 if o.quick else 1000
    cases = ["bare", "ours", "resampler_image", "read_file", "triplets"]
    f = run("simulate.py", size=size, repeat=3, cases=cases)
    cpu = {case: f[case]["cpu_seconds"] for case in cases}
    ratio, theirs = cpu["ours"] / cpu["bare"], cpu["resampler_image"] / cpu["ours"]
    pixels = size**2
    least = pixels * (224 * 2 + 31 * 4) / can["copy"] + 2 * 224 * 31 * pixels / can["multiply"]
    work, target = f"SRF convolution {size}²×224 → 31 bands", "≤ 1.3 × conversion and product"
    text = f"{ratio:.2f} × ({cpu['ours']:.2f} CPU s); BandResampler takes {theirs:.1f} × that"
    first = row(work, target, text, ratio <= 1.3, f"{least:.2f} s", ratio=ratio, **f)
    store, memory = cpu["triplets"] / cpu["read_file"], f["triplets"]["peak_mb"] / 1024
    work, target = f"EnMAP {size}² → triplet store", "≤ 2 × decompression, ≤ 1 GB"
    text, unpacked = f"{store:.2f} ×, {memory:.2f} GB", f"{cpu['read_file']:.2f} s (decompression)"
    return [first, row(work, target, text, store <= 2 and memory <= 1, unpacked, ratio=store)]


def fuse(can: dict, o: argparse.Namespace) -> list[Row]:
    size = 600 if o.quick else 2010
    found = run("fuse_files.py", size=size, method=o.methods)
    bytes_in, bytes_out, pixels = 12 * 2, 19 * 2, size**2
    least = pixels * (bytes_in / can["inflate"] + bytes_out * 4 / 3 / can["deflate"])
    rows = []
    for f in found:
        limit, name = (20, "regression") if f["method"] == "regression" else (120, f["method"])
        # On cores of one's own, CPU seconds are shared out; elsewhere the clock tells the load.
        met = min(f["seconds"], f["cpu_seconds"]) <= limit and f["peak_mb"] <= 3072
        work, target = f"fuse {size}², files in and out, {name}", f"≤ {limit} s, ≤ 3 GB"
        rows.append(row(work, target, seconds(f), met, f"{least:.1f} s (codec)", **f))
    return rows


def memory(can: dict, o: argparse.Namespace) -> list[Row]:
    rows = []
    for method in ("regression", "refined"):
        restores = method == "refined"
        full = [1020, 2010] if restores else [1000, 2000, 4000, 8000]
        sizes = [300, 600] if o.quick else full
        found = run("fuse_memory.py", sizes=sizes, method=method)
        if restores and not o.quick:
            # What grows with a scene is a row of tiles: a strip is as wide, and has fewer of them.
            found += run("fuse_memory.py", sizes=8010, rows=600, method=method)
        peaks = [f["peak_mb"] / 1024 for f in found]
        each = [f"{f['size']}×{f['rows']}: {p:.2f}" for f, p in zip(found, peaks, strict=True)]
        work, target = f"memory of a fusion by its size, {method}", "flat, ≤ 4 GB"
        text, least = ", ".join(each) + " GB", "GDAL's cache of 0.5 GB, a row of tiles"
        rows.append(row(work, target, text, max(peaks) <= 4, least, found=found))
    work, target = "fuse 10980², network, on a GPU", "≤ 90 s, GPU busy ≥ 80 %, ≤ 4 GB"
    if not gpu() or o.quick:
        return [*rows, row(work, target, NOT_MEASURED, None, "")]
    (f,) = run("fuse_memory.py", sizes=10980, method="network", device="cuda")
    met = f["seconds"] <= 90 and f["peak_mb"] <= 4096
    return [*rows, row(work, target, seconds(f), met, "", **f)]


def attention(can: dict, o: argparse.Namespace) -> list[Row]:
    size = 48 if o.quick else 96
    f = run("fusformer_attention.py", size=size)
    ratio = f["explicit"]["cpu_seconds"] / f["fused"]["cpu_seconds"]
    tokens = size**2
    least = f"{6 * 4 * tokens**2 * 48 / can['multiply']:.2f} s (attention)"
    work, target = f"original Fusformer, tile of {size}², CPU", "≥ 10 × the explicit form at 150²"
    text = f"{ratio:.1f} ×, {f['fused']['cpu_seconds']:.1f} CPU s"
    met = None if size < 150 else ratio >= 10
    rows = [row(work, target, text, met, least, ratio=ratio, **f)]
    work, target = "original Fusformer, 256 tiles of 150², GPU", "≤ 10 s"
    if not gpu():
        return [*rows, row(work, target, NOT_MEASURED, None, "")]
    done = run("fuse_scene.py", size=2000, original=True, device="cuda", precision="bf16")
    taken = done["timings"]["tiles"]
    return [*rows, row(work, target, f"{taken:.1f} s", taken <= 10, "", **done)]


def training(can: dict, o: argparse.Namespace) -> list[Row]:
    device = "cuda" if gpu() else "cpu"
    steps, repeat, patch = (6, 1, 30) if o.quick else (20, 2, 60)
    f = run("training.py", steps=steps, repeat=repeat, patch=patch, device=device)
    share = max(f["share"].values())
    work = f"training, {f['patch']}² triplets, {device}"
    target = "≥ 95 % of the rate without loader"
    text = ", ".join(f"{w} workers {100 * v:.0f} %" for w, v in f["share"].items())
    least = f"{1e3 * f['load_cpu_seconds']:.1f} ms to load one"
    return [row(work, target, text, share >= 0.95, least, **f)]


def ndvi(can: dict, o: argparse.Namespace) -> list[Row]:
    more = {} if o.quick else {"all_bands": True, "folder": o.folder}
    f = run("ndvi.py", size=2000 if o.quick else 10980, **more)
    pixels, ratio = f["size"] ** 2, f["ratio"]["seconds"]
    least = pixels * (f["bands"] * 2 / can["inflate"] + 4 * 4 / 3 / can["deflate"])
    work = f"NDVI of a {f['size']}² cube of {f['bands']} bands"
    text = f"{ratio:.2f} × ({f['ratio']['cpu_seconds']:.2f} of CPU time), "
    text += f"{f['mapping']['peak_mb'] / 1024:.2f} GB"
    return [
        row(work, "≤ 1.3 × reading its bands", text, ratio <= 1.3, f"{least:.0f} s (codec)", **f)
    ]


ROWS: dict[str, Callable[[dict, argparse.Namespace], list[Row]]] = {
    "simulate": simulate,
    "fuse": fuse,
    "tile": tile,
    "memory": memory,
    "attention": attention,
    "training": training,
    "ndvi": ndvi,
}


def table(rows: list[Row]) -> str:
    names = ("work", "target", "measured", "least")
    met = {True: "yes", False: "NO", None: "–"}
    lines = [[*(r[n] for n in names), met[r["met"]]] for r in rows]
    every = [[*names, "met"], *lines]
    widths = [max(len(line[i]) for line in every) for i in range(len(every[0]))]
    return "\n".join(
        "  ".join(text.ljust(w) for text, w in zip(line, widths, strict=True)).rstrip()
        for line in every
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--methods", nargs="+", default=["regression", "refined"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--folder", type=Path, help="of a cube for NDVI; made there if need be")
    parser.add_argument("--record", type=Path, help="JSON that keeps the rows of earlier runs")
    options = parser.parse_args()
    can = rates()
    known: dict[str, Any] = {}
    if options.record and options.record.exists():
        known = json.loads(options.record.read_text())
    about = facts()
    for name in options.rows:
        print(f"-- {name}", file=sys.stderr, flush=True)
        known[name] = {"machine": facts(), "rows": ROWS[name](can, options)}
        if options.record:
            options.record.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    rows: list[Row] = [r for name in ROWS if name in known for r in known[name]["rows"]]
    print(
        f"{about['cpu']}, {about['cores']} cores, {about['memory_gb']} GB, load "
        f"{about['load']:.1f}, threads {about['threads']}, GPU {about['gpu']}"
    )
    print("one core: " + ", ".join(f"{k} {v / 1e9:.2f} G/s" for k, v in can.items()))
    print(table(rows))
    print(json.dumps({"machine": about, "rates": can, "rows": rows}))


if __name__ == "__main__":
    main()
