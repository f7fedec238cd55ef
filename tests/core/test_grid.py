import affine
import numpy as np
import pytest
import rasterio
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


AFFINE = affine.Affine(10.0, 0.0, 600000.0, 0.0, -10.0, 5800020.0)
PLAIN = Grid("EPSG:32633", (10.0, 0.0, 600000.0, 0.0, -10.0, 5800020.0), 4, 6)


@pytest.mark.parametrize(
    "transform",
    [
        AFFINE,
        tuple(AFFINE),
        list(AFFINE)[:6],
        np.array(AFFINE[:6], np.float32),
        rasterio.transform.from_origin(600000, 5800020, 10, 10),
    ],
    ids=["affine", "nine", "list", "array", "rasterio"],
)
def test_a_grid_takes_the_transforms_that_people_have(transform):
    grid = Grid("EPSG:32633", transform, 4, 6)
    assert grid == PLAIN and hash(grid) == hash(PLAIN)
    assert type(grid.transform) is tuple and all(type(v) is float for v in grid.transform)


@pytest.mark.parametrize(
    "crs",
    [
        32633,
        np.int64(32633),
        "epsg:32633",
        rasterio.crs.CRS.from_epsg(32633),
        pytest.param(lambda: pytest.importorskip("pyproj").CRS.from_epsg(32633), id="pyproj"),
    ],
)
def test_a_grid_takes_the_coordinate_systems_that_people_have(crs):
    assert Grid(crs() if callable(crs) else crs, AFFINE, 4, 6) == PLAIN


def test_a_system_without_a_code_is_kept_as_wkt():
    own = rasterio.crs.CRS.from_proj4("+proj=sinu +R=6371007.181 +units=m")
    assert Grid(own, AFFINE, 4, 6).crs == own.to_wkt()
    assert Grid(None, AFFINE, 4, 6).crs == ""


def test_the_six_numbers_of_gdal_have_a_constructor_of_their_own():
    six = AFFINE.to_gdal()
    assert Grid.from_gdal("EPSG:32633", six, 4, 6) == PLAIN
    with pytest.raises(GridError, match=r"order of GDAL; give it to Grid\.from_gdal"):
        Grid("EPSG:32633", (0, 10, 0, 0, 0, -10), 4, 6)


@pytest.mark.parametrize(
    ("crs", "transform", "words"),
    [
        ("EPSG:32633", (10, 0, 600000), "not of 6 or 9 numbers"),
        ("EPSG:32633", (10, 0, 600000, 0, -10, 5800020, 1), "not of 6 or 9 numbers"),
        ("EPSG:32633", (10, 0, 6e5, 0, -10, 5.8e6, 0, 0, 2), "the last row of the matrix"),
        ("EPSG:32633", "ten", "not of 6 or 9 numbers"),
        ("EPSG:32633", None, "not of 6 or 9 numbers"),
        (object(), AFFINE, "is no coordinate system"),
        (True, AFFINE, "of type bool"),
        (3.5, AFFINE, "of type float"),
    ],
)
def test_what_is_no_grid_is_told_in_one_line(crs, transform, words):
    with pytest.raises(GridError, match=words) as told:
        Grid(crs, transform, 4, 6)
    assert "\n" not in str(told.value) and told.value.exit_code == 8
