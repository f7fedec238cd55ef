"""The network that refines restored bands: reach, gating, masking, weights, windows."""

import json
import pickle
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
import torch

from trifuse.core import (
    ConfigError,
    DataError,
    MemorySource,
    OutputExistsError,
    WeightsError,
    Window,
)
from trifuse.core.card import parse_card
from trifuse.core.runtime import Runtime
from trifuse.core.weights import save_weights
from trifuse.fusformer import REFINERS, load_refiner
from trifuse.fusformer.refiner import BANDS, Refiner, RefinerCard, RefinerConfig
from trifuse.fusion import get_method
from trifuse.fusion.physics import Physics
from trifuse.fusion.refined import SHIPPED, Refined
from trifuse.fusion.spectral.calibration import restored_factors
from trifuse.restore import RestoredSource, learn, sharpness_of
from trifuse.restore.refined_source import RefinedSource, refine_turned
from trifuse.restore.view import as_view
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe

SMALL = RefinerConfig(width=16, blocks=2, kernel=3, heads=4, window=4, shuffle=2, norm=False)
FINITE = ["conv", "dwconv", "spectral", "window", "none"]


def network(mixer="conv", **changes):
    """With a random head: that of a fresh network is zero and would hide everything before it."""
    torch.manual_seed(3)
    model = Refiner(replace(SMALL, mixer=mixer, **changes)).eval()
    torch.nn.init.normal_(model.head.weight, std=0.5)
    return model


def inputs(height, width, seed=0):
    g = torch.Generator().manual_seed(seed)
    restored = 0.3 * torch.rand(1, 12, height, width, generator=g)
    raw = restored + 0.01 * torch.randn(1, 12, height, width, generator=g)
    return restored, raw, torch.full((1, 12), 0.003), torch.ones(1, 12)


@pytest.mark.parametrize("mixer", [*FINITE, "channel"])
def test_untrained_it_returns_the_restoration(mixer):
    restored, *others = inputs(21, 16)
    torch.testing.assert_close(
        Refiner(replace(SMALL, mixer=mixer))(restored, *others), restored, rtol=0, atol=0
    )


@pytest.mark.parametrize("mixer", FINITE)
def test_halo_is_the_receptive_field(mixer):
    model = network(mixer)
    assert model.halo is not None
    size = 2 * (model.halo // model.alignment + 2) * model.alignment + 2 * model.alignment
    centre = size // 2 - size // 2 % model.alignment
    reached = 0
    for step in range(model.alignment):
        z, x, *others = (v.requires_grad_() for v in inputs(size, size))
        model(z, x, *others)[0, :, centre + step, centre + step].sum().backward()
        seen = ((z.grad.abs() + x.grad.abs()).sum((0, 1)) > 0).nonzero()
        low, high = seen.min(0).values - centre - step, seen.max(0).values - centre - step
        reached = max(reached, int(-low.min()), int(high.max()))
    assert reached <= model.halo
    if mixer == "conv":
        assert reached == model.halo


def test_bands_without_deviation_or_absent_are_returned_and_not_looked_at():
    model = network()
    restored, raw, deviation, present = inputs(20, 20)
    deviation[0, 3] = 0
    present[0, 7] = 0
    out = model(restored, raw, deviation, present)
    torch.testing.assert_close(out[:, [3, 7]], restored[:, [3, 7]], rtol=0, atol=0)
    assert (out[:, 0] - restored[:, 0]).abs().max() > 0
    other, seen = restored.clone(), raw.clone()
    other[:, 7], seen[:, 7] = 9.0, -9.0
    rest = [i for i in range(12) if i != 7]
    torch.testing.assert_close(model(other, seen, deviation, present)[:, rest], out[:, rest])


def test_brightness_does_not_matter():
    # What it corrects is detail; a band's offset or its slow changes come out as they went in.
    model = network()
    restored, raw, *others = inputs(24, 24)
    out = model(restored, raw, *others)
    up = torch.linspace(0.1, 0.4, 12)[None, :, None, None]
    brighter = model(restored + up, raw + up, *others)
    torch.testing.assert_close(brighter, out + up, rtol=0, atol=2e-5)


def test_shapes_and_settings_that_make_no_sense_are_refused():
    with pytest.raises(DataError, match="12, H, W"):
        network()(*(v[:, :4] for v in inputs(8, 8)))
    with pytest.raises(ConfigError, match="shuffle"):
        RefinerConfig(shuffle=0)
    with pytest.raises(ConfigError, match="unknown mixer"):
        Refiner(replace(SMALL, mixer="hyena"))
    with pytest.raises(ConfigError, match="unknown keys depth"):
        RefinerConfig.from_json({"depth": 3})
    with pytest.raises(ConfigError, match="blocks"):
        RefinerConfig.from_json({"blocks": 2.5})


def test_turning_the_image_turns_the_mean_of_all_turns():
    model = network()
    z, x, *others = inputs(20, 20)
    out = refine_turned(model, z, x, *others)
    turned = refine_turned(model, z.rot90(1, (2, 3)), x.rot90(1, (2, 3)), *others)
    torch.testing.assert_close(turned, out.rot90(1, (2, 3)), rtol=0, atol=1e-6)


def test_weights_come_back_and_damage_is_told(tmp_path):
    model, path = network(), tmp_path / "refiner.safetensors"
    card = RefinerCard(model.config, metrics={"gain": float("nan")})
    save_weights(path, model, card)
    loaded, read = load_refiner(path)
    assert read == replace(card, metrics={"gain": None})
    assert json.loads(path.with_suffix(".json").read_text())["network"] == "refiner"
    for a, b in zip(model.parameters(), loaded.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    with pytest.raises(OutputExistsError):
        save_weights(path, model, card)
    with pytest.raises(WeightsError, match="another network"):
        save_weights(path, model, RefinerCard(RefinerConfig()), overwrite=True)
    with pytest.raises(WeightsError, match="no card of a refiner"):
        parse_card('{"format": 2, "network": "fusformer"}', REFINERS)
    wrong = card.dumps().replace('"width": 16', '"width": -1')
    with pytest.raises(WeightsError, match="damaged"):
        parse_card(wrong, REFINERS)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(WeightsError, match="truncated"):
        load_refiner(path)


@lru_cache(maxsize=1)
def scene():
    s2, _, s3 = scene_views(MemorySource(procedural_scene((66, 90), 903, gsd=20.0)))
    seen = observe(s2, s3, 6, PROTOCOLS["real-world"], seed=1)
    data = seen.hrmsi.data.copy()
    data[:, 20:23, 40:44] = np.nan
    source = MemorySource(replace(seen.hrmsi, data=data, valid=np.isfinite(data).all(axis=0)))
    sharpness, statistics, _ = learn(source, sharpness_of(source))
    return source, sharpness, statistics


def refined(source, sharpness, statistics, model, **more):
    restored = RestoredSource(source, sharpness, statistics, device="cpu")
    return RefinedSource(restored, source, model, device="cpu", **more)


@pytest.mark.parametrize("origin", [(0, 0), (1, 3)])
@pytest.mark.parametrize("flips", [False, True])
def test_windows_change_nothing(origin, flips):
    source, sharpness, statistics = scene()
    view = refined(source, replace(sharpness, origin=origin), statistics, network(), flips=flips)
    whole = view.read().data
    assert np.isnan(whole[:, 20:23, 40:44]).all()
    assert np.isfinite(np.delete(whole, np.s_[40:44], axis=2)).all()
    for window in (Window(33, 41, 20, 30), Window(0, 7, 5, 1), Window(65, 89, 1, 1)):
        rows, cols = window.slices
        np.testing.assert_allclose(
            view.read(window, ["B11", "B2"]).data, whole[[10, 1], rows, cols], atol=2e-6
        )


def test_order_and_number_of_bands_are_free():
    source, sharpness, statistics = scene()
    names = ["B12", "B3", "B8A", "B8"]
    numbers = source.bands.indices(names)
    model = network()

    def bands(order):
        at = [numbers[i] for i in order]
        few = MemorySource(source.read().select([names[i] for i in order]))
        return refined(few, sharpness.select(at), statistics.select(at), model).read().data

    a, b = bands([0, 1, 2, 3]), bands([3, 1, 0, 2])
    np.testing.assert_allclose(a[[3, 1, 0, 2]], b, atol=1e-6)


def test_a_network_of_unlimited_reach_is_refused():
    with pytest.raises(DataError, match="finite reach"):
        refined(*scene(), network("channel"))


def test_the_method_refines_blurred_images_alone(tmp_path):
    source, *_ = scene()
    path = tmp_path / "w.safetensors"
    model = network()
    save_weights(path, model, RefinerCard(model.config))
    method = get_method("refined", network=str(path), flips=False)
    view = method.view(source, Runtime("cpu"))
    assert isinstance(view.source, RefinedSource) and view.refinement is view.source
    assert view.restored and view.record["restored"]
    assert as_view(view, lambda image: method.view(image, Runtime("cpu"))) is view
    plain = Refined(network="none").view(source, Runtime("cpu"))
    stationary = restored_factors(Physics().view(source, Runtime("cpu")).calibrated_as, BANDS)
    by_place = restored_factors(plain.calibrated_as, BANDS)
    assert (by_place > 0).all() and (by_place < stationary).all()
    window = Window(5, 9, 20, 30)
    np.testing.assert_array_equal(view.deviations(window, BANDS), plain.deviations(window, BANDS))
    again = pickle.loads(pickle.dumps(view))
    np.testing.assert_array_equal(again.source.read().data, view.source.read().data)
    assert np.nanmax(np.abs(view.source.read().data - plain.source.read().data)) > 0
    sharp = Refined(sharpness="sharp", network=str(path)).view(source, Runtime("cpu"))
    np.testing.assert_array_equal(sharp.source.read().data, source.read().data)
    assert not sharp.restored and sharp.restoration is None
    assert tuple(BANDS) == source.bands.names


def test_weights_that_come_along_are_small_and_gain():
    assert SHIPPED.stat().st_size < 2**20
    _, card = load_refiner(SHIPPED)
    assert json.loads(SHIPPED.with_suffix(".json").read_text()) == card.to_json()
    assert card.metrics["procedural"]["gain"] > 0.05 and card.metrics["jasper"]["gain"] > 0
    s2, _, s3 = scene_views(MemorySource(procedural_scene(96, 804, gsd=15.0)))
    seen = observe(s2, s3, 10, PROTOCOLS["real-world"], seed=1)
    source, truth = MemorySource(seen.hrmsi), seen.sharp.data

    def error(method):
        view = method.view(source, Runtime("cpu"))
        return np.sqrt(np.mean((view.source.read().data - truth) ** 2, axis=(1, 2)))

    gained = error(Refined(network="none")) / error(get_method("refined", "shipped", flips=False))
    assert np.log10(gained).mean() > 0
