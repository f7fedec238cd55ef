"""A Sentinel-2 store opened by xarray-eopf and read by TriFuse: ``python -m bench.eopf_interop``.

Out of CI: xarray-eopf wants zarr below 3, TriFuse's own stores zarr from 3 on, so they do not live
in one environment. ``--python`` names an interpreter that has xarray-eopf, for instance made by::

    python -m venv eopf
    eopf/bin/pip install xarray-eopf==0.3.1 pystac-client 'xarray<2025.12'

The store is made and consolidated here, opened there in analysis mode, and what that gives is
handed back in plain arrays and attributes. Bands that the store has at 10 m must agree to half a
count; the others were resampled there.
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from trifuse.core import BandSet, Cube, Grid
from trifuse.products import open_cube
from trifuse.products.sentinel2.delivery import NATIVE
from trifuse.products.sentinel2.factory_zarr import write_sentinel2_zarr

THERE = """
import pickle, sys, xarray
with xarray.open_dataset(sys.argv[1], engine="eopf-zarr", op_mode="analysis") as dataset:
    with open(sys.argv[2], "wb") as f:
        pickle.dump(dataset.load().to_dict(data="list"), f)
"""
SIZE = 120


def made_store(folder: Path) -> tuple[Path, Cube]:
    """A store with consolidated metadata, and the cube in it."""
    import zarr

    names = list(NATIVE)
    data = np.random.default_rng(0).uniform(0.05, 0.5, (len(names), SIZE, SIZE))
    grid = Grid.from_origin("EPSG:32633", 600000, 5800020, 10, SIZE, SIZE)
    valid = np.ones((SIZE, SIZE), bool)
    cube = Cube(data.astype(np.float32), valid, BandSet.of(names), grid)
    store = write_sentinel2_zarr(folder, cube)
    zarr.consolidate_metadata(zarr.open_group(str(store), mode="r+").store)
    return store, cube


def main() -> None:
    """Compare, and print what was found."""
    import xarray

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="interpreter that has xarray-eopf")
    python = parser.parse_args().python
    with tempfile.TemporaryDirectory() as folder:
        store, cube = made_store(Path(folder))
        handed = Path(folder) / "dataset"
        subprocess.run([python, "-c", THERE, str(store), str(handed)], check=True)
        dataset = xarray.Dataset.from_dict(pickle.loads(handed.read_bytes()))
    source = open_cube(dataset)
    print(repr(source))
    assert source.grid == cube.grid, source.grid
    assert source.meta["sensor"] == "S2A_MSI" and source.meta["start_time"], source.meta
    for name in ("B2", "B3", "B4", "B8"):
        found = source.read(bands=[name]).data[0]
        worst = float(np.abs(found - cube.data[cube.bands.index(name)]).max())
        print(f"{name}: largest difference {worst:.1e}")
        assert worst <= 5.1e-5, name


if __name__ == "__main__":
    main()
