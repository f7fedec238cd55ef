"""An area asked for: covered to the pixel, learnt from around, and no pixel depends on it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.warp import transform_bounds

from tests.flows.test_match import cube, views
from trifuse.core import PSF, BandSet, Grid, MemorySource, OverlapError, Window
from trifuse.flows.area import LEARNT_CELLS, RIM_CELLS, area_of, learnt_around, window_of
from trifuse.flows.fuse import fuse
from trifuse.fusion import get_method
from trifuse.fusion.inference import CubeBuffer, StreamOptions, stream
from trifuse.fusion.parallel import in_parts
from trifuse.fusion.tiles import TileWork


@pytest.fixture(scope="module")
def scene():
    return views()


def ground(grid, window):
    return cube(np.zeros((1, *window.shape)), BandSet.of(["x"]), grid.window(window))


@given(
    st.integers(2, 9),
    st.integers(1, 130),
    st.integers(0, 60),
    st.integers(-200, 1500),
    st.integers(1, 400),
)
def test_what_is_learnt_from_is_whole_cells_around_the_area(ratio, cells, first, start, size):
    shared = Window(first, first, cells * ratio, cells * ratio)
    area = Window(start, start, size, size)
    if start + size <= first or start >= first + cells * ratio:
        with pytest.raises(OverlapError, match="both"):
            learnt_around(area, shared, ratio)
        return
    learnt = learnt_around(area, shared, ratio)
    low, high = learnt.row, learnt.row + learnt.height
    assert learnt.shape[0] == learnt.shape[1] and learnt.row == learnt.col
    assert first <= low < high <= first + cells * ratio
    assert (low - first) % ratio == 0 and (high - low) % ratio == 0
    assert high - low >= min(LEARNT_CELLS, cells) * ratio
    rim = RIM_CELLS * ratio
    assert low <= max(first, start - rim) and high >= min(first + cells * ratio, start + size + rim)


@pytest.mark.parametrize("method", ["regression", "physics"])
@pytest.mark.parametrize(
    "window", [Window(33, 57, 41, 52), Window(0, 0, 7, 9), Window(171, 150, 29, 50)], ids=str
)
def test_an_area_is_that_part_of_all_that_is_learnt_from(scene, method, window):
    s2, s3, _ = scene
    whole = fuse(s2, s3, method=method, uncertainty=method == "physics")
    part = fuse(
        s2, s3, method=method, uncertainty=method == "physics", like=ground(s2.grid, window)
    )
    rows, cols = window.slices
    assert part.cube.grid == s2.grid.window(window)
    np.testing.assert_allclose(part.cube.data, whole.cube.data[:, rows, cols], atol=2e-6)
    if whole.deviation is not None:
        expected = whole.deviation.data[:, rows, cols]
        np.testing.assert_allclose(part.deviation.data, expected, atol=2e-6)
    assert part.record["cell_origin"] == [-window.row % 10, -window.col % 10]


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 190),
    st.integers(0, 190),
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([(None, None), (40, 8), (64, 0)]),
)
def test_no_pixel_depends_on_the_area_whatever_the_tiles(scene, row, col, height, width, tiles):
    s2, s3, _ = scene
    tile, overlap = tiles
    options = {"method": "regression", "coregister": "off", "tile": tile, "overlap": overlap}
    whole = fuse(s2, s3, **options).cube
    window = Window(row, col, height, width)
    part = fuse(s2, s3, like=ground(s2.grid, window), **options).cube
    inside = window.clip(*s2.grid.shape)
    rows, cols = inside.slices
    seen = part.data[:, : inside.height, : inside.width]
    np.testing.assert_array_equal(seen, whole.data[:, rows, cols])
    outside = part.valid.copy()
    outside[: inside.height, : inside.width] = False
    assert not outside.any() and np.isnan(part.data[:, ~part.valid]).all()


def test_parts_that_workers_write_make_the_same_area(scene, tmp_path):
    """And an area that reaches beyond the image: 37 columns of it have no ground."""
    s2, s3, _ = scene
    view, coarse, method = MemorySource(s2), MemorySource(s3), get_method("regression")
    area = Window(33, 57, 41, 180)
    made = []
    for compute in (TileWork.tiles, in_parts(tmp_path)):
        kept = CubeBuffer(s2.grid.window(area), s3.bands, {})
        stream(
            view,
            coarse,
            kept.write,
            StreamOptions(tile=40),
            method=method,
            psf=PSF.from_mtf(),
            compute=compute,
            area=area,
        )
        made.append(kept.cube)
    assert made[0].valid[:, :143].all() and not made[0].valid[:, 143:].any()
    np.testing.assert_array_equal(made[0].data, made[1].data)
    assert len(list(tmp_path.glob("*.npy"))) < -(-200 // 32)  # not one for each row of tiles


def test_exact_consistency_holds_for_the_cells_of_an_area(scene):
    s2, s3, _ = scene
    done = fuse(
        s2,
        s3,
        like=ground(s2.grid, Window(60, 60, 80, 80)),
        method="regression",
        consistency="exact",
    )
    assert done.selfcheck.of == 64 and done.selfcheck.rmse < 1e-5


def test_an_area_larger_than_the_image_is_cut_to_it(scene, caplog):
    s2, s3, _ = scene
    done = fuse(s2, s3, like=ground(s2.grid, Window(-50, -50, 400, 300)), method="bicubic")
    assert done.cube.grid == s2.grid and "larger than" in caplog.text


def test_an_area_of_s2_alone_is_refused(scene):
    s2, s3, _ = scene
    part = s3.crop(Window(0, 0, 20, 8))
    with pytest.raises(OverlapError, match="seen by both"):
        fuse(s2, part, like=ground(s2.grid, Window(0, 100, 50, 50)), method="bicubic")


def test_swapped_degrees_are_named(scene):
    s2, _, _ = scene
    box = transform_bounds("EPSG:32633", "EPSG:4326", *s2.grid.bounds)
    with pytest.raises(OverlapError, match="swapped"):
        window_of(MemorySource(s2), (box[1], box[0], box[3], box[2]))
    with pytest.raises(OverlapError, match="give one that it covers"):
        window_of(MemorySource(s2), (100, -20, 101, -19))


def test_a_box_and_an_image_of_the_same_ground_ask_for_the_same(scene):
    grid = Grid.from_origin("EPSG:4326", 13.0, 52.0, 0.001, 50, 60)
    source = MemorySource(cube(np.zeros((1, 50, 60)), BandSet.of(["x"]), grid))
    inner = grid.window(Window(5, 7, 11, 13))
    assert area_of(source, inner.bounds, None) == Window(5, 7, 11, 13)
    assert area_of(source, None, ground(grid, Window(5, 7, 11, 13))) == Window(5, 7, 11, 13)
