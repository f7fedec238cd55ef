"""Observation errors: what they must leave alone, and how strong they are."""

from dataclasses import replace

import numpy as np
import pytest

from trifuse.core import PSF, BandSet, ConfigError, Cube, DataError, Grid, degrade, upsample
from trifuse.core.native import native_axis, native_view
from trifuse.simulate import scene_views
from trifuse.simulate.observation import (
    CLEAN,
    PROTOCOLS,
    REAL_WORLD,
    CoarseErrors,
    ObservationErrors,
    SharpErrors,
    cloud_mask,
    displace,
    native_ratios,
    observe,
)
from trifuse.srf_data import S2_L2A

RATIO = 10


@pytest.fixture(scope="module")
def views(make_scene):
    return scene_views(make_scene(height=60, width=90), ratio=RATIO)


def only(sharp=None, coarse=None):
    """One error, everything else clean."""
    return replace(
        CLEAN,
        sharp=replace(CLEAN.sharp, **(sharp or {})),
        coarse=replace(CLEAN.coarse, **(coarse or {})),
    )


def bytes_of(seen):
    return [c.data.tobytes() + c.valid.tobytes() for c in (seen.hrmsi, seen.lrhsi, seen.sharp)]


def test_without_errors_it_is_the_clean_triplet(views):
    hrmsi, lrhsi, hrhsi = views
    seen = observe(hrmsi, hrhsi, RATIO, CLEAN, seed=7)
    for found, wanted in ((seen.hrmsi, hrmsi), (seen.lrhsi, lrhsi), (seen.truth, hrhsi)):
        assert np.array_equal(found.masked(), wanted.masked(), equal_nan=True)
        assert np.array_equal(found.valid, wanted.valid) and found.grid == wanted.grid
        assert found.bands == wanted.bands
    assert set(seen.hrmsi.meta["native_gsd"].values()) == {30.0}
    assert set(seen.hrmsi.meta["noise"].values()) == {0.0}
    assert np.array_equal(seen.sharp.masked(), hrmsi.masked(), equal_nan=True)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_same_seed_same_bytes(views, name):
    hrmsi, _, hrhsi = views
    first, again = (observe(hrmsi, hrhsi, RATIO, PROTOCOLS[name], seed=3) for _ in range(2))
    assert bytes_of(first) == bytes_of(again)
    other = observe(hrmsi, hrhsi, RATIO, PROTOCOLS[name], seed=4)
    silent = name in ("clean", "sharp-as-blurred")
    assert (bytes_of(first) == bytes_of(other)) == silent


def test_errors_do_not_disturb_each_other(views):
    hrmsi, _, hrhsi = views
    whole = observe(hrmsi, hrhsi, RATIO, REAL_WORLD, seed=5)
    for name in ("native-noise", "mtf20", "noise-double", "cloudy"):
        other = observe(hrmsi, hrhsi, RATIO, PROTOCOLS[name], seed=5)
        assert other.drawn.shift == whole.drawn.shift and other.drawn.width == whole.drawn.width
        assert np.array_equal(other.sharp.data, whole.sharp.data, equal_nan=True)
        clear = np.isfinite(other.lrhsi.data)
        assert np.array_equal(other.lrhsi.data[clear], whole.lrhsi.data[clear])
    told = observe(hrmsi, hrhsi, RATIO, PROTOCOLS["noise-half"], seed=5)
    assert bytes_of(told) == bytes_of(whole)
    assert told.hrmsi.meta["noise"]["B2"] == whole.hrmsi.meta["noise"]["B2"] / 2


def test_the_draws_have_the_strength_that_is_given():
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 120, 120)
    flat = np.full((12, 120, 120), 0.25, np.float32)
    s2 = Cube(flat, np.ones(grid.shape, bool), BandSet.of(S2_L2A), grid)
    s3 = Cube(flat[:3], s2.valid, BandSet.of(["Oa03", "Oa04", "Oa05"]), grid)
    seen = [observe(s2, s3, RATIO, REAL_WORLD, seed) for seed in range(40)]
    drawn = [s.drawn for s in seen]
    assert np.std([d.gain for d in drawn]) == pytest.approx(0.02, rel=0.12)
    assert np.std([d.offset for d in drawn]) == pytest.approx(0.003, rel=0.12)
    shifts, widths = np.array([d.shift for d in drawn]), np.array([d.width for d in drawn])
    assert 4 < abs(shifts).max() <= 5 and 0.15 < abs(widths - 1).max() <= 0.2
    one = seen[0]
    expected = 0.25 * one.drawn.gain + one.drawn.offset
    np.testing.assert_allclose(one.hrmsi.data.mean(axis=(1, 2)), expected, atol=1e-4)
    np.testing.assert_allclose(one.hrmsi.data.std(axis=(1, 2)), 0.003, rtol=0.03)
    assert (one.lrhsi.data - 0.25).std() == pytest.approx(0.001, rel=0.1)
    native = observe(s2, s3, RATIO, PROTOCOLS["native-noise"], 0).hrmsi
    spread = dict(zip(native.bands.names, native.data.std(axis=(1, 2)), strict=True))
    assert spread["B2"] == pytest.approx(0.003, rel=0.03)
    assert 0.0018 < spread["B5"] < 0.003 and 0.0018 < spread["B9"] < 0.003


def test_what_is_told_is_in_the_metadata(views):
    hrmsi, _, hrhsi = views
    meta = observe(hrmsi, hrhsi, RATIO, PROTOCOLS["mtf20"]).hrmsi.meta
    assert meta["native_gsd"]["B2"] == 30 and meta["native_gsd"]["B11"] == 60
    assert meta["native_gsd"]["B9"] == 180 and meta["native_mtf"]["B9"] == 0.3
    coarse = observe(hrmsi, hrhsi, RATIO, REAL_WORLD).lrhsi.meta
    assert set(coarse["noise"].values()) == {0.001}
    trap = observe(hrmsi, hrhsi, RATIO, PROTOCOLS["sharp-as-blurred"]).hrmsi
    assert trap.meta["native_gsd"]["B9"] == 180
    assert np.array_equal(trap.masked(), hrmsi.masked(), equal_nan=True)


def test_constants_stay_constant_and_sharp_bands_as_they_are():
    ratios = native_ratios(S2_L2A)
    assert ratios == (6, 1, 1, 1, 2, 2, 2, 1, 2, 6, 2, 2)
    flat = np.full((12, 61, 44), 0.37, np.float32)
    np.testing.assert_allclose(native_view(flat, ratios), flat, rtol=1e-6)
    rough = np.random.default_rng(0).random((12, 61, 44), np.float32)
    seen = native_view(rough, ratios)
    same = [np.array_equal(a, b) for a, b in zip(seen, rough, strict=True)]
    assert same == [r == 1 for r in ratios]
    assert all(np.isfinite(plane).all() for plane in seen)


@pytest.mark.parametrize("ratio", [2, 3, 6])
def test_the_native_view_is_the_degraded_image_upsampled(ratio):
    image = np.random.default_rng(1).random((1, 36, 48), np.float32)
    expected = upsample(degrade(image, ratio, PSF.from_mtf(0.2)), ratio)
    np.testing.assert_allclose(native_view(image, [ratio], 0.2), expected, atol=1e-6)
    for matrix in native_axis(37, ratio):
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)


def test_holes_stay_holes_and_do_not_spread():
    image = np.random.default_rng(2).random((2, 36, 36), np.float32)
    image[:, 4:9, 5:7] = np.nan
    seen = native_view(image, (1, 6))
    assert np.array_equal(np.isnan(seen), np.isnan(image))


def test_the_coarse_image_is_displaced_as_drawn(views):
    hrmsi, _, hrhsi = views
    seen = observe(hrmsi, hrhsi, RATIO, only(coarse={"shift": 0.5, "width": 0.2}), seed=1)
    psf = PSF(PSF.from_mtf().sigma * seen.drawn.width)
    expected = degrade(hrhsi.masked(), RATIO, psf, shift=seen.drawn.shift)
    assert np.array_equal(seen.lrhsi.data, expected, equal_nan=True)
    assert seen.psf == PSF.from_mtf()
    bands = (PSF(0.4), PSF(0.5))
    true, _, width = displace(bands, 0.5, 0.2, RATIO, np.random.default_rng(0))
    assert [t.sigma / b.sigma for t, b in zip(true, bands, strict=True)] == [width, width]


def test_clouds_hide_whole_cells_and_the_share_that_is_asked_for(views):
    hrmsi, _, hrhsi = views
    clouds = only(sharp={"clouds": 0.1}, coarse={"clouds": 0.05})
    seen = observe(hrmsi, hrhsi, RATIO, clouds, seed=2)
    hidden = np.isnan(seen.lrhsi.data).all(axis=0)
    before = np.isnan(views[1].data).all(axis=0)
    assert 1 <= (hidden & ~before).sum() <= 3
    assert np.array_equal(np.isnan(seen.lrhsi.data).any(axis=0), hidden | before)
    lost = hrmsi.valid & ~seen.hrmsi.valid
    assert 0.05 < lost.mean() <= 0.1
    assert seen.truth is hrhsi
    mask = cloud_mask((100, 100), 0.2, 8.0, np.random.default_rng(0))
    assert mask.sum() == 2000
    edges = (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()
    assert edges < 800  # blobs, not salt and pepper
    assert not cloud_mask((9, 9), 0.0, 1.0, np.random.default_rng(0)).any()


def test_bad_values_are_refused(views):
    for make in (
        lambda: SharpErrors(mtf=0.0),
        lambda: SharpErrors(noise=-1.0),
        lambda: SharpErrors(noise_at="sky"),
        lambda: CoarseErrors(clouds=1.0),
        lambda: CoarseErrors(shift=float("nan")),
    ):
        with pytest.raises(ConfigError):
            make()
    with pytest.raises(DataError, match="grids"):
        observe(views[0], views[1], RATIO, ObservationErrors())
