"""What methods see of Sentinel-2: views by what is told, their errors, and the ways to sharpen."""

import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from trifuse.core import BandSet, ConfigError, GridError, MemorySource, MetadataError, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion import get_method
from trifuse.fusion.scene import Scene
from trifuse.restore import SHARPENERS, RestoredView, get_sharpener, learn, restored_view
from trifuse.restore.scene_sampling import scene_sampling
from trifuse.restore.sharpness_check import sharpness_of
from trifuse.restore.view import LocallyRestoredSource, as_view
from trifuse.simulate import PROTOCOLS, observe, procedural_scene, scene_views

BANDS = ("B2", "B4", "B8", "B5", "B11", "B9")


@lru_cache(maxsize=4)
def seen(protocol="real-world"):
    s2, _, s3 = scene_views(MemorySource(procedural_scene((66, 90), 903, gsd=20.0)))
    return observe(s2.select(BANDS), s3, 6, PROTOCOLS[protocol], seed=1)


def image(protocol="real-world", **words):
    return MemorySource(seen(protocol).hrmsi.with_meta(words), "s2")


@lru_cache(maxsize=1)
def restored():
    return restored_view(image(), device="cpu")


class TestViews:
    def test_an_image_alone_is_a_view_without_errors(self):
        view = as_view(image())
        assert not view.restored and view.record == {} and view.calibrated_as is None
        assert not view.covariance(BANDS).any()
        assert view.deviations(Window(1, 2, 3, 4), BANDS).shape == (6, 1, 1)
        assert as_view(view) is view

    def test_what_is_not_restored_keeps_the_noise_it_is_told(self):
        for noise, expected in ((None, 0.003), (0.002, 0.002)):
            view = restored_view(image(), how="sharp", noise=noise, device="cpu")
            assert view.record == {"restored": False, "deviation": dict.fromkeys(BANDS, expected)}
            np.testing.assert_allclose(view.covariance(["B9", "B2"]), expected**2 * np.eye(2))
            np.testing.assert_allclose(view.deviations(Window(0, 0, 5, 5), ["B9"]), expected)
        silent = MemorySource(replace(seen().hrmsi, meta={}), "silent")
        view = restored_view(silent, how="sharp", device="cpu")
        assert set(view.record["deviation"].values()) == {0.0}

    def test_a_restored_view_tells_its_errors_band_by_band(self):
        view, window = restored(), Window(7, 9, 20, 31)
        assert view.restored and view.source is view.restoration
        assert list(view.record) == ["restored", "bands", "noise", "check", "warnings", "deviation"]
        assert view.record["bands"]["B9"]["ratio"] == 6
        turned = BANDS[::-1]
        whole = view.restoration.deviations(window)
        np.testing.assert_array_equal(view.deviations(window, turned), whole[::-1])
        np.testing.assert_array_equal(
            view.covariance(turned), view.restoration.errors.covariance[::-1, ::-1]
        )
        sharp, coarse = (view.deviations(window, [b]).mean() for b in ("B2", "B9"))
        assert 0 < sharp < coarse < 0.05

    def test_words_of_the_metadata_decide_nothing(self):
        said = image(restoration={"restored": True}, restored={"method": "restoration"})
        for name in ("physics", "refined"):
            view = get_method(name).view(said, Runtime("cpu"))
            assert view.restored and view.source is not said
        window = Window(0, 0, 9, 9)
        np.testing.assert_array_equal(
            get_method("physics").view(said, Runtime("cpu")).source.read(window).data,
            restored().source.read(window).data,
        )

    def test_restored_bands_are_as_sharp_as_the_pixels(self):
        view = restored()
        gsd = view.source.grid.gsd[1]
        part = view.source.read(Window(3, 5, 8, 8), ["B9", "B2"])
        assert view.source.sampling.values("gsd") == (gsd,) * 6
        assert part.sampling.values("gsd") == (gsd,) * 2
        assert sharpness_of(view.source) is None and sharpness_of(MemorySource(part)) is None
        assert "restored" not in view.source.meta

    def test_a_view_travels_with_its_scene(self):
        view, coarse = restored(), MemorySource(seen().lrhsi, "s3")
        scene = Scene(view, coarse, ("B9", "B2"), coarse.bands.names, seen().psf)
        there = pickle.loads(pickle.dumps(scene))
        window = Window(6, 12, 12, 18)
        np.testing.assert_array_equal(there.read(window)[0], scene.read(window)[0])
        assert there.view.source is there.view.restoration, "one image, computed once"
        np.testing.assert_array_equal(
            there.view.covariance(("B9", "B2")), view.covariance(("B9", "B2"))
        )

    def test_the_local_restoration_is_calibrated_as_such(self):
        view = restored_view(image(), LocallyRestoredSource, device="cpu")
        assert (restored().calibrated_as, view.calibrated_as) == ("restoration", "local")


class TestTold:
    def test_ratios_can_be_given_by_the_names_of_the_bands(self):
        silent = MemorySource(replace(seen().hrmsi, meta={}), "silent")
        assert sharpness_of(silent) is None
        given = scene_sampling(silent, "1:2:6@0,0:bicubic").sharpness
        assert given is not None
        assert (given.ratio, given.origin) == ((1, 1, 1, 2, 2, 6), (0, 0))
        assert given.upsampling == "bicubic"
        assert scene_sampling(image(), "sharp").sharpness is None
        other = MemorySource(replace(seen().hrmsi, bands=BandSet.of("abcdef")), "other")
        with pytest.raises(ConfigError, match="name bands as Sentinel-2's"):
            scene_sampling(other, "1:2:6")

    def test_what_nobody_tells_is_found_in_the_pixels(self):
        told = restored_view(image(), device="cpu")
        silent = MemorySource(replace(seen().hrmsi, meta={}), "silent")
        found = restored_view(silent, device="cpu")
        assert found.restored
        ratios = {n: b["ratio"] for n, b in found.record["bands"].items()}
        assert ratios == {n: b["ratio"] for n, b in told.record["bands"].items()}
        assert any("samples of 2×2 pixels" in line for line in found.record["sampling"]["lines"])

    @pytest.mark.parametrize("text", ["1:2", "2:1:6", "1:2:6@3", "1:2:6:sinc", "1:2:99", "blurred"])
    def test_samplings_that_make_no_sense_are_refused(self, text):
        with pytest.raises(ConfigError):
            scene_sampling(image(), text)

    @pytest.mark.parametrize(
        ("words", "error", "message"),
        [
            ({"native_gsd": {"B2": 20.0}}, MetadataError, "s2: native_gsd lacks band B4"),
            ({"native_gsd": "fine"}, MetadataError, "native_gsd is 'fine'"),
            ({"native_gsd": 50.0}, GridError, "B2 is sampled at 50 m, no whole number"),
            ({"native_mtf": [0.3]}, MetadataError, "native_mtf has 1 values for 6 bands"),
            ({"noise": {"B2": 0.003}}, MetadataError, "noise lacks band B4"),
            ({"native_origin": "there"}, MetadataError, "native_origin is 'there'"),
        ],
    )
    def test_what_makes_no_sense_is_said_when_it_is_needed(self, words, error, message):
        source = image(**words)
        assert source.read(Window(0, 0, 2, 2)).data.shape == (6, 2, 2), "reading needs none of it"
        with pytest.raises(error, match=message):
            sharpness_of(source)
        assert not restored_view(source, how="sharp", noise=0.001).restored

    def test_the_lattice_of_a_window_is_that_of_the_image(self):
        cut = image()[Window(9, 14, 50, 60)]
        assert sharpness_of(cut).origin == (-9, -14)
        assert sharpness_of(MemorySource(cut.read())).origin == (-9, -14)
        assert sharpness_of(cut[Window(3, 2, 40, 40)].select(["B9", "B2"])).origin == (-12, -16)


class TestSharpeners:
    @pytest.mark.parametrize("name", list(SHARPENERS))
    def test_each_makes_a_view(self, name):
        source = image()
        sharpness, statistics, _ = learn(source, sharpness_of(source))
        view = get_sharpener(name)(source, sharpness, statistics, device="cpu")
        assert isinstance(view, RestoredView)
        assert view.restored == (view.source is not source)
        assert (view.deviation is None) == (name != "restore")
        if view.restored:
            assert view.record["bands"] == sharpness.to_json(BANDS)

        def error(a):
            return np.sqrt(np.mean((a.read(None, ["B11"]).data - truth) ** 2))

        truth = seen().sharp.select(["B11"]).data
        assert error(view.source) < error(source) / 1.5 or name == "bicubic"

    def test_one_joins_by_a_line(self, monkeypatch):
        from trifuse.flows.sharpen import sharpen

        monkeypatch.setitem(SHARPENERS, "as told", "trifuse.restore.view:by_interpolation")
        mine, known = (sharpen(seen().hrmsi, method=m) for m in ("as told", "bicubic"))
        np.testing.assert_array_equal(mine.cube.data, known.cube.data)
        assert mine.record["method"] == "as told"

    def test_unknown_ones_are_refused(self):
        with pytest.raises(ConfigError, match=r"unknown method 'magic'.*restore, injection"):
            get_sharpener("magic")
