"""NDVI map of a large fused cube against reading the bands that it needs.

    python bench/ndvi.py                 # 10980², the four bands of a fused cube that it needs
    python bench/ndvi.py --size 4000

The cube is a cloud-optimised GeoTIFF of int16, made window by window. Reading is what the map does
to get its pixels: decompress, calibrate, mask. Each runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from _child import measured, peak_mb, timed

BANDS = ("S2", "Oa09", "Oa10", "Oa17")


def make(folder: Path, size: int, every: bool) -> None:
    from _scenes import HR, LR, Landscape

    from trifuse.core import BandSet, Cube, CubeSource, Window
    from trifuse.products.write.writer import copy_source

    like = ["B4", "B3", "B2", "B8A"]
    if every:
        like = [HR[i % len(HR)].name for i in range(len(LR))]

    class Fused(CubeSource):
        """Bands of a landscape by the names of Sentinel-3's."""

        def __init__(self) -> None:
            self.scene = Landscape(size)
            self.name, self.grid, self.meta = "fused", self.scene.grid, {"quantity": "reflectance"}
            self.bands: BandSet = LR if every else LR.select(LR.indices(BANDS))

        def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
            cube = self.scene.read(window)
            return Cube(cube.data[HR.indices(like)], cube.valid, self.bands, cube.grid)

    copy_source(folder / "fused.tif", Fused())


def reading(folder: Path) -> object:
    from trifuse.core import TilePlan
    from trifuse.products import open_cube
    from trifuse.products.ndvi_bands import define_ndvi

    with open_cube(folder / "fused.tif") as source:
        bands = define_ndvi(source.bands, "s2").bands
        for tile in TilePlan(*source.grid.shape, tile=512):
            source.read(tile.write, bands)
    return bands


def mapping(folder: Path) -> object:
    from trifuse.products import open_cube, write_ndvi

    with open_cube(folder / "fused.tif") as source:
        return write_ndvi(source, folder / "ndvi.tif", overwrite=True)["mean"]


def child(name: str, folder: Path) -> None:
    import rasterio  # noqa: F401 - loaded before the clock starts

    import trifuse.products  # noqa: F401

    work = {"reading": reading, "mapping": mapping}[name]
    said, taken = timed(lambda: work(folder))
    print(json.dumps({**taken, "peak_mb": peak_mb(), "said": said}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=10980)
    parser.add_argument("--all-bands", action="store_true", help="a cube of all 19 bands: 4 GB")
    parser.add_argument("--folder", type=Path, help="keep files here; a cube there is used")
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child, options.folder)
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(exist_ok=True, parents=True)
        if not (folder / "fused.tif").exists():
            make(folder, options.size, options.all_bands)
        parts = ("reading", "mapping")
        found = {name: measured(__file__, child=name, folder=folder) for name in parts}
        found["cube_mb"] = (folder / "fused.tif").stat().st_size / 2**20
        found["map_mb"] = (folder / "ndvi.tif").stat().st_size / 2**20
    ratio = {k: found["mapping"][k] / found["reading"][k] for k in ("seconds", "cpu_seconds")}
    found |= {"size": options.size, "ratio": ratio, "bands": 19 if options.all_bands else 4}
    if options.json:
        print(json.dumps(found))
        return
    for name in parts:
        f = found[name]
        print(
            f"{name:8} {f['seconds']:7.1f} s  {f['cpu_seconds']:7.1f} CPU s  "
            f"peak {f['peak_mb']:5.0f} MB"
        )
    print(
        f"cube {found['cube_mb']:.0f} MB, map {found['map_mb']:.0f} MB; mapping / reading: "
        f"{ratio['seconds']:.2f} ({ratio['cpu_seconds']:.2f} of CPU time)"
    )


if __name__ == "__main__":
    main()
