"""A scene with edges whose coarse bands are a nearly linear map of the sharp ones."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import BandSet, Cube, Grid, degrade

RATIO, S2_BANDS, S3_BANDS = 5, 4, 6


def cube(data, grid, letter, valid=None):
    data = np.asarray(data, np.float32)
    valid = np.ones(grid.shape, bool) if valid is None else valid
    return Cube(data, valid, BandSet.of([f"{letter}{i}" for i in range(1, len(data) + 1)]), grid)


@pytest.fixture
def make_cube():
    return cube


@pytest.fixture
def scene():
    """(S2 (4, 60, 85), S3 (6, 12, 17), truth (6, 60, 85)); cells of 5 pixels."""
    rng = np.random.default_rng(11)
    cover = np.kron(rng.integers(0, 4, (12, 17)), np.ones((5, 5), int))
    spectra = rng.uniform(0.02, 0.5, (4, S2_BANDS))
    light = 1 + 0.2 * gaussian_filter(rng.standard_normal((60, 85)), 3)
    s2 = spectra[cover].transpose(2, 0, 1) * light + 0.01 * rng.standard_normal((S2_BANDS, 60, 85))
    mix = rng.uniform(-0.3, 0.8, (S3_BANDS, S2_BANDS))
    truth = np.tensordot(mix, s2, 1) + 0.05 + 0.3 * s2[:1] * s2[1:2]
    grid = Grid.from_origin("EPSG:32633", 300000, 5800000, 10, 60, 85)
    coarse = grid.zoom_out(RATIO)
    return cube(s2, grid, "B"), cube(degrade(truth, RATIO), coarse, "Oa"), truth
