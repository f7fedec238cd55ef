"""Sentinel-2 deliveries in every form, for the tests of all readers together."""

import contextlib

import numpy as np

from trifuse.core import BandSet, Cube, Grid, MissingExtraError
from trifuse.products.sentinel2 import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.factory_zarr import write_sentinel2_zarr
from trifuse.srf_data import S2_L2A


def deliveries(folder):
    """Kind → paths."""
    grid = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, 12, 18)
    data = np.full((12, *grid.shape), 0.2, np.float32)
    cube = Cube(data, np.ones(grid.shape, bool), BandSet.of(S2_L2A), grid)
    safe = write_sentinel2_safe(folder / "safe", cube)
    made = [safe, safe.parent, safe / "MTD_MSIL2A.xml"]
    made.append(write_sentinel2_safe(folder / "zip", cube, packing="zip"))
    made += [write_sentinel2_cogs(folder / str(a), cube, applied=a) for a in (True, False, None)]
    with contextlib.suppress(MissingExtraError):
        made += [write_sentinel2_zarr(folder / f"zarr{n}", cube, zarr_format=n) for n in (2, 3)]
    return {"sentinel2": made}
