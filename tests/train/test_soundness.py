"""Runs whose weights blow up, whose scores are no numbers, or whose updates come in parts."""

import dataclasses

import pytest
import timm.optim
import torch
from line_task import LineTask, small_config
from safetensors.torch import load_file

from trifuse.core import ConfigError, DataError
from trifuse.fusformer import FusformerConfig
from trifuse.fusformer.refiner import RefinerConfig
from trifuse.simulate import procedural_series
from trifuse.train import (
    EngineConfig,
    FusionTask,
    OptimConfig,
    RunConfig,
    TrainConfig,
    TripletDataset,
    fit,
    load_config,
)
from trifuse.train.augment_config import AugmentConfig
from trifuse.train.batches import BatchPlan, RankBatches
from trifuse.train.networks import NETWORKS
from trifuse.train.record import read_lines
from trifuse.train.refining import RefinerTask, RefinerTrainConfig
from trifuse.train.refining_data import PoolConfig, make_pool
from trifuse.train.temporal import TamrfTask
from trifuse.train.temporal_config import TamrfTrainConfig
from trifuse.train.temporal_data import MemoryScene


def config(steps=12, **sections) -> EngineConfig:
    base = small_config(steps)
    return dataclasses.replace(
        base, **{k: dataclasses.replace(getattr(base, k), **v) for k, v in sections.items()}
    )


class Exploding(LineTask):
    """Whose gradients are too large by far in one update."""

    def __init__(self, at, validates, factor=1e30):
        super().__init__(dropout=0.0, norm=False)
        self.at, self.validates, self.calls, self.factor = at, validates, 0, factor

    def loss(self, model, batch):
        losses = super().loss(model, batch)
        self.calls += model.training
        if self.calls == self.at and model.training:
            plain = losses["loss"]
            # Of the same value and another gradient.
            losses["loss"] = plain.detach() + self.factor * (plain - plain.detach())
        return losses

    def validate(self, predict, device):
        if not self.validates:
            return {}
        error = super().validate(predict, device)["error"]
        if not error < 1e6:
            raise DataError("nothing can be scored")
        return {"error": error}


@pytest.mark.parametrize("validates", [False, True])
@pytest.mark.parametrize("at", [5, 12])
def test_weights_that_an_update_has_spoiled_are_never_written(tmp_path, at, validates):
    steps = config(optim={"clip": 0.0, "optimizer": "adam", "weight_decay": 0.0, "lr": 0.02})
    task = Exploding(at, validates)

    # Adam takes steps of the size of its rate whatever the gradient: plain descent does not.
    def plain(model, opt, lr, weight_decay):
        return torch.optim.SGD(model.parameters(), lr=lr)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timm.optim, "create_optimizer_v2", plain)
        with pytest.raises(DataError) as failure:
            fit(task, steps, tmp_path)
    message = str(failure.value)
    assert message.startswith(f"{tmp_path}: the weights after step {at} have a loss of")
    assert "at a learning rate of" in message and "optim.lr" in message and "\n" not in message
    assert not (tmp_path / "final.safetensors").exists()
    for path in tmp_path.glob("*.safetensors"):
        for value in load_file(path).values():
            assert value.abs().max() < 100


def test_what_validation_cannot_score_names_the_run_and_the_rate(tmp_path):
    class Unscored(LineTask):
        def validate(self, predict, device):
            raise DataError("the estimate has no value", fix="x")

    with pytest.raises(DataError, match=r"after step 5 cannot be validated.*rate of 0\.0") as found:
        fit(Unscored(), config(), tmp_path)
    assert str(found.value).startswith(f"{tmp_path}: ")


def test_a_score_that_is_no_number_is_never_better(tmp_path):
    class Scored(LineTask):
        def __init__(self):
            super().__init__()
            self.scores = iter([float("nan"), float("nan"), 0.5, float("nan"), float("nan")])

        def validate(self, predict, device):
            return {"error": next(self.scores)}

    done = fit(Scored(), config(100, validation={"every": 2, "patience": 2}), tmp_path)
    assert (done.stopped, done.step, done.best_step) == ("early", 10, 6)


@pytest.mark.parametrize("steps", [1, 2])
def test_short_runs_have_no_warnings(tmp_path, steps, caplog, recwarn):
    fit(LineTask(), config(optim={"steps": steps, "warmup": 0}), tmp_path)
    assert not caplog.records and not [w for w in recwarn if "scheduler" in str(w.message)]
    rows = [r for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    assert rows[-1]["lr"] == pytest.approx(0.02 if steps == 1 else (0.02 + 1e-6) / 2, rel=1e-5)


def test_the_record_tells_the_rate_of_its_own_update(tmp_path):
    fit(LineTask(), config(6, optim={"warmup": 4}, run={"log_every": 1}), tmp_path)
    rates = [r["lr"] for r in read_lines(tmp_path / "metrics.jsonl") if r["kind"] == "train"]
    rising = [0.02 * (0.01 + 0.99 * i / 4) for i in range(4)]
    assert rates[:5] == pytest.approx([*rising, 0.02]) and rates[5] < 0.02


def test_a_run_of_a_version_without_accumulation_goes_on(tmp_path):
    fit(LineTask(), config(4), tmp_path)
    saved = torch.load(tmp_path / "last.pt", weights_only=True)
    del saved["config"]["optim"]["accumulate"], saved["sums"], saved["progress"]["first"]
    torch.save(saved, tmp_path / "last.pt")
    with pytest.raises(ConfigError, match=r"optim\.accumulate was 1 and is 2"):
        fit(LineTask(), config(4, optim={"accumulate": 2}), tmp_path)
    assert fit(LineTask(), config(4), tmp_path).step == 4


def test_parts_of_an_update_are_the_samples_of_the_whole():
    plan = BatchPlan(10, 8, 3)
    for world in (1, 2):
        parts = [list(RankBatches(plan, 2, 4, r, world, 2)) for r in range(world)]
        assert [len(p) for p in parts] == [4] * world
        together = [d for part in zip(*parts, strict=True) for batch in part for d in batch]
        assert together == [*plan[2], *plan[3]]
    with pytest.raises(ConfigError, match="a batch of 4 for 3 processes"):
        RankBatches(plan, 0, 1, 0, 3, 2)


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    what = PoolConfig(land=0, recoloured=0, mosaics=2, real=0, size=48)
    return make_pool(tmp_path_factory.mktemp("pool") / "scenes", what)


@pytest.fixture(scope="module")
def series():
    return MemoryScene.of(procedural_series(24, seed=1))


def line(optim, request):
    return LineTask(dropout=0.0, norm=False), EngineConfig(optim=optim)


def fusion(optim, request):
    model = FusformerConfig(width=12, heads=3, encoder=1, decoder=1, mixer="none", skip="bicubic")
    how = TrainConfig(model=model, optim=optim, augment=AugmentConfig(ratios=(2, 5)))
    return FusionTask(how, request.getfixturevalue("store")), how


def refiner(optim, request):
    how = RefinerTrainConfig(
        model=RefinerConfig(width=8, blocks=1), pool=PoolConfig(size=48), crop=16, optim=optim
    )
    made = request.getfixturevalue("pool")
    return RefinerTask(how, made, made), how


def tamrf(optim, request):
    how = load_config(
        TamrfTrainConfig,
        None,
        [
            "model={features: 4, sensor_token: 4, growth: 2, layers: 1, heads: 2, hidden: 8, "
            "dropout: 0.0, skip: prior}",
            "data={crop: 4, per_scene: 4, dates: 12}",
            "loss={border: 3}",
        ],
    )
    how = dataclasses.replace(how, optim=optim)
    return TamrfTask(how, [request.getfixturevalue("series")]), how


@pytest.mark.parametrize("kind", [line, fusion, refiner, tamrf])
def test_batches_that_are_accumulated_are_one_larger_batch(kind, request, tmp_path):
    found = {}
    for name, batch, parts in (("whole", 4, 1), ("parts", 1, 4), ("half", 2, 2)):
        optim = OptimConfig(steps=3, batch=batch, accumulate=parts, lr=1e-3, warmup=0, ema=0.0)
        task, how = kind(optim, request)
        how = dataclasses.replace(how, run=RunConfig(device="cpu", log_every=1))
        fit(task, how, tmp_path / name)
        saved = torch.load(tmp_path / name / "last.pt", weights_only=True)
        found[name] = saved["model"], read_lines(tmp_path / name / "metrics.jsonl")
    start, rows = found.pop("whole")
    for weights, lines in found.values():
        for name, value in weights.items():
            torch.testing.assert_close(value, start[name], rtol=1e-3, atol=2e-5)
        for a, b in zip(rows, lines, strict=True):
            for key in ("loss", "grad_norm", "samples") if a["kind"] == "train" else ():
                assert b[key] == pytest.approx(a[key], rel=2e-4)
    assert [r["samples"] for r in rows if r["kind"] == "train"] == [4, 8, 12]


def test_a_section_given_in_part_keeps_what_it_is_in_the_network_s_own_settings(tmp_path):
    usual = TamrfTrainConfig().optim
    for settings in (
        NETWORKS["tamrf"].load_settings(None, ["optim.steps=5000"]),
        load_config(TamrfTrainConfig, None, ["optim.steps=5000"]),
    ):
        assert settings.optim == dataclasses.replace(usual, steps=5000)
    assert (usual.batch, usual.lr, usual.clip) == (1, 1e-4, 0.1)
    (tmp_path / "c.yaml").write_text("optim: {batch: 3}\n")
    made = NETWORKS["tamrf"].load_settings(tmp_path / "c.yaml", [])
    assert made.optim == dataclasses.replace(usual, batch=3)
    assert load_config(TrainConfig, None, ["optim.steps=7", "optim.warmup=0"]).optim.batch == 4


class TestSeriesWithoutADateToScore:
    def scene(self, name, days, clear=True):
        made = procedural_series(24, seed=1)
        images = {}
        for s, i in made.images.items():
            at = [k for k, d in enumerate(i.days) if d in days[s]]
            images[s] = i.bands, i.days[at], i.data[at], i.valid[at] & clear
        return MemoryScene(name, images)

    def settings(self):
        return load_config(
            TamrfTrainConfig,
            None,
            ["model.features=4", "model.heads=2", "data={crop: 4, dates: 12}", "loss.border=3"],
        )

    def test_is_refused_before_training(self, series):
        every = {s: v.tolist() for s, v in series.days.items()}
        few = {s: v[:1] for s, v in every.items()}
        for scene, told in (
            (self.scene("short", few), r"short: 1 dates of landsat, 1 clear, 0 to be hidden"),
            (self.scene("cloudy", every, clear=False), r"cloudy: .*0 clear, 0 to be hidden"),
        ):
            with pytest.raises(DataError, match=f"no date .* can be scored .{told}") as failure:
                TamrfTask(self.settings(), [series], [scene])
            assert "leave --val out" in str(failure.value) and "\n" not in str(failure.value)

    def test_beside_others_is_told(self, series, caplog):
        few = {s: v.tolist()[:1] for s, v in series.days.items()}
        TamrfTask(self.settings(), [series], [series, self.scene("short", few)])
        assert "series without a date to score: short" in caplog.text


def test_numbers_from_the_end_of_an_augmented_set(store):
    augment = AugmentConfig(flips=True, noise_s2=0.01).build()
    data = TripletDataset(store, "train", augment, seed=3)
    for a, b in ((-1, len(data) - 1), (-len(data), 0)):
        for key, value in data[a].items():
            assert torch.equal(value, data[b][key]), key
    for wrong in (len(data), -len(data) - 1):
        with pytest.raises(IndexError):
            data[wrong]


def test_crops_larger_than_the_refiner_s_scenes_are_refused():
    with pytest.raises(ConfigError, match="crop: is 64, and the scenes are of 48 pixels"):
        RefinerTrainConfig(crop=64, pool=PoolConfig(size=48))
