"""Swath to grid: places, holes, edges, windows, and an independent library."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from tests.reference import resample_swath
from trifuse.align import SwathIndex
from trifuse.align.swath import MIN_SHARE, PIXEL, REACH, SIGMA, centres
from trifuse.core import ConfigError, DataError, Grid, Window

GRID = Grid.from_origin("EPSG:32628", 400_000, 1_800_000, 300, 60, 70)
WAVES = np.array([[2.1e-4, 3.7e-4, 0.3], [-4.4e-4, 1.3e-4, 1.1], [5.1e-4, -4.9e-4, 2.0]])


def swath(tilt=13.0, rows=100, cols=120, step=(296.0, 270.0), offset=(37.0, -61.0)):
    """Pixel centres of a scan-like swath around the grid: rows go south and a little west."""
    west, south, east, north = GRID.bounds
    angle = np.radians(tilt)
    row = (np.arange(rows) - (rows - 1) / 2)[:, None] * step[0]
    col = (np.arange(cols) - (cols - 1) / 2)[None, :] * step[1]
    x = (west + east) / 2 + offset[0] + col * np.cos(angle) - row * np.sin(angle)
    y = (south + north) / 2 + offset[1] - col * np.sin(angle) - row * np.cos(angle)
    return x, y


def strips(grid, cells):
    """Windows that cover the grid, of at most so many cells each: whole rows, or parts of one."""
    width = min(grid.width, cells)
    height = max(1, cells // grid.width)
    return [
        Window(row, col, min(height, grid.height - row), min(width, grid.width - col))
        for row in range(0, grid.height, height)
        for col in range(0, grid.width, width)
    ]


def field(x, y):
    """Three waves of 1.0–2.4 km over a level: what a 300 m sensor resolves."""
    out = np.full(np.broadcast(x, y).shape, 0.3)
    for i, (kx, ky, phase) in enumerate(WAVES):
        out += 0.05 * np.sin(2 * np.pi * (kx * x + ky * y) + phase + i)
    return out


def blurred(x, y, sigma):
    """The same after a Gaussian blur: each wave loses amplitude and moves nowhere."""
    out = np.full(np.broadcast(x, y).shape, 0.3)
    for i, (kx, ky, phase) in enumerate(WAVES):
        loss = np.exp(-2 * np.pi**2 * sigma**2 * (kx**2 + ky**2))
        out += 0.05 * loss * np.sin(2 * np.pi * (kx * x + ky * y) + phase + i)
    return out


def grid_xy():
    at = centres(GRID)
    return at[:, 0].reshape(GRID.shape), at[:, 1].reshape(GRID.shape)


def shift_of(image, truth, there):
    """Displacement (x, y) in metres that explains the difference best, by least squares."""
    gx, gy = grid_xy()
    step = 1.0
    slopes = [
        (truth(gx + step, gy) - truth(gx - step, gy)) / (2 * step),
        (truth(gx, gy + step) - truth(gx, gy - step)) / (2 * step),
    ]
    design = np.stack([s[there] for s in slopes], axis=1)
    moved, *_ = np.linalg.lstsq(design, (truth(gx, gy) - image)[there], rcond=None)
    return moved


@pytest.mark.parametrize("sigma", [150.0, 175.0, 200.0])
@pytest.mark.parametrize(("tilt", "offset"), [(13.0, (37, -61)), (0.0, (0, 0)), (-40.0, (149, 90))])
def test_places_are_kept_to_a_hundredth_of_a_pixel(sigma, tilt, offset):
    x, y = swath(tilt, offset=offset)
    valid = np.ones(x.shape, bool)
    out, there = resample_swath(x, y, field(x, y)[None], valid, GRID, sigma=sigma)
    assert there.mean() > 0.99
    moved = shift_of(out[0], lambda a, b: blurred(a, b, sigma), there)
    assert np.abs(moved).max() < 0.01 * PIXEL
    gx, gy = grid_xy()
    assert np.sqrt(np.mean((out[0] - blurred(gx, gy, sigma))[there] ** 2)) < 2e-3


def test_the_measure_of_shifts_sees_a_planted_one():
    x, y = swath()
    valid = np.ones(x.shape, bool)
    out, there = resample_swath(x - 150, y, field(x, y)[None], valid, GRID)
    moved = shift_of(out[0], lambda a, b: blurred(a, b, SIGMA), there)
    assert moved[0] == pytest.approx(-150, abs=6) and moved[1] == pytest.approx(0, abs=6)


def test_agrees_with_an_independent_library():
    geometry = pytest.importorskip("pyresample.geometry")
    kd_tree = pytest.importorskip("pyresample.kd_tree")
    warp = pytest.importorskip("rasterio.warp")
    x, y = swath()
    lon, lat = (
        np.reshape(v, x.shape) for v in warp.transform(GRID.crs, "EPSG:4326", x.ravel(), y.ravel())
    )
    gx, gy = grid_xy()
    glon, glat = (
        np.reshape(v, gx.shape)
        for v in warp.transform(GRID.crs, "EPSG:4326", gx.ravel(), gy.ravel())
    )
    values = field(x, y)
    values[40:44, 50:57] = np.nan
    # pyresample's Gaussian is exp(−d²/σ²) on a sphere, whose metres differ from the map's by 0.5 %
    theirs = kd_tree.resample_gauss(
        geometry.SwathDefinition(lon, lat),
        np.ma.masked_invalid(values),
        geometry.GridDefinition(glon, glat),
        radius_of_influence=600,
        sigmas=SIGMA * np.sqrt(2),
        neighbours=24,
        fill_value=None,
    )
    theirs = np.ma.filled(theirs.astype(float), np.nan)
    ours, there = resample_swath(x, y, values[None], np.ones(x.shape, bool), GRID)
    assert there.mean() > 0.98
    error = ours[0][there] - theirs[there]
    assert np.sqrt(np.nanmean(error**2)) < 2e-4 and np.isfinite(error).mean() > 0.99


def test_constants_stay_and_holes_stay():
    x, y = swath()
    data = np.stack([np.full(x.shape, 0.25), np.full(x.shape, 0.5)])
    valid = np.ones(x.shape, bool)
    valid[30:50, 40:60] = False
    gx, gy = grid_xy()
    gap, nearest = cKDTree(np.stack([x.ravel(), y.ravel()], 1)).query(
        np.stack([gx.ravel(), gy.ravel()], 1)
    )
    gap[valid.ravel()[nearest] == 0] = np.inf
    single = gap[: 20 * GRID.width].argmin()
    assert gap[single] < 10
    valid.flat[nearest[single]] = False
    data[1, 60:66, 90:100] = np.nan
    out, there = resample_swath(x, y, data, valid, GRID)
    for plane, value in zip(out, (0.25, 0.5), strict=True):
        np.testing.assert_allclose(plane[np.isfinite(plane)], value, rtol=1e-6)
    rows, cols = np.unravel_index(nearest.reshape(GRID.shape), x.shape)
    inside = (rows >= 31) & (rows < 49) & (cols >= 41) & (cols < 59)
    assert inside.sum() > 200 and not there[inside].any()
    assert not there.flat[single]
    elsewhere = (rows < 29) | (rows > 51) | (cols < 39) | (cols > 61)
    elsewhere.flat[single] = False
    assert there[elsewhere].mean() > 0.999
    only_second = (rows >= 61) & (rows < 65) & (cols >= 91) & (cols < 99)
    assert only_second.any() and np.isnan(out[1][only_second]).all()
    assert np.isfinite(out[0][only_second]).all() and there[only_second].all()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_holes_follow_their_rule_and_values_stay_in_range(seed):
    rng = np.random.default_rng(seed)
    grid = Grid.from_origin("EPSG:32628", 400_000, 1_800_000, 300, 12, 14)
    x, y = swath(rng.uniform(-45, 45), 40, 40)
    x = x - x.mean() + 402_100 + rng.uniform(-150, 150)
    y = y - y.mean() + 1_798_200 + rng.uniform(-150, 150)
    x[rng.random(x.shape) < 0.05] = np.nan
    data = rng.random((1, *x.shape))
    valid = rng.random(x.shape) > 0.3
    out, there = resample_swath(x, y, data, valid, grid)
    distance = np.hypot(*(centres(grid)[:, None, i] - v.ravel() for i, v in enumerate((x, y))))
    weight = np.where(distance <= 600, np.exp(-0.5 * (distance / SIGMA) ** 2), 0)
    weight = np.nan_to_num(weight)
    share = (weight * valid.ravel()).sum(axis=1) / weight.sum(axis=1)
    nearest = np.nanmin(np.where(valid.ravel(), distance, np.inf), axis=1)
    clear = (np.abs(share - MIN_SHARE) > 1e-6) & (np.abs(nearest - REACH * PIXEL) > 1e-3)
    expected = (share > MIN_SHARE) & (nearest <= REACH * PIXEL)
    np.testing.assert_array_equal(there.ravel()[clear], expected[clear])
    mean = (weight * valid.ravel() * data.ravel()).sum(axis=1) / (weight * valid.ravel()).sum(
        axis=1
    )
    both = there.ravel() & clear
    np.testing.assert_allclose(out[0].ravel()[both], mean[both], rtol=1e-5)
    assert out[0][there].min() >= data[0][valid].min()
    assert out[0][there].max() <= data[0][valid].max() + 1e-7


def test_the_edge_of_a_swath_is_not_stretched():
    x, y = swath()
    keep = x < GRID.bounds[0] + 9000
    out, there = resample_swath(x, y, x[None], keep, GRID)
    gx, _ = grid_xy()
    assert there[gx < GRID.bounds[0] + 8700].all()
    assert not there[gx > GRID.bounds[0] + 9000 + REACH * PIXEL].any()
    assert np.abs((out[0] - gx)[gx < GRID.bounds[0] + 8400]).max() < 0.05 * PIXEL


def test_stretched_pixels_leave_no_pinholes():
    x, y = swath()
    apart = 1.0 + 0.6 * (np.abs(np.arange(x.shape[1]) - 60) < 12)
    along = np.cumsum(apart) - np.cumsum(apart)[60]
    angle = np.radians(13)
    shift = 270 * (along - (np.arange(x.shape[1]) - 60))
    _, there = resample_swath(
        x + shift * np.cos(angle), y - shift * np.sin(angle), x[None], np.ones(x.shape, bool), GRID
    )
    assert there.all()


def test_twin_pixels_change_nothing():
    x, y = swath()
    valid = np.ones(x.shape, bool)
    plain, _ = resample_swath(x, y, field(x, y)[None], valid, GRID)
    x2, y2 = (np.repeat(v, 2, axis=1) for v in (x, y))
    twice, there = resample_swath(x2, y2, field(x2, y2)[None], np.ones(x2.shape, bool), GRID)
    assert there.all()
    # only the 22 nearest count, so the weakest of the doubled neighbours drop out
    np.testing.assert_allclose(twice, plain, atol=2e-3)
    moved = shift_of(twice[0], lambda a, b: blurred(a, b, SIGMA), there)
    assert np.abs(moved).max() < 0.02 * PIXEL


def test_a_window_has_the_values_of_the_whole():
    x, y = swath()
    rng = np.random.default_rng(1)
    data = rng.random((3, *x.shape))
    valid = rng.random(x.shape) > 0.1
    whole, there = resample_swath(x, y, data, valid, GRID)
    for window in strips(GRID, 500):
        rows, cols = window.slices
        west, south, east, north = GRID.window(window).bounds
        near = (x > west - 900) & (x < east + 900) & (y > south - 900) & (y < north + 900)
        r, c = (slice(i.min(), i.max() + 1) for i in np.nonzero(near))
        part, here = resample_swath(
            x[r, c], y[r, c], data[:, r, c], valid[r, c], GRID.window(window)
        )
        np.testing.assert_array_equal(part, whole[:, rows, cols])
        np.testing.assert_array_equal(here, there[rows, cols])


def test_strips_cover_each_cell_once():
    for cells in (1, 7, 70, 500, 10**6):
        seen = np.zeros(GRID.shape, int)
        for window in strips(GRID, cells):
            seen[window.slices] += 1
            assert window.height * window.width <= cells
        assert (seen == 1).all()


def test_a_swath_elsewhere_or_without_places_gives_holes():
    x, y = swath()
    for places in (x + 1e6, np.full_like(x, np.nan)):
        out, there = resample_swath(places, y, x[None], np.ones(x.shape, bool), GRID)
        assert not there.any() and np.isnan(out).all()


def test_bad_input_is_named():
    x, y = swath()
    valid = np.ones(x.shape, bool)
    with pytest.raises(DataError, match="one swath"):
        resample_swath(x, y[:-1], x[None], valid, GRID)
    with pytest.raises(DataError, match="do not fit a swath"):
        resample_swath(x, y, x[None, 1:], valid, GRID)
    for widths in ({"sigma": 0.0}, {"sigma": 400.0}, {"pixel": -1.0}, {"radius": np.inf}):
        with pytest.raises(ConfigError):
            resample_swath(x, y, x[None], valid, GRID, **widths)


def test_pixels_piled_up_are_refused_and_do_not_hang():
    x = np.full((700, 700), 405_000.0)
    y = np.full((700, 700), 1_795_000.0)
    start = time.perf_counter()
    with pytest.raises(DataError, match="damaged"):
        resample_swath(x, y, x[None], np.ones(x.shape, bool), GRID)
    assert time.perf_counter() - start < 20
    out, there = resample_swath(
        x[:100, :100], y[:100, :100], x[None, :100, :100], np.ones((100, 100), bool), GRID
    )
    assert 0 < there.sum() < 10 and np.isfinite(out[0][there]).all()


def test_neighbours_are_found_once_for_all_bands():
    x, y = swath()
    weights = SwathIndex(x, y).weights(GRID)
    rng = np.random.default_rng(0)
    data, valid = rng.random((4, *x.shape)), np.ones(x.shape, bool)
    data[2, 10:30] = np.nan
    together, _ = weights.apply(data, valid)
    for plane, alone in zip(together, data, strict=True):
        np.testing.assert_array_equal(plane, weights.apply(alone[None], valid)[0][0])
