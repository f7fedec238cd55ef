"""Sentinel-2's 20 m and 60 m bands at 10 m: bicubic, injection and restoration against the truth.

    python bench/sharpen.py                              # real scenes, one procedural
    python bench/sharpen.py --scenes jasper --draws 3 --json sharpen.json

Scenes of ``bench/fusion`` are seen as Sentinel-2 samples them (1:2:6, MTF 0.3), without noise and
with a noise of 0.003 at each band's native sampling; the truth is the sharp view. ``29RKH`` is a
real Sentinel-2 product (every tenth pixel of it) one scale down: its own bands, seen twice or six
times coarser, are brought back and held against what was measured; 20 m bands by the step of two,
60 m bands by that of six.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.fusion.scenes import data_dir, load_views
from trifuse.core import Cube, CubeSource, MemorySource, degrade, fill_nearest, upsample, write_json
from trifuse.products import open_sentinel2
from trifuse.restore import (
    InjectedSource,
    LocallyRestoredSource,
    RestoredSource,
    learn,
    sharpness_of,
)
from trifuse.simulate.observation import CLEAN, SharpErrors, Told, native_ratios, observe

SCENES = ("jasper", "berlin", "procedural-902x240", "29RKH")
NOISE = 0.003
Case = tuple[str, Cube, Cube, list[str]]
"""Name, what was seen, the truth on the same pixels, the bands to score."""


def cases(name: str, draws: int, cache: Path | None) -> list[Case]:
    """What is sharpened of a scene."""
    if name == "29RKH":
        return [one_scale_down(step) for step in (2, 6)]
    views = load_views(name, cache)
    blurred = [
        n for n, r in zip(views.s2.bands.names, native_ratios(views.s2.bands), strict=True) if r > 1
    ]
    found: list[Case] = []
    for noise in (0.0, NOISE):
        sharp = SharpErrors(gain=0.0, offset=0.0, noise=noise, noise_at="native")
        errors = replace(CLEAN, sharp=sharp, told=Told(sharp_noise=noise))
        for draw in range(draws if noise else 1):
            seen = observe(views.s2, views.s3, 1, errors, draw)
            found.append((f"{name} σ {noise:g}", seen.hrmsi, seen.sharp, blurred))
    return found


def one_scale_down(step: int) -> Case:
    """The real product, each band seen ``step`` times coarser than it was measured."""
    folder = data_dir() / "3_s3_s2/s2_l2a_cog_decimated_29RKH"
    with open_sentinel2(folder, mask="none") as source:
        bands, fine = source.bands, source.grid.gsd[1]
        native = dict(zip(bands.names, source.sampling.values("gsd"), strict=True))
        side = min(source.grid.shape) // 36 * 36
        grid = replace(source.grid.zoom_out(step), height=side // step, width=side // step)
    seen, truth = {}, {}
    for ratio in (1, 2, 6):
        own = [n for n in bands.names if round(native[n] / fine) == ratio]
        with open_sentinel2(folder, resolution=10 * ratio, mask="none", bands=own) as source:
            data = fill_nearest(source.read().data[:, : side // ratio, : side // ratio])
        for name, plane, coarse in zip(own, data, degrade(data, step), strict=True):
            seen[name] = upsample(coarse, ratio)
            if ratio == step:
                truth[name] = plane
    valid = np.ones(grid.shape, np.bool_)
    meta = {"native_gsd": {n: native[n] * step for n in bands.names}, "noise": NOISE}
    image = Cube(np.stack([seen[n] for n in bands.names]), valid, bands, grid, meta)
    held = Cube(np.stack(list(truth.values())), valid, bands.select(truth), grid)
    return f"29RKH at 1:{step}", image, held, list(truth)


def made(source: CubeSource) -> dict[str, Callable[[], CubeSource]]:
    """The ways to sharpen, by name; each learns from the image anew."""
    told = sharpness_of(source)
    assert told is not None

    def learned(kind: type[RestoredSource]) -> CubeSource:
        sharpness, statistics, _ = learn(source, told)
        return kind(source, sharpness, statistics, device="cpu")

    return {
        "bicubic": lambda: source,
        "injection": lambda: InjectedSource(source, told),
        "restore": lambda: learned(RestoredSource),
        "local": lambda: learned(LocallyRestoredSource),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", default=list(SCENES))
    parser.add_argument("--methods", nargs="+", help="default: all")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, dict[str, dict[str, list[float]]]] = {}
    for scene in options.scenes:
        for name, seen, truth, bands in cases(scene, options.draws, options.cache):
            source = MemorySource(seen, name)
            for method, make in made(source).items():
                if options.methods and method not in options.methods:
                    continue
                start = time.process_time()
                cube = make().read(None, bands)
                spent = time.process_time() - start
                row = found.setdefault(name, {}).setdefault(method, {"cpu s": []})
                row["cpu s"].append(spent)
                for band, a, b in zip(bands, cube.data, truth.select(bands).data, strict=True):
                    error = float(np.sqrt(np.mean((a.astype(np.float64) - b) ** 2)))
                    row.setdefault(band, []).append(error)
                    decibel = float(20 * np.log10(b.max() / error))
                    row.setdefault(f"psnr {band}", []).append(decibel)
        report({k: v for k, v in found.items() if k.startswith(scene)})
    if options.json:
        write_json(options.json, found, overwrite=True)


def report(found: dict[str, dict[str, dict[str, list[float]]]]) -> None:
    """Tables of RMSE (1e-3) and PSNR (dB), means over the draws."""
    for name, rows in found.items():
        bands = [k for k in next(iter(rows.values())) if k != "cpu s" and " " not in k]
        print(
            f"\n{name}: RMSE × 1000\n{'':10}"
            + "".join(f"{b:>7}" for b in bands)
            + "  PSNR dB  cpu s"
        )
        for method, row in rows.items():
            errors = "".join(f"{1e3 * np.mean(row[b]):7.1f}" for b in bands)
            psnr = np.mean([np.mean(row[f"psnr {b}"]) for b in bands])
            print(f"{method:10}{errors}{psnr:9.2f}{np.mean(row['cpu s']):7.1f}", flush=True)


if __name__ == "__main__":
    main()
