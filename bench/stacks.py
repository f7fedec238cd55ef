"""Sentinel-2 stacks that tell nothing but the names of their bands: fused, and what was found.

    python -m bench stacks                                     # real scenes, all kernels and cuts
    python -m bench stacks -- --scenes jasper --seeds 2 --kernels nearest lanczos
    python -m bench stacks -- --parts warped sharp
    python -m bench stacks -- --parts facts --scenes procedural-900x300
    python -m bench stacks -- --parts product

Scenes of ``bench/fusion`` with the errors of real sensors (ratio 10). Their 20 m and 60 m bands are
blurred, sampled on the native lattice, brought onto the pixels by a kernel, and the image is cut
from the lattice at an offset. Noise sits on the pixels in even draws and on the native samples in
odd ones.

* ``stacks``: every kernel and cut, told all (``told``) and told nothing (``found``); whether the
  ratio, the lattice and the kernel were found, or an operator that leaves as little.
* ``facts``: the same search without a fusion.
* ``warped``: the stack brought onto a turned grid, as of another UTM zone, by three kernels. Both
  fusions are told how far Sentinel-3 is displaced: blocks so small have 15 to 20 cells that both
  see, about as many as registration needs, and whether it is heeded would decide the score.
* ``sharp``: images no band of which was interpolated; what is lost against ``--sharpness sharp``.
* ``product``: a real product of Sentinel-2 (29RKH, every tenth pixel), its 10 m bands averaged to
  20 m, its 20 m bands the truth of what is blurred, sampled and exported by each kernel; sharpened
  place by place without the network, which has seen it. Minus the RMSE in 1e-4 stands for PSNR.

Designed on Jasper Ridge, Berlin and procedural scenes of 900 to 919; Potsdam is scored alone.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import trifuse
from bench._stacks_made import RATIO, SHARP, cells_of, counts, real_product, sharp_planes, warped
from bench.fusion.scenes import Views, load_views
from trifuse import metrics
from trifuse.core import Cube, MemorySource, Window, degrade
from trifuse.core.kernels import KERNELS
from trifuse.core.native import native_view
from trifuse.simulate import PROTOCOLS, observe
from trifuse.simulate.observation import native_ratios

CUTS = ((0, 0), (3, 0), (1, 4), (2, 5))
WARPS = ("lanczos", "cubic", "nearest")
SCENES = ("jasper", "berlin", "procedural-900x60", "procedural-901x60")
ERRORS = PROTOCOLS["real-world"]


@dataclass(frozen=True, slots=True)
class Row:
    """One image, fused."""

    part: str
    scene: str
    kernel: str
    cut: str
    seed: int
    told: float
    told_sam: float
    found: float
    found_sam: float
    right: int
    planted: int
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    part: str
    scene: str
    kernel: str
    cut: tuple[int, int]
    seed: int


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", nargs="+", default=list(SCENES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--kernels", nargs="+", default=list(KERNELS), choices=list(KERNELS))
    parser.add_argument("--parts", nargs="+", default=["stacks", "warped", "sharp", "product"])
    parser.add_argument(
        "--cuts", type=int, default=len(CUTS), help="of the four, the first so many"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write every row")
    options = parser.parse_args()
    jobs = list(planned(options))
    rows: list[Row] = []
    if options.jobs > 1:
        with ProcessPoolExecutor(options.jobs) as pool:
            for row in pool.map(perform, jobs):
                rows.append(row)
                print(described(row), flush=True)
    else:
        for job in jobs:
            rows.append(perform(job))
            print(described(rows[-1]), flush=True)
    print()
    figures = table(rows)
    if options.json:
        options.json.write_text(
            json.dumps({"table": figures, "rows": [asdict(r) for r in rows]}, indent=1) + "\n"
        )
    print(json.dumps(figures))
    return 0


def planned(options: argparse.Namespace) -> Iterator[Job]:
    for scene in options.scenes:
        for seed in range(options.seeds):
            if "stacks" in options.parts:
                for kernel in options.kernels:
                    for cut in CUTS[: options.cuts]:
                        yield Job("stacks", scene, kernel, cut, seed)
            if "facts" in options.parts:
                for kernel in options.kernels:
                    for cut in CUTS[: options.cuts]:
                        yield Job("facts", scene, kernel, cut, seed)
            if "warped" in options.parts:
                for kernel in WARPS:
                    yield Job("warped", scene, kernel, (0, 0), seed)
        if "sharp" in options.parts:
            for kind in SHARP:
                yield Job("sharp", scene, kind, (0, 0), 0)

    if "product" in options.parts:
        for kernel in options.kernels:
            for cut in CUTS[: options.cuts]:
                yield Job("product", "29RKH", kernel, cut, 0)


@lru_cache(maxsize=2)
def scene_views_of(name: str) -> Views:
    """A scene, made once."""
    return load_views(name)


def perform(job: Job) -> Row:
    import torch

    torch.set_num_threads(1)
    if job.part == "sharp":
        return sharp(job)
    if job.part == "product":
        return product(job)
    views = scene_views_of(job.scene)
    whole = views.s2.grid
    window = Window(*job.cut, *(cells_of(n - c) for n, c in zip(whole.shape, job.cut, strict=True)))
    seen = observe(views.s2.crop(window), views.s3.crop(window), RATIO, ERRORS, job.seed)
    rng = np.random.default_rng([job.seed, 77])
    at_samples = 0.003 if job.seed % 2 else 0.0
    data = native_view(
        views.s2.masked().astype(np.float64),
        native_ratios(views.s2.bands),
        0.3,
        "cubic" if job.part == "warped" else job.kernel,
        at_samples,
        rng,
    )
    gain, offset = (v[:, None, None] for v in (seen.drawn.gain, seen.drawn.offset))
    data = data * gain + offset
    rows, cols = window.slices
    image = data[:, rows, cols]
    if not at_samples:
        image = image + 0.003 * rng.standard_normal(image.shape)
    else:
        fine = [i for i, r in enumerate(native_ratios(views.s2.bands)) if r == 1]
        image[fine] += 0.003 * rng.standard_normal(image[fine].shape)
    stack = replace(seen.hrmsi, data=counts(image), meta={"quantity": "reflectance"})
    truth, cells = seen.truth, seen.lrhsi
    if job.part == "facts":
        from trifuse.restore.scene_sampling import scene_sampling

        sampled = scene_sampling(MemorySource(stack)).to_json(stack.bands.names)
        return row(job, (0, 0), (0, 0), sampled)
    best = replace(stack, meta={**stack.meta, **all_told(stack, job)})
    moved: tuple[float, float] | None = None
    if job.part == "warped":
        stack, truth, cells = warped(data, views.s3, seen, job.kernel, job.seed)
        down, across = seen.drawn.shift
        moved = across * stack.grid.gsd[1], -down * stack.grid.gsd[0]
        # As large a part of the image as it was, so that as many cells tell of both.
        part = Window(0, 0, *stack.grid.shape)
        same = replace(seen, truth=seen.truth.crop(part))
        few = degrade(same.truth.masked(), RATIO, seen.psf, shift=seen.drawn.shift)
        few = few + 0.001 * rng.standard_normal(few.shape).astype(np.float32)
        best = best.crop(part)
        few_cells = replace(cells, data=few, grid=best.grid.zoom_out(RATIO))
        told_psnr, told_sam, _ = score(best, few_cells, same.truth, moved)
    else:
        told_psnr, told_sam, _ = score(best, cells, truth)
    psnr, sam, record = score(stack, cells, truth, moved)
    sampling = record["about"]["restoration"].get("sampling", {"found": [], "lines": []})
    return row(job, (told_psnr, told_sam), (psnr, sam), sampling)


def row(
    job: Job, told: tuple[float, float], found: tuple[float, float], sampling: dict[str, Any]
) -> Row:
    """What there is to say of a stack."""
    planted = [(2, "B5"), (6, "B1")] if job.part in ("stacks", "facts") else []
    right = sum(
        agrees(one, ratio, job)
        for ratio, band in planted
        for one in sampling["found"]
        if band in one["bands"]
    )
    return Row(
        job.part,
        job.scene,
        job.kernel,
        f"{job.cut[0]},{job.cut[1]}",
        job.seed,
        *told,
        *found,
        right,
        len(planted),
        tuple(sampling["lines"]),
    )


def agrees(found: dict[str, Any], ratio: int, job: Job) -> bool:
    """Whether what was found is what was planted, or what the pixels cannot tell from it."""
    origin = [-c % ratio for c in job.cut]
    if found["ratio"] != ratio:
        return False
    same = found["origin"] == origin and job.kernel in (found["kernel"], *found["as_well"])
    return same or not found["sure"]


def all_told(stack: Cube, job: Job) -> dict[str, Any]:
    """Complete metadata of a stack."""
    ratios = native_ratios(stack.bands)
    names = stack.bands.names
    gsd = stack.grid.gsd[0]
    return {
        "native_gsd": {n: gsd * r for n, r in zip(names, ratios, strict=True)},
        "native_mtf": {n: 0.3 if r > 1 else 1.0 for n, r in zip(names, ratios, strict=True)},
        "native_origin": [-c % 6 for c in job.cut],
        "upsampling": "cubic" if job.part == "warped" else job.kernel,
        "noise": dict.fromkeys(names, 0.003),
    }


def score(
    stack: Cube, cells: Cube, truth: Cube, moved: tuple[float, float] | None = None
) -> tuple[float, float, dict[str, Any]]:
    """PSNR (dB, mean over bands), SAM (degrees), and the record of the default."""
    made = trifuse.fuse(stack, cells, quicklook=False, coregister=moved or "auto")
    assert made.cube is not None
    there = np.isfinite(made.cube.data).all(axis=0) & np.isfinite(truth.data).all(axis=0)
    bands = metrics.psnr_bands(truth.data, made.cube.data, there)
    sam = metrics.sam(truth.data, made.cube.data, there)
    return round(float(np.mean(bands)), 3), round(float(sam), 3), dict(made.record)


def sharp(job: Job) -> Row:
    """What is lost of an image no band of which was interpolated."""
    views = scene_views_of(job.scene)
    data, s3 = sharp_planes(views.s2.masked(), views.s3, job.kernel)
    window = Window(0, 0, *(cells_of(n) for n in views.s2.grid.shape))
    seen = observe(views.s2.crop(window), s3.crop(window), RATIO, PROTOCOLS["clean"], 0)
    rows, cols = window.slices
    stack = replace(
        seen.hrmsi, data=data[:, rows, cols].astype(np.float32), meta={"quantity": "reflectance"}
    )
    plain = trifuse.fuse(stack, seen.lrhsi, sharpness="sharp", method="refined", quicklook=False)
    assert plain.cube is not None
    told = float(np.mean(metrics.psnr_bands(seen.truth.data, plain.cube.data, plain.cube.valid)))
    psnr, sam, record = score(stack, seen.lrhsi, seen.truth)
    about = record["about"]["restoration"]
    lines = tuple(about.get("sampling", {}).get("lines", ()))
    return Row(
        "sharp",
        job.scene,
        job.kernel,
        "0,0",
        0,
        round(told, 3),
        sam,
        psnr,
        sam,
        int(not about["restored"]),
        1,
        lines,
    )


def product(job: Job) -> Row:
    """The real product one scale down, exported and sharpened."""
    from trifuse.core import BandSet, Grid
    from trifuse.core.runtime import Runtime
    from trifuse.fusion.refined import Refined

    sharp, fine, coarse = real_product()
    ratios = [1] * len(fine) + [2] * len(coarse)
    data = native_view(sharp, ratios, 0.3, job.kernel)
    window = Window(*job.cut, *(n - c for n, c in zip(data.shape[1:], job.cut, strict=True)))
    rows, cols = window.slices
    grid = Grid.from_origin("EPSG:32629", 300000.0, 3000000.0, 10.0, *window.shape)
    bands = BandSet.of([*fine, *coarse])
    valid = np.ones(window.shape, np.bool_)
    stack = Cube(counts(data[:, rows, cols]), valid, bands, grid, {"quantity": "reflectance"})
    best = replace(stack, meta={**stack.meta, **all_told(stack, job)})
    errors = []
    for image in (best, stack):
        view = Refined(network="none").view(MemorySource(image), Runtime("cpu"))
        off = view.source.read().data[len(fine) :] - sharp[len(fine) :, rows, cols]
        errors.append(round(1e4 * float(np.sqrt(np.mean(np.square(off)))), 2))
    sampling = dict(view.record["sampling"])
    found = next(f for f in sampling["found"] if "B5" in f["bands"])
    right = int(agrees(found, 2, job))
    # Of errors less is better: the other way round, so that differences read as elsewhere.
    told, got = (-e for e in errors)
    lines = tuple(sampling["lines"])
    return Row(
        job.part,
        job.scene,
        job.kernel,
        f"{job.cut[0]},{job.cut[1]}",
        0,
        told,
        0,
        got,
        0,
        right,
        1,
        lines,
    )


def described(row: Row) -> str:
    return (
        f"{row.part:7} {row.scene:20} {row.kernel:9} {row.cut:4} seed {row.seed}: told all "
        f"{row.told:6.2f} dB {row.told_sam:5.2f}°, told nothing {row.found:6.2f} dB "
        f"{row.found_sam:5.2f}°, {row.found - row.told:+5.2f} dB, {row.right}/{row.planted}"
    )


def table(rows: list[Row]) -> dict[str, Any]:
    """Means by scene, kernel and cut, printed."""
    out: dict[str, Any] = {}
    keys = dict.fromkeys((r.part, r.scene, r.kernel, r.cut) for r in rows)
    for key in keys:
        own = [r for r in rows if (r.part, r.scene, r.kernel, r.cut) == key]
        told, found = (float(np.mean([getattr(r, k) for r in own])) for k in ("told", "found"))
        worst = min(r.found - r.told for r in own)
        right, planted = sum(r.right for r in own), sum(r.planted for r in own)
        print(
            f"{' '.join(key):45} {told:6.2f} {found:6.2f} {found - told:+5.2f} worst {worst:+5.2f}"
            f" {right}/{planted}"
        )
        out[" ".join(key)] = [round(told, 3), round(found, 3), round(worst, 3), right, planted]
    return out


if __name__ == "__main__":
    sys.exit(main())
