"""What the looks at an open product cost, against reading the whole of it.

    python -m bench.looks               # Sentinel-2 of 4392×4392 pixels, the others smaller
    python -m bench.looks --size 2196

Products are factory-made and smaller than real ones. The blocks looked at are a fixed share of a
product up to 3600 pixels a side, and do not grow beyond: ``of_a_tile``, from that size on, is the
share of a whole tile of Sentinel-2, by its pixels. CPU seconds, the better of two, each with the
product opened anew: a swath pays for its geometry in both.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rasterio.shutil

from bench._machine import facts
from bench.sentinel2 import product
from trifuse.core import BandSet, Cube, CubeSource, Grid, TilePlan
from trifuse.products import open_cube, write_enmap_l2a, write_landsat, write_syn
from trifuse.products.landsat.metadata import SR_BANDS
from trifuse.products.plausible import doubts
from trifuse.srf_data import S3_SYN, load


def noise(bands: BandSet, gsd: float, size: int) -> Cube:
    """Smooth noise, as reflectance."""
    rng = np.random.default_rng(0)
    small = rng.uniform(0.02, 0.5, (len(bands), size // 4, size // 4)).astype(np.float32)
    data = small.repeat(4, axis=1).repeat(4, axis=2)
    data += rng.normal(0, 0.005, data.shape).astype(np.float32)
    grid = Grid.from_origin("EPSG:32633", 399_960, 5_800_020, gsd, *data.shape[1:])
    return Cube(data, np.ones(grid.shape, bool), bands, grid)


def stored_as_real(safe: Path) -> Path:
    """The same in stored blocks of 640 and 192 pixels at 20 and 60 m, as the agency's are."""
    for gsd, side in ((20, 640), (60, 192)):
        for image in safe.rglob(f"*_{gsd}m.jp2"):
            other = image.with_name("other.jp2")
            how = {"QUALITY": 100, "REVERSIBLE": "YES", "BLOCKXSIZE": side, "BLOCKYSIZE": side}
            with rasterio.Env(GDAL_PAM_ENABLED="NO"):
                rasterio.shutil.copy(image, other, driver="JP2OpenJPEG", **how)
            other.replace(image)
    return safe


def read_all(source: CubeSource) -> None:
    """Every band of every pixel."""
    for tile in TilePlan(*source.grid.shape, 512):
        source.read(tile.write)


def seconds(path: Path) -> tuple[float, float]:
    """Least CPU seconds of two runs each: of the looks, and of the whole, opened anew."""
    looks, whole = [], []
    for _ in range(2):
        with open_cube(path) as source:
            start = time.process_time()
            doubts(source)
            looks.append(time.process_time() - start)
        with open_cube(path) as source:
            start = time.process_time()
            read_all(source)
            whole.append(time.process_time() - start)
    return min(looks), min(whole)


def main() -> None:
    """Print one line of JSON a product, then the machine."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=4392)
    size = parser.parse_args().size
    enmap = load("ENMAP").bands
    numbered = BandSet.of(
        [f"E{i:03d}" for i in range(1, len(enmap) + 1)], enmap.centres, enmap.fwhms
    )
    makers: dict[str, Callable[[Path], Path]] = {
        "Sentinel-2": lambda f: stored_as_real(product(f, size)),
        "Landsat": lambda f: write_landsat(f, noise(BandSet.of(SR_BANDS), 30, size // 2)),
        "EnMAP": lambda f: write_enmap_l2a(f, noise(numbered, 30, size // 8)),
        "Sentinel-3": lambda f: write_syn(f, noise(BandSet.of(S3_SYN), 300, size // 8)),
    }
    for name, make in makers.items():
        with tempfile.TemporaryDirectory() as folder:
            path = make(Path(folder))
            with open_cube(path) as source:
                height, width = source.grid.shape
            looks, whole = seconds(path)
        row = {
            "product": name,
            "pixels": [height, width],
            "looks_s": round(looks, 4),
            "whole_s": round(whole, 3),
            "share": round(looks / whole, 4),
        }
        if name == "Sentinel-2":
            row["of_a_tile"] = round(looks / whole * height * width / 10980**2, 4)
        print(json.dumps(row), flush=True)
    print(json.dumps(facts()))


if __name__ == "__main__":
    main()
