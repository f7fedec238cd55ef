"""Coarse cells that lie beside where their grid says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trifuse.core import PSF, DegradeAccumulator, TilePlan, Window, cell_index, degrade, upsample
from trifuse.core.resample import reach

rng = np.random.default_rng(5)
shifts = st.tuples(st.floats(-1.6, 1.6), st.floats(-1.6, 1.6))


def waves(height, width):
    y, x = np.mgrid[:height, :width]
    return (0.3 + 0.1 * np.sin(y / 9.0) * np.cos(x / 7.0)).astype(np.float64)


@given(st.integers(1, 12), st.integers(2, 6), st.integers(2, 6))
@settings(max_examples=25, deadline=None)
def test_without_a_shift_nothing_changes_to_the_bit(ratio, rows, cols):
    fine = rng.random((2, rows * ratio, cols * ratio), dtype=np.float32)
    coarse = degrade(fine, ratio)
    np.testing.assert_array_equal(coarse, degrade(fine, ratio, shift=(0.0, 0.0)))
    np.testing.assert_array_equal(
        upsample(coarse, ratio), upsample(coarse, ratio, shift=(0.0, 0.0))
    )
    np.testing.assert_array_equal(reach(fine.shape[1], ratio, 2.0), 1.0)
    assert (DegradeAccumulator(1, rows * ratio, cols * ratio, ratio).reach == 1).all()


@pytest.mark.parametrize("ratio", [3, 4, 10])
def test_a_whole_pixel_shift_is_the_moved_image(ratio):
    fine = rng.random((8 * ratio + 6, 9 * ratio + 6))
    moved = fine[5:, 2:][: 8 * ratio, : 9 * ratio]
    plain = degrade(moved, ratio)
    shifted = degrade(fine, ratio, shift=(5.0, 2.0))[:8, :9]
    # Away from the borders, where one image ends and the other goes on.
    np.testing.assert_allclose(shifted[3:-3, 3:-3], plain[3:-3, 3:-3], rtol=1e-3)


@given(shifts)
@settings(max_examples=25, deadline=None)
def test_degraded_and_upsampled_cells_come_back_to_their_place(shift):
    ratio = 6
    moved = (shift[0] * ratio, shift[1] * ratio)
    fine = waves(120, 150)
    back = upsample(degrade(fine, ratio, PSF(0.2), shift=moved), ratio, shift=moved)
    inside = np.s_[24:-24, 24:-24]
    np.testing.assert_allclose(back[inside], fine[inside], atol=0.012)


@given(shifts)
@settings(max_examples=15, deadline=None)
def test_in_pieces_it_is_the_same(shift):
    fine = rng.random((3, 40, 55), dtype=np.float32)
    fine[:, 10:20, 5:30] = np.nan
    moved = (5 * shift[0], 5 * shift[1])
    pieces = DegradeAccumulator(3, 40, 55, 5, shift=moved)
    for tile in TilePlan(40, 55, tile=16):
        rows, cols = tile.write.slices
        pieces.add(tile.write, fine[:, rows, cols])
    whole = degrade(fine, 5, shift=moved)
    part = pieces.result()
    both = np.isfinite(part)
    assert (np.isfinite(whole) | ~both).all()
    np.testing.assert_allclose(part[both], whole[both], rtol=1e-5)
    assert np.isnan(part[:, pieces.reach < 0.6]).all()


def test_windows_and_holes_of_moved_cells():
    coarse = rng.random((2, 6, 7), dtype=np.float32)
    coarse[:, 2, 3] = np.nan
    shift = (3.0, -4.0)
    whole = upsample(coarse, 10, shift=shift)
    rows, cols = np.nonzero(np.isnan(whole[0]))
    # The footprint of the cell is where the cell lies, pixel for pixel.
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (23, 32, 26, 35)
    window = Window(13, 21, 30, 25)
    part = upsample(coarse, 10, window, shift=shift)
    np.testing.assert_array_equal(part, whole[:, 13:43, 21:46])


def test_pixels_beyond_the_outermost_cell_belong_to_it():
    np.testing.assert_array_equal(cell_index(np.arange(12), 3, 4, shift=5.0), [0] * 9 + [1] * 3)
    np.testing.assert_array_equal(cell_index(np.arange(12), 3, 4), np.repeat([0, 1, 2], 4))
