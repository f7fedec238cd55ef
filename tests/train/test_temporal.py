"""Training of TAMRF: samples, batches, schedule, and a run from end to end."""

import json
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    GridError,
    MemorySource,
    ProductError,
    Series,
    StoreError,
    Window,
)
from trifuse.products import write_series
from trifuse.simulate import procedural_series
from trifuse.temporal.area import open_area
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.contract import forecast_of
from trifuse.temporal.encoding import encode_time
from trifuse.temporal.model import Tamrf, attend_nearby
from trifuse.temporal.networks import load_weights
from trifuse.temporal.prior import prior_images
from trifuse.temporal.stack import Stack
from trifuse.temporal.tamrf import Trained
from trifuse.train.batches import Draw
from trifuse.train.config import from_mapping, load_config, save_config
from trifuse.train.engine import fit
from trifuse.train.schedule import make_schedule
from trifuse.train.settings import OptimConfig
from trifuse.train.temporal import TamrfTask, TamrfTrainConfig, temporal_table, train_tamrf
from trifuse.train.temporal_data import MemoryScene, SeriesScene, band_statistics, to_network

TINY = {
    "model": {
        "features": 4,
        "sensor_token": 4,
        "growth": 2,
        "layers": 1,
        "heads": 2,
        "hidden": 8,
        "dropout": 0.0,
    },
    "data": {"crop": 4, "per_scene": 4, "dates": 12},
    "loss": {"border": 3},
    "optim": {"steps": 4, "batch": 2, "lr": 1e-3, "warmup": 1, "cycle": 0},
    "validation": {"every": 2},
    "run": {"device": "cpu", "save_every": 2, "log_every": 2},
}


@pytest.fixture(scope="module")
def made():
    return procedural_series(24, seed=1)


@pytest.fixture(scope="module")
def scene(made):
    return MemoryScene.of(made)


def config(**changes):
    sections = {k: {**v, **changes.get(k, {})} for k, v in TINY.items()}
    return from_mapping(TamrfTrainConfig, sections)


def test_recorded_schedule(fixtures_dir):
    wanted = json.loads((fixtures_dir / "tamrf_train_reference.json").read_text())["lr_schedule"]
    optim = TamrfTrainConfig().optim
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=optim.lr)
    schedule = make_schedule(optimizer, replace(optim, steps=10**6))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(wanted["0"], rel=1e-12)
    for step, rate in wanted.items():
        schedule.step_update(int(step))
        assert optimizer.param_groups[0]["lr"] == pytest.approx(rate, rel=1e-9), step


def test_schedule_without_cycles_ends_low():
    optim = OptimConfig(steps=100, warmup=10, lr=1e-3, min_lr=1e-5)
    optimizer = torch.optim.Adam([torch.zeros(1, requires_grad=True)], lr=optim.lr)
    schedule = make_schedule(optimizer, optim)
    rates = []
    for step in range(100):
        schedule.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == pytest.approx(1e-5) and max(rates) == pytest.approx(1e-3)
    assert int(np.argmax(rates)) in (9, 10) and rates[-1] < 2e-5


def test_yaml_round_trip(tmp_path):
    save_config(tmp_path / "c.yaml", config())
    assert load_config(TamrfTrainConfig, tmp_path / "c.yaml") == config()
    with pytest.raises(ConfigError, match=r"data\.crops.*data\.crop"):
        load_config(TamrfTrainConfig, tmp_path / "c.yaml", ["data.crops=3"])


def test_samples_depend_on_seed_step_and_place_only(scene):
    task = TamrfTask(config(), [scene])
    data = task.dataset()
    key = Draw(2, 5, 31)
    first = data[key]
    data[Draw(0, 0, 0)]  # what was drawn before does not matter
    again = TamrfTask(config(), [scene]).dataset()[key]
    assert first.keys() == again.keys()
    assert all(torch.equal(torch.nan_to_num(first[k]), torch.nan_to_num(again[k])) for k in first)
    others = [data[k] for k in (Draw(2, 5, 32), Draw(2, 6, 31), Draw(3, 5, 31))]
    for other in others:
        assert not torch.equal(
            first["sentinel2/data"].nan_to_num(), other["sentinel2/data"].nan_to_num()
        )


def test_samples_hold_what_the_scene_holds(made, scene):
    task = TamrfTask(config(data={"flips": False, "dates": 1000, "crop": 8}), [scene])
    sample = task.dataset()[Draw(0, 0, 0)]
    for name, images in made.images.items():
        n = int(sample[f"{name}/count"])
        assert n == len(images.days)
        assert sample[f"{name}/days"][:n].tolist() == images.days.tolist()
        wanted = images.data.copy()
        if name == "landsat":
            wanted[:, 7] /= 1000
        np.testing.assert_array_equal(sample[f"{name}/data"][:n], wanted)
        np.testing.assert_array_equal(sample[f"{name}/valid"][:n], images.valid)


def test_dates_are_capped_in_proportion(scene):
    data = TamrfTask(config(), [scene]).dataset()
    total = {k: len(d) for k, d in scene.days.items()}
    for i in range(4):
        sample = data[Draw(i, 0, i)]
        counts = {k: int(sample[f"{k}/count"]) for k in total}
        assert sum(counts.values()) <= 12
        for k, n in counts.items():
            assert n == int(12 * total[k] / sum(total.values()))
            days = sample[f"{k}/days"][:n]
            assert torch.all(days[1:] > days[:-1])
            assert sample[f"{k}/data"].shape[0] >= n, "padded"


def test_a_batch_is_the_mean_of_its_series(scene):
    torch.manual_seed(0)
    task = TamrfTask(config(data={"blank": 0.5}), [scene])
    net = task.build_model().eval()
    samples = [task.dataset()[Draw(i, 0, 0)] for i in range(3)]

    def step(parts):
        net.zero_grad()
        loss = task.loss(net, default_collate(parts))["loss"]
        loss.backward()
        return float(loss.detach()), [p.grad.clone() for p in net.parameters()]

    together, gradient = step(samples)
    alone = [step([s]) for s in samples]
    assert together == pytest.approx(np.mean([a[0] for a in alone]), rel=1e-5)
    for i, g in enumerate(gradient):
        torch.testing.assert_close(g, sum(a[1][i] for a in alone) / 3, rtol=1e-3, atol=1e-6)


def test_every_parameter_has_a_gradient_though_a_sensor_is_hidden(scene):
    task = TamrfTask(config(), [scene])
    net = task.build_model()
    sample = task.dataset()[Draw(0, 0, 0)]
    sample["landsat/seen"] = torch.zeros_like(sample["landsat/seen"])
    sample["sentinel2/seen"][:3] = True
    task.loss(net, default_collate([sample]))["loss"].backward()
    assert all(p.grad is not None for p in net.parameters())
    assert not any(p.grad.any() for p in net.net.spatial["landsat"].parameters())


def test_withheld_clouds_do_not_matter(scene):
    torch.manual_seed(0)
    task = TamrfTask(config(data={"blank": 1.0}, loss={"contrast": 0.0, "structure": 0.0}), [scene])
    net = task.build_model().eval()
    sample = task.dataset()[Draw(1, 0, 3)]
    sample["sentinel2/seen"][:3] = True
    sample["sentinel2/valid"][0, 2:5] = False
    changed = dict(sample)
    changed["sentinel2/data"] = sample["sentinel2/data"].clone()
    changed["sentinel2/data"][0, :, 2:5] = 0.9
    with torch.no_grad():
        a, b = (float(task.loss(net, default_collate([s]))["loss"]) for s in (sample, changed))
    assert a == pytest.approx(b, rel=1e-6)


def test_contrast_needs_clouds(scene):
    task = TamrfTask(config(data={"blank": 0.0}), [scene])
    net = task.build_model().eval()
    found = []
    for clouded in (True, False):
        parts = []
        for i in range(4):
            sample = task.dataset()[Draw(i, 0, i)]
            sample["clouded"] = torch.tensor(clouded)
            parts.append(sample)
        with torch.no_grad():
            found.append(float(task.loss(net, default_collate(parts))["contrast"]))
    assert found[0] > 0 == found[1]


def test_a_fresh_network_with_a_skip_is_its_prior(scene):
    task = TamrfTask(config(model={"skip": "prior"}), [scene], [scene])
    net = task.build_model().eval()
    metrics = task.validate(net, torch.device("cpu"))
    keys = [k for k in metrics if k.startswith("gap-filling/sentinel2/")]
    assert len(keys) == 5
    for sensor in ("landsat", "sentinel2"):
        ours, plain = (metrics[f"gap-filling/{sensor}/{m}"] for m in ("network", "prior"))
        assert ours == pytest.approx(plain, rel=0.05), "sharpened, then seen by the sensor"
    images = task.images(scene)
    out = task.forecast(net, torch.device("cpu"), images, [100.0, 200.5])
    prior = prior_images(task.sensors, images, [100.0, 200.5]).images
    s2 = task.sensors[1]
    wanted = prior[:, 8:] * np.array(s2.std)[:, None, None] + np.array(s2.mean)[:, None, None]
    np.testing.assert_allclose(out["sentinel2"], wanted, atol=1e-5)


def test_areas_add_the_same_correction_as_training(made, scene):
    torch.manual_seed(0)
    task = TamrfTask(config(model={"skip": "prior"}), [scene])
    net = task.build_model().eval()
    with torch.no_grad():
        net.net.decoder.last.bias.uniform_(-1, 1)  # the same in every pixel, borders or not
    # Whole cells, and clouds as they lie on disk.
    series = {k: made.series(k) for k in made.images}
    area = open_area(net.net.config, series, origin=date(2022, 1, 1))
    query = [60.5, float(made.images["sentinel2"].days[4])]
    images = {
        k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
        for k, i in made.images.items()
    }
    wanted = task.forecast(net, torch.device("cpu"), images, query)
    method = Trained(net.net, "january", True, {})
    found = forecast_of(method, area, Window(0, 0, 24, 24))(images, query)
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], atol=1e-5)
    weight = prior_images(task.sensors, images, query).weight
    clear = made.images["sentinel2"].valid[4]
    assert weight[1, 8:][:, clear].max() < 0.3, "little to correct where it was clear"
    assert 0 <= weight.min() and weight.max() <= 1 and weight[0, 8:].mean() > 0.3


def test_only_hidden_dates_are_asked_for_if_only_they_count(scene):
    task = TamrfTask(config(loss={"visible_weight": 0.0, "structure": 0.0}), [scene])
    net = task.build_model()
    asked = []

    def spy(series, queries, contexts):
        asked.extend(queries)
        return net(series, queries, contexts)

    sample = task.dataset()[Draw(0, 0, 0)]
    batch = default_collate([sample])
    assert float(task.loss(spy, batch)["loss"].detach()) > 0
    hidden = {
        float(d)
        for s in ("landsat", "sentinel2")
        for d, seen in zip(
            sample[f"{s}/days"][: int(sample[f"{s}/count"])], sample[f"{s}/seen"], strict=False
        )
        if not seen
    }
    assert asked[0][0].tolist() == sorted(hidden)


def test_nearby_start_looks_at_near_dates(scene):
    torch.manual_seed(0)
    task = TamrfTask(config(model={"features": 16, "heads": 2}), [scene])
    net = Tamrf(task.model)
    attend_nearby(net)
    q, k, _ = net.cross.attention.in_proj_weight.detach().chunk(3)
    time = encode_time(torch.arange(0, 200.0, 10), 16)
    head = task.model.width // 2
    for h in range(2):
        rows = slice(h * head, (h + 1) * head)
        score = (time @ q[rows, 16:32].T) @ (time @ k[rows, 16:32].T).T / head**0.5
        share = score.softmax(-1)
        assert (share[5:15].argmax(-1) == torch.arange(5, 15)).all()
        assert share[10, 9:12].sum() > 2 * share[10, [0, 1, 18]].sum()


def test_statistics_are_those_of_clear_pixels(made, scene):
    mean, std = band_statistics([scene], "sentinel2")
    images = made.images["sentinel2"]
    values = images.data.transpose(0, 2, 3, 1)[images.valid]
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-3)
    np.testing.assert_allclose(std, values.std(0), rtol=1e-2)


def test_a_run_ends_resumes_and_leaves_weights(tmp_path, scene):
    chosen = config()
    whole = train_tamrf(chosen, [scene], [scene], tmp_path / "a")
    assert whole.step == 4 and {"score", "gain"} <= whole.metrics.keys()
    task = TamrfTask(chosen, [scene], [scene])
    # Stopped after two updates, then started again.
    calls = []
    original = task.loss

    def loss(model, batch):
        calls.append(1)
        if len(calls) == 4:
            raise RuntimeError("power cut")
        return original(model, batch)

    task.loss = loss
    with pytest.raises(RuntimeError, match="power cut"):
        fit(task, chosen, tmp_path / "b")
    resumed = train_tamrf(chosen, [scene], [scene], tmp_path / "b")
    assert resumed.step == 4
    net, card = load_weights(tmp_path / "a" / "final.safetensors")
    again, _ = load_weights(tmp_path / "b" / "final.safetensors")
    for key, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert [s.name for s in card.config.sensors] == ["landsat", "sentinel2"]
    assert card.data["train"] == ["procedural 1 2022"]
    assert any("synthetic" in limit for limit in card.limits)
    assert "gap-filling/sentinel2" in temporal_table(whole.metrics)


def test_series_on_disk_are_read_alike(made, scene, tmp_path):
    series = {k: made.series(k) for k in made.images}
    other = SeriesScene("x", series, clouded=True)
    for name in made.images:
        np.testing.assert_array_equal(other.days[name], scene.days[name])
        window = Window(2, 1, 4, 5)
        for a, b in zip(
            other.read(name, [0, 3], window), scene.read(name, [0, 3], window), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    with pytest.raises(ProductError):
        SeriesScene.open(tmp_path)


@pytest.mark.parametrize("keep", [True, False])
def test_a_folder_tells_whether_clouds_were_kept(made, tmp_path, keep):
    for name in made.images:
        cubes = []
        for day, source in list(made.series(name))[:6]:
            cube = source.read()
            data = cube.data if keep else np.where(cube.valid, cube.data, np.nan)
            cubes.append((day, MemorySource(Cube(data, cube.valid, cube.bands, cube.grid))))
        assert not all(c.read().valid.all() for _, c in cubes), "there are clouds"
        write_series(tmp_path / name, Series.of(name, cubes), dtype="float32", cog=False)
    found = SeriesScene.open(tmp_path)
    assert found.clouded is keep and set(found.days) == set(made.images)


class TestBadInput:
    def images(self, made):
        return {s: (i.bands, i.days, i.data, i.valid) for s, i in made.images.items()}

    def test_no_scene(self):
        with pytest.raises(StoreError, match="no scenes"):
            TamrfTask(config(), [])

    def test_one_sensor_absent(self, made):
        images = self.images(made)
        del images["landsat"]
        with pytest.raises(StoreError, match="lacks landsat"):
            TamrfTask(config(), [MemoryScene("x", images)])
        chosen = config(loss={"border": 1})
        only = TamrfTask(chosen, [MemoryScene("x", images)], sensors=(SENTINEL2,))
        assert only.model.outputs[0] == ("sentinel2", "B2"), "one sensor is a network, too"

    def test_other_bands(self, made):
        images = self.images(made)
        bands, *rest = images["landsat"]
        images["landsat"] = (BandSet.of([f"X{i}" for i in range(len(bands))]), *rest)
        with pytest.raises(StoreError, match="landsat has bands X0"):
            TamrfTask(config(), [MemoryScene("x", images)])

    def test_other_ground(self, made):
        images = self.images(made)
        bands, days, data, valid = images["landsat"]
        images["landsat"] = (bands, days, data[..., :5], valid[..., :5])
        with pytest.raises(GridError, match="same ground"):
            TamrfTask(config(), [MemoryScene("x", images)])

    def test_crop_and_border(self, scene):
        with pytest.raises(GridError, match="smaller than a crop"):
            TamrfTask(config(data={"crop": 9}), [scene])
        with pytest.raises(ConfigError, match="border"):
            TamrfTask(config(loss={"border": 6}), [scene])

    def test_never_clear(self, made):
        images = {s: (b, d, x, np.zeros_like(v)) for s, (b, d, x, v) in self.images(made).items()}
        with pytest.raises(Exception, match="no clear pixel"):
            TamrfTask(config(), [MemoryScene("x", images)])
        assert LANDSAT.thermal == ("LST",)
