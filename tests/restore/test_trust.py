"""How far a network is heeded, and the lessons that tell it."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from trifuse.core import MemorySource
from trifuse.restore import LocallyRestoredSource, learn, sharpness_of
from trifuse.restore.one_scale_down import LIMIT, halved, seen_again, trusted_share, whole_windows
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe


@lru_cache(maxsize=1)
def observed():
    s2, _, s3 = scene_views(MemorySource(procedural_scene((72, 96), 903, gsd=20.0)))
    return observe(s2, s3, 6, PROTOCOLS["real-world"], seed=1)


def view(cube):
    source = MemorySource(cube)
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    return LocallyRestoredSource(source, sharpness, statistics, device="cpu")


@lru_cache(maxsize=1)
def restored():
    return view(observed().hrmsi)


def test_lessons_are_like_the_scene():
    scene = restored()
    (window,) = whole_windows(scene, 240, 48, 12, 4)
    assert window.shape == (72, 96)
    sharp = halved(scene.read(window).data)
    assert sharp.shape == (12, 36, 48)
    np.testing.assert_allclose(sharp.mean(axis=(1, 2)), scene.read().data.mean(axis=(1, 2)), 1e-5)
    lesson = seen_again(scene, sharp, np.random.default_rng(0))
    off = [np.sqrt(np.mean((v - sharp) ** 2, axis=(1, 2))) for v in (lesson.restored, lesson.raw)]
    assert (off[0] < off[1]).all()  # what was lost is in part found
    noise = (lesson.raw - sharp)[1]  # B2 is sharp
    assert np.std(noise) == pytest.approx(0.003, rel=0.15)
    assert (0.3 < off[0] / lesson.deviation).all() and (off[0] / lesson.deviation < 3).all()


def test_corrections_are_heeded_as_far_as_they_are_right():
    scene = restored()

    def network(how):
        return lambda lesson: lesson.restored + how * (lesson.sharp - lesson.restored)

    nothing = trusted_share(scene, network(0.0))
    np.testing.assert_allclose(nothing, 1)
    np.testing.assert_allclose(trusted_share(scene, network(1.0)), 1, atol=0.01)
    # Corrections of twice the size are heeded by half; timid ones a little more than they ask.
    np.testing.assert_allclose(trusted_share(scene, network(2.0)), 0.5, atol=0.01)
    assert (trusted_share(scene, network(0.4)) > 1.1).all()
    assert (trusted_share(scene, network(0.4)) <= LIMIT).all()
    np.testing.assert_array_equal(trusted_share(scene, network(-1.0)), 0)


def test_noise_is_not_heeded():
    rng = np.random.default_rng(4)

    def network(lesson):
        unit = lesson.deviation[:, None, None]
        return lesson.restored + unit * rng.standard_normal(lesson.restored.shape)

    assert trusted_share(restored(), network).max() < 0.1


def test_each_band_is_judged_alone():
    def network(lesson):
        out = lesson.restored.copy()
        out[3] += lesson.sharp[3] - lesson.restored[3]
        out[10] -= lesson.sharp[10] - lesson.restored[10]
        return out

    share = trusted_share(restored(), network)
    assert share[10] == 0 and share[3] == pytest.approx(1, abs=0.01)
    np.testing.assert_allclose(np.delete(share, [3, 10]), 1)


def test_without_a_window_to_tell_by_the_network_is_believed():
    def worse(lesson):
        return 2 * lesson.restored - lesson.sharp

    cube = observed().hrmsi
    data = cube.data.copy()
    data[:, ::20, :] = np.nan  # gaps everywhere
    holed = view(replace(cube, data=data, valid=np.isfinite(data).all(axis=0)))
    np.testing.assert_array_equal(trusted_share(holed, worse), 1)
    assert not whole_windows(restored(), 240, 80, 12, 4)  # smaller than the least
    assert not whole_windows(restored(), 240, 48, 24, 4)  # too small for so coarse a sampling
