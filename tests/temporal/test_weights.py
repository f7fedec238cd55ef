"""Weights and their card: round trip and damage."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from trifuse.core import OutputExistsError, WeightsError
from trifuse.temporal.card import Card
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.weights import load_weights, read_card, save_weights

CONFIG = TamrfConfig((LANDSAT, SENTINEL2), features=8, sensor_token=4, growth=4, layers=1,
                     heads=2, hidden=16)  # fmt: skip
CARD = Card(CONFIG, data={"train": ["a"]}, metrics={"validation": {"score": 0.5}})


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
    save_weights(tmp_path / "a.safetensors", Tamrf(config), Card(config))
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
        save_weights(tmp_path / "a.safetensors", model, Card(replace(CONFIG, layers=2)))
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
