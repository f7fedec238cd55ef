import numpy as np
import pytest
import torch

from trifuse.core import DataError
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.inference import FeatureBank, decode, encode_date
from trifuse.temporal.model import Dates, Tamrf
from trifuse.temporal.observation import reflect

HEIGHT, WIDTH = 18, 24
DAYS = {"landsat": [3.0, 40.5, 77.0], "sentinel2": [1.0, 9.0, 33.0, 80.0]}
QUERY = [0.0, 35.25, 90.0]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Tamrf(TamrfConfig((LANDSAT, SENTINEL2), features=16, growth=8, layers=2, hidden=32))
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return model.eval()


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    out = {}
    for s in (LANDSAT, SENTINEL2):
        shape = (len(DAYS[s.name]), len(s.bands), HEIGHT // s.ratio, WIDTH // s.ratio)
        noise = rng.normal(size=shape) * np.array(s.std)[:, None, None]
        out[s.name] = (np.array(s.mean)[:, None, None] + noise).astype(np.float32)
    out["sentinel2"][1, :, 3:7, 4:9] = np.nan
    return out


def bank_of(model, images, **options):
    encode = {k: options.pop(k) for k in ("tile",) if k in options}
    bank = FeatureBank(HEIGHT, WIDTH, **options)
    for sensor in model.config.sensors:
        for day, image in zip(DAYS[sensor.name], images[sensor.name], strict=True):
            encode_date(model, bank, sensor, image, day, **encode)
    return bank


def predict(model, bank, channels=None, **options):
    channels = range(len(model.config.outputs)) if channels is None else channels
    out = np.full((len(QUERY), len(list(channels)), HEIGHT, WIDTH), np.nan, np.float32)

    def sink(window, values):
        rows, cols = window.slices
        out[:, :, rows, cols] = values

    decode(model, bank, QUERY, list(channels), sink, **options)
    return out


@torch.no_grad()
def plain(model, images, pad=24):
    """The network as it stands, on images padded so far that no border is seen."""
    series = {}
    for s in model.config.sensors:
        data = torch.from_numpy(images[s.name])
        # Each sensor mirrors at its own edge pixels; the reach of LR is 20 of its pixels.
        p = pad // s.ratio if s.ratio > 1 else pad
        padded = torch.stack([reflect(model.standardise(s, d), p) for d in data])
        series[s.name] = Dates(padded[None], torch.tensor([DAYS[s.name]]))
    out = model(series, torch.tensor([QUERY]))
    parts = model.split(out)
    out = torch.cat([parts[s.name] for s in model.config.sensors], dim=2)
    return out[0, :, :, pad:-pad, pad:-pad].numpy()


def test_equals_the_plain_forward(model, images):
    ours = predict(model, bank_of(model, images))
    theirs = plain(model, images, pad=72)
    std = np.array([*LANDSAT.std, *SENTINEL2.std])[:, None, None]
    np.testing.assert_allclose(ours / std, theirs / std, atol=1e-4)


def test_tiles_strips_and_chunks_do_not_matter(model, images, tmp_path):
    whole = predict(model, bank_of(model, images))
    for options, steps in [
        ({"tile": 4}, {"strip": 1, "chunk": 7}),
        ({"tile": 7, "folder": tmp_path}, {"strip": 5, "chunk": 1000}),
    ]:
        other = predict(model, bank_of(model, images, **options), **steps)
        np.testing.assert_allclose(other, whole, atol=2e-6)


def test_half_precision_features_cost_little(model, images):
    whole = predict(model, bank_of(model, images))
    half = predict(model, bank_of(model, images, dtype="float16"))
    std = np.array([*LANDSAT.std, *SENTINEL2.std])[:, None, None]
    assert np.abs((half - whole) / std).max() < 1e-2


def test_only_the_channels_asked_for(model, images):
    bank = bank_of(model, images)
    np.testing.assert_allclose(
        predict(model, bank, [10, 2]), predict(model, bank)[:, [10, 2]], atol=1e-6
    )


def test_missing_pixels_never_spread_as_nan(model, images):
    assert np.isfinite(predict(model, bank_of(model, images))).all()


def test_an_image_of_other_ground_is_refused(model, images):
    bank = FeatureBank(HEIGHT, WIDTH)
    with pytest.raises(DataError, match="landsat"):
        encode_date(model, bank, LANDSAT, images["sentinel2"][0], 0.0)
    with pytest.raises(DataError, match="no date"):
        decode(model, bank, [0.0], [0], lambda *_: None)
