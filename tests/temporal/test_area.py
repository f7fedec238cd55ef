"""Areas and blocks: common ground, exact blocks, masks, attention, calendars, bad input."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    GridError,
    MemorySource,
    OverlapError,
    Series,
    Window,
)
from trifuse.temporal.area import blocks, open_area
from trifuse.temporal.blocks import block_side, encode_block, predict_block
from trifuse.temporal.calendar import days_since, parse_dates
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.inference import FeatureBank, decode, encode_date
from trifuse.temporal.model import Tamrf
from trifuse.temporal.prior import Prior, prior_images
from trifuse.temporal.stack import Stack

START = date(2022, 1, 4)
DAYS = {"sentinel2": (0, 10, 33, 80), "landsat": (3, 40, 77)}
GRID = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 30, 36)
CONFIG = TamrfConfig((LANDSAT, SENTINEL2), features=8, growth=4, layers=1, hidden=16)
ALL = list(range(18))


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Tamrf(CONFIG)
    for p in model.parameters():
        p.data.add_(0.1 * torch.randn_like(p))
    return model.eval()


def make(sensor, grid, days=None, clear=0.8, seed=0):
    rng = np.random.default_rng(seed)
    mean, std = (np.array(v)[:, None, None] for v in (sensor.mean, sensor.std))
    items = []
    for day in DAYS[sensor.name] if days is None else days:
        data = mean + std * rng.normal(size=(len(sensor.bands), *grid.shape))
        if sensor.thermal:
            data[-1] *= 1000
        valid = rng.random(grid.shape) < clear
        cube = Cube(data.astype(np.float32), valid, BandSet.of(sensor.bands), grid)
        items.append((START + timedelta(days=day), MemorySource(cube)))
    return Series.of(sensor.name, items)


@pytest.fixture(scope="module")
def series():
    return {"sentinel2": make(SENTINEL2, GRID), "landsat": make(LANDSAT, GRID.zoom_out(3))}


def whole(model, series, query, **options):
    """The area at once, by the functions beneath."""
    bank = FeatureBank(*GRID.shape, **options)
    for sensor in CONFIG.sensors:
        for day, source in series[sensor.name]:
            data = source.read().data.copy()
            if sensor.thermal:
                data[-1] /= 1000
            encode_date(model, bank, sensor, data, float((day - START).days))
    out = np.empty((len(query), 18, *GRID.shape), np.float32)

    def sink(window, values):
        out[:, :, window.row : window.row + window.height] = values

    decode(model, bank, query, ALL, sink)
    out[:, 7] *= 1000
    return out


def test_blocks_equal_the_whole(model, series, tmp_path):
    area = open_area(CONFIG, series)
    assert area.origin == START and area.grid == GRID and area.step == 3
    assert area.days["landsat"] == (3.0, 40.0, 77.0)
    query = [0.0, 50.0]
    truth = whole(model, series, query)
    std = np.array([*LANDSAT.std[:7], LANDSAT.std[7] * 1000, *SENTINEL2.std])[:, None, None]
    for side, options in ((36, {"tile": 11}), (20, {"folder": tmp_path})):
        parts = blocks(area, side)
        assert sum(b.height * b.width for b in parts) == GRID.height * GRID.width
        for block in parts:
            encoded = encode_block(model, area, block, **options)
            values, paid = predict_block(model, encoded, query, ALL)
            assert paid is None
            rows, cols = block.slices
            np.testing.assert_allclose(values / std, truth[:, :, rows, cols] / std, atol=1e-4)


def test_a_network_that_adds_to_the_prior(series, tmp_path):
    torch.manual_seed(1)
    config = replace(CONFIG, skip="prior")
    model = Tamrf(config).eval()
    area = open_area(config, series)
    query = [0.0, 21.0, 90.0]
    once = predict_block(model, encode_block(model, area, GRID.whole), query, ALL)[0]
    std = np.array([*LANDSAT.std[:7], LANDSAT.std[7] * 1000, *SENTINEL2.std])[:, None, None]
    for block in blocks(area, 18):
        part = predict_block(model, encode_block(model, area, block), query, ALL)[0]
        np.testing.assert_allclose(part / std, once[:, :, *block.slices] / std, atol=1e-4)
    few = predict_block(model, encode_block(model, area, GRID.whole), query, [12, 7])[0]
    np.testing.assert_allclose(few, once[:, [12, 7]], rtol=1e-5)
    # The last layer at zero leaves the prior itself.
    torch.nn.init.zeros_(model.decoder.last.weight)
    torch.nn.init.zeros_(model.decoder.last.bias)
    got = predict_block(model, encode_block(model, area, GRID.whole), query, ALL)[0]
    stacks = {}
    for s in CONFIG.sensors:
        cubes = [c.read() for _, c in series[s.name]]
        data = np.stack([c.data for c in cubes])
        data[:, [b in s.thermal for b in s.bands]] /= 1000
        stacks[s.name] = Stack(
            data, np.stack([c.valid for c in cubes]), np.array(area.days[s.name])
        )
    prior = prior_images(config.sensors, stacks, query).images
    alone, paid = Prior().prepare(area, GRID.whole).predict(query, ALL)
    known = np.isfinite(alone)
    assert paid is None and known.mean() > 0.95
    np.testing.assert_allclose(alone[known], got[known], rtol=2e-5)
    for i, (sensor, _) in enumerate(config.outputs):
        ever = np.any([c.read().valid for _, c in series[sensor]], axis=0)
        k = config.sensor(sensor).ratio
        np.testing.assert_array_equal(known[0, i], ever.repeat(k, 0).repeat(k, 1))
    mean = np.array([*LANDSAT.mean[:7], LANDSAT.mean[7] * 1000, *SENTINEL2.mean])[:, None, None]
    np.testing.assert_allclose((got - mean) / std, prior, atol=2e-3)


def test_a_prior_in_blocks_is_the_prior(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 36, 126)
    series = {"sentinel2": make(SENTINEL2, grid), "landsat": make(LANDSAT, grid.zoom_out(3))}
    area = open_area(Prior().config, series, blank=True)
    whole = Prior().prepare(area, grid.whole).predict([20.0], ALL)[0]
    std = np.array([*LANDSAT.std[:7], LANDSAT.std[7] * 1000, *SENTINEL2.std])[:, None, None]
    for block in blocks(area, 42):
        assert block.width <= 42, "so that a rim around it does not cover everything"
        part = Prior().prepare(area, block).predict([20.0], ALL)[0]
        np.testing.assert_allclose(
            part / std, whole[:, :, *block.slices] / std, atol=5e-3, equal_nan=True
        )


def test_only_what_may_be_seen_is_seen(model, series):
    area = open_area(CONFIG, series)
    some = {"sentinel2": [0.0, 80.0], "landsat": [40.0]}
    encoded = encode_block(model, area, area.grid.whole, visible=some)
    assert encoded.names == ("landsat", "sentinel2", "sentinel2")
    fewer = {
        "sentinel2": Series.of("s", [p for i, p in enumerate(series["sentinel2"]) if i in (0, 3)]),
        "landsat": Series.of("l", [p for i, p in enumerate(series["landsat"]) if i == 1]),
    }
    ours, _ = predict_block(model, encoded, [20.0], [10])
    alone = encode_block(model, open_area(CONFIG, fewer, origin=START), area.grid.whole)
    np.testing.assert_array_equal(ours, predict_block(model, alone, [20.0], [10])[0])
    with pytest.raises(DataError, match="may be seen"):
        encode_block(model, area, area.grid.whole, visible={"landsat": [1.0]})


def test_days_to_the_nearest_clear_image(model, series):
    area = open_area(CONFIG, series)
    encoded = encode_block(model, area, Window(6, 9, 12, 15))
    for sensor in CONFIG.sensors:
        got = encoded.gaps(sensor.name, [5.0, 60.0])
        for q, day in enumerate((5, 60)):
            expected = np.full(GRID.shape, np.inf)
            for when, source in series[sensor.name]:
                valid = source.read().valid.repeat(sensor.ratio, 0).repeat(sensor.ratio, 1)
                gap = abs((when - START).days - day)
                expected = np.where(valid, np.minimum(expected, gap), expected)
            expected = expected[6:18, 9:24]
            np.testing.assert_array_equal(got[q], np.where(np.isinf(expected), np.nan, expected))


def test_attention_is_shared_between_clear_and_other_dates(model, series):
    area = open_area(CONFIG, series)
    encoded = encode_block(model, area, area.grid.whole)
    values, paid = predict_block(model, encoded, [0.0, 50.0], [0], mass=True)
    np.testing.assert_allclose(values, predict_block(model, encoded, [0.0, 50.0], [0])[0])
    encoded.clear = ~encoded.clear
    _, rest = predict_block(model, encoded, [0.0, 50.0], [0], mass=True)
    encoded.clear[:] = True
    _, every = predict_block(model, encoded, [0.0, 50.0], [0], mass=True)
    assert (paid > 0).any() and (paid <= every + 1e-6).all() and (every < 1).all()
    np.testing.assert_allclose(paid + rest, every, atol=1e-6)
    # By the module itself: what is not paid to a date goes to the zero key.
    tokens = torch.from_numpy(encoded.bank.rows(0, 34, torch.device("cpu")).numpy())
    shared = torch.stack(encoded.bank.constants).expand(len(tokens), -1, -1)
    asked = model.query_tokens(torch.tensor([[0.0, 50.0]]))
    with torch.no_grad():
        x = model.temporal(torch.cat([tokens, shared], -1))
        _, weight = model.cross.attention(asked.expand(len(x), -1, -1), x, x)
    paid_to_all = weight[..., : x.shape[1]].sum(-1).T.reshape(2, 34, 40)[:, 2:-2, 2:-2]
    np.testing.assert_allclose(every, paid_to_all, atol=1e-5)


def test_withheld_clouds_leave_no_trace(model, series):
    changed = {}
    for name, one in series.items():
        items = []
        for day, source in one:
            cube = source.read()
            data = np.where(cube.valid, cube.data, np.float32(0.77))
            items.append((day, MemorySource(Cube(data, cube.valid, cube.bands, cube.grid))))
        changed[name] = Series.of(name, items)

    def predicted(given, blank):
        area = open_area(CONFIG, given, blank=blank)
        return predict_block(model, encode_block(model, area, GRID.whole), [5.0], [9])[0]

    np.testing.assert_array_equal(predicted(series, True), predicted(changed, True))
    assert np.abs(predicted(series, False) - predicted(changed, False)).max() > 1e-4


def test_pixels_never_seen_are_missing(model, series):
    area = open_area(CONFIG, {"landsat": series["landsat"]})
    assert area.grid == GRID and area.origin == START + timedelta(days=3)
    for _, source in series["landsat"]:
        assert np.isfinite(source.read().data).all()
    holes = []
    for day, source in series["landsat"]:
        cube = source.read()
        data = cube.data.copy()
        data[:, 2, 3] = np.nan
        holes.append((day, MemorySource(Cube(data, cube.valid, cube.bands, cube.grid))))
    area = open_area(CONFIG, {"landsat": Series.of("landsat", holes)})
    values, _ = predict_block(model, encode_block(model, area, GRID.whole), [5.0], ALL)
    assert np.isnan(values[:, :, 6:9, 9:12]).all()
    assert np.isnan(values).sum() == 18 * 9


@given(st.integers(-20, 20), st.integers(-20, 20), st.integers(0, 2))
def test_the_common_ground_is_whole_cells_of_both(rows, cols, shift):
    fine = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 40, 50)
    coarse = Grid.from_origin(
        "EPSG:32633", 400000 + 10 * (3 * cols + shift), 5800000 - 10 * (3 * rows + shift), 30, 9, 8
    )
    given = {"sentinel2": make(SENTINEL2, fine, [0]), "landsat": make(LANDSAT, coarse, [0])}
    boxes = fine.bounds, coarse.bounds
    inner = [
        max(boxes[0][0], boxes[1][0]),
        max(boxes[0][1], boxes[1][1]),
        min(boxes[0][2], boxes[1][2]),
        min(boxes[0][3], boxes[1][3]),
    ]
    if inner[2] - inner[0] < 30 or inner[3] - inner[1] < 30:
        with pytest.raises((OverlapError, GridError)):
            open_area(CONFIG, given)
        return
    try:
        area = open_area(CONFIG, given)
    except OverlapError:  # less than one cell that lies in both
        assert inner[2] - inner[0] < 60 or inner[3] - inner[1] < 60
        return
    bounds = area.grid.bounds
    assert all(a >= b for a, b in zip(bounds[:2], inner[:2], strict=True))
    assert all(a <= b for a, b in zip(bounds[2:], inner[2:], strict=True))
    assert max(a - b for a, b in zip(bounds[:2], inner[:2], strict=True)) < 30
    assert max(b - a for a, b in zip(bounds[2:], inner[2:], strict=True)) < 30
    for sensor in area.sensors:
        grid = given[sensor.name].grid.window(area.windows[sensor.name])
        assert grid.bounds == bounds


def test_memory_decides_on_blocks():
    grid = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 2100, 3000)

    class Unread(MemorySource):
        def __init__(self, sensor):
            self.grid, self.bands = grid.zoom_out(sensor.ratio), BandSet.of(sensor.bands)

    series = {
        s.name: Series.of(s.name, [(START + timedelta(days=d), Unread(s)) for d in range(20)])
        for s in CONFIG.sensors
    }
    area = open_area(replace(CONFIG, features=64, sensor_token=8), series)
    assert block_side(area, 2, 18, 1e12) == 3000
    sides = [
        block_side(area, 24, 18, b, on_disk=d) for b in (1.7e9, 3e9, 9e9) for d in (False, True)
    ]
    assert 96 == sides[0] <= sides[1] < sides[2] < sides[3] < sides[5] <= 3000
    assert all(s % 3 == 0 for s in sides)
    assert block_side(area, 24, 18, 1e3) == 96


class TestBadInput:
    def test_no_common_ground(self, series):
        far = make(LANDSAT, Grid.from_origin("EPSG:32633", 500000, 5800000, 30, 5, 5))
        with pytest.raises(OverlapError, match="share no ground"):
            open_area(CONFIG, {"sentinel2": series["sentinel2"], "landsat": far})
        other = make(LANDSAT, Grid.from_origin("EPSG:32632", 400000, 5800000, 30, 10, 12))
        with pytest.raises(GridError, match="coordinate systems differ"):
            open_area(CONFIG, {"sentinel2": series["sentinel2"], "landsat": other})
        wide = make(LANDSAT, GRID.zoom_out(6))
        with pytest.raises(GridError, match="3 times coarser"):
            open_area(CONFIG, {"sentinel2": series["sentinel2"], "landsat": wide})

    def test_sensors_and_bands(self, series):
        with pytest.raises(DataError, match="no series"):
            open_area(CONFIG, {})
        with pytest.raises(DataError, match="knows no sentinel3"):
            open_area(CONFIG, {"sentinel3": series["landsat"]})
        with pytest.raises(BandError, match="sentinel2: bands B8"):
            open_area(CONFIG, {"sentinel2": series["landsat"]})

    def test_all_clouds(self, series):
        cloudy = {"sentinel2": make(SENTINEL2, GRID, clear=0.0)}
        assert not open_area(CONFIG, cloudy).any_clear()
        assert open_area(CONFIG, series).any_clear()


class TestCalendar:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2022-03-01", "2022-03-01"),
            ("2022-03-02,2022-03-01,2022-03-02", "2022-03-01 2022-03-02"),
            ("2022-01-31:2022-05-01:1M", "2022-01-31 2022-02-28 2022-03-31 2022-04-30"),
            ("2021-12-15:2022-02-15:1M", "2021-12-15 2022-01-15 2022-02-15"),
            ("2022-01-01:2022-01-25:10D", "2022-01-01 2022-01-11 2022-01-21"),
            ("2022-02-20:2022-03-08:2W", "2022-02-20 2022-03-06"),
            ("2022-01-02:2022-02-28:L3A", "2022-01-15 2022-02-01 2022-02-15"),
        ],
    )
    def test_ranges(self, text, expected):
        assert " ".join(map(str, parse_dates(text))) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "tomorrow",
            "2022-01-01:2022-02-01",
            "2022-02-30",
            "2022-01-01:2021-01-01:1M",
            "2022-01-01:2022-02-01:0D",
            "2022-01-01:2022-02-01:5Y",
            "0001-01-01:9999-12-31:1D",
            "2022-01-02:2022-01-03:L3A",
        ],
    )
    def test_nonsense(self, text):
        with pytest.raises(ConfigError) as caught:
            parse_dates(text)
        assert "\n" not in str(caught.value)

    def test_the_end_of_time_is_reached(self):
        assert len(parse_dates("9999-10-31:9999-12-31:1M")) == 3

    def test_days(self):
        assert days_since(START, [START, date(2023, 1, 4), date(2022, 1, 1)]) == (0.0, 365.0, -3.0)
