"""Restoration by the statistics of each place."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from trifuse.core import MemorySource, Window
from trifuse.fusformer.prior import RestoredSource, learn, sharpness_of
from trifuse.fusformer.prior.local import LocallyRestoredSource, LocalRestorer
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe


@lru_cache(maxsize=1)
def scene():
    """An observed image, its sharpness and statistics, and what restoration should return."""
    s2, _, s3 = scene_views(MemorySource(procedural_scene((96, 120), 904, gsd=20.0)))
    seen = observe(s2, s3, 8, PROTOCOLS["real-world"], seed=1)
    source = MemorySource(seen.hrmsi)
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    return source, sharpness, statistics, seen.sharp.data


def errors(estimate, truth):
    return np.sqrt(((estimate - truth).astype(np.float64) ** 2).mean(axis=(1, 2)))


def test_places_beat_the_scene_in_every_band():
    source, sharpness, statistics, truth = scene()
    whole = RestoredSource(source, sharpness, statistics, device="cpu").read().data
    local = LocallyRestoredSource(source, sharpness, statistics, device="cpu").read().data
    gain = -20 * np.log10(errors(local, truth) / errors(whole, truth))
    assert gain.min() > -0.1
    assert gain.mean() > 0.3


def test_the_same_statistics_everywhere_give_the_solution_of_the_scene(monkeypatch):
    source, sharpness, statistics, _ = scene()
    pixels = source.read().data
    solver = LocalRestorer(pixels.shape[1:], sharpness, statistics)
    first = solver.start(pixels)

    def same(self, found):
        shape = found.shape[1] * found.shape[2], len(found), len(found)
        calm = torch.ones(len(self._usual), *found.shape[1:])
        return self._inverse.expand(shape).contiguous(), calm

    monkeypatch.setattr(LocalRestorer, "_places", same)
    noise = min(sharpness.noise)
    assert errors(solver(pixels), first).max() < 0.1 * noise


def test_windows_and_their_order_change_nothing():
    source, sharpness, statistics, _ = scene()

    def view():
        return LocallyRestoredSource(source, sharpness, statistics, device="cpu", block=84, halo=30)

    whole = view().read().data
    parts = view()
    for window in (Window(60, 70, 36, 50), Window(3, 5, 40, 31), Window(0, 0, 1, 120)):
        rows, cols = window.slices
        np.testing.assert_array_equal(parts.read(window).data, whole[:, rows, cols])


def test_seams_are_far_below_the_noise():
    source, sharpness, statistics, _ = scene()
    whole = LocallyRestoredSource(source, sharpness, statistics, device="cpu").read().data
    cut = LocallyRestoredSource(source, sharpness, statistics, device="cpu", block=90)
    assert len(cut._cols) > 1
    assert errors(cut.read().data, whole).max() < 0.1 * max(sharpness.noise)


def test_bands_may_be_few_and_in_any_order():
    source, sharpness, statistics, truth = scene()
    names = ["B11", "B2", "B8", "B5", "B4"]
    numbers = source.bands.indices(names)
    few = MemorySource(source.read().select(names))
    local = LocallyRestoredSource(
        few, sharpness.select(numbers), statistics.select(numbers), device="cpu"
    ).read()
    assert local.bands.names == tuple(names)
    assert (errors(local.data, truth[numbers]) < errors(few.read().data, truth[numbers])).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees_with_the_processor():
    source, sharpness, statistics, _ = scene()
    here, there = (
        LocallyRestoredSource(source, sharpness, statistics, device=d).read().data
        for d in ("cpu", "cuda")
    )
    np.testing.assert_allclose(here, there, atol=1e-4)
