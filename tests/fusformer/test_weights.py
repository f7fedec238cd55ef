"""Weights and their card: round trip, damage, bands."""

import json
import struct
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from trifuse.core import BandSet, OutputExistsError, WeightsError
from trifuse.core.card import parse_card
from trifuse.fusformer import (
    FUSION,
    Card,
    FusformerConfig,
    build_model,
    check_bands,
    load_weights,
    read_card,
    save_weights,
)

HR = BandSet.of(["B2", "B4", "B8A"], [492.4, 664.6, 864.7], [66, 31, 21])
LR = BandSet.of(["Oa04", "Oa08", "Oa17", "S5"], [490, 665, 865, 1613], [10, 10, 20, 60])
CONFIG = FusformerConfig(3, 4, width=12, encoder=1, decoder=1, kernel=3, skip="prior")
CARD = Card(CONFIG, HR, LR, store="abc", protocol={"ratio": 10}, metrics={"val": {"psnr": 40.0}})


@pytest.fixture
def model():
    torch.manual_seed(0)
    return build_model(CONFIG)


@pytest.fixture
def saved(tmp_path, model):
    path = tmp_path / "net.safetensors"
    save_weights(path, model, CARD)
    return path


def test_round_trip(saved, model):
    loaded, card = load_weights(saved)
    assert card == CARD == read_card(saved)
    assert not loaded.training
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        torch.testing.assert_close(loaded.state_dict()[key], value, rtol=0, atol=0)
    hrmsi, prior = torch.rand(1, 3, 8, 8), torch.rand(1, 4, 8, 8)
    torch.testing.assert_close(loaded(hrmsi, prior), model(hrmsi, prior), rtol=0, atol=0)


def test_card_lies_beside_and_bytes_repeat(saved, model, tmp_path):
    beside = json.loads(saved.with_suffix(".json").read_text())
    assert beside == CARD.to_json()
    assert beside["normalisation"] == {"input_offset": 0, "input_scale": 0.2, "output_scale": 0.1}
    assert beside["lr_bands"][3] == {"name": "S5", "centre_nm": 1613, "fwhm_nm": 60}
    save_weights(tmp_path / "again.safetensors", model, CARD)
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


def test_metrics_that_do_not_exist_are_null():
    card = replace(CARD, metrics={"psnr": float("nan")})
    assert parse_card(card.dumps(), FUSION).metrics == {"psnr": None}


def test_existing_files_are_kept(saved, model):
    with pytest.raises(OutputExistsError):
        save_weights(saved, model, CARD)
    save_weights(saved, model, CARD, overwrite=True)
    saved.unlink()
    with pytest.raises(OutputExistsError, match=r"net\.json"):
        save_weights(saved, model, CARD)


@pytest.mark.parametrize("keep", [0, 4, 8, 200, -1])
def test_truncated_file(saved, keep):
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"net\.safetensors: truncated"):
        load_weights(saved)


def test_missing_file_and_foreign_file(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_weights(tmp_path / "none.safetensors")
    save_file({"a": torch.zeros(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(WeightsError, match="holds no card"):
        load_weights(tmp_path / "foreign.safetensors")
    pickled = tmp_path / "pickle.safetensors"
    torch.save({"a": torch.zeros(2)}, pickled)
    with pytest.raises(WeightsError, match="no safetensors"):
        load_weights(pickled)


def rewrite(path, tensors=None, card=None):
    state = load_file(path)
    text = CARD.dumps() if card is None else json.dumps(card)
    save_file(tensors(state) if tensors else state, path, metadata={"trifuse_card": text})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {k: v for k, v in s.items() if k != "head.0.bias"}, r"head\.0\.bias: missing"),
        (lambda s: {**s, "extra": torch.zeros(1)}, r"extra: \(1,\) instead of none"),
        (lambda s: {**s, "head.2.bias": torch.zeros(5)}, r"\(5,\) instead of \(4,\)"),
        (lambda s: {**s, "head.2.bias": torch.full((4,), torch.nan)}, "not finite"),
    ],
)
def test_wrong_tensors(saved, change, message):
    rewrite(saved, tensors=change)
    with pytest.raises(WeightsError, match=message):
        load_weights(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(colour=1), "unknown keys colour"),
        (lambda c: c["model"].update(mixer="hyena"), "unknown mixer 'hyena'"),
        (lambda c: c["model"].update(width="wide"), "width is 'wide'"),
        (lambda c: c["model"].update(width=10**9), "width is 1000000000"),
        (lambda c: c["model"].update(hr_bands=5), r"\(3, 4\) bands for a network of \(5, 4\)"),
        (lambda c: c.update(format=99), "this version"),
        (lambda c: c.update(colour=1), "unknown keys colour"),
        (lambda c: c.pop("lr_bands"), "damaged"),
        (lambda c: c["hr_bands"][0].update(centre_nm="blue"), "damaged"),
        (lambda c: c["normalisation"].pop("input_scale"), "normalisation"),
    ],
)
def test_wrong_card(saved, change, message):
    card = CARD.to_json()
    change(card)
    rewrite(saved, card=card)
    with pytest.raises(WeightsError, match=message) as e:
        load_weights(saved)
    assert str(e.value).startswith(str(saved)) and "\n" not in str(e.value)


def test_header_that_lies_about_its_length(saved):
    content = saved.read_bytes()
    saved.write_bytes(struct.pack("<Q", 1 << 62) + content[8:])
    with pytest.raises(WeightsError):
        load_weights(saved)


def test_a_card_for_another_network_is_not_written(tmp_path, model):
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError, match="another network"):
        save_weights(path, model, replace(CARD, config=replace(CONFIG, mixer="none")))
    with torch.no_grad():
        model.head[0].bias[0] = float("inf")
    with pytest.raises(WeightsError, match="not finite"):
        save_weights(path, model, CARD)
    assert list(tmp_path.iterdir()) == []


def test_bands_are_picked_by_name_from_a_wider_image():
    wide = BandSet.of(["Oa01", "S5", "OA17", "oa8", "Oa04"], [400, 1612, 865, 665, 490])
    hr, lr = check_bands(CARD, BandSet.of(["B1", "B02", "B04", "B8A"]), wide)
    assert hr == ["B02", "B04", "B8A"]
    assert lr == ["Oa04", "oa8", "OA17", "S5"]


def test_sister_satellites_pass_and_moved_bands_do_not():
    wide_band = Card(
        replace(CONFIG, hr_bands=1), BandSet.of(["B12"], [2202.4], [175]), LR
    )  # S2A's B12; S2B's lies 16.7 nm beside
    check_bands(wide_band, BandSet.of(["B12"], [2185.7], [185]), LR)
    with pytest.raises(WeightsError, match=r"Oa08 at 673\.8 instead of 665\.0 nm"):
        check_bands(CARD, HR, BandSet.of(LR.names, [490, 673.8, 865, 1613]))


def test_missing_bands_are_all_named():
    with pytest.raises(WeightsError, match=r"bands B4, B8A, which the sharp image lacks"):
        check_bands(CARD, BandSet.of(["B2", "B3"]), LR)
    with pytest.raises(WeightsError, match=r"bands S5, which the coarse image lacks"):
        check_bands(CARD, HR, BandSet.of(["Oa04", "Oa08", "Oa17"]))
