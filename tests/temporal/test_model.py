import numpy as np
import pytest
import torch

from trifuse.core import WeightsError
from trifuse.temporal.config import LANDSAT, PUBLISHED, SENTINEL2, Sensor, TamrfConfig
from trifuse.temporal.encoding import encode_time
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.published import from_published, load_published


@pytest.fixture(scope="module")
def recorded(fixtures_dir):
    return dict(np.load(fixtures_dir / "tamrf_forward.npz"))


@pytest.fixture(scope="module")
def state(fixtures_dir):
    return {
        k: torch.from_numpy(v) for k, v in np.load(fixtures_dir / "tamrf_state_dict.npz").items()
    }


@pytest.fixture(scope="module")
def model(state, recorded):
    statistics = {
        "lr_mean": recorded["lr_mean"],
        "lr_std": recorded["lr_std_"],
        "hr_mean": recorded["hr_mean"],
        "hr_std": recorded["hr_std_"],
    }
    return from_published({**state, **{k: torch.from_numpy(v) for k, v in statistics.items()}})


def series(model, recorded, prefix="", sensors=("landsat", "sentinel2")):
    out = {}
    for name, short in (("landsat", "lr"), ("sentinel2", "hr")):
        if name in sensors:
            data = torch.from_numpy(recorded[f"{prefix}{short}"].astype(np.float32) / 10000)
            days = torch.from_numpy(recorded[f"{prefix}{short}_doy"])
            out[name] = Dates(model.standardise(model.config.sensor(name), data), days)
    return out


def close(a, b, atol=1e-5):
    np.testing.assert_allclose(np.asarray(a.detach()), b, atol=atol, rtol=0)


def test_published_size():
    model = Tamrf(PUBLISHED)
    assert sum(p.numel() for p in model.parameters()) == 2_329_250


@torch.no_grad()
def test_every_intermediate_of_the_recorded_forward(model, recorded):
    s = series(model, recorded)
    close(s["landsat"].data, recorded["both.lr_std"])
    close(s["sentinel2"].data, recorded["both.hr_std"])
    landsat, sentinel2 = model.config.sensors
    close(model.date_features(landsat, s["landsat"].data), recorded["both.lr_feat"])
    close(model.date_features(sentinel2, s["sentinel2"].data), recorded["both.hr_feat"])
    tokens = model.tokens(s)
    close(tokens, recorded["both.tokens"])
    pixels = tokens.permute(0, 3, 4, 1, 2).flatten(0, 2)
    encoded = model.temporal(pixels)
    close(encoded.unflatten(0, (1, 24, 24)).permute(0, 3, 4, 1, 2), recorded["both.encoded"])
    query = torch.from_numpy(recorded["query_doy"])
    asked = model.query_tokens(query)
    close(asked, recorded["both.query_tokens"][..., 0, 0])
    decoded = model.cross(asked.expand(24 * 24, -1, -1), encoded)
    decoded = decoded.unflatten(0, (1, 24, 24)).permute(0, 3, 4, 1, 2)
    close(decoded, recorded["both.decoded_tokens"])
    out = model(s, query)
    close(out, recorded["both.out_std"])
    parts = model.split(out)
    close(parts["landsat"], recorded["both.pred_lr"])
    close(parts["sentinel2"], recorded["both.pred_hr"])


@torch.no_grad()
@pytest.mark.parametrize(("key", "sensor"), [("lronly", "landsat"), ("hronly", "sentinel2")])
def test_one_sensor_alone(model, recorded, key, sensor):
    query = torch.from_numpy(recorded["query_doy"])
    close(model(series(model, recorded, sensors=(sensor,)), query), recorded[f"{key}.out_std"])


@torch.no_grad()
def test_batches_and_fractional_days(model, recorded):
    query = torch.from_numpy(recorded["batch.query_doy"])
    close(model(series(model, recorded, "batch."), query), recorded["batch.out_std"])


def test_time_encoding(recorded):
    close(encode_time(torch.from_numpy(recorded["pe_doy"]), 64), recorded["pe"], atol=1e-6)


@torch.no_grad()
def test_the_order_of_dates_does_not_matter(model, recorded):
    s = series(model, recorded)
    query = torch.from_numpy(recorded["query_doy"])
    swapped = {k: Dates(d.data.flip(1), d.days.flip(1)) for k, d in s.items()}
    np.testing.assert_allclose(model(s, query), model(swapped, query), atol=2e-5)


@torch.no_grad()
def test_sensors_are_data():
    s3 = Sensor(
        "sentinel3", ("Oa08", "Oa17"), (300.0, 300.0), (0.3, 0.3), 30, (0.1, 0.3), (0.1, 0.1)
    )
    config = TamrfConfig((LANDSAT, SENTINEL2, s3), blocks=2, layers=1)
    assert TamrfConfig.from_json(config.to_json()) == config
    model = Tamrf(config).eval()
    dates = {
        "sentinel3": Dates(torch.zeros(1, 2, 2, 1, 1), torch.tensor([[3, 9]])),
        "sentinel2": Dates(torch.zeros(1, 1, 10, 30, 30), torch.tensor([[5]])),
    }
    assert model(dates, torch.tensor([[4.0]])).shape == (1, 1, 20, 30, 30)


class TestBadWeights:
    def test_missing_tensor(self, state):
        key = "the_modules.encoder.hr_sensor_token"
        with pytest.raises(WeightsError, match="1 tensors are missing"):
            from_published({k: v for k, v in state.items() if k != key})

    def test_other_shape(self, state):
        key = "the_modules.encoder.hr_sensor_token"
        with pytest.raises(WeightsError, match="does not fit"):
            from_published({**state, key: torch.zeros(9)})

    def test_a_file_of_something_else(self, tmp_path):
        (tmp_path / "a.ckpt").write_bytes(b"PK\x03\x04 not a checkpoint")
        with pytest.raises(WeightsError, match="cannot be read"):
            load_published(tmp_path / "a.ckpt")

    def test_a_checkpoint_is_read_with_its_statistics(self, state, recorded, tmp_path):
        extra = {
            "hr_mean": torch.from_numpy(recorded["hr_mean"] + 1),
            "hr_std": torch.from_numpy(recorded["hr_std_"]),
        }
        renamed = {k.replace("encoder.hr", "encoder._orig_mod.hr", 1): v for k, v in state.items()}
        torch.save({"state_dict": {**renamed, **extra}}, tmp_path / "a.ckpt")
        model = load_published(tmp_path / "a.ckpt")
        close(model.get_buffer("sentinel2_mean"), recorded["hr_mean"] + 1)
