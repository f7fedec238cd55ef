"""A small area fused alone, against the same ground of the whole product.

For areas of a few cells inside procedural scenes: PSNR (dB) against the truth over the area, of
the whole product's crop, of the area as ``fuse --bbox`` makes it by how many cells along an axis
are learnt from.

    python -m bench areas --scenes procedural-80x600 procedural-81x600 --cells 10 20 30 40
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bench.fusion.methods import Case
from bench.fusion.scenes import load_views
from trifuse.core import Cube, Window
from trifuse.flows import area
from trifuse.flows.fuse import fuse


def psnr(made: Cube, truth: Cube) -> float:
    """Mean over bands, as far as both are there."""
    off = made.masked() - truth.data
    return float(np.mean(-10 * np.log10(np.nanmean(off**2, axis=(1, 2)))))


def areas(size: int, ratio: int, count: int) -> Iterator[Window]:
    """Areas of 5 × 7 cells that start beside the cells' corners, the first at the image's edge."""
    rng = np.random.default_rng(7)
    height, width = 5 * ratio, 7 * ratio
    yield Window(0, 0, height, width)
    for _ in range(count - 1):
        yield Window(*map(int, rng.integers(1, size - max(height, width), 2)), height, width)


def main(arguments: list[str] | None = None) -> None:
    """Print a line per scene and area, and the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", nargs="+", default=["procedural-80"])
    parser.add_argument("--ratio", type=int, default=10)
    parser.add_argument("--areas", type=int, default=4)
    parser.add_argument("--cells", type=int, nargs="+", default=[area.LEARNT_CELLS])
    parser.add_argument("--out", type=Path)
    told = parser.parse_args(arguments)
    rows = []
    for name in told.scenes:
        case = Case(load_views(name), told.ratio, "real-world", 0)
        s2, s3, truth = case.seen.hrmsi, case.seen.lrhsi, case.seen.truth
        start = time.perf_counter()
        whole = fuse(s2, s3).cube
        seconds = time.perf_counter() - start
        assert whole is not None
        for window in areas(min(s2.grid.shape), told.ratio, told.areas):
            inside, like = truth.crop(window), s2.crop(window)
            row = {"scene": name, "area": str(window), "crop": psnr(whole.crop(window), inside)}
            for cells in told.cells:
                area.LEARNT_CELLS = cells
                start = time.perf_counter()
                made = fuse(s2, s3, like=like).cube
                assert made is not None and made.grid == like.grid
                row[str(cells)] = psnr(made, inside) - row["crop"]
                row[f"{cells} s"] = time.perf_counter() - start
            row["whole s"] = seconds
            rows.append(row)
            print(json.dumps(row), flush=True)
    keys = [k for k in rows[0] if isinstance(rows[0][k], float)]
    print({k: round(float(np.mean([r[k] for r in rows])), 3) for k in keys})
    worst = {k: round(min(float(r[k]) for r in rows), 3) for k in keys if k.isdigit()}
    print("worst", worst)
    if told.out:
        told.out.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
