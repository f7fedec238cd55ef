"""Weights and their card: round trip and damage."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trifuse.core import OutputExistsError, WeightsError
from trifuse.simulate import procedural_series
from trifuse.temporal.card import TamrfCard
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.networks import SHIPPED, load_weights, read_card, save_weights
from trifuse.temporal.scoring import score_hidden
from trifuse.temporal.stack import Stack
from trifuse.temporal.strategies import task
from trifuse.train.temporal_data import to_network

CONFIG = TamrfConfig(
    (LANDSAT, SENTINEL2), features=8, sensor_token=4, growth=4, layers=1, heads=2, hidden=16
)
CARD = TamrfCard(CONFIG, data={"train": ["a"]}, metrics={"validation": {"score": 0.5}})


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return Tamrf(CONFIG).eval()


@pytest.fixture
def saved(tmp_path, model):
    path = tmp_path / "net.safetensors"
    save_weights(path, model, CARD)
    return path


def test_round_trip(saved, model):
    loaded, card = load_weights(saved)
    assert card == CARD == read_card(saved)
    assert not loaded.training and loaded.config == CONFIG
    series = {"sentinel2": Dates(torch.rand(1, 2, 10, 6, 6), torch.tensor([[3.0, 40.0]]))}
    query = torch.tensor([[20.0]])
    torch.testing.assert_close(loaded(series, query), model(series, query), rtol=0, atol=0)


def test_statistics_travel(tmp_path):
    sensor = replace(SENTINEL2, mean=(0.1,) * 10, std=(0.05,) * 10)
    config = replace(CONFIG, sensors=(LANDSAT, sensor))
    save_weights(tmp_path / "a.safetensors", Tamrf(config), TamrfCard(config))
    loaded, _ = load_weights(tmp_path / "a.safetensors")
    mean, std = loaded.statistics(sensor)
    assert float(mean[0]) == pytest.approx(0.1) and float(std[0]) == pytest.approx(0.05)


def test_card_lies_beside_and_bytes_repeat(saved, model, tmp_path):
    beside = json.loads(saved.with_suffix(".json").read_text())
    assert beside == CARD.to_json() and beside["network"] == "tamrf"
    assert beside["model"]["sensors"][0]["bands"][-1] == "LST"
    save_weights(tmp_path / "again.safetensors", model, CARD)
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()
    with pytest.raises(OutputExistsError):
        save_weights(saved, model, CARD)


def test_a_card_for_another_network_is_not_written(tmp_path, model):
    with pytest.raises(WeightsError, match="another network"):
        save_weights(tmp_path / "a.safetensors", model, TamrfCard(replace(CONFIG, layers=2)))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("keep", [0, 8, 300, -1])
def test_truncated_file(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"net\.safetensors: truncated"):
        load_weights(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s, c: s.pop("query_token"), "query_token: missing"),
        (lambda s, c: s.update(extra=torch.zeros(1)), r"extra: \(1,\) instead of none"),
        (lambda s, c: s["query_token"].fill_(torch.nan), "not finite"),
        (lambda s, c: c.update(network="fusformer"), "no card of a TAMRF"),
        (lambda s, c: c.update(format=99), "this version"),
        (lambda s, c: c.update(colour=1), "unknown keys colour"),
        (lambda s, c: c["model"].update(colour=1), "damaged"),
        (lambda s, c: c["model"].update(features=2 * 10**9), "damaged"),
        (lambda s, c: c["model"].update(features="wide"), "damaged"),
        (lambda s, c: c["model"]["sensors"][0].pop("mtf"), "damaged"),
        (lambda s, c: c.pop("limits"), "damaged"),
    ],
)
def test_damage_is_named(saved, change, message):
    state, card = load_file(saved), CARD.to_json()
    change(state, card)
    save_file(state, saved, metadata={"trifuse_card": json.dumps(card)})
    with pytest.raises(WeightsError, match=message) as e:
        load_weights(saved)
    assert str(e.value).startswith(str(saved)) and "\n" not in str(e.value)


@pytest.fixture(scope="module")
def shipped():
    return load_weights(SHIPPED)


class TestShipped:
    """The weights that come with TriFuse."""

    def test_the_card_is_complete(self, shipped):
        net, card = shipped
        assert json.loads(SHIPPED.with_suffix(".json").read_text()) == card.to_json()
        assert SHIPPED.stat().st_size < 2**20
        assert [s.name for s in net.config.sensors] == ["landsat", "sentinel2"]
        train, val = (set(card.data[k]) for k in ("train", "val"))
        assert len(train) >= 32 and len(val) >= 8 and not train & val
        assert {"seed", "data", "loss", "optim", "step"} <= set(card.protocol)
        made = next(v for k, v in card.metrics.items() if "unseen synthetic" in k)
        for row in ("gap-filling · landsat", "gap-filling · sentinel2", "fusion · sentinel2"):
            assert made[row]["network"] < min(made[row]["linear"], made[row]["change"])
        assert len(card.metrics["real series"]) >= 4 and "validation" in card.metrics
        text = " ".join(card.limits)
        assert "no real image was used" in text and "not of this one" in text
        for name, row in made.items():  # what is worse than a baseline is told
            if row["network"] > min(row.values()):
                assert name in text

    def test_it_beats_what_needs_no_network_on_unseen_scenes(self, shipped):
        net, card = shipped
        ratios = {}
        for seed, year in ((3000, 2021), (3001, 2022)):
            assert f"procedural {seed} {year}" not in (*card.data["train"], *card.data["val"])
            images = {
                k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
                for k, i in procedural_series(36, seed, year=year).images.items()
            }
            days = {k: v.days.tolist() for k, v in images.items()}
            for name in ("gap-filling", "fusion"):
                found = score_hidden(
                    forecast_by(net, blank=True),
                    net.config.sensors,
                    images,
                    task(name, days, "landsat", "sentinel2"),
                    margin=60,
                    baselines=("linear", "change"),
                )
                for sensor, scores in found.items():
                    std = net.config.sensor(sensor).std
                    network, linear, change = (
                        np.nanmean(scores[f"{m}/rmse"] / std)
                        for m in ("network", "linear", "change")
                    )
                    ratios.setdefault((name, sensor), []).append(network / min(linear, change))
        assert len(ratios) == 3
        for values in ratios.values():
            assert np.exp(np.mean(np.log(values))) < 0.98
