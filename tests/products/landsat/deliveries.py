"""Landsat deliveries in every form, for the tests of all readers together."""

import numpy as np

from trifuse.core import BandSet, Cube, Grid
from trifuse.products.landsat import write_landsat
from trifuse.products.landsat.metadata import SR_BANDS


def deliveries(folder):
    """Kind → paths."""
    grid = Grid.from_origin("EPSG:32633", 360000, 5750010, 30, 10, 12)
    data = np.full((len(SR_BANDS), *grid.shape), 0.2, np.float32)
    cube = Cube(data, np.ones(grid.shape, bool), BandSet.of(SR_BANDS), grid)
    scene = write_landsat(folder / "folder", cube)
    packed = write_landsat(folder / "tar", cube, packing="tar")
    return {"landsat": [scene, packed, *sorted(scene.glob("*_MTL.*"))]}
