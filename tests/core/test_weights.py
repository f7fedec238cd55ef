"""Files of weights: what is kept of tensors, tables, and what needs no torch."""

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn

from trifuse.core import OutputExistsError, WeightsError, sha256
from trifuse.core.card import Card, NetworkConfig, NetworkKind
from trifuse.core.weights import (
    described,
    load_weights,
    read_arrays,
    read_card,
    save_weights,
    write_arrays,
)
from trifuse.fusion.spectral.spectral_prior import SHIPPED


@dataclass(frozen=True, slots=True)
class NormConfig(NetworkConfig):
    KIND: ClassVar[str] = "norm"

    width: int = 3


class Norm(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.norm = nn.BatchNorm2d(config.width)


KIND = NetworkKind("a norm", NormConfig, Norm, Card)


@pytest.fixture
def model():
    made = Norm(NormConfig())
    made.norm(torch.rand(2, 3, 4, 4))  # counts one batch
    return made


def test_counts_stay_counts_and_half_precision_becomes_single(model, tmp_path):
    path = tmp_path / "n.safetensors"
    save_weights(path, model.half(), Card(model.config, metrics={"steps": 1}))
    loaded, card = load_weights(path, [KIND])
    state = loaded.state_dict()
    assert state["norm.num_batches_tracked"].dtype == torch.int64
    assert int(state["norm.num_batches_tracked"]) == 1
    assert state["norm.running_mean"].dtype == torch.float32
    assert torch.equal(state["norm.running_mean"], model.norm.running_mean.float())
    assert described(path, card) == {**card.to_json(), "sha256": sha256(path)}
    assert card == read_card(path, [KIND]) and card.software


def test_nothing_is_left_of_what_is_refused(model, tmp_path):
    card = Card(model.config)
    with pytest.raises(WeightsError, match=r"name it \*\.safetensors"):
        save_weights(tmp_path / "n.pt", model, card)
    with pytest.raises(WeightsError, match="another network"):
        save_weights(tmp_path / "n.safetensors", nn.Linear(1, 1), card)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "n.json").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"n\.json"):
        save_weights(tmp_path / "n.safetensors", model, card)
    assert [p.name for p in tmp_path.iterdir()] == ["n.json"]


@pytest.mark.parametrize("text", ["", "{", "3", "[" * 100_000, '{"network": "norm"}'])
def test_a_header_that_is_no_card_is_one_line(model, tmp_path, text):
    from safetensors.torch import save_file

    save_file(model.state_dict(), tmp_path / "n.safetensors", metadata={"trifuse_card": text})
    with pytest.raises(WeightsError) as e:
        read_card(tmp_path / "n.safetensors", [KIND])
    assert str(e.value).startswith(str(tmp_path)) and "\n" not in str(e.value)


def test_a_table_has_its_card_inside_and_beside(tmp_path):
    path, about = tmp_path / "a.safetensors", {"network": "some_table", "format": 2, "é": [1.5]}
    write_arrays(path, {"x": np.arange(3.0)}, about)
    assert json.loads(path.with_suffix(".json").read_text(encoding="utf-8")) == about
    card, (x,) = read_arrays(path, ["x"], of=("some_table", 2))
    assert card == about and x.dtype == np.float32 and x.tolist() == [0, 1, 2]
    with pytest.raises(WeightsError, match="is no some table that this version can read"):
        read_arrays(path, ["x"], of=("some_table", 1))
    with pytest.raises(WeightsError, match="cannot be read"):
        read_arrays(path, ["y"])
    with pytest.raises(OutputExistsError):
        write_arrays(path, {"x": np.arange(3.0)}, about)


def test_tables_are_read_without_torch():
    code = (
        "import sys; from pathlib import Path; from trifuse.core import card, settings, weights; "
        f"weights.read_arrays(Path({str(SHIPPED)!r}), ['nm'], of=('spectral_prior', 1)); "
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
