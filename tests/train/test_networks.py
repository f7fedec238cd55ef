"""Every registered network: built, saved, read again, told from the others, trained and used."""

import dataclasses
import json
from itertools import permutations
from typing import ClassVar

import numpy as np
import pytest
import torch
from safetensors import safe_open
from train_scenes import SCENES, scene

from trifuse.core import BandSet, ConfigError, MemorySource, WeightsError
from trifuse.core.card import NetworkKind, find_kind, kind_of, parse_card
from trifuse.core.weights import KEY, load_weights, read_card, save_weights
from trifuse.flows.fuse import choose_method
from trifuse.fusformer import (
    FUSION,
    FusformerConfig,
    FusionCard,
    FusionConfig,
    FusionNetwork,
    PaperConfig,
)
from trifuse.fusion import Network, fuse_cube, get_method, methods
from trifuse.fusion.methods import method_for
from trifuse.fusion.refined import SHIPPED as REFINER
from trifuse.fusion.refined import Refined
from trifuse.simulate import scene_views
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.networks import SHIPPED as TAMRF
from trifuse.train import FusionTask, OptimConfig, RunConfig, TrainConfig, prior, train_fusion
from trifuse.train.networks import NETWORKS

HR, LR = BandSet.of(["B2", "B4", "B8A"]), BandSet.of(["Oa04", "Oa08"])
KINDS = [n.kind for n in NETWORKS.values()]
FUSES = pytest.mark.parametrize("kind", FUSION, ids=lambda k: k.name)


def made(name):
    """A network with random parameters, and its card."""
    network = NETWORKS[name]
    kind, bands = network.kind, ()
    if network.data == "store":
        config, bands = kind.config(hr_bands=len(HR), lr_bands=len(LR)), (HR, LR)
    elif network.data == "series":
        config = kind.config((LANDSAT, SENTINEL2), features=8, growth=4, layers=1, hidden=16)
    else:
        config = kind.config()
    torch.manual_seed(3)
    model = kind.build(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model, kind.card(config, *bands, metrics={"validation": {"gain": float("nan")}})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    for name in NETWORKS:
        save_weights(folder / f"{name}.safetensors", *made(name))
    return {name: folder / f"{name}.safetensors" for name in NETWORKS}


def test_the_registry_knows_each_by_the_name_of_its_configuration():
    assert {"fusformer", "fusformer-paper", "refiner", "tamrf"} <= set(NETWORKS)
    for name, network in NETWORKS.items():
        assert name == network.kind.name == network.kind.config.KIND
        assert isinstance(network.load_settings(), network.settings)
    assert len({k.config for k in KINDS}) == len(KINDS)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_comes_back_to_the_bit(saved, name):
    model, card = made(name)
    loaded, read = load_weights(saved[name], KINDS)
    assert type(loaded) is type(model) and loaded.config == model.config and not loaded.training
    assert read == dataclasses.replace(card, metrics={"validation": {"gain": None}})
    assert read_card(saved[name], KINDS) == read
    state = model.state_dict()
    assert loaded.state_dict().keys() == state.keys()
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, state[key]) and value.dtype == state[key].dtype
    beside = json.loads(saved[name].with_suffix(".json").read_text(encoding="utf-8"))
    assert beside == card.to_json() and beside["network"] == name
    assert parse_card(card.dumps(), KINDS) == read


@pytest.mark.parametrize(("name", "other"), list(permutations(NETWORKS, 2)))
def test_weights_of_another_are_refused_in_one_line(saved, name, other):
    with pytest.raises(WeightsError, match="no card of") as e:
        load_weights(saved[other], [NETWORKS[name].kind])
    text = str(e.value)
    assert text.startswith(str(saved[other])) and f"'{other}'" in text and "\n" not in text
    assert e.value.exit_code == 6


@pytest.mark.parametrize("path", [REFINER, TAMRF], ids=["refiner", "tamrf"])
def test_what_was_written_before_is_read_and_would_be_written_alike(path):
    """Files of the first version: their cards come out of this one to the letter."""
    with safe_open(path, framework="pt") as file:
        text, tensors = file.metadata()[KEY], {k: file.get_tensor(k) for k in file.keys()}
    model, card = load_weights(path, KINDS)
    assert card.dumps() == text
    assert all(torch.equal(model.state_dict()[k], v) for k, v in tensors.items())


FIRST = {
    "format": 1,
    "hr_bands": [{"centre_nm": 492.4, "fwhm_nm": 66, "name": "B2"}],
    "limits": ["Input is surface reflectance 0–1, not digital numbers."],
    "lr_bands": [{"centre_nm": None, "fwhm_nm": None, "name": "Oa04"}],
    "metrics": {"validation": {"psnr": 40.5, "gain": None}},
    "model": {
        "decoder": 2,
        "encoder": 2,
        "heads": 3,
        "hr_bands": 1,
        "kernel": 7,
        "lr_bands": 1,
        "mixer": "global",
        "mlp_ratio": 1.0,
        "skip": "bicubic",
        "width": 48,
        "window": 10,
    },
    "network": "fusformer",
    "normalisation": {"input_offset": 0.0, "input_scale": 1.0, "output_scale": 1.0},
    "prior": "regression",
    "protocol": {"seed": 0, "step": 100},
    "software": "0.1.0",
    "store": "abc",
}
"""The card of a Fusformer as version 0.1.0 wrote it."""


def test_a_fusformer_of_the_first_version_is_read_and_would_be_written_alike():
    text = json.dumps(FIRST, sort_keys=True, ensure_ascii=False)
    card = parse_card(text, FUSION)
    assert type(card.config) is FusformerConfig and card.store == "abc"
    assert json.loads(card.dumps()) == FIRST


def test_both_sides_know_every_input():
    assert set(prior.VIEWS) == {"hrmsi", *methods.VIEWS}


@FUSES
def test_a_network_that_fuses_keeps_the_contract(kind):
    config = kind.config(hr_bands=3, lr_bands=2)
    model = kind.build(config).eval()
    assert isinstance(model, FusionNetwork) and model.config == config and model.alignment >= 1
    assert set(config.inputs) <= set(prior.VIEWS) and set(config.inputs) & set(methods.VIEWS)
    images = {"hrmsi": torch.rand(2, 3, 24, 16), **dict.fromkeys(methods.VIEWS)}
    shown = [torch.rand(2, 2, 24, 16) if images[n] is None else images[n] for n in config.inputs]
    with torch.no_grad():
        out = model(*shown)
    assert out.shape == (2, 2, 24, 16) and torch.isfinite(out).all()


@pytest.fixture(scope="module")
def trained(store, tmp_path_factory):
    """A few updates of each network that fuses."""
    out = {}
    for kind in FUSION:
        config = TrainConfig(
            model=kind.config(),
            optim=OptimConfig(steps=2, batch=2, warmup=0),
            run=RunConfig(device="cpu"),
        )
        folder = tmp_path_factory.mktemp("runs") / kind.name
        out[kind.name] = train_fusion(config, store, folder).weights
    return out


@FUSES
def test_it_is_trained_saved_and_fuses_a_scene_by_what_its_card_says(kind, trained):
    path = trained[kind.name]
    assert json.loads(path.with_suffix(".json").read_text())["network"] == kind.name
    assert method_for(path) == "network"
    method = get_method("network", path)
    assert isinstance(method, Network) and type(method.card.config) is kind.config
    s2, s3, _ = scene_views(scene(SCENES[0]), ratio=5)
    s2, s3 = (MemorySource(v) for v in (s2, s3))
    whole, _ = fuse_cube(s2, s3, method=method, device="cpu", tile=max(s2.grid.shape))
    assert whole.bands.names == method.card.lr_bands.names
    assert np.isfinite(whole.data[:, whole.valid]).all() and whole.valid.any()
    if method.halo is not None:
        tiled, _ = fuse_cube(s2, s3, method=method, device="cpu", tile=16)
        np.testing.assert_allclose(tiled.data, whole.data, atol=2e-6)


def test_a_run_of_another_network_is_in_the_way(store, trained):
    config = TrainConfig(model=PaperConfig(), run=RunConfig(device="cpu"))
    assert FusionTask(config, store).fingerprint()["network"] == "fusformer-paper"
    assert set(FusionTask(TrainConfig(), store).fingerprint()) == {"store"}
    with pytest.raises(ConfigError, match="another one"):
        train_fusion(config, store, trained["fusformer"].parent)


def test_a_configuration_that_is_not_registered_is_refused(store):
    @dataclasses.dataclass(frozen=True, slots=True)
    class Unknown(FusformerConfig):
        pass

    with pytest.raises(ConfigError, match="Unknown is the configuration of no network here"):
        FusionTask(TrainConfig(model=Unknown()), store)


@dataclasses.dataclass(frozen=True, slots=True)
class BlendConfig(FusionConfig):
    KIND: ClassVar[str] = "blend"

    hr_bands: int = 12
    lr_bands: int = 19
    share: float = 0.25

    @property
    def inputs(self):
        return ("prior", "bicubic", "hrmsi")


class Blend(FusionNetwork):
    """Some of the prior, the rest of the bicubic image, and the mean of the sharp bands."""

    halo, alignment = 0, 1

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.bias = torch.nn.Parameter(torch.zeros(config.lr_bands))
        self.register_buffer("constant", torch.ones(1), persistent=False)

    def forward(self, prior, bicubic, hrmsi):
        share = self.config.share
        mean = self.constant * hrmsi.mean(dim=1, keepdim=True)
        return share * prior + (1 - share) * bicubic + mean + self.bias[:, None, None]


def test_a_network_that_is_shown_other_images_needs_its_line_only(store, tmp_path, monkeypatch):
    kind = NetworkKind("a blend", BlendConfig, Blend, FusionCard)
    for module in ("trifuse.fusformer.networks", "trifuse.train.fusion"):
        monkeypatch.setattr(f"{module}.FUSION", (*FUSION, kind))
    optim = OptimConfig(steps=1, batch=2, lr=1e-9, min_lr=0.0, warmup=0)
    config = TrainConfig(model=BlendConfig(share=0.75), optim=optim, run=RunConfig(device="cpu"))
    method = Network.load(train_fusion(config, store, tmp_path / "run").weights)
    assert method.card.config == BlendConfig(6, 5, share=0.75)
    card = method.card
    sharp, coarse, _ = scene_views(scene(SCENES[0]), ratio=5)
    sharp, coarse = sharp.select(card.hr_bands.names), coarse.select(card.lr_bands.names)
    images = MemorySource(sharp), MemorySource(coarse)
    found, low, high = (
        fuse_cube(*images, method=how, device="cpu", tile=16)[0]
        for how in (method, "bicubic", "regression")
    )
    expected = 0.25 * low.data + 0.75 * high.data + sharp.data.mean(axis=0)
    there = found.valid & np.isfinite(sharp.data).all(axis=0)
    assert there.any()
    np.testing.assert_allclose(found.data[:, there], expected[:, there], atol=2e-6)


def test_weights_choose_the_method_that_takes_them(saved, tmp_path):
    assert method_for(saved["refiner"]) == "refined"
    assert choose_method(None, saved["refiner"]) == Refined(network=str(saved["refiner"]))
    assert isinstance(choose_method(None, saved["fusformer-paper"]), Network)
    assert choose_method(None, None) == Refined()
    with pytest.raises(WeightsError, match="'tamrf'"):
        method_for(saved["tamrf"])
    with pytest.raises(WeightsError, match="no such file"):
        method_for(tmp_path / "none.safetensors")


class TestPaper:
    """The network as published, under a name of its own."""

    def test_its_design_is_fixed_and_its_sizes_are_free(self):
        assert FusformerConfig.original(3, 31, width=24) == PaperConfig(3, 31, width=24)
        assert PaperConfig().normalised(0.2, 0.1, 0.01) == PaperConfig()
        for change in ({"mixer": "conv"}, {"skip": "prior"}, {"output_scale": 0.1}):
            with pytest.raises(ConfigError, match="take fusformer"):
                PaperConfig(**change)

    def test_it_has_a_command_of_its_own(self, store):
        settings = NETWORKS["fusformer-paper"].load_settings(None, ["model.width=24"])
        assert settings.model == PaperConfig(width=24)
        with pytest.raises(ConfigError, match=r"^model: the paper's network has global"):
            NETWORKS["fusformer-paper"].load_settings(None, ["model.mixer=conv"])
        kind = kind_of(settings.model, FUSION)
        assert kind is find_kind("fusformer-paper", FUSION)
        card = FusionCard(PaperConfig(3, 2), HR, LR)
        assert parse_card(card.dumps(), FUSION) == card
