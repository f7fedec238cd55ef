"""Two images and the ground they share."""

import numpy as np
import pytest

from trifuse.align import pair
from trifuse.core import Grid, GridError, MemorySource, OverlapError, Window

FINE = Grid.from_origin("EPSG:32633", 1000, 5000, 10, 65, 100)


def source(make_cube, grid, name):
    return MemorySource(make_cube(np.zeros((1, *grid.shape)), grid, "B"), name)


def test_whole_cells_of_the_shared_ground(make_cube):
    coarse = Grid.from_origin("EPSG:32633", 900, 4900, 100, 20, 6)
    shared = pair(source(make_cube, FINE, "a"), source(make_cube, coarse, "b"))
    assert shared.ratio == 10
    assert shared.s2_window == Window(10, 0, 50, 50)
    assert shared.s3_window == Window(0, 1, 5, 5)
    assert shared.grid == FINE.window(shared.s2_window)
    assert shared.coarse_grid == coarse.window(shared.s3_window)
    assert shared.grid.bounds == shared.coarse_grid.bounds == (1000, 4400, 1500, 4900)
    assert shared.overlap == pytest.approx(2500 / 6500)


def test_cubes_in_memory_do_too(make_cube):
    coarse = FINE.zoom_out(5)
    shared = pair(
        make_cube(np.zeros((2, 65, 100)), FINE, "B"), make_cube(np.zeros((1, 13, 20)), coarse, "S")
    )
    assert (shared.ratio, shared.overlap, shared.grid) == (5, 1, FINE)


@pytest.mark.parametrize(
    ("coarse", "error", "message"),
    [
        (Grid.from_origin("EPSG:32633", 9000, 5000, 100, 5, 5), OverlapError, "share no ground"),
        (Grid.from_origin("EPSG:32632", 1000, 5000, 100, 5, 5), GridError, "EPSG:32632"),
        (Grid.from_origin("EPSG:32633", 1000, 5000, 95, 5, 5), GridError, "no whole multiple"),
        (Grid.from_origin("EPSG:32633", 1004, 5000, 100, 5, 5), GridError, "whole number"),
    ],
)
def test_images_that_do_not_fit(make_cube, coarse, error, message):
    with pytest.raises(error, match=message) as caught:
        pair(source(make_cube, FINE, "sharp.tif"), source(make_cube, coarse, "coarse.nc"))
    assert "sharp.tif and coarse.nc" in str(caught.value) and type(caught.value) is error
