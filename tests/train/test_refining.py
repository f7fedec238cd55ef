"""Training of the refiner: scenes made once, relative losses, exact resume."""

import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from trifuse.core import BandSet, ConfigError, Cube, DataError, Grid, MemorySource, StoreError
from trifuse.fusformer import load_refiner
from trifuse.fusformer.refiner import BANDS, RefinerConfig
from trifuse.train import OptimConfig, RunConfig, ValidationConfig
from trifuse.train import refining_scenes as scenes
from trifuse.train.batches import Draw
from trifuse.train.refining import RefinerTask, RefinerTrainConfig, refiner_table, train_refiner
from trifuse.train.refining_data import STEP, PoolConfig, RefiningDataset, make_pool, to_s3

POOL = PoolConfig(land=1, recoloured=1, mosaics=2, real=1, size=48)
CONFIG = RefinerTrainConfig(
    model=RefinerConfig(width=8, blocks=1),
    pool=POOL,
    crop=16,
    val_scenes=1,
    optim=OptimConfig(steps=6, batch=2, lr=1e-3, warmup=0, ema=0.0),
    validation=ValidationConfig(every=3),
    run=RunConfig(device="cpu", save_every=2),
)


def real_image(bands=BANDS, size=60):
    rng = np.random.default_rng(5)
    image = scenes.mosaic(size, rng)[[BANDS.index(b) for b in bands]]
    grid = Grid.from_origin("EPSG:32633", 0.0, 0.0, 60.0, size, size)
    named = BandSet.of(list(bands), [500.0] * len(bands), [20.0] * len(bands))
    return MemorySource(Cube(image, np.ones(grid.shape, np.bool_), named, grid), "real")


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pool") / "scenes"
    return make_pool(folder, POOL, [real_image(("B2", "B8", "B11", "B12"))])


def test_a_pool_holds_what_it_says(pool):
    assert len(pool) == 5
    present = pool.about["present"]
    assert set(np.unique(present)) <= {0.0, 1.0}
    assert present[3].sum() <= 4  # the real one
    for i in range(len(pool)):
        planes = pool.planes(i) * STEP
        error = planes[0] - planes[2]
        np.testing.assert_allclose(
            (error**2).mean(axis=(1, 2)), pool.about["square"][i], rtol=0.02, atol=1e-9
        )
        mapped = np.tensordot(to_s3(), error, axes=1)
        np.testing.assert_allclose(
            (mapped**2).mean(axis=(1, 2)), pool.about["mapped"][i], rtol=0.02, atol=1e-9
        )
        gone = present[i] == 0
        assert not planes[:, gone].any() and not pool.about["deviation"][i, gone].any()
        blurred = [k for k in (4, 8, 9, 10) if not gone[k]]
        raw = ((planes[1] - planes[2]) ** 2).mean(axis=(1, 2))
        assert (pool.about["square"][i] < raw)[blurred].all()


def test_a_pool_is_of_its_seeds_alone(pool, tmp_path):
    again = make_pool(tmp_path / "scenes", POOL, [real_image(("B2", "B8", "B11", "B12"))])
    assert again.hash == pool.hash
    with pytest.raises(StoreError, match="another configuration"):
        make_pool(tmp_path / "scenes", replace(POOL, seed=7))


def test_crops_are_turned_alike_and_repeatable(pool):
    data = RefiningDataset(pool, 16)
    first, again = data[Draw(2, 1, 5)], data[Draw(2, 1, 9)]
    for name, value in first.items():
        assert torch.equal(value, again[name])
    assert first["sharp"].shape == (12, 16, 16)
    assert not torch.equal(first["sharp"], data[Draw(2, 2, 5)]["sharp"])
    # What was restored lies on what it should have become.
    a, b = first["restored"][1].flatten(), first["sharp"][1].flatten()
    assert torch.corrcoef(torch.stack([a, b]))[0, 1] > 0.8


@pytest.mark.parametrize("make", [scenes.mosaic, partial(scenes.land, seed=1001)])
def test_scenes_are_reflectance(make):
    rng = np.random.default_rng(0)
    image = make(48, rng=rng)
    assert image.shape == (12, 48, 48) and image.dtype == np.float32
    assert np.isfinite(image).all() and image.min() > -0.1 and image.max() < 1.6
    bent = scenes.recolour(image, np.random.default_rng(1))
    assert bent.min() >= scenes.LEAST and bent.max() <= 1.2
    assert np.abs(bent - image).mean() > 1e-3


def test_real_images_must_fit():
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="fewer than"):
        scenes.cut_real(real_image(), 96, rng)
    with pytest.raises(DataError, match="too few"):
        scenes.cut_real(real_image(("B2", "B3")), 48, rng)
    cut = scenes.cut_real(real_image(("B2", "B11")), 48, rng)
    assert np.isfinite(cut[[1, 10]]).all() and np.isnan(cut[0]).all()


def test_some_bands_are_dropped_but_never_too_many():
    ratios = (6, 1, 1, 1, 2, 2)
    for seed in range(200):
        kept = scenes.drop_bands(range(6), ratios, np.random.default_rng(seed))
        assert {ratios[i] == 1 for i in kept} == {True, False}


def test_losses_start_at_one_whatever_the_scene(pool):
    task = RefinerTask(CONFIG, pool, pool)
    model = task.build_model()
    whole = [pool.tensors(i, pool.planes(i)) for i in range(len(pool))]
    batch = {k: torch.stack([s[k] for s in whole]) for k in whole[0]}
    losses = task.loss(model, batch)
    assert losses["bands"].item() == pytest.approx(1, rel=0.02)
    assert losses["mapped"].item() == pytest.approx(1, rel=0.02)
    assert losses["loss"].item() == pytest.approx(1 + CONFIG.mapped, rel=0.02)
    losses["loss"].backward()
    assert model.head.weight.grad.abs().max() > 0
    scores = task.validate(model.eval(), torch.device("cpu"))
    assert scores["gain"] == pytest.approx(0, abs=1e-5)
    assert "B11" in refiner_table(scores)


def test_a_stopped_run_ends_as_an_uninterrupted_one(tmp_path):
    config = replace(CONFIG, pool=replace(POOL, real=0, recoloured=0))
    whole = train_refiner(config, tmp_path / "whole")
    part = replace(config, optim=replace(config.optim, steps=6))

    class StopError(Exception):
        pass

    def stopping(self, model, batch, _loss=RefinerTask.loss, calls=[0]):  # noqa: B006
        calls[0] += 1
        if calls[0] == 4:
            raise StopError
        return _loss(self, model, batch)

    for folder in ("scenes", "validation"):  # the same, and made already
        shutil.copytree(tmp_path / "whole" / folder, tmp_path / "parts" / folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(RefinerTask, "loss", stopping)
        with pytest.raises(StopError):
            train_refiner(part, tmp_path / "parts")
    done = train_refiner(part, tmp_path / "parts")
    assert done.step == whole.step == 6
    a, card = load_refiner(tmp_path / "whole" / "final.safetensors")
    b, _ = load_refiner(tmp_path / "parts" / "final.safetensors")
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(x, y)
    assert card.protocol["scenes"]["land"] == 1
    assert set(card.metrics["validation"]) >= {"gain", "gain_B11"}


def test_settings_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="crop"):
        replace(CONFIG, crop=17)
    with pytest.raises(ConfigError, match="multiple of 6"):
        PoolConfig(size=50)
