"""Scenes with a truth, and which seeds serve for what.

Real scenes are cubes of 20–30 m that are called 10 m here, so that they look like Sentinel-2
products: ``potsdam`` (EnMAP), ``jasper`` (AVIRIS), ``berlin`` (EnMAP simulated from HyMap), each
cut to 60×90 pixels, or what there is of 90×60; ``…-whole`` is all there is.
``procedural-<seed>`` is a scene of 900 pixels, ``procedural-<seed>x<size>`` one of another size,
``…@<gsd>`` one whose landscape is laid out on pixels of so many metres (default 30).

Potsdam is for tests alone: nothing may be trained, validated or chosen on it.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trifuse.core import BandSet, Cube, CubeSource, Grid, MemorySource, Window
from trifuse.products import open_cube
from trifuse.simulate import procedural_scene, scene_views

TRAIN = range(1000, 100_000)
"""Seeds of procedural scenes to train on."""

VALIDATION = range(900, 920)
"""Seeds to choose designs and stop early on."""

TEST = range(800, 820)
"""Seeds that nothing is chosen on; figures are reported on them."""

REAL = ("potsdam", "jasper", "berlin")
WHOLE = ("potsdam-whole", "jasper-whole")  # Berlin is a block: 80×60
TEST_ONLY = "potsdam"

BLOCK = (60, 90)
GSD = 10.0
GROUPS: dict[str, tuple[str, ...]] = {
    "real": REAL,
    "whole": WHOLE,
    "choose": ("jasper", "berlin"),
    "validation": tuple(f"procedural-{s}x240" for s in VALIDATION[:5]),
    "procedural": tuple(f"procedural-{s}" for s in TEST[:5]),
}
"""Names for several scenes. Five seeds in a row have the five kinds of landscape."""

_ROOT = Path(__file__).resolve().parents[2]
_PROCEDURAL = re.compile(r"procedural-(\d+)(?:x(\d+))?(?:@(\d+))?")


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What both sensors would see of a scene if they were perfect.

    Attributes:
        name: of the scene.
        s2: (12, y, x) sharp bands, pixels of 10 m.
        s3: (L, y, x) the truth on the same pixels.
    """

    name: str
    s2: Cube
    s3: Cube

    @property
    def kind(self) -> str:
        return "procedural" if self.name.startswith("procedural") else "real"


def expand(names: list[str]) -> list[str]:
    """Groups as their members, each scene once."""
    return list(dict.fromkeys(m for n in names for m in GROUPS.get(n, (n,))))


def data_dir() -> Path:
    """Folder of the real samples: TRIFUSE_DATA, else beside the repository."""
    path = Path(os.environ.get("TRIFUSE_DATA", _ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        raise SystemExit("real data not found: set TRIFUSE_DATA to its folder")
    return path


def seed_of(name: str) -> int | None:
    """Seed of a procedural scene, None for a real one."""
    found = _PROCEDURAL.fullmatch(name)
    return int(found[1]) if found else None


def load_views(name: str, cache: Path | None = None) -> Views:
    """A scene by its name; procedural ones are kept in ``cache``, since they take long to make.

    Raises:
        SystemExit: if there is no such scene, or the seed is one to train on.
    """
    found = _PROCEDURAL.fullmatch(name)
    if found is None:
        stem, _, whole = name.partition("-")
        if name not in (*REAL, *WHOLE):
            raise SystemExit(
                f"no scene {name}; there are {', '.join((*REAL, *WHOLE))} and procedural-<seed>"
            )
        with _OPEN[stem]() as source:
            s2, _, s3 = scene_views(source, ratio=1)
        upright = s2.grid.height > s2.grid.width
        block = Window(0, 0, *(BLOCK[::-1] if upright else BLOCK)).clip(*s2.grid.shape)
        window = s2.grid.whole if whole else block
        return _called_10_m(name, s2.crop(window), s3.crop(window))
    seed, size, gsd = int(found[1]), int(found[2] or 900), float(found[3] or 30)
    if seed in TRAIN:
        raise SystemExit(f"{name}: seeds from {TRAIN.start} are for training")
    kept = cache / f"{name}.npz" if cache else None
    if kept and kept.is_file():
        with np.load(kept) as arrays:
            return _from_arrays(name, arrays["s2"], arrays["s3"], *_bands())
    s2, _, s3 = scene_views(MemorySource(procedural_scene(size, seed, gsd=gsd)), ratio=1)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, s2=s2.masked(), s3=s3.masked())
        partial.replace(kept)
    return _called_10_m(name, s2, s3)


def _bands() -> tuple[BandSet, BandSet]:
    """Bands of the views of a procedural scene."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene(8, 0)), ratio=1)
    return s2.bands, s3.bands


def _from_arrays(name: str, s2: np.ndarray, s3: np.ndarray, a: BandSet, b: BandSet) -> Views:
    grid = Grid.from_origin("EPSG:32633", 366000.0, 5810010.0, GSD, *s2.shape[1:])

    def cube(data: np.ndarray, bands: BandSet) -> Cube:
        return Cube(data, np.isfinite(data).any(axis=0), bands, grid, {"quantity": "reflectance"})

    return Views(name, cube(s2, a), cube(s3, b))


def _called_10_m(name: str, s2: Cube, s3: Cube) -> Views:
    _, _, west, _, _, north = s2.grid.transform
    grid = Grid.from_origin(s2.grid.crs, west, north, GSD, *s2.grid.shape)
    meta = {"quantity": "reflectance"}
    return Views(name, replace(s2, grid=grid, meta=meta), replace(s3, grid=grid, meta=meta))


def _potsdam() -> CubeSource:
    return open_cube(sorted((data_dir() / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif")))


def _berlin() -> CubeSource:
    folder = data_dir() / "1_enmap/berlin_simulated_from_HyMap"
    return open_cube(folder / "EnMAP_BerlinUrbanGradient.hdr", scale=1e-4)


def _jasper() -> CubeSource:
    """AVIRIS over Jasper Ridge: counts of 1e-4 reflectance, bands of its 198 that are usable."""
    from scipy.io import loadmat

    folder = data_dir() / "4_hyper"
    image = loadmat(folder / "aviris_jasper_ridge/JasperRidge2_F224_2.mat")
    library = loadmat(folder / "usgs_library/USGS_1995_Library.mat")["datalib"]
    rows, cols, count = (int(image[k][0, 0]) for k in ("nRow", "nCol", "nBand"))
    # MATLAB lays pixels out column by column.
    data = image["Y"].reshape(count, cols, rows).transpose(0, 2, 1) * np.float32(1e-4)
    usable = np.isin(np.arange(1, count + 1), image["SlectBands"])
    names = [f"A{i:03d}" for i in range(1, count + 1)]
    bands = BandSet.of(names, list(1e3 * library[:, 0]), list(1e3 * library[:, 1]))
    grid = Grid.from_origin("EPSG:32610", 560000.0, 4140000.0, 20.0, rows, cols)
    meta = {"sensor": "AVIRIS", "usable": usable.tolist()}
    cube = Cube(np.ascontiguousarray(data), np.ones((rows, cols), np.bool_), bands, grid, meta)
    return MemorySource(cube, "jasper")


_OPEN = {"potsdam": _potsdam, "jasper": _jasper, "berlin": _berlin}
