"""Fusion of whole scenes: tiles, holes, grids, bands, self-check, memory."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import regression_fit
from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    GridError,
    MemorySource,
    OverlapError,
    WeightsError,
    Window,
    degrade,
    upsample,
)
from trifuse.fusformer import Card, Fusformer, FusformerConfig, build_model, save_weights
from trifuse.fusion import Network, Regression, fuse, fuse_cube, fuse_target, get_method, plan_tiles

HR = BandSet.of(["B2", "B4", "B8A"], [490, 665, 865], [66, 31, 21])
LR = BandSet.of(["Oa04", "Oa08", "S2", "Oa17"], [490, 665, 659, 865], [10, 10, 20, 20])
FINITE = ["dwconv", "window", "none"]


def field(height, width, seed=0):
    """Smooth and rough texture, reflectance 0.05–0.5."""
    rng = np.random.default_rng(seed)
    image = rng.random((height, width))
    coarse = upsample(rng.random((height // 10 + 2, width // 10 + 2)), 10)[:height, :width]
    return (0.05 + 0.1 * image + 0.3 * coarse.clip(0, 1)).astype(np.float32)


def pair(height=120, width=180, ratio=10, seed=0):
    """S2 and S3 of one truth that is a linear map of S2."""
    s2 = np.stack([field(height, width, seed + i) for i in range(len(HR))])
    weights = np.random.default_rng(9).random((len(LR), len(HR))).astype(np.float32)
    truth = np.einsum("kl,lyx->kyx", weights / weights.sum(1, keepdims=True), s2) + 0.01
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, height, width)
    return (
        MemorySource(Cube(s2, np.ones(grid.shape, bool), HR, grid), "s2"),
        MemorySource(
            Cube(
                degrade(truth, ratio),
                np.ones((height // ratio, width // ratio), bool),
                LR,
                grid.zoom_out(ratio),
            ),
            "s3",
        ),
        truth,
    )


def holes(source, *windows, band=None):
    """The same source with missing pixels: marked, or NaN in one band."""
    cube = source.read()
    data, valid = cube.data.copy(), cube.valid.copy()
    for window in windows:
        rows, cols = window.slices
        if band is None:
            valid[rows, cols] = False
            data[:, rows, cols] = np.float32(1e30)  # what is not valid may hold anything
        else:
            data[band, rows, cols] = np.nan
    return MemorySource(replace(cube, data=data, valid=valid), source.name)


def network(mixer="dwconv", skip="prior", **changes):
    torch.manual_seed(3)
    config = FusformerConfig(
        len(HR), len(LR), width=12, encoder=1, decoder=1, mixer=mixer, skip=skip, window=6
    )
    model = build_model(replace(config, **changes))
    torch.nn.init.normal_(model.head[2].weight, std=0.05)
    return Network(model, Card(model.config, HR, LR))


def whole(s2, s3, method):
    return fuse_cube(s2, s3, method=method, tile=10_000, device="cpu")[0]


@pytest.mark.parametrize("mixer", FINITE)
def test_mosaic_equals_the_whole_image(mixer):
    s2, s3, _ = pair(130, 410)
    s2 = holes(s2, Window(60, 100, 9, 14), Window(0, 0, 3, 3), Window(90, 140, 25, 70))
    s2 = holes(s2, Window(98, 55, 3, 3), band=1)
    s3 = holes(s3, Window(4, 12, 2, 3))
    method = network(mixer, "bicubic" if mixer == "none" else "prior")
    expected = whole(s2, s3, method)
    assert np.nanmax(np.abs(expected.data)) < 2
    for tile in (64, 96, 150, 400):
        cube, result = fuse_cube(s2, s3, method=method, tile=tile, device="cpu")
        assert len(result.plan) > 1
        np.testing.assert_array_equal(cube.valid, expected.valid)
        np.testing.assert_allclose(cube.data, expected.data, rtol=0, atol=1e-5, equal_nan=True)


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(4, 11), st.integers(4, 11)),
    ratio=st.integers(2, 9),
    tile=st.integers(1, 90),
    hole=st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2),
    mixer=st.sampled_from(FINITE),
)
def test_mosaic_of_any_tiles_equals_the_whole_image(size, ratio, tile, hole, mixer):
    s2, s3, _ = pair(size[0] * ratio, size[1] * ratio, ratio)
    s2 = holes(s2, Window(*hole).clip(*s2.grid.shape))
    method = network(mixer, "bicubic", kernel=3)
    cube, _ = fuse_cube(s2, s3, method=method, tile=tile, device="cpu")
    expected = whole(s2, s3, method)
    np.testing.assert_allclose(cube.data, expected.data, rtol=0, atol=1e-5, equal_nan=True)


@pytest.mark.parametrize("method", ["bicubic", "regression"])
def test_classical_mosaic_equals_the_whole_image(method):
    s2, s3, _ = pair()
    s2, s3 = holes(s2, Window(50, 60, 20, 20)), holes(s3, Window(2, 3, 2, 2))
    cube, _ = fuse_cube(s2, s3, method=method, tile=37, device="cpu")
    expected = whole(s2, s3, method)
    np.testing.assert_array_equal(cube.valid, expected.valid)
    np.testing.assert_allclose(cube.data, expected.data, rtol=0, atol=1e-6, equal_nan=True)


def test_untrained_network_on_the_prior_is_the_regression():
    s2, s3, _ = pair()
    model = build_model(FusformerConfig(len(HR), len(LR), skip="prior"))
    cube, _ = fuse_cube(s2, s3, method=Network(model, Card(model.config, HR, LR)), device="cpu")
    np.testing.assert_allclose(cube.data, whole(s2, s3, "regression").data, rtol=0, atol=1e-6)


def test_regression_finds_a_linear_truth_and_beats_bicubic():
    s2, s3, truth = pair()
    regression, checked = fuse_cube(s2, s3, method=Regression(ridge=1e-8), device="cpu")
    bicubic, plain = fuse_cube(s2, s3, method="bicubic", device="cpu")
    assert np.abs(regression.data - truth).max() < 1e-3
    np.testing.assert_allclose(bicubic.data, upsample(s3.read().data, 10), atol=1e-6)
    assert np.abs(bicubic.data - truth).mean() > 20 * np.abs(regression.data - truth).mean()
    assert checked.selfcheck.rmse < 1e-3 < plain.selfcheck.rmse


def test_selfcheck_is_the_degraded_result_against_s3():
    s2, s3, _ = pair(150, 130)
    psf = PSF.from_fwhm(1.0)
    cube, result = fuse_cube(s2, s3, method="bicubic", tile=64, psf=psf, device="cpu")
    observed, seen = s3.read().data, degrade(cube.data, 10, psf)
    check = result.selfcheck
    assert (check.cells, check.of) == (15 * 13, 15 * 13)
    assert check.rmse == pytest.approx(np.sqrt(np.mean((observed - seen) ** 2)), rel=1e-4)
    distance = np.linalg.norm(observed - seen, axis=0).mean()
    assert check.euclidean == pytest.approx(distance, rel=1e-4)
    angle = (observed * seen).sum(0) / np.linalg.norm(observed, axis=0)
    assert check.cosine == pytest.approx((angle / np.linalg.norm(seen, axis=0)).mean(), abs=1e-6)
    assert 0 < check.ssim < 1


def test_selfcheck_leaves_out_cells_that_saw_missing_ground():
    s2, s3, _ = pair(200, 200)
    _, result = fuse_cube(
        holes(s2, Window(100, 100, 10, 10)), s3, method=Regression(ridge=1e-8), device="cpu"
    )
    check = result.selfcheck
    assert 400 - 9 <= check.cells < 400 == check.of
    assert check.rmse < 1e-3


def test_holes_pass_through_and_reach_no_further():
    s2, s3, _ = pair(50, 60)
    hole, cloud = Window(30, 40, 7, 5), Window(1, 2, 1, 2)
    for method in (network("dwconv"), network("global"), network("channel"), "bicubic"):
        cube, _ = fuse_cube(holes(s2, hole), holes(s3, cloud), method=method, device="cpu")
        expected = np.ones(cube.valid.shape, bool)
        expected[30:37, 40:45] = False
        expected[10:20, 20:40] = False
        np.testing.assert_array_equal(cube.valid, expected)
        np.testing.assert_array_equal(np.isnan(cube.data).any(0), ~expected)


def test_one_missing_band_of_s3():
    """Band-wise methods lose this band there, a network, which mixes bands, the cell."""
    s2, s3, _ = pair()
    s3 = holes(s3, Window(2, 3, 1, 1), band=2)
    gap = np.zeros((120, 180), bool)
    gap[20:30, 30:40] = True
    for method in ("bicubic", "regression"):
        cube = whole(s2, s3, method)
        assert cube.valid.all()
        np.testing.assert_array_equal(np.isnan(cube.data[2]), gap)
        assert not np.isnan(cube.data[[0, 1, 3]]).any()
    np.testing.assert_array_equal(whole(s2, s3, network()).valid, ~gap)


def test_values_of_missing_pixels_do_not_matter():
    s2, s3, _ = pair()
    window = Window(30, 40, 20, 30)
    one = holes(s2, window)
    other = holes(holes(s2, window, band=0), window)
    a, b = whole(one, s3, network()), whole(other, s3, network())
    np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("ratio", [2, 3, 5, 15, 30])
def test_any_ratio(ratio):
    s2, s3, _ = pair(90, 120, ratio=ratio)
    for method in ("bicubic", "regression", network()):
        cube, result = fuse_cube(s2, s3, method=method, tile=64, device="cpu")
        assert cube.valid.all() and result.ratio == ratio
        assert (cube.grid, cube.bands) == (s2.grid, LR)


def test_shared_ground_of_images_that_overlap_in_part():
    s2, s3, truth = pair()
    east, south = Window(7, 13, 113, 167), Window(0, 0, 11, 18)
    part = MemorySource(s2.read(east), "s2")
    method = Regression(ridge=1e-8)
    grid, bands, ratio = fuse_target(part, s3, method=method)
    cube, result = fuse_cube(part, MemorySource(s3.read(south)), method=method, device="cpu")
    assert (cube.grid.height, cube.grid.width, result.ratio) == (100, 160, 10)
    assert cube.grid == s2.grid.window(Window(10, 20, 100, 160))
    assert (grid.height, bands, ratio) == (110, LR, 10)
    assert np.abs(cube.data - truth[:, 10:110, 20:180])[:, 40:-40, 40:-40].max() < 4e-3


def test_paper_preset_blends():
    s2, s3, _ = pair(200, 300)
    exact = network("dwconv")
    cube, paper = fuse_cube(s2, s3, method=exact, preset="paper", device="cpu")
    for plan in (paper.plan, plan_tiles(200, 300, network("global"))):
        assert (plan.tile, plan.overlap, plan.blend, len(plan)) == (150, 20, "linear", 6)
    expected = whole(s2, s3, exact).data
    assert 1e-3 < np.abs(cube.data - expected).max() < 0.05  # the seams that a halo avoids
    np.testing.assert_allclose(cube.data[:, :120, :120], expected[:, :120, :120], atol=1e-5)


def test_sink_gets_disjoint_windows_in_order_from_one_thread():
    s2, s3, _ = pair(60, 90)
    seen, threads = np.zeros((60, 90), int), set()

    def sink(window, data, valid):
        assert data.shape == (len(LR), *window.shape) and valid.shape == window.shape
        assert data.dtype == np.float32 and valid.dtype == bool
        seen[window.slices] += 1
        threads.add(threading.get_ident())

    for method, options in ((network(), {"tile": 32}), (network("global"), {"tile": 40})):
        seen[:] = 0
        threads.clear()
        fuse(s2, s3, sink, method=method, device="cpu", **options)
        assert (seen == 1).all()
        assert len(threads) == 1


def test_errors_of_the_sink_and_the_source_come_through():
    s2, s3, _ = pair()

    def broken(*_):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fuse(s2, s3, broken, method="bicubic", tile=32)

    class Damaged(MemorySource):
        def read(self, window=None, bands=None):
            raise DataError("damaged block")

    with pytest.raises(DataError, match="damaged block"):
        fuse_cube(Damaged(s2.read()), s3, method="bicubic")


def test_large_images_are_read_in_small_windows():
    s2, s3, _ = pair(300, 400)
    largest = 0

    class Counting(MemorySource):
        def read(self, window=None, bands=None):
            nonlocal largest
            largest = max(largest, window.height * window.width)
            return super().read(window, bands)

    fuse_cube(Counting(s2.read()), s3, method=network(kernel=3, skip="bicubic"), tile=64)
    assert largest <= 64 * 64


def test_tiles_keep_halo_and_alignment():
    method = network("window")
    plan = plan_tiles(500, 700, method, tile=100)
    assert plan.overlap == 2 * method.halo and plan.tile <= 100
    assert all(t.read.row % 6 == 0 and t.read.col % 6 == 0 for t in plan)
    assert plan_tiles(500, 700, method, tile=5).tile == 2 * method.halo + 6
    assert plan_tiles(500, 700, network(), tile=64, overlap=8).blend == "linear"


def test_wider_images_lend_the_bands_of_the_card():
    s2, s3, _ = pair()
    cube = s3.read()
    order = [3, 1, 0, 2]
    wide = Cube(
        np.concatenate([np.full_like(cube.data[:1], 7), cube.data[order]]),
        cube.valid,
        BandSet.of(["Oa01", *(LR.names[i] for i in order)]),
        cube.grid,
    )
    shuffled, _ = fuse_cube(s2, MemorySource(wide), method=network(), device="cpu")
    assert shuffled.bands.names == LR.names
    np.testing.assert_array_equal(shuffled.data, whole(s2, s3, network()).data)
    with pytest.raises(WeightsError, match="bands Oa08, S2"):
        fuse_cube(s2, MemorySource(cube.select(["Oa04", "Oa17"])), method=network())


def test_bfloat16_is_close_and_stays_float32_outside():
    s2, s3, _ = pair()
    cube, _ = fuse_cube(s2, s3, method=network(), device="cpu", precision="bf16")
    expected = whole(s2, s3, network()).data
    assert cube.data.dtype == np.float32
    assert 0 < np.abs(cube.data - expected).max() < 0.02


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_equals_cpu():
    s2, s3, _ = pair()
    cube, _ = fuse_cube(s2, s3, method=network(), tile=64, device="cuda")
    np.testing.assert_allclose(cube.data, whole(s2, s3, network()).data, rtol=0, atol=1e-5)


def test_bad_input_is_one_line():
    s2, s3, _ = pair()
    cube = s3.read()
    west, north = 700_000, 5_800_000

    def moved(crs, west):
        grid = Grid.from_origin(crs, west, north, 100, *cube.grid.shape)
        return MemorySource(replace(cube, grid=grid), "s3")

    with pytest.raises(OverlapError):
        fuse_cube(s2, moved("EPSG:32633", west))
    with pytest.raises(GridError, match="coordinate systems differ"):
        fuse_cube(s2, moved("EPSG:32632", 600_000))
    with pytest.raises(GridError, match="no whole number of pixels"):
        fuse_cube(s2, moved("EPSG:32633", 600_003))
    empty = replace(cube, valid=np.zeros_like(cube.valid))
    with pytest.raises(DataError, match="no valid pixel"):
        fuse_cube(s2, MemorySource(empty))
    with pytest.raises(ConfigError, match="precision '8'"):
        fuse_cube(s2, s3, precision="8")
    with pytest.raises(ConfigError, match="needs CUDA"):
        fuse_cube(s2, s3, device="cpu", precision="16")
    with pytest.raises(ConfigError, match="no device 'cuda:99'"):
        fuse_cube(s2, s3, device="cuda:99")
    with pytest.raises(ConfigError, match="device 'meta' is not supported"):
        fuse_cube(s2, s3, device="meta")
    with pytest.raises(ConfigError, match="unknown device 'gpu'"):
        fuse_cube(s2, s3, device="gpu")
    for options in (
        {"preset": "huge"},
        {"preset": "paper", "tile": 64},
        {"tile": 0},
        {"tile": 20, "overlap": 20},
    ):
        with pytest.raises(ConfigError):
            fuse_cube(s2, s3, **options)
    with pytest.raises(ConfigError, match="unknown method 'magic'"):
        fuse_cube(s2, s3, method="magic")


def test_no_valid_sharp_pixel():
    s2, s3, _ = pair()
    nothing = holes(s2, s2.grid.whole)
    with pytest.raises(DataError):
        fuse_cube(nothing, s3, method="regression", device="cpu")


def test_methods_by_name(tmp_path):
    method = network()
    save_weights(tmp_path / "w.safetensors", method.model, method.card)
    loaded = get_method("network", tmp_path / "w.safetensors")
    assert isinstance(loaded, Network) and isinstance(loaded.model, Fusformer)
    assert get_method("regression", residual=False) == Regression(residual=False)
    with pytest.raises(ConfigError, match="without weights"):
        get_method("network")
    with pytest.raises(ConfigError, match="takes no weights"):
        get_method("bicubic", tmp_path / "w.safetensors")
    unknown = Network(method.model, replace(method.card, prior="oracle"))
    s2, s3, _ = pair()
    with pytest.raises(WeightsError, match="'oracle', an unknown prior"):
        fuse_cube(s2, s3, method=unknown)


def test_regression_is_that_of_align():
    s2, s3, _ = pair()
    s2 = holes(s2, Window(30, 40, 27, 15))
    s3 = holes(s3, Window(3, 8, 1, 2))
    psf = PSF.from_fwhm(1.2)
    cube, _ = fuse_cube(s2, s3, method="regression", tile=50, psf=psf, device="cpu")
    expected = regression_fit(s2, s3, psf=psf).predict()
    np.testing.assert_allclose(cube.data, expected, rtol=0, atol=1e-5, equal_nan=True)
