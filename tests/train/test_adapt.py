"""Adaptation to one scene, and the guard that may refuse it."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from trifuse.core import DataError, MemorySource
from trifuse.fusformer.refiner import Refiner, RefinerConfig
from trifuse.restore import RestoredSource, learn, sharpness_of
from trifuse.restore.refined_source import RefinedSource
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe
from trifuse.train import adapt as adapting
from trifuse.train.adapt import adapt


@lru_cache(maxsize=1)
def scene():
    s2, _, s3 = scene_views(MemorySource(procedural_scene((96, 120), 901, gsd=20.0)))
    seen = observe(s2, s3, 6, PROTOCOLS["real-world"], seed=2)
    source = MemorySource(seen.hrmsi)
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    restored = RestoredSource(source, sharpness, statistics, device="cpu")
    torch.manual_seed(0)
    network = Refiner(RefinerConfig(width=16, blocks=1))
    view = RefinedSource(restored, source, network, device="cpu")
    return view, MemorySource(seen.lrhsi), seen.psf


def run(**options):
    view, s3, psf = scene()
    return view, adapt(view, s3, psf=psf, **options)


def test_the_same_steps_give_the_same_pixels_and_the_better_is_kept():
    view, first = run(steps=8)
    _, again = run(steps=8)
    assert first.steps == 8 and first.gain == again.gain
    np.testing.assert_array_equal(first.view.read().data, again.view.read().data)
    assert first.kept == (first.gain > 0 and first.clearly >= adapting.CLEARLY)
    assert (first.view is view) == (not first.kept)
    assert np.isfinite(first.cells).all()


def test_without_updates_the_view_is_as_it_was():
    view, none = run(steps=0)
    assert none.view is view and not none.kept
    assert none.gain == 0 and none.cells[0] == none.cells[1]


def test_a_worse_network_is_refused(monkeypatch):
    def spoil(network, *_):
        worse = Refiner(network.config)
        torch.nn.init.normal_(worse.head.weight, std=1.0)
        return worse.eval(), 1

    monkeypatch.setattr(adapting, "_train", spoil)
    view, spoilt = run(steps=1)
    assert spoilt.view is view and not spoilt.kept
    assert spoilt.gain < 0 and "no better" in spoilt.why


@pytest.mark.parametrize(
    ("cells", "clearly", "why"),
    [
        ((1.0, 0.9), 3.0, "better on ground and on coarse cells"),
        ((1.0, 0.9), 1.9, "not clearly better on coarse cells"),
        ((1.0, 1.1), -3.0, "not clearly better on coarse cells"),
        ((np.nan, np.nan), 0.0, "too few coarse cells"),
    ],
)
def test_coarse_cells_decide(monkeypatch, cells, clearly, why):
    given = scene()[0].network
    monkeypatch.setattr(adapting, "_error", lambda network, _: 2.0 if network is given else 1.0)
    monkeypatch.setattr(adapting, "_cells", lambda *_: (cells, clearly))
    view, decided = run(steps=0)
    assert decided.why.startswith(why) and decided.kept == (clearly > 2)
    assert (decided.view is view) == (not decided.kept)


def test_the_middle_of_a_large_scene_judges(monkeypatch):
    _, whole = run(steps=0)
    monkeypatch.setattr(adapting, "JUDGED", 66)
    _, part = run(steps=0)
    assert 0.3 < part.cells[0] / whole.cells[0] < 3 and part.cells[0] != whole.cells[0]
    monkeypatch.setattr(adapting, "JUDGED", 24)  # 16 cells cannot
    assert np.isnan(run(steps=0)[1].cells).all()


def test_time_ends_the_updates():
    _, timed = run(seconds=0.3)
    assert timed.steps >= 1


def test_a_scene_without_a_window_is_told(monkeypatch):
    view, s3, psf = scene()
    monkeypatch.setattr(adapting, "LEAST_SIZE", 120)
    with pytest.raises(DataError, match="no window of 120"):
        adapt(view, s3, psf=psf, steps=1)
