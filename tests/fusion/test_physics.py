"""The physics chain: from restoration to result; tiles, holes, residual, uncertainty."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from trifuse.align import register
from trifuse.core import PSF, BandSet, ConfigError, Cube, Grid, MemorySource, Window, degrade
from trifuse.core.resample import blur
from trifuse.core.runtime import Runtime
from trifuse.fusion import fuse_cube, get_method
from trifuse.fusion.physics import Physics, placed
from trifuse.fusion.spectral.residual import residual_weights
from trifuse.fusion.spectral.universal import responses, training_moments
from trifuse.metrics import psnr
from trifuse.simulate import PROTOCOLS, observe
from trifuse.srf_data import S2_L2A, S3_SYN_19

HR, LR = BandSet.of(S2_L2A), BandSet.of(S3_SYN_19)


def views(height=120, width=180, seed=0):
    """Both sensors' sharp views of a scene of edges and texture, spectra of known moments."""
    rng = np.random.default_rng(seed)
    table = training_moments()
    field = blur(rng.standard_normal((24, height, width)), 1.2)
    field /= field.std(axis=(1, 2), keepdims=True)
    parcels = rng.integers(0, 30, (height // 15, width // 15))
    cover = rng.standard_normal((24, 30))[:, np.kron(parcels, np.ones((15, 15), int))]
    factor = table.factor[:, -24:]
    spectra = np.tensordot(factor, 0.7 * cover + 0.2 * field, 1) + table.mean[:, None, None]
    spectra = np.maximum(spectra, 0.005).astype(np.float32)
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, height, width)

    def cube(bands, sensor):
        data = np.tensordot(responses(bands, sensor, table.nm), spectra, 1).astype(np.float32)
        return Cube(data, np.ones(grid.shape, bool), bands, grid, {"sensor": sensor})

    return cube(HR, "S2A_MSI"), cube(LR, "S3A_SYN")


SHARP, TRUTH = views()


def seen(protocol, seed=0):
    return observe(SHARP, TRUTH, 10, PROTOCOLS[protocol], seed)


def fuse(pair, method=None, **options):
    """View, register, fuse, as the flow of the root package does."""
    method = Physics() if method is None else method
    s2, s3 = MemorySource(pair.hrmsi, "s2"), MemorySource(pair.lrhsi, "s3")
    view = method.view(s2, Runtime("cpu"))
    shift, psf = placed(register(view.source, s3, psf=pair.psf), pair.psf)
    return fuse_cube(view, s3, method=method, device="cpu", psf=psf, shift=shift, **options)


def quality(cube, pair):
    return float(psnr(pair.truth.data, cube.data))


class TestChain:
    def test_beats_the_regression_by_far_under_real_errors(self):
        pair = seen("real-world")
        s3 = MemorySource(pair.lrhsi, "s3")
        shift = register(MemorySource(pair.hrmsi, "s2"), s3, psf=pair.psf).shift
        plain, _ = fuse_cube(
            MemorySource(pair.hrmsi, "s2"), s3, method="regression", shift=shift, device="cpu"
        )
        cube, result = fuse(pair)
        assert quality(cube, pair) > quality(plain, pair) + 5
        about = result.about
        assert about["restoration"]["restored"] and not about["restoration"]["warnings"]
        assert np.median(list(about["residual_weight"].values())) < 0.3

    def test_on_clean_data_not_below_the_regression(self):
        pair = seen("clean")
        plain, _ = fuse_cube(MemorySource(pair.hrmsi), MemorySource(pair.lrhsi), device="cpu")
        cube, result = fuse(pair)
        assert quality(cube, pair) > quality(plain, pair) - 0.3
        assert not result.about["restoration"]["restored"]

    def test_sharp_bands_that_are_called_blurred_are_left_alone(self, caplog):
        pair = seen("sharp-as-blurred")
        cube, result = fuse(pair)
        assert result.about["restoration"]["warnings"] and "as sharp as the pixels" in caplog.text
        clean, _ = fuse(seen("clean"))
        np.testing.assert_allclose(cube.data, clean.data, atol=1e-4)

    def test_noise_that_is_told_wrongly_is_found_out(self):
        right, _ = fuse(seen("real-world"))
        wrong, result = fuse(seen("noise-double"))
        found = list(result.about["restoration"]["noise"].values())
        np.testing.assert_allclose(found, 0.003, rtol=0.1)
        assert np.abs(wrong.data - right.data).max() < 2e-3

    def test_sharpness_can_be_given(self):
        pair = seen("real-world")
        bare = replace(pair, hrmsi=replace(pair.hrmsi, meta={"sensor": "S2A_MSI"}))
        told, _ = fuse(pair)
        given, _ = fuse(bare, Physics(sharpness="1:2:6", s2_noise=0.003))
        np.testing.assert_allclose(given.data, told.data, atol=1e-6)
        as_it_is, result = fuse(pair, Physics(sharpness="sharp"))
        assert not result.about["restoration"]["restored"]
        assert quality(as_it_is, pair) < quality(told, pair) - 2
        for wrong in ("1:2", "6:2:1", "sharpish"):
            with pytest.raises(ConfigError, match="sharpness"):
                Physics(sharpness=wrong)
        other = replace(bare.hrmsi, bands=BandSet.of([f"x{i}" for i in range(12)]))
        with pytest.raises(ConfigError, match="name bands as Sentinel-2's"):
            Physics(sharpness="1:2:6").view(MemorySource(other), Runtime("cpu"))

    def test_tiles_change_nothing(self):
        pair = seen("real-world", 1)
        s2 = pair.hrmsi
        valid = s2.valid.copy()
        valid[70:95, 100:140] = False
        data = s2.data.copy()
        data[:, ~valid] = np.nan
        s3 = pair.lrhsi.data.copy()
        s3[:, 3, 5] = np.nan
        s3[4, 9, 6] = np.nan
        holed = replace(
            pair, hrmsi=replace(s2, data=data, valid=valid), lrhsi=replace(pair.lrhsi, data=s3)
        )
        whole, _ = fuse(holed, tile=1000)
        assert np.isnan(whole.data[:, ~valid]).all()
        lost = np.isnan(whole.data).sum(axis=(1, 2))
        assert lost[4] == lost[0] + 100
        for tile in (64, 100):
            cube, _ = fuse(holed, tile=tile)
            np.testing.assert_array_equal(cube.valid, whole.valid)
            np.testing.assert_allclose(cube.data, whole.data, rtol=0, atol=1e-5, equal_nan=True)

    def test_few_bands_few_cells_and_any_ratio(self):
        some = BandSet.of(["B2", "B4", "B8", "B11"])
        sharp = SHARP.select(some.names).crop(Window(0, 0, 60, 60))
        truth = TRUTH.select(["Oa17", "Oa08", "S5"]).crop(Window(0, 0, 60, 60))
        for ratio in (5, 30, 60):
            pair = observe(sharp, truth, ratio, PROTOCOLS["real-world"], 2)
            cube, _ = fuse(pair)
            assert cube.valid.all() and cube.bands.names == ("Oa17", "Oa08", "S5")
            bicubic, _ = fuse_cube(
                MemorySource(pair.hrmsi), MemorySource(pair.lrhsi), method="bicubic", device="cpu"
            )
            assert quality(cube, pair) > quality(bicubic, pair) + 3

    def test_goes_to_other_processes(self):
        pair = seen("real-world")
        view = Physics().view(MemorySource(pair.hrmsi), Runtime("cpu"))
        window = Window(30, 40, 50, 60)
        again = pickle.loads(pickle.dumps(view))
        assert again.source is again.restoration, "the image travels once"
        here, there = view.source.read(window), again.source.read(window)
        np.testing.assert_array_equal(here.data, there.data)
        assert again.record == view.record and view.restored

    def test_is_a_prior_and_a_method_by_name(self):
        assert get_method("physics", s3_noise=0.001) == Physics(s3_noise=0.001)
        with pytest.raises(ConfigError, match="s3_noise"):
            Physics(s3_noise=-1.0)
        pair = seen("clean")
        method = Physics()
        from trifuse.fusion import Scene

        scene = Scene(
            MemorySource(pair.hrmsi), MemorySource(pair.lrhsi), HR.names, LR.names, pair.psf
        )
        run = pickle.loads(pickle.dumps(method.prepare(scene, Runtime("cpu"))))
        window = Window(10, 20, 30, 40)
        pixels, _ = scene.read_filled(window)
        expected = method.prepare(scene, Runtime("cpu"))(window, pixels)
        np.testing.assert_array_equal(run(window, pixels), expected)


class TestResidual:
    def test_noise_is_not_added_back_and_detail_is(self):
        rng = np.random.default_rng(1)
        psf = PSF.from_mtf()
        fine = rng.standard_normal((6, 300, 300)) * 1e-3
        detail = degrade(fine, 10, psf)
        noise = rng.standard_normal(detail.shape) * detail.std()
        assert residual_weights(detail, psf).min() > 0.8
        assert residual_weights(noise, psf).max() < 0.15
        both = residual_weights(detail + noise, psf)
        np.testing.assert_allclose(both, 0.5, atol=0.2)
        np.testing.assert_allclose(residual_weights(detail, psf, 0.0), 1)
        told = residual_weights(detail + noise, psf, detail.std())
        np.testing.assert_allclose(told, 0.5, atol=0.1)

    def test_where_too_little_is_known_nothing_is_added(self):
        psf = PSF.from_mtf()
        assert not residual_weights(np.ones((2, 2, 2)), psf).any()
        assert not residual_weights(np.full((2, 9, 9), np.nan), psf).any()
        assert not residual_weights(np.zeros((2, 9, 9)), psf).any()


class TestUncertainty:
    def test_the_truth_lies_within_as_often_as_told(self):
        for protocol in ("real-world", "clean"):
            pair = seen(protocol, 3)
            planes = np.full((len(LR) + 1, *pair.truth.grid.shape), np.nan, np.float32)

            def keep(window, data, valid, planes=planes):
                planes[:, *window.slices] = data

            cube, _ = fuse(pair, uncertainty=keep, tile=100)
            off = np.abs(cube.data - pair.truth.data) / planes[:-1]
            assert 0.5 < np.mean(off < 1) < 0.95
            assert 0.85 < np.mean(off < 1.96)
            assert np.mean(planes[-1] > 1) < 0.02

    def test_strange_pixels_are_told(self):
        pair = seen("clean")
        data = pair.hrmsi.data.copy()
        data[::2, 40:44, 50:54], data[1::2, 40:44, 50:54] = 0.7, 0.02
        planes = np.empty((len(LR) + 1, *pair.truth.grid.shape), np.float32)

        def keep(window, values, valid):
            planes[:, *window.slices] = values

        fuse(replace(pair, hrmsi=replace(pair.hrmsi, data=data)), uncertainty=keep)
        assert (planes[-1, 40:44, 50:54] > 1).all()
        assert np.mean(planes[-1, 60:] > 1) < 0.02

    def test_methods_that_cannot_tell_say_so(self):
        pair = seen("clean")
        with pytest.raises(ConfigError, match="tells no uncertainty"):
            fuse_cube(
                MemorySource(pair.hrmsi),
                MemorySource(pair.lrhsi),
                device="cpu",
                uncertainty=lambda *_: None,
            )


class TestConsistency:
    @pytest.mark.parametrize("shift", [(0.0, 0.0), (3.4, -4.8), (-6.0, 11.0)])
    def test_exact_degrades_to_the_coarse_image(self, shift):
        pair = seen("clean", 1)
        psf = PSF(0.55)
        s3 = degrade(TRUTH.data, 10, psf, shift=shift)
        s3 = s3 + 0.002 * np.random.default_rng(0).standard_normal(s3.shape).astype(np.float32)
        coarse = MemorySource(replace(pair.lrhsi, data=s3))
        options = {"psf": psf, "shift": shift, "device": "cpu", "tile": 70}
        for method in ("physics", "bicubic"):
            cube, result = fuse_cube(
                MemorySource(SHARP), coarse, method=method, consistency="exact", **options
            )
            again = degrade(cube.data, 10, psf, shift=shift)
            inner = np.s_[:, 2:-2, 2:-2]
            np.testing.assert_allclose(again[inner], s3[inner], atol=5e-7)
            agreed = result.consistency
            assert agreed.rmse_after < 2e-7 < 1e-4 < agreed.rmse_before
            assert agreed.largest_after < 1e-6

    def test_cells_that_miss_something_do_not_spoil_the_others(self):
        pair = seen("real-world", 2)
        s3, s2 = pair.lrhsi.data.copy(), pair.hrmsi.data.copy()
        s3[:, 5, 5] = np.nan
        s2[:, 100:112, 150:170] = np.nan
        holed = replace(
            pair, lrhsi=replace(pair.lrhsi, data=s3), hrmsi=replace(pair.hrmsi, data=s2)
        )
        exact, result = fuse(holed, consistency="exact")
        plain, before = fuse(holed)
        assert result.consistency.largest_after < 1e-6
        assert result.consistency.cells > 0.7 * s3.size
        assert before.consistency.rmse_after == pytest.approx(result.consistency.rmse_before)
        np.testing.assert_array_equal(np.isnan(exact.data), np.isnan(plain.data))
        assert np.nanmax(np.abs(exact.data - plain.data)) < 0.02

    def test_unknown_mode_is_refused(self):
        with pytest.raises(ConfigError, match="consistency 'full'"):
            fuse_cube(MemorySource(SHARP), MemorySource(TRUTH), consistency="full")
