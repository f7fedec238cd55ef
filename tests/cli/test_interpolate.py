"""Series, interpolation, evaluation and training of TAMRF by the command line."""

from datetime import date, timedelta

import numpy as np
import pytest
import torch

from trifuse.core import BandSet, Cube, Grid, MemorySource, Series
from trifuse.products import open_geotiff, write_series
from trifuse.temporal import SERIES_METHODS
from trifuse.temporal.card import TamrfCard
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.model import Tamrf
from trifuse.temporal.networks import save_weights

START = date(2022, 1, 1)
DAYS = {"sentinel2": (5, 35, 45, 65, 125), "landsat": (8, 35, 50, 70, 130)}
GRID = Grid.from_origin("EPSG:32633", 400000, 5800000, 10, 36, 42)


def make(sensor, grid):
    """Smooth land that brightens, with a cloud in a corner; and its sharp edges."""
    y, x = np.indices(grid.shape) * sensor.ratio
    items = []
    for day in DAYS[sensor.name]:
        mean, std = (np.array(v)[:, None, None] for v in (sensor.mean, sensor.std))
        data = mean + 0.5 * std * (np.sin(x / 5) + np.cos(y / 7) + day / 50)
        if sensor.thermal:
            data[-1] *= 1000
        valid = np.ones(grid.shape, bool)
        valid[: -(-(2 + day % 3) // sensor.ratio)] = False
        data[:, ~valid] *= 1.5
        if sensor.thermal:
            data[-1, ~valid] = 260
        cube = Cube(data.astype(np.float32), valid, BandSet.of(sensor.bands), grid)
        items.append((START + timedelta(days=day), MemorySource(cube)))
    return Series.of(sensor.name, items)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    root = tmp_path_factory.mktemp("sources")
    write_series(root / "s2", make(SENTINEL2, GRID), cog=False)
    write_series(root / "landsat", make(LANDSAT, GRID.zoom_out(3)), cog=False)
    return root


@pytest.fixture(scope="module")
def area(sources, tmp_path_factory):
    from trifuse.products.series.build import build_series

    out = tmp_path_factory.mktemp("area") / "area"
    build_series(out, sentinel2=sources / "s2", landsat=sources / "landsat")
    return out


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.manual_seed(0)
    config = TamrfConfig((LANDSAT, SENTINEL2), features=8, growth=4, layers=1, hidden=16)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    save_weights(path, Tamrf(config).eval(), TamrfCard(config))
    return path


def test_series_build(trifuse, as_json, sources, tmp_path):
    arguments = (
        "series",
        "build",
        "--s2",
        sources / "s2",
        "--landsat",
        sources / "landsat",
        "--dates",
        "2022-02-01:",
        "-o",
        tmp_path / "out",
    )
    code, out, _ = trifuse(*arguments, "--dry-run")
    assert code == 0 and "sentinel2: 4 dates" in out and "dry run" in out
    assert not (tmp_path / "out").exists()
    code, out, _ = trifuse(*arguments, "--json")
    assert code == 0
    assert list(as_json(out)["landsat"]["clear"]) == [
        str(START + timedelta(days=d)) for d in DAYS["landsat"][1:]
    ]
    assert (tmp_path / "out" / "landsat" / "index.json").is_file()


def test_interpolate(trifuse, as_json, area, network, tmp_path):
    arguments = (
        "interpolate",
        area,
        "--weights",
        network,
        "--bands",
        "NDVI,B4,LST",
        "--dates",
        "2022-02-01:2022-04-01:1M",
        "-o",
        tmp_path / "out",
    )
    code, out, err = trifuse(*arguments, "--dry-run")
    assert code == 0 and "3 dates" in out and not (tmp_path / "out").exists()
    code, out, err = trifuse(*arguments, "--json", "--no-animation")
    assert code == 0, err
    record = as_json(out)
    assert record["days_origin"] == "2022-01-01" and len(record["files"]) == 6
    cube = open_geotiff(tmp_path / "out" / "2022-03-01.tif").read()
    assert cube.bands.names == ("NDVI", "B4", "LST") and cube.valid.all()
    code, out, _ = trifuse(*arguments, "--no-animation")
    assert code == 0 and "wrote 6 images" in out


@pytest.mark.parametrize("task", ["gap-filling", "band-sharpening", "fusion", "thermal"])
def test_evaluate(trifuse, as_json, area, network, task):
    code, out, err = trifuse(
        "evaluate",
        "tamrf",
        area,
        "--weights",
        network,
        "--task",
        task,
        "--margin",
        "90",
        "--per-band",
        "--json",
    )
    assert code == 0, err
    scores = as_json(out)["scores"]
    sensor = "landsat" if task == "thermal" else "sentinel2"
    if task in ("gap-filling", "fusion"):
        assert {"tamrf", "nearest", "linear", "change"} <= set(scores[sensor])
        # The land changes linearly, so linear interpolation is right to the counts of the files.
        assert scores[sensor]["linear"]["rmse"] < 2e-4 < scores[sensor]["nearest"]["rmse"]
        assert scores[sensor]["tamrf"]["rmse"] > 0.01
    elif task == "thermal":
        assert list(scores) == ["landsat"]
        assert scores[sensor]["tamrf + residual"]["rmse_k"] < scores[sensor]["tamrf"]["rmse_k"]
        assert scores[sensor]["as observed"]["fr"] == 0
    else:
        assert list(as_json(out)["bands"][sensor]["tamrf"]) == [
            "B5",
            "B6",
            "B7",
            "B8A",
            "B11",
            "B12",
        ]
        assert scores[sensor]["as observed"]["fr"] in (0, None)


@pytest.mark.parametrize("task", ["fusion", "thermal"])
def test_evaluate_takes_the_network_that_comes_along_or_none(trifuse, as_json, area, task):
    for weights, network in ((), True), (("--weights", "prior"), False):
        code, out, err = trifuse(
            "evaluate", "tamrf", area, "--task", task, "--margin", "90", "--json", *weights
        )
        assert code == 0, err
        scores = as_json(out)["scores"]["landsat" if task == "thermal" else "sentinel2"]
        assert any("tamrf" in name for name in scores) == network
        assert "prior" in scores or network


def test_any_method_of_the_registry(trifuse, as_json, area, tmp_path):
    arguments = ("interpolate", area, "--dates", "2022-03-01", "--bands", "B4", "-t", "float32")
    rest = ("--no-quality", "--no-animation")
    for name in ("linear", "atprk"):
        out = tmp_path / name
        code, _, err = trifuse(*arguments, *rest, "--method", name, "-o", out)
        assert code == 0, err
        valid = open_geotiff(out / "2022-03-01.tif").read().valid
        assert valid[6:].all() and not valid[0].any(), "where it is ever clear"
    code, out, err = trifuse(
        "evaluate", "tamrf", area, "--margin", "90", "--json", "--methods", "atprk,linear,tamrf"
    )
    assert code == 0, err
    scores = as_json(out)["scores"]["sentinel2"]
    assert list(scores) == ["atprk", "linear", "tamrf"]
    assert all(0 < s["sam"] < 90 and np.isfinite(s["rmse"]) for s in scores.values())


@pytest.mark.parametrize("path", [("interpolate",), ("evaluate", "tamrf")])
def test_help_lists_every_method(trifuse, path):
    code, out, _ = trifuse(*path, "-h")
    assert code == 0
    assert "[" + ",".join(SERIES_METHODS) + "]" in "".join(out.split())


def test_evaluate_prints_a_table(trifuse, area, network):
    code, out, _ = trifuse("evaluate", "tamrf", area, "--weights", network, "--margin", "60")
    assert code == 0
    assert "gap-filling: landsat, 2 dates, 60 m" in out and "rmse_k" in out and "linear" in out


def test_train(trifuse, as_json, area, tmp_path):
    small = [
        "optim.steps=1",
        "optim.warmup=0",
        "optim.batch=1",
        "model.features=8",
        "model.growth=4",
        "model.layers=1",
        "model.hidden=16",
        "model.heads=4",
        "data.crop=10",
        "data.dates=6",
        "data.per_scene=1",
        "loss.border=6",
        "loss.structure=0",
        "validation.every=1",
    ]
    sets = [part for text in small for part in ("--set", text)]
    code, out, err = trifuse("train", "tamrf", area, "--val", area, "-o", tmp_path / "run", *sets)
    assert code == 0, err
    assert "gap-filling/sentinel2" in out and "wrote" in out
    weights = next((tmp_path / "run").glob("*.safetensors"))
    code, out, err = trifuse(
        "interpolate",
        area,
        "--weights",
        weights,
        "--dates",
        "2022-03-01",
        "--bands",
        "B8",
        "--no-quality",
        "--no-animation",
        "-o",
        tmp_path / "out",
    )
    assert code == 0, err
    code, out, _ = trifuse("train", "tamrf", area, "-o", tmp_path / "x", "--dry-run", *sets)
    assert code == 0 and "1 series" in out and not (tmp_path / "x").exists()


def test_evaluate_still_takes_a_fused_image_without_a_command(trifuse, fails, scene):
    code, out, _ = trifuse("evaluate", "--truth", scene.truth, "--s2", scene.s2, "--s3", scene.s3)
    assert code == 0 and "regression" in out
    assert trifuse("evaluate", "fused", scene.truth, "--s3", scene.s3)[0] == 0
    fails(13, "nothing to compare with", "evaluate", scene.truth)


class TestBadInput:
    def test_series_build(self, fails, sources, tmp_path):
        out = ("-o", tmp_path / "o")
        fails(12, "no products", "series", "build", *out)
        fails(3, "does not exist", "series", "build", "--s2", tmp_path / "no", *out)
        fails(
            9,
            "no ground with the box",
            "series",
            "build",
            "--s2",
            sources / "s2",
            "--bbox",
            "2,40,3,41",
            *out,
        )
        fails(
            3,
            "from 2030",
            "series",
            "build",
            "--s2",
            sources / "s2",
            "--dates",
            "2030-01-01:",
            *out,
        )

    @pytest.mark.parametrize("wrong", [("--dates", "May"), ("--bbox", "1,2")])
    def test_usage(self, trifuse, sources, wrong, tmp_path):
        code, _, err = trifuse("series", "build", "--s2", sources / "s2", *wrong, "-o", tmp_path)
        assert code == 2 and "Invalid value" in err

    def test_interpolate(self, fails, area, network, tmp_path):
        common = ("--weights", network, "-o", tmp_path / "o")
        one = ("--dates", "2022-03-01")
        fails(12, "is no date", "interpolate", area, "--dates", "May", *common)
        fails(10, "no band 'B77'", "interpolate", area, *one, "--bands", "B77", *common)
        (tmp_path / "none").mkdir()
        fails(3, "holds no folder", "interpolate", tmp_path / "none", *one, *common)
        fails(12, "unknown method 'x'", "interpolate", area, *one, "--method", "x", *common[2:])
        fails(12, "takes no weights", "interpolate", area, *one, "--method", "linear", *common)
        fails(
            6,
            "w.txt",
            "interpolate",
            area,
            *one,
            "-o",
            tmp_path / "o",
            "--weights",
            tmp_path / "w.txt",
        )

    def test_evaluate(self, fails, area, network, tmp_path):
        common = ("--weights", network)
        fails(13, "margin", "evaluate", "tamrf", area, *common, "--margin", "5000")
        fails(12, "unknown method 'x'", "evaluate", "tamrf", area, "--methods", "linear,x")
        fails(12, "no methods to score", "evaluate", "tamrf", area, "--methods", ",")
        only = tmp_path / "s2"
        only.mkdir()
        (only / "sentinel2").symlink_to(area / "sentinel2")
        fails(13, "no series of landsat", "evaluate", "tamrf", only, *common, "--task", "thermal")
