import json

import numpy as np
import pytest
import torch
from torch import nn

from trifuse.temporal.config import LANDSAT
from trifuse.temporal.losses import LossConfig, Target, contrast, linear_rendering, series_loss
from trifuse.temporal.model import Dates
from trifuse.temporal.perceptual import MaskedPerceptual, light_layers, vgg16_layers
from trifuse.temporal.published import from_published


@pytest.fixture(scope="module")
def recorded(fixtures_dir):
    return dict(np.load(fixtures_dir / "tamrf_losses.npz"))


@pytest.fixture(scope="module")
def reference(fixtures_dir):
    return json.loads((fixtures_dir / "tamrf_train_reference.json").read_text())["steps"]


@pytest.fixture(scope="module")
def model(fixtures_dir):
    state = {
        k: torch.from_numpy(v) for k, v in np.load(fixtures_dir / "tamrf_state_dict.npz").items()
    }
    forward = np.load(fixtures_dir / "tamrf_forward.npz")
    for k in ("lr", "hr"):
        state |= {
            f"{k}_mean": torch.from_numpy(forward[f"{k}_mean"]),
            f"{k}_std": torch.from_numpy(forward[f"{k}_std_"]),
        }
    return from_published(state)


@pytest.fixture(scope="module")
def stub(recorded):
    one, two = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
    for conv, key in ((one, "stub.0"), (two, "stub.3")):
        conv.weight.data = torch.from_numpy(recorded[f"{key}.weight"])
        conv.bias.data = torch.from_numpy(recorded[f"{key}.bias"])
    layers = [nn.Sequential(one, nn.ReLU()), nn.Sequential(nn.MaxPool2d(2), two, nn.ReLU())]
    return MaskedPerceptual(layers, [torch.from_numpy(recorded[f"stub.w{i}"]) for i in (0, 1)])


def test_recorded_perceptual_distance(recorded, stub):
    a, b = (torch.from_numpy(recorded[f"mlpips.{k}"]) for k in "ab")
    assert float(stub(a, b)) == pytest.approx(float(recorded["mlpips.loss_allvalid"]), rel=1e-5)
    valid = torch.from_numpy(recorded["mlpips.mask"])[:, None].expand_as(b)
    masked = torch.where(valid, b, torch.nan)
    assert float(stub(a, masked)) == pytest.approx(float(recorded["mlpips.loss"]), rel=1e-5)
    assert torch.isnan(stub(a, torch.full_like(b, torch.nan)))


def test_recorded_regression(recorded):
    for i in range(2):
        guide = torch.from_numpy(recorded["lr.src"][i].T[:, None])
        image = torch.from_numpy(recorded["lr.tgt"][i].T[:, None])
        valid = torch.from_numpy(recorded["lr.mask"][i][None])
        out = linear_rendering(guide, image, valid)[:, 0].T
        np.testing.assert_allclose(out, recorded["lr.out_bias"][i], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random", "gaps", "nohr", "nolr", "forecast", "backcast"])
def test_recorded_training_steps(recorded, reference, model, stub, name):
    wanted = reference[name]
    series, targets, visible = {}, {}, {}
    for sensor, short in (("landsat", "lr"), ("sentinel2", "hr")):
        raw = torch.from_numpy(recorded[f"step.{short}"].astype(np.float32) / 10000)
        data = model.standardise(model.config.sensor(sensor), raw)
        days = torch.from_numpy(recorded[f"step.{short}_doy"])
        visible[sensor] = wanted[f"{short}_input_doy"]
        seen = [i for i, d in enumerate(days[0].tolist()) if d in visible[sensor]]
        series[sensor] = Dates(data[:, seen], days[:, seen])
        masked = torch.from_numpy(recorded[f"step.{short}_mask"])
        targets[sensor] = Target(data[0], ~masked[0], days[0])
    query = sorted({int(d) for t in targets.values() for d in t.days})
    model.zero_grad()
    with_gradient = name == "nohr"  # one of six: a backward pass takes long
    with torch.set_grad_enabled(with_gradient):
        prediction = model(series, torch.tensor([query]))[0]
    loss = series_loss(
        model,
        prediction,
        query,
        targets,
        visible,
        perceptual=stub,
        config=LossConfig(ndvi_quirk=True),
    )
    for label, short in (("hidden", "mae"), ("visible", "clr")):
        for sensor, s in (("landsat", "lr"), ("sentinel2", "hr")):
            for term, t in (("reconstruction", "loss"), ("contrast", "triplet_loss")):
                key = f"training/{s}_{short}_{t}"
                ours = loss.parts.get(f"{label}/{sensor}/{term}")
                assert (ours is None) == (key not in wanted["logs"])
                if ours is not None:
                    assert ours == pytest.approx(wanted["logs"][key], rel=1e-5), key
        key = f"training/{short}_cca_loss"
        if key in wanted["logs"]:
            ours = loss.parts[f"{label}/sentinel2/structure"]
            assert ours == pytest.approx(wanted["logs"][key], rel=1e-4)
    assert float(loss.total.detach()) == pytest.approx(wanted["total"], rel=1e-5)
    if not with_gradient:
        return
    loss.total.backward()
    grads = [p.grad.norm() for p in model.parameters() if p.grad is not None]
    norm = torch.stack(grads).norm()
    assert float(norm) == pytest.approx(wanted["grad_norm"], rel=1e-3)


def test_contrast_wants_the_clear_date_not_the_cloud():
    torch.manual_seed(0)
    clear, cloud = torch.full((8, 4, 4), 0.1), torch.full((8, 4, 4), 3.0)
    valid = torch.ones(2, 4, 4, dtype=torch.bool)
    valid[1] = False
    target = Target(torch.stack([clear, cloud]), valid, torch.tensor([10, 20]))
    good = contrast(torch.stack([clear, clear]), target, LANDSAT, LossConfig())
    bad = contrast(torch.stack([clear, cloud]), target, LANDSAT, LossConfig())
    assert float(good) < 1e-4 < float(bad)
    late = Target(target.data, valid, torch.tensor([10, 40]))
    assert contrast(late.data, late, LANDSAT, LossConfig()) is None


def test_light_yardstick_sees_blur_and_needs_no_weights():
    torch.manual_seed(0)
    image = torch.rand(2, 3, 32, 32)
    soft = nn.functional.avg_pool2d(image, 3, 1, 1)
    distance = MaskedPerceptual(light_layers())
    assert float(distance(image, image)) == 0
    assert float(distance(soft, image)) > 0.01


def test_vgg16_has_the_five_stages_of_lpips():
    stages = vgg16_layers(pretrained=False)
    x, widths = torch.rand(1, 3, 32, 32), []
    for stage in stages:
        x = stage(x)
        widths.append((x.shape[1], x.shape[2]))
    assert widths == [(64, 32), (128, 16), (256, 8), (512, 4), (512, 2)]
