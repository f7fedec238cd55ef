import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from trifuse.core import Mosaic, TilePlan
from trifuse.core.errors import ConfigError


@st.composite
def plans(draw):
    tile = draw(st.integers(2, 40))
    blend = draw(st.sampled_from(["cut", "linear"]))
    overlap = draw(st.integers(0, tile - 1))
    if blend == "cut":
        overlap -= overlap % 2
    return TilePlan(draw(st.integers(1, 70)), draw(st.integers(1, 70)), tile, overlap, blend)


@given(plans())
@settings(max_examples=40, deadline=None)
def test_weights_are_a_partition_of_unity(plan):
    total = np.zeros((plan.height, plan.width))
    for tile in plan:
        rows, cols = tile.write.slices
        total[rows, cols] += plan.weights(tile)
        assert max(tile.read.shape) <= plan.tile
    np.testing.assert_allclose(total, 1, atol=1e-6)


@given(plans())
@settings(max_examples=30, deadline=None)
def test_a_mosaic_of_copies_is_the_image_and_comes_in_order(plan):
    image = np.random.default_rng(1).random((2, plan.height, plan.width), dtype=np.float32)
    out = np.full_like(image, np.nan)
    rows_seen = []

    def sink(window, values):
        rows, cols = window.slices
        assert np.isnan(out[:, rows, cols]).all(), "a pixel was written twice"
        out[:, rows, cols] = values
        rows_seen.append(window.row)

    mosaic = Mosaic(plan, sink)
    tiles = np.zeros(image.shape[1:])
    for tile in plan:
        rows, cols = tile.read.slices
        mosaic.add(tile, image[:, rows, cols])
        tiles[rows, cols] += 1
    # Each tile that a pixel is a sum of may round it once; plans may have a hundred of them.
    rounding = np.maximum(1e-6, tiles * np.finfo(np.float32).eps)
    assert (np.abs(out - image) <= rounding).all()
    assert rows_seen == sorted(rows_seen)


@pytest.mark.parametrize("size", [17, 24, 40, 200])
def test_with_its_halo_a_local_filter_does_not_see_the_tiles(size):
    image = np.random.default_rng(2).random((61, 83))
    whole = uniform_filter(image, 7, mode="constant")
    out = np.empty_like(whole)
    for tile in TilePlan(61, 83, size, overlap=2 * 3):
        rows, cols = tile.read.slices
        part = uniform_filter(image[rows, cols], 7, mode="constant")
        out[tile.write.slices] = part[tile.inner.slices]
    np.testing.assert_allclose(out, whole, atol=1e-14)


def test_the_papers_preset_has_256_tiles_on_twenty_kilometres():
    assert len(TilePlan(2100, 2100, 150, 20, "linear")) == 256


@pytest.mark.parametrize(("tile", "overlap"), [(0, 0), (10, 10), (10, -1), (10, 3)])
def test_impossible_plans_are_refused(tile, overlap):
    with pytest.raises(ConfigError):
        TilePlan(50, 50, tile, overlap)
