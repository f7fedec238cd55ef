"""From series on disk to dated products: values, files, resuming, memory, bad input."""

import json
import logging
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
import rasterio
import torch

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    OverlapError,
    ProductError,
    Series,
    StoreError,
    WeightsError,
)
from trifuse.flows.interpolate import Trained, interpolate, load_trained, method_area
from trifuse.products import open_geotiff, open_series, write_series
from trifuse.temporal import SERIES_METHODS, get_series_method
from trifuse.temporal.area import open_area
from trifuse.temporal.blocks import encode_block, predict_block
from trifuse.temporal.card import TamrfCard
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.model import Tamrf
from trifuse.temporal.networks import save_weights
from trifuse.temporal.outputs import choose_bands, every_name, find_channel

START = date(2022, 1, 4)
GRID = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 24, 30)
CONFIG = TamrfConfig((LANDSAT, SENTINEL2), features=8, growth=4, layers=1, hidden=16)
DAYS = {"sentinel2": (0, 10, 33), "landsat": (3, 40)}


def smooth(sensor, grid, day, seed):
    rng = np.random.default_rng(seed)
    base = np.array(sensor.mean)[:, None, None] * (1 + 0.1 * rng.normal(size=(1, *grid.shape)))
    data = base + 0.002 * day
    if sensor.thermal:
        data[-1] = 290 + 0.1 * day + rng.normal(size=grid.shape)
    return data.astype(np.float32)


def make(sensor, grid, clear=0.8, days=None):
    rng = np.random.default_rng(7)
    items = []
    for i, day in enumerate(DAYS[sensor.name] if days is None else days):
        valid = rng.random(grid.shape) < clear
        cube = Cube(smooth(sensor, grid, day, i), valid, BandSet.of(sensor.bands), grid)
        items.append((START + timedelta(days=day), MemorySource(cube, f"{sensor.name} {day}")))
    return Series.of(sensor.name, items)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = Tamrf(CONFIG)
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    return model.eval()


@pytest.fixture(scope="module")
def trained(model):
    return Trained(model, "first", False, {"sha256": "test"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("series")
    write_series(root / "sentinel2", make(SENTINEL2, GRID), dtype="float32", cog=False)
    write_series(root / "landsat", make(LANDSAT, GRID.zoom_out(3)), dtype="float32", cog=False)
    return root


@pytest.fixture(scope="module")
def done(folder, trained, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "a"
    result = interpolate(
        folder,
        out,
        weights=trained,
        dates="2022-01-15:2022-02-15:1M",
        bands="NDVI,B4,LST,landsat:B4,B8A",
    )
    return out, result


def direct(model, folder, day):
    """The prediction by the functions beneath, all channels."""
    series = {k: open_series(folder / k) for k in ("sentinel2", "landsat")}
    area = open_area(model.config, series)
    encoded = encode_block(model, area, GRID.whole)
    number = float((day - START).days)
    return predict_block(model, encoded, [number], list(range(18)))[0][0], encoded, number


def test_values_are_those_of_the_network(done, folder, model):
    out, result = done
    assert [p.name for p in result.files] == [
        "2022-01-15.tif",
        "2022-01-15_quality.tif",
        "2022-02-15.tif",
        "2022-02-15_quality.tif",
    ]
    truth, encoded, number = direct(model, folder, date(2022, 1, 15))
    cube = open_geotiff(out / "2022-01-15.tif").read()
    assert cube.grid == GRID and cube.valid.all()
    assert cube.bands.names == ("NDVI", "B4", "LST", "landsat:B4", "B8A")
    at = [find_channel(CONFIG, n) for n in ("B4", "LST", "landsat:B4", "B8A")]
    assert at == [10, 7, 3, 15]
    tolerance = np.array([5.1e-5, 5.1e-3, 5.1e-5, 5.1e-5])[:, None, None]
    assert (np.abs(cube.data[1:] - truth[at]) <= tolerance + 1e-6).all()
    red, nir = truth[10], truth[15]
    np.testing.assert_allclose(cube.data[0], (nir - red) / (nir + red), atol=1.1e-4)
    quality = open_geotiff(out / "2022-01-15_quality.tif").read()
    assert quality.bands.names == ("days_landsat", "days_sentinel2", "clear_attention")
    np.testing.assert_array_equal(quality.data[0], encoded.gaps("landsat", [number])[0])
    np.testing.assert_array_equal(quality.data[1], encoded.gaps("sentinel2", [number])[0])
    assert ((quality.data[2] >= 0) & (quality.data[2] <= 1)).all()


def test_files_say_what_they_are(done):
    out, result = done
    with rasterio.open(out / "2022-02-15.tif") as d:
        assert d.crs.to_epsg() == 32633 and d.nodata == -32768 and d.dtypes[0] == "int16"
        assert d.tags(ns="IMAGE_STRUCTURE")["LAYOUT"] == "COG"
        assert d.units == ("1", "1", "K", "1", "1")
    series = open_series(out)
    assert series.dates == (date(2022, 1, 15), date(2022, 2, 15))
    assert series.bands.names == result.bands
    assert series.bands[1].centre == pytest.approx(664.6, abs=1)
    assert series.bands[3].centre == pytest.approx(654.6, abs=1)
    sidecar = json.loads((out / "2022-01-15.tif.json").read_text())
    assert sidecar["date"] == "2022-01-15" and sidecar["days_origin"] == "2022-01-04"
    assert sidecar["inputs"]["landsat"]["dates"] == 2
    item = json.loads((out / "2022-01-15.tif.stac.json").read_text())
    assert item["properties"]["datetime"] == "2022-01-15T00:00:00Z"
    assert (out / "series.gif").read_bytes()[:4] == b"GIF8"
    assert not (out / ".work").exists()
    assert "median days to a clear image" in result.text
    medians = result.record["median_days_to_clear"]["2022-01-15"]
    assert medians == {"landsat": 8, "sentinel2": 1}


def test_a_killed_run_resumes_to_the_same_bytes(done, folder, trained, tmp_path, monkeypatch):
    import trifuse.flows.interpolate as room

    _, first = done
    options = {"weights": trained, "bands": "NDVI,B4,LST,landsat:B4,B8A"}
    one = tmp_path / "b"
    calls = []
    work = room.date_unit

    def killed(*job_and):
        calls.append(job_and[-2].id)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return work(*job_and)

    with monkeypatch.context() as patch:
        patch.setattr(room, "date_unit", killed)
        with pytest.raises(KeyboardInterrupt):
            interpolate(folder, one, dates="2022-01-15,2022-02-15", **options)
    assert (one / ".work" / "block_0_0.npy").is_file()
    with pytest.raises(ProductError, match=r"no index\.json"):
        open_series(one)
    stamp = (one / "2022-01-15.tif").stat().st_mtime_ns
    again = interpolate(folder, one, dates="2022-01-15,2022-02-15", **options)
    assert len(again.files) == 4 and (one / "2022-01-15.tif").stat().st_mtime_ns == stamp
    for path in first.files:
        assert (one / path.name).read_bytes() == path.read_bytes()
    more = interpolate(folder, one, dates="2022-01-20", **options)
    assert [d.day for d in more.dates] == [15, 20, 15]
    assert (one / "2022-01-15.tif").stat().st_mtime_ns == stamp


def test_blocks_of_a_killed_run_are_used(done, folder, trained, tmp_path, monkeypatch):
    import trifuse.flows.interpolate as room

    _, first = done
    options = {
        "weights": trained,
        "bands": "NDVI,B4,LST,landsat:B4,B8A",
        "dates": "2022-01-15,2022-02-15",
    }

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "date_unit", killed)
        with pytest.raises(KeyboardInterrupt):
            interpolate(folder, tmp_path / "b", **options)

    def never(*_):
        raise AssertionError("the block is there already")

    monkeypatch.setattr(room, "block_unit", never)
    interpolate(folder, tmp_path / "b", **options)
    for path in first.files:
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


def test_blocks_and_disk_do_not_matter(done, folder, trained, tmp_path, monkeypatch):
    import trifuse.flows.interpolate as room

    out, _ = done
    monkeypatch.setattr(room, "_plan", lambda *_: (12, True))
    result = interpolate(
        folder,
        tmp_path / "b",
        weights=trained,
        dates="2022-01-15",
        bands="NDVI,B4,LST",
        dtype="float32",
        animation=False,
        device="cpu",
    )
    assert result.record["blocks"] == 6
    assert not (tmp_path / "b" / "series.gif").exists()
    whole, part = (open_geotiff(f / "2022-01-15.tif").read() for f in (out, tmp_path / "b"))
    np.testing.assert_allclose(whole.data[:2], part.data[:2], atol=1.2e-4)
    np.testing.assert_allclose(whole.data[2], part.data[2], atol=6e-3)
    q = [open_geotiff(f / "2022-01-15_quality.tif").read().data for f in (out, tmp_path / "b")]
    np.testing.assert_allclose(q[0], q[1], atol=1e-5)


def test_one_sensor_is_enough_and_told(folder, trained, tmp_path, caplog):
    series = {"landsat": open_series(folder / "landsat")}
    with caplog.at_level(logging.WARNING):
        result = interpolate(
            series,
            tmp_path / "o",
            weights=trained,
            dates="2022-01-20,2023-01-01",
            bands="B8",
            quality=False,
            animation=False,
        )
    assert "no series of sentinel2" in caplog.text
    assert "1 of 2 dates lie outside the series" in caplog.text
    cube = open_geotiff(result.files[0]).read()
    assert cube.grid == GRID and np.isfinite(cube.data).all()
    assert [p.name for p in result.files] == ["2022-01-20.tif", "2023-01-01.tif"]


def test_a_dry_run_writes_nothing(folder, trained, tmp_path):
    plan = interpolate(folder, tmp_path / "o", weights=trained, dates="2022-01-20", dry_run=True)
    assert not (tmp_path / "o").exists() and "dry run" in plan.text
    assert plan.bands == every_name(CONFIG)


def test_weights_tell_how_they_want_to_be_used(model, folder, tmp_path):
    card = TamrfCard(CONFIG, protocol={"data": {"blank": 0.5}})
    save_weights(tmp_path / "w.safetensors", model, card)
    trained = load_trained(tmp_path / "w.safetensors")
    area = method_area(trained, folder)
    assert area.origin == date(2022, 1, 1) and area.blank
    area = method_area(trained, folder, days_origin="first", clouds="show")
    assert area.origin == START and not area.blank
    assert method_area(trained, folder, days_origin="2021-12-31").origin == date(2021, 12, 31)
    with pytest.raises(ConfigError, match="is no date"):
        method_area(trained, folder, days_origin="spring")
    (tmp_path / "x.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(WeightsError):
        load_trained(tmp_path / "x.ckpt")


def test_the_prior_alone_interpolates(folder, tmp_path):
    result = interpolate(
        folder,
        tmp_path / "o",
        weights="prior",
        dates="2022-01-09",
        bands="B4,LST,NDVI",
        dtype="float32",
        animation=False,
    )
    assert result.record["method"] == "prior" and result.record["clouds"] == "withheld"
    cube = open_geotiff(result.files[0]).read()
    fine = open_series(folder / "sentinel2")
    first, second = (fine.read(START + timedelta(days=d), bands=["B4"]) for d in (0, 10))
    both = first.valid & second.valid
    between = (first.data[0] + second.data[0]) / 2
    assert np.isfinite(cube.data[0][both]).all()
    assert np.corrcoef(cube.data[0][both], between[both])[0, 1] > 0.9
    never = ~np.any([s.read().valid for _, s in fine], axis=0)
    assert np.isnan(cube.data[0][never]).all() and np.isnan(cube.data[2][never]).all()
    quality = open_geotiff(tmp_path / "o" / "2022-01-09_quality.tif")
    assert quality.bands.names == ("days_landsat", "days_sentinel2")


@pytest.mark.parametrize("name", [n for n in SERIES_METHODS if n != "tamrf"])
def test_methods_without_a_network(folder, name, tmp_path):
    options = {"dates": "2022-01-09", "dtype": "float32", "animation": False}
    result = interpolate(
        folder, tmp_path / "o", method=name, bands="B4,landsat:B4,LST,NDVI", **options
    )
    assert result.record["method"] == name and result.record["model"]["name"] == name
    series = {k: open_series(folder / k) for k in ("sentinel2", "landsat")}
    method = get_series_method(name)
    area = open_area(method.config, series, blank=True)
    at = [find_channel(method.config, n) for n in ("B4", "landsat:B4", "LST")]
    wanted, _ = method.prepare(area, GRID.whole).predict([5.0], at)
    cube = open_geotiff(result.files[0]).read()
    np.testing.assert_array_equal(cube.data[:3], wanted[0])
    quality = open_geotiff(tmp_path / "o" / "2022-01-09_quality.tif")
    assert quality.bands.names == ("days_landsat", "days_sentinel2")
    made = get_series_method(name)
    again = interpolate(folder, tmp_path / "p", method=made, bands="B4", quality=False, **options)
    np.testing.assert_array_equal(open_geotiff(again.files[0]).read().data[0], cube.data[0])
    other = "nearest" if name != "nearest" else "linear"
    with pytest.raises(StoreError, match="another configuration"):
        interpolate(folder, tmp_path / "p", method=other, bands="B4", quality=False, **options)


def test_a_method_that_sees_the_whole_warns_of_blocks(folder, tmp_path, monkeypatch, caplog):
    import trifuse.flows.interpolate as room

    monkeypatch.setattr(room, "_plan", lambda *_: (12, False))
    with caplog.at_level(logging.WARNING):
        for name in ("linear", "atprk"):
            interpolate(folder, tmp_path / name, method=name, dates="2022-01-09", dry_run=True)
    told = [r.getMessage() for r in caplog.records if "as a whole" in r.getMessage()]
    assert told == ["atprk looks at an area as a whole; its 6 blocks may differ where they meet"]


def test_the_network_that_comes_along_serves_where_it_was_trained(folder, tmp_path):
    options = {"dates": "2022-01-20", "bands": "B4", "dry_run": True}
    record = interpolate(folder, tmp_path / "o", **options).record
    assert record["model"]["network"] == "tamrf" and record["days_origin"] == "2022-01-01"
    assert record["clouds"] == "withheld" and record["method"] == "tamrf"
    two_years = {
        "sentinel2": make(SENTINEL2, GRID, days=(0, 400)),
        "landsat": open_series(folder / "landsat"),
    }
    alone = {"sentinel2": open_series(folder / "sentinel2")}
    for other in (two_years, alone):
        assert interpolate(other, tmp_path / "o", **options).record["model"]["name"] == "prior"
    shipped = interpolate(
        folder, tmp_path / "s", dates="2022-01-20", bands="B4", quality=False, animation=False
    )
    cube = open_geotiff(shipped.files[0]).read()
    assert cube.valid.mean() > 0.9 and np.isfinite(cube.data[0][cube.valid]).all()


def test_a_published_checkpoint_serves_as_it_is(fixtures_dir, folder, tmp_path):
    with np.load(fixtures_dir / "tamrf_state_dict.npz") as stored:
        state = {k: torch.from_numpy(stored[k]) for k in stored.files}
    torch.save({"state_dict": state}, tmp_path / "published.ckpt")
    trained = load_trained(tmp_path / "published.ckpt")
    assert sum(p.numel() for p in trained.model.parameters()) == 2_329_250
    result = interpolate(
        folder,
        tmp_path / "o",
        weights=trained,
        dates="2022-01-20",
        bands="B8,LST",
        dtype="float32",
        quality=False,
        animation=False,
    )
    assert result.record["days_origin"] == "2022-01-04" and result.record["clouds"] == "shown"
    series = {k: open_series(folder / k) for k in ("sentinel2", "landsat")}
    encoded = encode_block(trained.model, open_area(trained.model.config, series), GRID.whole)
    truth, _ = predict_block(trained.model, encoded, [16.0], [14, 7])
    np.testing.assert_allclose(open_geotiff(result.files[0]).read().data, truth[0], rtol=1e-5)


class TestBands:
    def test_names(self):
        names = every_name(CONFIG)
        assert names[:8] == ("B1", *(f"landsat:B{i}" for i in range(2, 8)), "LST")
        assert names[8:] == SENTINEL2.bands
        assert [find_channel(CONFIG, n) for n in names] == list(range(18))

    def test_choice(self):
        assert choose_bands(CONFIG, "all") == every_name(CONFIG)
        assert choose_bands(CONFIG, "b08a, lst,LANDSAT:b05,ndvi,B8A") == (
            "B8A",
            "LST",
            "landsat:B5",
            "NDVI",
        )
        assert choose_bands(CONFIG, "sentinel2:B4,landsat:B1") == ("B4", "B1")
        for wrong in ("B9", "modis:B4", "landsat:B8A", ""):
            with pytest.raises(BandError):
                choose_bands(CONFIG, wrong)


class TestBadInput:
    @pytest.fixture
    def fails(self, trained, tmp_path):
        def check(kind, words, series, **options):
            given = {"weights": trained, "dates": "2022-01-15", **options}
            with pytest.raises(kind, match=words) as caught:
                interpolate(series, tmp_path / "o", **given)
            assert "\n" not in str(caught.value)
            assert not (tmp_path / "o").exists()

        return check

    def test_series(self, fails, folder, tmp_path):
        fails(ProductError, "does not exist", tmp_path / "none")
        fails(ProductError, "no folder with the series", folder / "landsat")
        cloudy = {"sentinel2": make(SENTINEL2, GRID, clear=0.0)}
        fails(DataError, "no clear pixel in any of 3 images", cloudy)
        far = Grid.from_origin("EPSG:32633", 500000, 5800000, 30, 8, 8)
        both = {"sentinel2": make(SENTINEL2, GRID), "landsat": make(LANDSAT, far)}
        fails(OverlapError, "share no ground", both)
        fails(DataError, "none of which the network knows", {"modis": make(SENTINEL2, GRID)})

    def test_doubled_dates_on_disk(self, fails, folder, tmp_path):
        import shutil

        shutil.copytree(folder, tmp_path / "s")
        index = tmp_path / "s" / "landsat" / "index.json"
        record = json.loads(index.read_text())
        record["images"][1]["date"] = record["images"][0]["date"]
        index.write_text(json.dumps(record))
        fails(DataError, "follows", tmp_path / "s")

    def test_options(self, fails, folder):
        fails(BandError, "no band 'B99'", folder, bands="B99")
        fails(ConfigError, "is no date", folder, dates="Easter")
        fails(ConfigError, "clouds", folder, clouds="maybe")
        fails(ConfigError, "max_memory", folder, max_memory=0)
        fails(ConfigError, "device", folder, device="abacus")
        fails(ConfigError, "unknown method 'magic'", folder, method="magic", weights=None)
        fails(ConfigError, "'linear' takes no weights", folder, method="linear", weights="w.ckpt")
        fails(ConfigError, "weights of another", folder, method="linear")
        linear = get_series_method("linear")
        fails(ConfigError, "weights of another", folder, method=linear, weights="w.ckpt")

    def test_other_work_in_the_folder(self, done, folder, trained, tmp_path):
        with pytest.raises(StoreError, match="another configuration"):
            interpolate(folder, done[0], weights=trained, dates="2022-01-15", bands="B4")
        (tmp_path / "x.txt").write_text("mine")
        with pytest.raises(StoreError, match="no manifest"):
            interpolate(folder, tmp_path, weights=trained, dates="2022-01-15")
        other = replace(trained, card={"sha256": "other"})
        with pytest.raises(StoreError, match="weights is test there and other here"):
            interpolate(
                folder,
                done[0],
                weights=other,
                dates="2022-01-15",
                bands="NDVI,B4,LST,landsat:B4,B8A",
            )
