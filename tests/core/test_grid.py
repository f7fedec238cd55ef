import pytest
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import Grid, GridError, OverlapError, Window

UTM = "EPSG:32633"
sizes = st.integers(1, 60)


def grid(height=20, width=30, gsd=10.0, west=0.0, north=600.0, crs=UTM):
    return Grid.from_origin(crs, west, north, gsd, height, width)


def test_bounds_and_gsd():
    g = grid(20, 30, 10.0, 500.0, 900.0)
    assert g.bounds == (500.0, 700.0, 800.0, 900.0)
    assert g.gsd == (10.0, 10.0)


@given(sizes, sizes, st.integers(1, 7))
def test_zoom_in_and_out_are_inverse(height, width, ratio):
    g = grid(height, width)
    assert g.zoom_in(ratio).zoom_out(ratio) == g
    assert g.zoom_in(ratio).nested_ratio(g) == ratio


@given(
    st.integers(2, 9),
    st.integers(1, 8),
    st.integers(1, 8),
    st.integers(-40, 40),
    st.integers(-40, 40),
)
def test_common_ground_is_the_same_ground(ratio, rows, cols, row, col):
    fine = grid(37, 41)
    coarse = grid(rows * ratio, cols * ratio, west=col * 10.0, north=600.0 - row * 10.0)
    coarse = coarse.zoom_out(ratio)
    inside = [
        (i, j)
        for i in range(rows)
        for j in range(cols)
        if 0 <= row + i * ratio <= 37 - ratio and 0 <= col + j * ratio <= 41 - ratio
    ]
    if not inside:
        with pytest.raises(OverlapError):
            fine.common(coarse)
        return
    a, b, found = fine.common(coarse)
    assert found == ratio
    assert fine.window(a).bounds == coarse.window(b).bounds
    assert {
        (i, j) for i in range(b.row, b.row + b.height) for j in range(b.col, b.col + b.width)
    } == set(inside)


def test_other_crs_is_refused():
    with pytest.raises(GridError, match="EPSG:32633 against EPSG:32632"):
        grid().nested_ratio(grid(crs="EPSG:32632"))


def test_fractional_ratio_and_shift_are_refused():
    with pytest.raises(GridError, match="no whole multiple"):
        grid(60, 60).nested_ratio(grid(2, 2, 25.0))
    with pytest.raises(GridError, match="no whole number of pixels"):
        grid(60, 60).nested_ratio(grid(2, 2, 100.0, west=4.0))


def test_swapped_images_are_named_as_such():
    with pytest.raises(GridError, match="swap the two"):
        grid(2, 2, 100.0).nested_ratio(grid(20, 20))
    with pytest.raises(GridError, match="not of one size"):
        grid(2, 2, 100.0).locate(grid(20, 20))


def test_ratio_must_hold_over_the_whole_extent():
    # 0.02 % too large is invisible in one cell and 2 pixels wrong after a thousand.
    with pytest.raises(GridError):
        grid(10_000, 10_000).nested_ratio(grid(1000, 1000, 100.02))


def test_south_up_and_rotated_are_refused():
    with pytest.raises(GridError, match="north-up"):
        Grid(UTM, (10.0, 0.0, 0.0, 0.0, 10.0, 0.0), 5, 5)
    with pytest.raises(GridError, match="rotated"):
        Grid(UTM, (10.0, 0.1, 0.0, 0.0, -10.0, 0.0), 5, 5)


def test_locate_and_window():
    g = grid()
    w = Window(3, 4, 5, 6)
    assert g.locate(g.window(w)) == w
    assert w.pad(10).clip(20, 30) == Window(0, 0, 18, 20)
