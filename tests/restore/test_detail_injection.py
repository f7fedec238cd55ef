"""Hypersharpening by GSA, MTF-GLP and SFIM, and the local regression."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    Window,
    degrade,
    upsample,
)
from trifuse.core.runtime import Runtime
from trifuse.fusion import METHODS, Regression, Scene, fuse_cube, get_method
from trifuse.fusion.classical.gsa import Gsa
from trifuse.fusion.classical.local_regression import LocalRegression
from trifuse.fusion.classical.mtf_glp import MtfGlpHs
from trifuse.fusion.classical.sfim import Sfim
from trifuse.metrics import psnr
from trifuse.simulate import procedural_scene, scene_views

NAMES = ["local-regression", "gsa", "mtf-glp-hs", "sfim"]
OPTIONS = [
    *map(get_method, NAMES),
    MtfGlpHs(gain="hpm"),
    LocalRegression(window=1.5, ridge=1e-3),
    LocalRegression(residual=False, ridge=0.01),
]
HR, LR = BandSet.of(["B2", "B4", "B8A"]), BandSet.of(["Oa04", "Oa08", "S2", "Oa17"])


def source(data, grid, bands, valid=None):
    valid = np.ones(grid.shape, bool) if valid is None else valid
    return MemorySource(Cube(np.asarray(data, np.float32), valid, bands, grid), str(len(bands)))


def textures(count, height, width, seed):
    """Reflectance of 0.03 to 0.6 with detail at all scales, bands partly alike."""
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(count):
        layers = [s * gaussian_filter(rng.standard_normal((height, width)), s) for s in (1, 4, 12)]
        layer = sum(layers)
        out.append(0.3 + 0.1 * layer / layer.std())
    mix = rng.uniform(0.2, 1, (count, count))
    return np.tensordot(mix / mix.sum(axis=1, keepdims=True), np.clip(out, 0.03, 0.6), 1)


def pair(height=60, width=80, ratio=5, seed=0, shift=(0.0, 0.0), psf=None, change=1.0):
    """S2, S3 and their truth: a map of S2 that changes from west to east, and is not linear."""
    s2 = textures(len(HR), height, width, seed)
    west, east = np.random.default_rng(9).uniform(0.1, 0.6, (2, len(LR), len(HR)))
    x = change * np.linspace(0, 1, width)
    truth = np.tensordot(west, s2, 1) * (1 - x) + np.tensordot(east, s2, 1) * x
    truth += 0.2 * change * s2[:1] * s2[1:2]
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, height, width)
    coarse = degrade(truth.astype(np.float32), ratio, psf, shift=shift)
    return source(s2, grid, HR), source(coarse, grid.zoom_out(ratio), LR), truth


def changed(given, data=None, valid=None):
    cube = given.read()
    return MemorySource(
        replace(
            cube,
            data=cube.data if data is None else np.asarray(data, np.float32),
            valid=cube.valid if valid is None else valid,
        ),
        given.name,
    )


def run(method, s2, s3, **options):
    return fuse_cube(s2, s3, method=method, device="cpu", **options)[0]


def dense_regression(s2, s3):
    """(matrix, offset) by least squares on the cells."""
    x = np.column_stack([s2.reshape(len(s2), -1).T, np.ones(s2[0].size)])
    found = np.linalg.lstsq(x, s3.reshape(len(s3), -1).T, rcond=None)[0]
    return found[:-1].T, found[-1]


def test_they_are_offered_by_name():
    assert set(NAMES) <= set(METHODS)
    assert [get_method(n).name for n in NAMES] == NAMES


@pytest.mark.parametrize("method", OPTIONS)
def test_constant_images_stay_constant(method):
    s2, s3, _ = pair()
    one, other = s2.read().data, s3.read().data
    level = np.linspace(0.05, 0.4, len(LR))[:, None, None]
    flat = changed(s3, np.broadcast_to(level, other.shape))
    for sharp in (s2, changed(s2, np.full_like(one, 0.2))):
        fused = run(method, sharp, flat)
        np.testing.assert_allclose(fused.data, np.broadcast_to(level, fused.shape), atol=1e-5)


@pytest.mark.parametrize("method", OPTIONS[:-1])
def test_without_detail_in_s2_the_result_is_bicubic(method):
    s2, s3, _ = pair()
    flat = changed(s2, np.full_like(s2.read().data, 0.2))
    np.testing.assert_allclose(run(method, flat, s3).data, run("bicubic", s2, s3).data, atol=2e-6)


@pytest.mark.parametrize("method", [m for m in OPTIONS[:-1] if m.name != "gsa"])
def test_detail_comes_only_from_where_it_is(method):
    s2, s3, _ = pair(60, 160)
    data = s2.read().data.copy()
    data[:, :, 60:] = 0.25
    fused, plain = run(method, changed(s2, data), s3).data, run("bicubic", s2, s3).data
    np.testing.assert_allclose(fused[:, :, 85:], plain[:, :, 85:], atol=2e-6)
    assert np.abs(fused - plain)[:, :, :60].mean() > 0.005


@pytest.mark.parametrize("method", OPTIONS)
def test_the_order_of_bands_does_not_matter(method):
    s2, s3, _ = pair()
    expected = run(method, s2, s3)
    one, other = s2.read().select(["B8A", "B2", "B4"]), s3.read().select(list(LR.names[::-1]))
    fused = run(method, MemorySource(one), MemorySource(other)).select(LR.names)
    np.testing.assert_allclose(fused.data, expected.data, atol=1e-5)


@settings(max_examples=12, deadline=None)
@given(
    method=st.sampled_from(OPTIONS),
    ratio=st.integers(1, 8),
    tile=st.integers(3, 70),
    hole=st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 20)] * 2),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    sigma=st.floats(0.3, 0.7),
)
def test_tiles_of_any_size_at_any_ratio(method, ratio, tile, hole, shift, sigma):
    s2, s3, _ = pair(7 * ratio + 3, 9 * ratio + 1, ratio)
    valid = s2.read().valid.copy()
    valid[Window(*hole).clip(*valid.shape).slices] = False
    s2 = changed(s2, valid=valid)
    given_cells = s3.read().data.copy()
    given_cells[2, 1, 2:4] = np.nan
    s3 = changed(s3, given_cells)
    options = {"psf": PSF(sigma), "shift": shift}
    try:
        whole = run(method, s2, s3, tile=1000, **options)
    except DataError:  # the hole leaves too few cells
        return
    np.testing.assert_allclose(
        run(method, s2, s3, tile=tile, **options).data,
        whole.data,
        rtol=0,
        atol=1e-5,
        equal_nan=True,
    )


@pytest.mark.parametrize("method", OPTIONS)
def test_holes_pass_through_and_harm_nothing_around(method):
    s2, s3, truth = pair()
    valid, seen, cells = s2.read().valid.copy(), s2.read().data.copy(), s3.read().data.copy()
    valid[21:34, 40:52] = False
    seen[:, ~valid] = np.float32(1e30)  # what is not valid may hold anything
    cells[:, 2, 3], cells[1, 8, 8] = np.nan, np.nan
    fused = run(method, changed(s2, seen, valid), changed(s3, cells))
    expected = np.broadcast_to(valid, fused.shape).copy()
    expected[:, 10:15, 15:20] = expected[1, 40:45, 40:45] = False
    np.testing.assert_array_equal(np.isfinite(fused.data), expected)
    before = np.abs(run(method, s2, s3).data - truth)
    after = np.abs(fused.data - truth)
    assert after[expected].max() < 2 * before.max()
    assert after[expected].mean() < 1.2 * before.mean()


@pytest.mark.parametrize("method", OPTIONS)
def test_displaced_cells_are_used_where_they_lie(method):
    s2, s3, truth = pair(80, 100, change=0.1)
    shift = (1.7, -2.3)
    moved = pair(80, 100, change=0.1, shift=shift)[1]

    def error(cells, **options):
        return np.abs(run(method, s2, cells, **options).data - truth)[:, 10:-10, 10:-10].mean()

    assert error(moved, shift=shift) < 1.3 * error(s3)
    assert error(moved) > 2 * error(s3)


@pytest.mark.parametrize("method", OPTIONS)
def test_the_psf_of_the_scene_counts(method):
    wide = PSF(0.8)
    s2, s3, truth = pair(80, 100, psf=wide, change=0.1)
    right = np.abs(run(method, s2, s3, psf=wide).data - truth).mean()
    wrong = np.abs(run(method, s2, s3, psf=PSF(0.4)).data - truth).mean()
    assert right < 0.5 * wrong


def test_against_formulas_written_out():
    s2, s3, _ = pair()
    sharp, coarse = s2.read().data.astype(float), s3.read().data.astype(float)
    seen, up = degrade(sharp, 5), upsample(coarse, 5)
    matrix, offset = dense_regression(seen, coarse)

    def synthetic(image):
        return np.tensordot(matrix, image, 1) + offset[:, None, None]

    detail, low = synthetic(sharp), synthetic(seen)
    modulated = up * detail / upsample(low, 5)
    for method in (Sfim(ridge=0.0, floor=1e-6), MtfGlpHs(ridge=0.0, gain="hpm", floor=1e-6)):
        np.testing.assert_allclose(run(method, s2, s3).data, modulated, atol=1e-5)

    mix, constant = dense_regression(coarse, low)
    intensity = np.tensordot(mix, coarse, 1) + constant[:, None, None]
    for method, view in ((MtfGlpHs(ridge=0.0), low), (Gsa(ridge=0.0), intensity)):
        expected = np.empty_like(up)
        for k in range(len(LR)):
            table = np.cov(coarse[k].ravel(), view[k].ravel())
            gain = table[0, 1] / table[1, 1]
            expected[k] = up[k] + gain * (detail[k] - upsample(view[k], 5))
        np.testing.assert_allclose(run(method, s2, s3).data, expected, atol=2e-5)


def brute_maps(seen, coarse, centre, sigma, ridge, without=None):
    """Weighted ridge regression around one cell, on mirrored copies of the image."""
    scale = seen.std(axis=(1, 2))
    x = np.moveaxis(seen / scale[:, None, None], 0, -1)
    matrix, offset = dense_regression(seen, coarse)
    left = np.moveaxis(coarse - np.tensordot(matrix, seen, 1) - offset[:, None, None], 0, -1)
    reach = int(np.ceil(4 * sigma))
    along = []
    for at, n in zip(centre, coarse.shape[1:], strict=True):
        weights = np.zeros(n)
        taps = np.arange(-reach, reach + 1)
        kernel = np.exp(-0.5 * (taps / sigma) ** 2)
        for tap, value in zip(taps + at, kernel / kernel.sum(), strict=True):
            while not 0 <= tap < n:
                tap = -tap - 1 if tap < 0 else 2 * n - 1 - tap
            weights[tap] += value
        along.append(weights)
    w = np.outer(*along)
    if without is not None:
        w[without] = 0
    w, x, left = w.ravel(), x.reshape(-1, len(seen)), left.reshape(-1, len(coarse))
    # The full normal equations with a constant that carries no penalty.
    design = np.column_stack([x, np.ones(len(x))])
    penalty = np.diag([ridge] * len(seen) + [0.0])
    found = np.linalg.solve(
        design.T @ (w[:, None] * design) + penalty, design.T @ (w[:, None] * left)
    )
    return matrix + found[:-1].T / scale, offset + found[-1], design, left, found


def test_local_regression_against_windows_solved_one_by_one():
    s2, s3, _ = pair(40, 55)
    sharp, coarse = s2.read().data.astype(float), s3.read().data.astype(float)
    seen, (h, w) = degrade(sharp, 5), coarse.shape[1:]
    solved = [[brute_maps(seen, coarse, (i, j), 1.5, 0.01)[:2] for j in range(w)] for i in range(h)]
    matrix = np.array([[m for m, _ in row] for row in solved]).transpose(2, 3, 0, 1)
    offset = np.array([[o for _, o in row] for row in solved]).transpose(2, 0, 1)
    at_pixels = upsample(matrix, 5)
    detail = sharp - upsample(seen, 5)
    options = {"window": 1.5, "ridge": 0.01, "scene_ridge": 0.0}
    np.testing.assert_allclose(
        run(LocalRegression(**options), s2, s3).data,
        upsample(coarse, 5) + np.einsum("klyx,lyx->kyx", at_pixels, detail),
        atol=2e-5,
    )
    np.testing.assert_allclose(
        run(LocalRegression(**options, residual=False), s2, s3).data,
        upsample(offset, 5) + np.einsum("klyx,lyx->kyx", at_pixels, sharp),
        atol=2e-5,
    )


def test_the_ridge_is_the_one_that_predicts_cells_left_out(monkeypatch):
    from trifuse.fusion.classical import local_maps as module

    s2, s3, _ = pair(40, 55, change=0.1)
    sharp, coarse = s2.read().data.astype(float), s3.read().data.astype(float)
    coarse += 0.01 * np.random.default_rng(1).standard_normal(coarse.shape)
    seen = degrade(sharp, 5)
    ridges = (1e-3, 1e-2, 0.1, 1.0, 10.0, 100.0)
    errors = np.zeros(len(ridges))
    for n, ridge in enumerate(ridges):
        for at in np.ndindex(*coarse.shape[1:]):
            *_, design, left, found = brute_maps(seen, coarse, at, 2.0, ridge, without=at)
            here = np.ravel_multi_index(at, coarse.shape[1:])
            missed = left[here] - design[here] @ found
            errors[n] += (missed**2 / coarse.var(axis=(1, 2))).sum()
    assert 0 < errors.argmin() < len(ridges) - 1, "the test would show nothing"
    monkeypatch.setattr(module, "STRENGTHS", ridges)
    monkeypatch.setattr(module, "STRIP", 22)  # two rows at a time
    given_cells = changed(s3, coarse)
    chosen = run(LocalRegression(window=2.0, scene_ridge=0.0), s2, given_cells)
    best = LocalRegression(window=2.0, ridge=ridges[errors.argmin()], scene_ridge=0.0)
    np.testing.assert_array_equal(chosen.data, run(best, s2, given_cells).data)


def test_what_equals_the_regression():
    s2, s3, _ = pair()
    expected = run(Regression(ridge=0.0), s2, s3).data
    same = [MtfGlpHs(ridge=0.0), LocalRegression(ridge=np.inf, scene_ridge=0.0)]
    for method in same:
        np.testing.assert_allclose(run(method, s2, s3).data, expected, atol=1e-5)
    np.testing.assert_array_equal(run(Sfim(), s2, s3).data, run(MtfGlpHs(gain="hpm"), s2, s3).data)


def test_a_map_that_changes_over_the_scene_is_followed():
    s2, s3, truth = pair(160, 200)
    error = {m: np.abs(run(m, s2, s3).data - truth).mean() for m in ("regression", *NAMES)}
    assert error["local-regression"] < 0.6 * error["regression"]


@pytest.mark.parametrize("method", [Sfim(), MtfGlpHs(gain="hpm")])
def test_quotients_of_dark_bands_stay_bounded(method):
    s2, s3, _ = pair()
    dark = s3.read().data.copy()
    dark -= np.median(dark, axis=(1, 2), keepdims=True)  # half of the cells below zero
    fused = run(method, s2, changed(s3, dark)).data
    additive = run("mtf-glp-hs", s2, changed(s3, dark)).data
    assert np.abs(fused).max() < 3 * np.abs(additive).max()


@pytest.fixture(scope="module")
def landscape():
    return scene_views(MemorySource(procedural_scene(size=110, seed=7)), ratio=10)


@pytest.mark.parametrize("name", NAMES)
def test_far_better_than_bicubic_on_a_landscape(landscape, name):
    hrmsi, lrhsi, hrhsi = landscape
    images = MemorySource(hrmsi), MemorySource(lrhsi)
    plain, fused = (psnr(hrhsi.data, run(m, *images).data) for m in ("bicubic", name))
    assert fused > plain + 20


def test_bad_options_and_too_little_ground_are_one_line():
    for make in (
        lambda: MtfGlpHs(gain="local"),
        lambda: MtfGlpHs(floor=0),
        lambda: Sfim(floor=-1),
        lambda: LocalRegression(window=0),
        lambda: LocalRegression(ridge=0),
        lambda: LocalRegression(ridge="gcv"),
    ):
        with pytest.raises(ConfigError):
            make()
    s2, s3, _ = pair(10, 10)
    with pytest.raises(DataError, match=r"4 coarse pixels .* needs 5"):
        run("gsa", s2, s3)
    for name in set(NAMES) - {"gsa"}:
        assert np.isfinite(run(name, s2, s3).data).all()


@pytest.mark.parametrize("method", OPTIONS)
def test_what_is_prepared_travels_to_workers(method):
    s2, s3, _ = pair()
    scene = Scene(s2, s3, HR.names, LR.names, PSF.from_mtf())
    prepared, window = method.prepare(scene, Runtime("cpu")), Window(3, 7, 20, 30)
    sharp = scene.read_filled(window)[0]
    again = pickle.loads(pickle.dumps(prepared))
    np.testing.assert_array_equal(again(window, sharp), prepared(window, sharp))
