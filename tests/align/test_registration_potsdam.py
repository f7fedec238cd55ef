"""Shifts planted into a real EnMAP scene are found on as few as six by twelve cells."""

import numpy as np
import pytest

from trifuse.align import register, register_arrays
from trifuse.core import blur, degrade

COARSE = {"B5": 2, "B6": 2, "B7": 2, "B8A": 2, "B11": 2, "B12": 2, "B1": 6, "B9": 6}


@pytest.fixture(scope="module")
def views(data_dir):
    from trifuse.products import open_cube
    from trifuse.simulate import scene_views

    tiles = sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))
    if not tiles:
        pytest.skip("the EnMAP tiles of Potsdam are not among the real data")
    with open_cube(tiles) as source:
        return scene_views(source, ratio=10)


@pytest.mark.parametrize("shift", [(0.5, 0.5), (-1.2, 0.3), (0.3, -0.4), (1.5, -1.5)])
def test_planted_shifts_in_noise_with_bands_of_20_and_60_m(views, shift):
    hrmsi, _, hrhsi = views
    rng = np.random.default_rng(3)
    fine = hrmsi.masked()
    for i, name in enumerate(hrmsi.bands.names):
        if name in COARSE:
            fine[i] = blur(fine[i], 0.494 * COARSE[name])
    fine += 0.003 * rng.standard_normal(fine.shape).astype(np.float32)
    cells = degrade(hrhsi.masked(), 10, shift=(shift[0] * 10, shift[1] * 10))
    cells += 0.001 * rng.standard_normal(cells.shape).astype(np.float32)
    found = register_arrays(fine[:, :60, :120], cells)
    assert np.hypot(*(np.array(found.shift) / 10 - shift)) < 0.05


def test_the_untouched_scene_stays_untouched(views):
    hrmsi, lrhsi, _ = views
    found = register(hrmsi, lrhsi)
    assert found.applied == (0.0, 0.0)
    assert found.length < 0.01
