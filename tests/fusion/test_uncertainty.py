"""How far off the result may be: by place, by pixel, and as often as it is told."""

import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from trifuse.align import register
from trifuse.core import MemorySource, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion import fuse_cube, get_method
from trifuse.fusion.physics import placed
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.map_errors import Ground, MapErrors, ground_of
from trifuse.fusion.spectral.universal import universal_map
from trifuse.restore import RestoredSource, learn, sharpness_of
from trifuse.restore.restoration import BlockRestorer
from trifuse.restore.restored_errors import ENERGIES, mapped_variance, restored_errors
from trifuse.simulate import PROTOCOLS, observe, procedural_scene, scene_views

SOME_BANDS = ("B2", "B3", "B4", "B5", "B8", "B11")


@lru_cache(maxsize=1)
def views():
    """A scene of fields, woods and a lake, seed of no fit."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene((90, 120), 802)))
    return s2, s3


@lru_cache(maxsize=8)
def seen(protocol, seed=0):
    return observe(*views(), 10, PROTOCOLS[protocol], seed)


@lru_cache(maxsize=4)
def restored(seed=0):
    source = MemorySource(seen("real-world", seed).hrmsi)
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    return RestoredSource(source, sharpness, statistics, device="cpu", block=84)


def prepared(pair):
    """The view of S2, and the chain fitted to it."""
    how = get_method("refined", network="none")
    view = how.view(MemorySource(pair.hrmsi, "s2"), Runtime("cpu"))
    coarse = MemorySource(pair.lrhsi, "s3")
    shift, psf = placed(register(view.source, coarse, psf=pair.psf), pair.psf)
    scene = Scene(view, coarse, view.source.bands.names, coarse.bands.names, psf, shift)
    return how.prepare(scene, Runtime("cpu")).chain


@lru_cache(maxsize=4)
def told(pair):
    """Deviations, strangeness, and the errors."""
    chain = prepared(pair)
    whole = chain.scene.grid.whole
    pixels = chain.scene.read_filled(whole)[0]
    planes = chain.deviation(whole, pixels)
    return planes[:-1], planes[-1], pair.truth.data - chain(whole, pixels)


class TestPlaces:
    def test_tables_are_the_posterior_of_the_scene_and_rise_with_the_energy(self):
        source = restored()
        found = source.errors
        stationary = BlockRestorer((120, 120), source.sharpness, source.statistics).deviation
        np.testing.assert_allclose(np.sqrt(found.covariance.diagonal()), stationary, rtol=0.06)
        assert (np.diff(found.shown, axis=0) > 0).all()
        assert (np.diff(found.variance, axis=0) > 0).all()
        # Noise limits the sharp bands, and those that are guessed follow what there is.
        change = np.sqrt(found.variance[-1] / found.variance[len(ENERGIES) // 2])
        names = source.bands.names
        assert change[names.index("B8")] < 1.5 < 3 < change[names.index("B12")]

    def test_more_noise_is_told_as_more(self):
        source = restored()
        noisy = replace(source.sharpness, noise=tuple(2 * n for n in source.sharpness.noise))
        louder = replace(source.statistics, outside=2 * source.statistics.outside)
        more = restored_errors(noisy, louder)
        assert (more.variance > source.errors.variance).all()
        pixels = source.read().data
        assert (
            more.deviation(pixels).mean(axis=(1, 2))
            > source.errors.deviation(pixels).mean(axis=(1, 2))
        ).all()

    def test_edges_are_told_as_worse_than_flat_ground_and_are(self):
        source = restored()
        off = np.abs(seen("real-world").sharp.data - source.read().data)
        deviation = source.deviations(source.grid.whole)
        for name in ("B1", "B11", "B12"):
            band = source.bands.names.index(name)
            low, high = np.quantile(deviation[band], [0.1, 0.9])
            flat, edge = deviation[band] <= low, deviation[band] >= high
            assert high > 1.3 * low
            assert off[band][edge].mean() > 1.3 * off[band][flat].mean()

    def test_windows_are_cut_from_the_whole(self):
        source = restored()
        whole = source.deviations(source.grid.whole)
        assert whole.dtype == np.float32 and (whole > 0).all()
        for window in (Window(0, 0, 30, 41), Window(57, 70, 33, 50), Window(50, 60, 1, 1)):
            part = source.deviations(window)
            np.testing.assert_allclose(part, whole[:, *window.slices], rtol=1e-5)
        again = pickle.loads(pickle.dumps(source))
        np.testing.assert_array_equal(again.deviations(window), part)

    def test_holes_change_little_around_and_are_told_too(self):
        errors, pixels = restored().errors, restored().read().data
        holed = pixels.copy()
        holed[:, 40:60, 50:70] = np.nan
        holed[3, 70:, :] = np.nan
        there, plain = errors.deviation(holed), errors.deviation(pixels)
        assert np.isfinite(there).all()
        np.testing.assert_allclose(there[:, :29], plain[:, :29], rtol=1e-5)

    def test_errors_go_through_a_map_together(self):
        rng = np.random.default_rng(0)
        matrix, mixed = rng.standard_normal((3, 4)), rng.standard_normal((4, 4))
        covariance, deviation = mixed @ mixed.T, rng.uniform(0.5, 2, (4, 5, 6))
        found = mapped_variance(matrix, covariance, deviation)
        scale = np.sqrt(covariance.diagonal())
        for y, x in ((0, 0), (4, 5), (2, 3)):
            by = deviation[:, y, x] / scale
            expected = matrix @ (covariance * np.outer(by, by)) @ matrix.T
            np.testing.assert_allclose(found[:, y, x], expected.diagonal(), rtol=1e-5)
        same = mapped_variance(matrix, np.diag(scale**2), scale[:, None, None])
        np.testing.assert_allclose(same[:, 0, 0], matrix**2 @ scale**2, rtol=1e-5)


class TestMap:
    def test_spectra_far_from_the_cells_are_told_as_worse(self):
        pair = seen("clean")
        chain = prepared(pair)
        usual = chain.scene.read_filled(chain.scene.grid.whole)[0]
        strange = usual.copy()
        strange[::2, :5], strange[1::2, :5] = 0.6, 0.05
        one, two = (chain.map_errors.variance(p) for p in (usual, strange))
        assert (two[:, :5] > 1.2 * one[:, :5].mean(axis=(1, 2), keepdims=True)).all()
        np.testing.assert_array_equal(one[:, 5:], two[:, 5:])

    def test_growth_is_that_of_the_distance(self):
        ground = Ground(np.zeros(2), np.eye(2))
        errors = MapErrors(ground, np.array([0.01, 0.02]), np.array([0.0, 0.5]))
        pixels = np.array([[1.0, 3.0], [1.0, 3.0]], np.float32)[:, None]
        np.testing.assert_allclose(ground.distance(pixels), [[1, 9]])
        expected = np.array([[[1, 1]], [[4, 20]]]) * 1e-4
        np.testing.assert_allclose(errors.variance(pixels), expected, rtol=1e-5)

    @pytest.mark.parametrize("cells", [0, 1, 3, 400])
    def test_any_number_of_cells_makes_a_ground(self, cells):
        s2, s3 = views()
        universal = universal_map(s2.bands, s3.bands)
        rng = np.random.default_rng(cells)
        mixed = np.linalg.cholesky(np.linalg.inv(universal.precision))
        found = universal.centre[:, None] + mixed @ rng.standard_normal((len(mixed), cells))
        place = ground_of(found[:, None], np.ones((1, cells)), universal, 0 * mixed)
        distance = place.distance(found[:, None]) if cells > 1 else np.zeros(1)
        assert np.isfinite(place.precision).all() and distance.mean() < 1.2
        if cells == 400:
            assert 0.8 < distance.mean()


class TestCoverage:
    @pytest.mark.parametrize("protocol", ["clean", "real-world", "native-noise"])
    def test_as_many_errors_are_within_as_is_told(self, protocol):
        deviation, strange, left = told(seen(protocol, 1))
        off = np.abs(left) / deviation
        assert 0.61 < np.mean(off < 1) < 0.76
        assert 0.90 < np.mean(off < 1.96) < 0.985
        assert np.mean(strange > 1) < 0.01
        # Where more is told, more is off.
        for one, two in zip(deviation, np.abs(left), strict=True):
            split = np.median(one)
            assert two[one > split].mean() > two[one <= split].mean()

    def test_missing_bands_are_told(self):
        pair = seen("real-world", 1)
        few = replace(pair, hrmsi=pair.hrmsi.select(SOME_BANDS))
        deviation, _, left = told(few)
        assert (deviation.mean(axis=(1, 2)) > 0.95 * told(pair)[0].mean(axis=(1, 2))).all()
        off = np.abs(left) / deviation
        assert 0.5 < np.mean(off < 1) < 0.85 and np.mean(off < 1.96) > 0.85

    def test_noise_without_blur_is_told(self):
        noisy = replace(
            PROTOCOLS["real-world"],
            sharp=replace(PROTOCOLS["real-world"].sharp, blur=False),
            told=replace(PROTOCOLS["real-world"].told, blur=False),
        )
        deviation, _, left = told(observe(*views(), 10, noisy, 2))
        off = np.abs(left) / deviation
        assert 0.58 < np.mean(off < 1) < 0.78 and 0.88 < np.mean(off < 1.96)

    @pytest.mark.parametrize("method", ["physics", "refined"])
    def test_tiles_do_not_show(self, method):
        pair = seen("real-world", 1)
        how = get_method(method, **({"network": "none"} if method == "refined" else {}))
        planes = []
        for tile in (53, 1000):
            found = np.full((20, *pair.truth.grid.shape), np.nan, np.float32)

            def keep(window, values, valid, found=found):
                found[:, *window.slices] = values

            fuse_cube(
                MemorySource(pair.hrmsi),
                MemorySource(pair.lrhsi),
                method=how,
                device="cpu",
                tile=tile,
                uncertainty=keep,
            )
            planes.append(found)
        np.testing.assert_allclose(*planes, rtol=2e-4)
