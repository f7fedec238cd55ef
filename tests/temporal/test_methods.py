"""The registry of methods on series: each is called, prepared and scored in the same way."""

import pickle
from datetime import date, timedelta

import numpy as np
import pytest

from trifuse import metrics
from trifuse.core import BandSet, ConfigError, Cube, Grid, MemorySource, Series, upsample
from trifuse.simulate import procedural_series
from trifuse.stf import PAIRWISE_METHODS
from trifuse.temporal import BASELINES, SERIES_METHODS, get_series_method
from trifuse.temporal.area import blocks, open_area
from trifuse.temporal.baselines import fine_plus_change, interpolate_linear, nearest_clear, partners
from trifuse.temporal.block_images import EVERYTHING, Reading
from trifuse.temporal.config import LANDSAT, SENTINEL2
from trifuse.temporal.contract import SeriesMethod, StackMethod, forecast_of
from trifuse.temporal.prior import Prior, prior_forecast
from trifuse.temporal.scoring import as_seen, images_seen, score_methods
from trifuse.temporal.stack import Stack
from trifuse.temporal.strategies import task
from trifuse.train.temporal_data import to_network

PAIR = (LANDSAT, SENTINEL2)
ALL = list(range(18))
ASKED = {"landsat": [40.0, 200.5], "sentinel2": [100.0]}


@pytest.fixture(scope="module")
def made():
    return procedural_series(36, 1002, year=2018)


@pytest.fixture(scope="module")
def images(made):
    return {
        k: Stack(to_network(i.data, i.bands), i.valid, i.days.astype(float))
        for k, i in made.images.items()
    }


@pytest.fixture(scope="module")
def area(made):
    series = {k: made.series(k) for k in made.images}
    return open_area(Prior().config, series, origin=date(2018, 1, 1), blank=True)


def test_every_name_is_a_method_of_its_own():
    assert set(BASELINES) < set(SERIES_METHODS)
    assert set(PAIRWISE_METHODS) < set(SERIES_METHODS)
    own = {name for name, home in SERIES_METHODS.items() if not home.endswith(":PairwiseSeries")}
    assert own == {"tamrf", *BASELINES}, "no pairwise method hides another of its name"


@pytest.mark.parametrize("name", SERIES_METHODS)
def test_all_are_called_alike(name, images, area):
    method = get_series_method(name, sensors=PAIR)
    assert isinstance(method, SeriesMethod) and method.name == name
    out = method.predict(images, ASKED)
    assert set(out) == set(ASKED)
    for sensor in PAIR:
        ratio = sensor.ratio if method.sampling == "own" else 1
        shape = (len(ASKED[sensor.name]), len(sensor.bands), 36 // ratio, 36 // ratio)
        assert out[sensor.name].shape == shape and out[sensor.name].dtype == np.float32
        assert np.isfinite(out[sensor.name]).mean() > 0.9
        seen = images_seen(method, sensor, images, ASKED[sensor.name])
        assert seen.shape[2:] == (36 // sensor.ratio, 36 // sensor.ratio)
    run = method.prepare(area, area.grid.whole)
    values, paid = run.predict([100.0, 200.0], [7, 10], mass=True)
    assert values.shape == (2, 2, 36, 36) and (paid is not None) == method.tells_attention
    assert 270 < np.nanmedian(values[:, 0]) < 330, "temperatures in kelvin"
    assert pickle.loads(pickle.dumps(method)).identity == method.identity


def test_methods_know_each_other_apart():
    found = [get_series_method(name).identity for name in SERIES_METHODS]
    assert len(set(found)) == len(found)
    other = get_series_method("atprk", scheme="selected")
    assert other.identity != get_series_method("atprk").identity
    assert get_series_method("linear", sensors=(SENTINEL2,)).identity not in found


def test_baselines_are_their_functions(images):
    fine, coarse = images["sentinel2"], images["landsat"]
    query = ASKED["sentinel2"]
    wanted = {
        "nearest": nearest_clear(fine, query),
        "linear": interpolate_linear(fine, query),
        "change": fine_plus_change(
            fine, coarse, query, 3, partners(SENTINEL2.bands, LANDSAT.bands)
        ),
        "prior": prior_forecast(PAIR)(images, query)["sentinel2"],
    }
    for name, expected in wanted.items():
        found = get_series_method(name, sensors=PAIR).predict(images, ASKED)["sentinel2"]
        np.testing.assert_array_equal(found, expected)
    # Of the coarsest sensor there is no coarser one to see the change.
    change = get_series_method("change", sensors=PAIR).predict(images, ASKED)["landsat"]
    np.testing.assert_array_equal(change, nearest_clear(coarse, ASKED["landsat"]))


def test_on_the_target_grid_large_pixels_are_interpolated_and_the_unseen_is_missing(area, images):
    run = get_series_method("linear").prepare(area, area.grid.whole)
    values = run.predict([100.0], [1, 10])[0][0]
    one = interpolate_linear(images["landsat"], [100.0])[0, 1]
    ever = images["landsat"].valid.any(axis=0).repeat(3, 0).repeat(3, 1)
    wanted = np.where(ever, upsample(one[None], 3)[0], np.nan)
    np.testing.assert_allclose(values[0], wanted, atol=1e-6)
    ever = images["sentinel2"].valid.any(axis=0)
    np.testing.assert_array_equal(np.isfinite(values[1]), ever)


def test_what_no_image_shows_is_missing():
    grid = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 12, 12)
    items = []
    for day in (0, 9):
        data = np.full((10, 12, 12), 0.2, np.float32)
        data[:, 3, 4] = np.nan
        valid = np.ones((12, 12), bool)
        valid[0] = False
        cube = Cube(data, valid, BandSet.of(SENTINEL2.bands), grid)
        items.append((date(2022, 1, 1) + timedelta(days=day), MemorySource(cube)))
    method = get_series_method("nearest", sensors=(SENTINEL2,))
    area = open_area(method.config, {"sentinel2": Series.of("s", items)})
    values = method.prepare(area, grid.whole).predict([4.0], [2])[0][0, 0]
    assert np.isnan(values[0]).all() and np.isnan(values[3, 4])
    assert np.isfinite(values).sum() == 12 * 11 - 1


@pytest.fixture(scope="module")
def wide():
    made = procedural_series(132, 1002, year=2018)
    return {k: made.series(k) for k in made.images}


@pytest.mark.parametrize("name", BASELINES)
def test_blocks_of_local_methods_are_the_whole(name, wide):
    series, method = wide, get_series_method(name)
    area = open_area(method.config, series, blank=True)
    channels = [4, 12]
    whole = method.prepare(area, area.grid.whole).predict([100.0], channels)[0]
    for block in blocks(area, 66):
        part = method.prepare(area, block).predict([100.0], channels)[0]
        near = np.abs(part - whole[:, :, *block.slices])
        assert np.nanmax(near) < 2e-3 and np.nanmedian(near) < 1e-6


def test_only_what_may_be_seen_is_seen(area, images):
    days = {k: v.days.tolist() for k, v in images.items()}
    chosen = task("gap-filling", days, "landsat", "sentinel2")
    seen = {k: v.only(chosen.visible[k]) for k, v in images.items()}
    method = get_series_method("nearest")
    asked = chosen.hidden("sentinel2")
    found = forecast_of(method, area, area.grid.whole)(seen, asked)["sentinel2"]
    wanted = method.predict(seen, {"sentinel2": asked})["sentinel2"]
    both = np.isfinite(found) & np.isfinite(wanted)
    assert both.mean() > 0.9
    np.testing.assert_array_equal(found[both], wanted[both])
    assert (
        forecast_of(method, area, area.grid.whole)({k: v.only([]) for k, v in seen.items()}, asked)
        == {}
    )
    assert EVERYTHING == Reading()


class TestScores:
    def test_one_protocol_for_all(self, images):
        days = {k: v.days.tolist() for k, v in images.items()}
        chosen = task("fusion", days, "landsat", "sentinel2")
        methods = [get_series_method(n, sensors=PAIR) for n in SERIES_METHODS]
        scores = score_methods(methods, PAIR, images, chosen, margin=60)
        assert list(scores) == ["sentinel2"]
        found = scores["sentinel2"]
        names = [f"{n}/{k}" for n in SERIES_METHODS for k in ("rmse", "sam")]
        assert list(found) == ["days", *names]
        assert all(np.isfinite(found[f"{n}/rmse"]).any() for n in SERIES_METHODS)

    def test_angles_are_degrees_of_what_the_sensor_would_see(self, images):
        class Bright(StackMethod):
            name = "bright"
            sampling = "target"

            def predict(self, seen, asked):
                rng = np.random.default_rng(0)
                return {n: 0.2 + 0.1 * rng.random((len(q), 10, 36, 36)) for n, q in asked.items()}

        days = {k: v.days.tolist() for k, v in images.items()}
        chosen = task("fusion", days, "landsat", "sentinel2")
        method = Bright((SENTINEL2,))
        found = score_methods([method], (SENTINEL2,), images, chosen, margin=0)["sentinel2"]
        hidden = chosen.hidden("sentinel2")
        truth = images["sentinel2"].only(hidden)
        made = as_seen(method.predict({}, {"sentinel2": hidden})["sentinel2"], SENTINEL2)
        for i, valid in enumerate(truth.valid):
            if valid.any():
                wanted = metrics.sam(truth.data[i], made[i], valid)
                assert found["bright/sam"][i] == pytest.approx(wanted, rel=1e-6) and wanted > 1


class TestBadInput:
    @pytest.mark.parametrize(
        ("name", "options", "words"),
        [
            ("starlight", {}, "unknown method 'starlight'; give one of tamrf, prior"),
            ("linear", {"weights": "a.safetensors"}, "'linear' takes no weights"),
            ("prior", {"order": 2}, "'prior' takes no order"),
            ("atprk", {"order": 2}, "'atprk' takes no order"),
            ("atprk", {"weights": "a.safetensors"}, "'atprk' takes no weights"),
        ],
    )
    def test_names_and_options(self, name, options, words):
        with pytest.raises(ConfigError, match=words) as caught:
            get_series_method(name, **options)
        assert "\n" not in str(caught.value)
