"""The fusion task: losses, the prior, validation beside the baselines, weights with their card."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate
from train_scenes import SCENES, scene

from trifuse.align import fit_map
from trifuse.core import PSF, ConfigError, MemorySource, StoreError, degrade, upsample
from trifuse.fusformer import FusformerConfig, load_weights, read_card
from trifuse.fusion import Bicubic, Network, Regression, fuse_cube
from trifuse.metrics import psnr
from trifuse.simulate import SimulateConfig, scene_views, simulate_store
from trifuse.train import (
    FusionTask,
    OptimConfig,
    RunConfig,
    TrainConfig,
    ValidationConfig,
    load_config,
    score_table,
    train_fusion,
)
from trifuse.train.fusion import evenly_spaced
from trifuse.train.losses import per_sample_mean, spectral_angle
from trifuse.train.prior import PriorDataset, inner_cells, regression_image

SMALL = TrainConfig(
    model=FusformerConfig(width=12, heads=3, encoder=1, decoder=1, mixer="none"),
    optim=OptimConfig(steps=100, batch=4, lr=3e-3, warmup=5, ema=0.9),
    validation=ValidationConfig(every=50),
    run=RunConfig(device="cpu", log_every=10, save_every=1000),
)


def with_skip(skip: str, **optim) -> TrainConfig:
    return dataclasses.replace(
        SMALL,
        model=dataclasses.replace(SMALL.model, skip=skip),
        optim=dataclasses.replace(SMALL.optim, **optim),
    )


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "bicubic"
    return run, train_fusion(with_skip("bicubic"), store, run)


def test_a_small_network_learns_and_is_scored_beside_the_baselines(trained):
    result = trained[1]
    values = result.metrics
    assert result.stopped == "finished"
    assert values["psnr"] > values["bicubic_psnr"] + 3
    assert values["regression_psnr"] > values["bicubic_psnr"] + 3
    assert values["gain"] == pytest.approx(values["psnr"] - values["regression_psnr"])
    table = score_table(values).splitlines()
    assert [line.split()[0] for line in table[1:]] == ["network", "bicubic", "regression"]
    assert f"{values['bicubic_psnr']:.2f}" in table[2]
    assert score_table({}) == "no validation scenes"


def test_weights_carry_a_card_that_says_what_they_are(trained, store):
    run, result = trained
    for name in ("best.safetensors", "final.safetensors"):
        card = read_card(run / name)
        assert card.store == store.hash
        assert (card.hr_bands, card.lr_bands) == (store.hr_bands, store.lr_bands)
        assert (card.config.hr_bands, card.config.lr_bands, card.config.mixer) == (6, 5, "none")
        assert card.protocol["simulate"]["ratio"] == 5
        assert card.protocol["psf_sigma_cells"] == [store.psf.sigma]
        assert any("ratios 5 only" in limit for limit in card.limits)
    card = read_card(result.weights)
    assert card.metrics["validation"] == pytest.approx(dict(result.metrics))


def test_what_was_validated_is_what_was_saved(trained, store):
    """The saved network gives the recorded metric: it is the averaged one, at that step."""
    result = trained[1]
    model, _ = load_weights(result.weights)
    task = FusionTask(with_skip("bicubic"), store)
    with torch.no_grad():
        found = task.validate(model, torch.device("cpu"))
    assert found == pytest.approx(dict(result.metrics))


def test_a_run_is_resumed_to_the_bit(store, tmp_path):
    config = dataclasses.replace(
        with_skip("prior", steps=6),
        augment=dataclasses.replace(SMALL.augment, ratios=(4, 5, 10), noise_s2=0.01),
        validation=ValidationConfig(every=3),
    )
    whole = train_fusion(config, store, tmp_path / "whole")

    class Stopped(FusionTask):
        def loss(self, model, batch):
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls == 5:
                raise KeyboardInterrupt
            return super().loss(model, batch)

    from trifuse.train import fit

    with pytest.raises(KeyboardInterrupt):
        fit(Stopped(config, store), config, tmp_path / "cut")
    again = train_fusion(config, store.path, tmp_path / "cut")
    assert again.metrics == whole.metrics
    a, b = (load_weights(tmp_path / n / "final.safetensors")[0] for n in ("whole", "cut"))
    for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True):
        assert torch.equal(x, y)


def test_the_untrained_network_with_the_prior_is_the_regression(store):
    task = FusionTask(with_skip("prior"), store)
    with torch.no_grad():
        values = task.validate(task.build_model().eval(), torch.device("cpu"))
    assert values["gain"] == pytest.approx(0, abs=1e-6)
    batch = default_collate([task.dataset()[i] for i in range(3)])
    loss = task.loss(task.build_model(), batch)["loss"]
    worse = FusionTask(with_skip("bicubic"), store)
    assert loss < 0.5 * worse.loss(worse.build_model(), batch)["loss"]


def test_trained_weights_fuse_a_whole_scene(store, tmp_path):
    """The prior of the training is the prior of the fusion."""
    result = train_fusion(with_skip("prior", steps=20), store, tmp_path)
    hrmsi, lrhsi, hrhsi = (
        MemorySource(view) for view in scene_views(scene(1), ratio=5, bands=store.config.bands)
    )
    truth = hrhsi.read()
    scores = {}
    for method in (Network.load(result.weights), Regression(), Bicubic()):
        fused, _ = fuse_cube(hrmsi, lrhsi, method=method)
        scores[method.name] = psnr(truth.data, fused.data, fused.valid & truth.valid)
    assert scores["network"] > scores["bicubic"] + 20
    assert abs(scores["network"] - scores["regression"]) < 5


def test_the_regression_on_tensors_is_the_regression_on_arrays(store):
    """Of the inner cells: the outer ones have seen ground beyond the triplet."""
    data = PriorDataset(store, "val")
    triplets = [data.triplet(i) for i in range(6)]
    coarse = [degrade(t.hrmsi, 5) for t in triplets]
    spectral = fit_map(
        np.concatenate([c[:, 1:3, 1:3] for c in coarse], axis=1),
        np.concatenate([t.lrhsi[:, 1:3, 1:3] for t in triplets], axis=1),
    )
    left = (triplets[2].lrhsi - spectral.apply(coarse[2]))[:, 1:3, 1:3]
    left = np.pad(left, ((0, 0), (1, 1), (1, 1)), mode="edge")
    expected = spectral.apply(triplets[2].hrmsi) + upsample(left, 5)
    batch = {k: v[None] for k, v in data[2].items()}
    found = regression_image(batch, PSF.from_mtf())[0].numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_the_baseline_is_as_strong_on_triplets_as_on_their_whole_scene(store):
    """A weak baseline would flatter the network."""
    data = PriorDataset(store, "val")
    (name,) = set(data.units())
    number = next(i for i in SCENES if name.startswith(f"scene-{i}-"))
    hrmsi, lrhsi, hrhsi = scene_views(scene(number), ratio=5, bands=store.config.bands)
    spectral = fit_map(degrade(hrmsi.masked(), 5), lrhsi.masked())
    left = lrhsi.masked() - spectral.apply(degrade(hrmsi.masked(), 5))
    whole = spectral.apply(hrmsi.data) + upsample(left, 5)
    ours, theirs = [], []
    for index in range(len(data)):
        item = data[index]
        truth, valid = item["hrhsi"].numpy(), item["valid"][0].numpy() > 0
        batch = {k: v[None] for k, v in item.items()}
        ours.append(psnr(truth, regression_image(batch, PSF.from_mtf())[0].numpy(), valid))
        place = data.triplet(index).provenance
        window = np.s_[:, place["row"] : place["row"] + 20, place["col"] : place["col"] + 20]
        assert np.array_equal(truth[:, valid], hrhsi.data[window][:, valid])
        theirs.append(psnr(truth, whole[window], valid))
    assert np.mean(ours) > np.mean(theirs) - 1.5


@pytest.mark.parametrize(
    ("psf", "size", "expected"),
    [
        (PSF.from_mtf(0.3), 6, slice(1, 5)),
        (PSF(0.8), 6, slice(2, 4)),
        (PSF(0.8), 4, slice(0, 4)),
        (PSF(0.1), 6, slice(0, 6)),
    ],
)
def test_inner_cells(psf, size, expected):
    assert inner_cells(psf, size, size) == (expected, expected)


def test_maps_are_of_the_samples_own_scene(store):
    data = PriorDataset(store)
    assert len(data.maps) == 2
    for index, unit in enumerate(data.units()):
        expected = np.asarray(data.maps[unit].matrix, np.float32)
        assert np.array_equal(data[index]["matrix"], expected)
    first, second = (m.matrix for m in data.maps.values())
    assert not np.allclose(first, second)


def test_pixels_that_are_not_valid_do_not_count(store):
    task = FusionTask(SMALL, store)
    batch = default_collate([task.dataset()[i] for i in range(4)])
    model = task.build_model()
    batch["valid"][:, :, :4] = 0
    before = task.loss(model, batch)["loss"]
    batch["hrhsi"][:, :, :4] += 100
    assert task.loss(model, batch)["loss"] == before
    batch["hrhsi"][:, :, 4:] += 1
    assert task.loss(model, batch)["loss"] > before + 0.5


def test_the_mean_of_a_batch_is_the_mean_of_its_halves():
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(4, 1, 6, 6, generator=generator)
    valid = (torch.rand(4, 1, 6, 6, generator=generator) > 0.5).float()
    valid[3] = 0
    each = per_sample_mean(values, valid)
    assert each[3] == 0
    assert each[0] == pytest.approx(float(values[0][valid[0] > 0].mean()))
    halves = [per_sample_mean(values[i : i + 2], valid[i : i + 2]).mean() for i in (0, 2)]
    assert each.mean() == pytest.approx(float(sum(halves) / 2))


def test_the_spectral_angle_is_the_angle_with_finite_gradients():
    a = torch.rand(2, 6, 3, 3, generator=torch.Generator().manual_seed(1)) + 0.1
    b = a.flip(1)
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    torch.testing.assert_close(spectral_angle(a, b)[:, 0], cosine.acos(), rtol=1e-4, atol=1e-5)
    same = a.clone().requires_grad_()
    angle = spectral_angle(a, same)
    angle.sum().backward()
    assert angle.max() < 1e-5 and torch.isfinite(same.grad).all()
    dark = torch.zeros(1, 6, 2, 2, requires_grad=True)
    spectral_angle(torch.zeros(1, 6, 2, 2), dark).sum().backward()
    assert torch.isfinite(dark.grad).all()


def test_the_angle_is_part_of_the_loss_on_request(store):
    config = load_config(TrainConfig, overrides=["loss.spectral_angle=0.5", "model.width=12"])
    task = FusionTask(config, store)
    batch = default_collate([task.dataset()[0]])
    losses = {k: float(v.detach()) for k, v in task.loss(task.build_model(), batch).items()}
    assert losses["angle"] > 0
    assert losses["loss"] == pytest.approx(losses["l1"] + 0.5 * losses["angle"])


def test_a_store_without_validation_scenes_is_said_not_hidden(store, tmp_path):
    config = SimulateConfig(ratio=5, patch=20, split=(1, 0, 0), bands=store.config.bands)
    alone = simulate_store(scene(9, 20, 40), tmp_path / "store", config)
    result = train_fusion(with_skip("bicubic", steps=5), alone, tmp_path / "run")
    assert (dict(result.metrics), result.best_step) == ({}, 5)
    card = read_card(result.weights)
    assert any("Never validated" in limit for limit in card.limits)
    assert not card.metrics


def test_a_store_without_training_samples_is_refused(store, tmp_path):
    config = SimulateConfig(ratio=5, patch=20, split=(0, 1, 0), bands=store.config.bands)
    simulate_store(scene(9, 20, 40), tmp_path / "store", config)
    with pytest.raises(StoreError, match="holds no training samples"):
        train_fusion(SMALL, tmp_path / "store", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_bands_come_from_the_store_and_a_wrong_number_is_refused(store):
    assert FusionTask(SMALL, store).build_model().config.hr_bands == 6
    wrong = dataclasses.replace(SMALL.model, lr_bands=7)
    with pytest.raises(ConfigError, match=r"model\.lr_bands: is 7, the store has 5"):
        FusionTask(dataclasses.replace(SMALL, model=wrong), store)


def test_the_normalisation_is_that_of_the_training_triplets(store):
    task = FusionTask(with_skip("bicubic"), store)
    triplets = [store.read(i) for i in store.ids("train")]
    inputs = np.concatenate([np.r_[t.hrmsi.ravel(), t.lrhsi.ravel()] for t in triplets])
    errors = np.concatenate([(t.hrhsi - upsample(t.lrhsi, 5)).ravel() for t in triplets])
    made = task.build_model().config
    assert made.input_offset == pytest.approx(np.nanmean(inputs), rel=1e-3)
    assert made.input_scale == pytest.approx(np.nanstd(inputs), rel=1e-3)
    assert made.output_scale == pytest.approx(np.sqrt(np.nanmean(errors**2)), rel=1e-3)
    prior = FusionTask(with_skip("prior"), store).build_model().config
    assert prior.output_scale < 0.5 * made.output_scale
    plain = load_config(TrainConfig, overrides=["data.normalise=false", "model.output_scale=2"])
    assert FusionTask(plain, store).build_model().config.output_scale == 2


def test_evenly_spaced_numbers():
    assert evenly_spaced(5, 0) == evenly_spaced(5, 9) == [0, 1, 2, 3, 4]
    assert evenly_spaced(10, 2) == [2, 7]
    assert len(set(evenly_spaced(1000, 64))) == 64
