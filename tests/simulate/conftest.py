"""Small spectral scenes with EnMAP's bands."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import Cube, Grid, MemorySource
from trifuse.srf_data import load


@pytest.fixture(scope="session")
def make_scene():
    """make_scene(number, height, width) -> MemorySource of mixed smooth spectra, 224 bands."""

    def make(number=0, height=40, width=60, holes=True):
        rng = np.random.default_rng(number)
        spectra = gaussian_filter(rng.random((4, 224)), (0, 12))
        shares = gaussian_filter(rng.random((4, height, width)), (0, 2, 2))
        data = np.einsum("kb,kyx->byx", spectra, shares).astype(np.float32) * 0.6
        valid = np.ones((height, width), bool)
        if holes:
            valid[:7, :9] = False
            data[:, ~valid] = np.nan
        grid = Grid.from_origin("EPSG:32633", 300000, 5800000 + 6000 * number, 30, height, width)
        meta = {"product_id": f"ENMAP01-{number:03d}", "sensor": "ENMAP", "level": "L2A"}
        cube = Cube(data, valid, load("ENMAP").bands, grid, meta)
        return MemorySource(cube, f"scene {number}")

    return make
