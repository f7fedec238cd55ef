"""Scenes like CAVE's in every form, for the tests of all readers together."""

import numpy as np
from scipy.io import savemat

from trifuse.core import BandSet, Cube, Grid
from trifuse.products.cave import write_cave
from trifuse.products.cave.reader import CENTRES
from trifuse.products.files.raster import UNPLACED


def deliveries(folder):
    """Kind → paths."""
    grid = Grid("", UNPLACED, 10, 12)
    bands = BandSet.of([f"C{nm:.0f}" for nm in CENTRES])
    cube = Cube(np.full((31, 10, 12), 0.2, np.float32), np.ones((10, 12), bool), bands, grid)
    images = write_cave(folder / "png", cube)
    matlab = write_cave(folder / "mat", cube, form="mat")
    several = folder / "several"
    for name in ("balloons_ms", "beads_ms"):
        write_cave(several / name, cube, name=name)
    spectra = folder / "cube.mat"
    savemat(spectra, {"cube": np.full((8, 9, 40), 0.2), "wavelength": np.linspace(400, 900, 40)})
    return {"cave": [images, images.parent, matlab, several], "matlab": [spectra]}
