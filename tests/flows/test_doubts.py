"""What goes by the values looks at them first: each verb stops at counts without their scale."""

import logging
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from trifuse.core import (
    BandSet,
    Cube,
    DataError,
    Grid,
    Manifest,
    MemorySource,
    PartialError,
    Series,
)
from trifuse.flows.evaluate import evaluate
from trifuse.flows.fidelity import check_fidelity
from trifuse.flows.interpolate import interpolate
from trifuse.flows.report import report
from trifuse.fusformer.refiner import BANDS
from trifuse.products import write_cube, write_sentinel2_safe
from trifuse.products.series.build import build_series
from trifuse.products.series.folder import open_series, write_series
from trifuse.simulate import SimulateConfig, procedural_scene, simulate_store
from trifuse.srf_data import S2_L2A
from trifuse.train.refining import RefinerTrainConfig, train_refiner
from trifuse.train.temporal_data import SeriesScene

GRID = Grid.from_origin("EPSG:32633", 300000, 5900040, 10, 60, 60)
S2 = BandSet.of(S2_L2A)
UNSCALED = "values up to .* cannot be reflectance: the scale is missing or wrong"
UNKNOWN = "are no reflectance, and what they are cannot be told"


def s2_cube(times=1.0, add=0.0, **meta):
    rng = np.random.default_rng(3)
    coarse = rng.uniform(0.02, 0.4, (12, 10, 10))  # as 60 m pixels see it
    data = coarse.repeat(6, axis=1).repeat(6, axis=2) * times + add
    return Cube(data.astype(np.float32), np.ones(GRID.shape, bool), S2, GRID, meta)


def times(cube, factor):
    return Cube(cube.data * np.float32(factor), cube.valid, cube.bands, cube.grid, cube.meta)


def test_simulate_stops_before_a_shard_is_written(tmp_path):
    scene = procedural_scene(60, seed=1)
    config = SimulateConfig(patch=60)
    with pytest.raises(DataError, match=UNSCALED):
        simulate_store(MemorySource(times(scene, 1e4), "counts"), tmp_path / "store", config)
    assert not (tmp_path / "store").exists()


def test_simulate_keeps_what_does_not_stop_it(tmp_path, caplog):
    scene = procedural_scene(60, seed=1)
    data = scene.data.copy()
    data[20] = 0.1
    odd = Cube(data, scene.valid, scene.bands, scene.grid, scene.meta)
    simulate_store(MemorySource(odd, "odd"), tmp_path / "s", SimulateConfig(patch=60))
    (record,) = Manifest.load(tmp_path / "s").done.values()
    looks = {d["look"] for d in record["doubts"]}
    assert looks and all(not d["stops"] for d in record["doubts"])
    assert sum("odd: " in r.message and r.levelno == logging.WARNING for r in caplog.records) == 1


@pytest.mark.parametrize("which", ["fused", "truth"])
def test_evaluate_stops_at_an_unknown_scale(which):
    images = {"fused": s2_cube(), "truth": s2_cube()} | {which: s2_cube(1e3)}
    with pytest.raises(DataError, match=UNKNOWN):
        evaluate(**images)


def test_evaluate_scores_a_fusion_that_is_below_zero_and_says_so():
    done = evaluate(s2_cube(add=-0.2, method="poor"), truth=s2_cube())
    assert done.scores["poor"].to_json()["rmse"] == pytest.approx(0.2, abs=1e-3)
    assert [d["look"] for d in done.record["doubts"]["fused"]] == ["negative"]


def test_fidelity_stops_at_an_unknown_scale():
    with pytest.raises(DataError, match=UNKNOWN):
        check_fidelity(times(procedural_scene(60, seed=1), 1e3), s2=s2_cube())


def test_report_stops_at_counts(tmp_path):
    write_cube(tmp_path / "fused.tif", s2_cube(1e4), dtype="float32")
    with pytest.raises(DataError, match=UNSCALED):
        report(tmp_path / "fused.tif", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_training_a_refiner_on_counts_stops(tmp_path):
    grid = Grid.from_origin("EPSG:32633", 0.0, 0.0, 60.0, 60, 60)
    rng = np.random.default_rng(1)
    data = rng.uniform(100, 4000, (len(BANDS), 60, 60)).astype(np.float32)
    real = MemorySource(Cube(data, np.ones(grid.shape, bool), BandSet.of(BANDS), grid), "counts")
    with pytest.raises(DataError, match=UNSCALED):
        train_refiner(RefinerTrainConfig(), tmp_path / "run", [real])
    assert not (tmp_path / "run").exists()


def series(factors):
    items = [
        (date(2022, 6, 1) + timedelta(days=5 * i), MemorySource(s2_cube(f), f"day {i}"))
        for i, f in enumerate(factors)
    ]
    return Series.of("sentinel2", items)


def test_interpolate_stops_at_the_one_date_of_counts(tmp_path):
    found = {"sentinel2": series([1, 1e4, 1])}
    with pytest.raises(DataError, match=f"day 1: {UNSCALED}"):
        interpolate(found, tmp_path / "out", method="prior", dates="2022-06-03", bands="B2")
    assert not (tmp_path / "out").exists()


def test_training_on_series_stops_at_counts(tmp_path):
    write_series(tmp_path / "area" / "sentinel2", series([1, 1, 1e4]), dtype="float32")
    with pytest.raises(DataError, match=UNSCALED):
        SeriesScene.open(tmp_path / "area")


@pytest.fixture
def deliveries(tmp_path):
    """Three products, of whose second the metadata state the offset twice."""
    for i in range(3):
        start = datetime(2022, 6, 1 + 5 * i, 10, 20, 31, tzinfo=UTC)
        path = write_sentinel2_safe(tmp_path / "in", s2_cube(), start=start)
        if i == 1:
            (mtd,) = path.glob("MTD_MSIL2A.xml")
            mtd.write_text(mtd.read_text().replace(">-1000<", ">-2000<"))
    return tmp_path / "in"


def test_a_series_stops_at_the_product_that_is_wrong_and_makes_the_others(
    deliveries, tmp_path, caplog
):
    plan = build_series(tmp_path / "out", sentinel2=deliveries, dry_run=True)
    ((name, (doubt,)),) = plan.sensors["sentinel2"].doubts.items()
    assert "20220606T" in name and doubt.look == "negative"
    assert f"doubt: {name}: " in plan.text
    assert plan.to_json()["sentinel2"]["doubts"][name][0]["stops"]
    assert not (tmp_path / "out").exists()
    caplog.clear()
    with pytest.raises(PartialError, match=r"1 of 3 units failed: 2022-06-06 .*offset seems") as e:
        build_series(tmp_path / "out", sentinel2=deliveries)
    assert name in str(e.value) and "take the product out of the folder" in str(e.value)
    assert sum(name in r.message for r in caplog.records) == 1
    assert len(Manifest.load(tmp_path / "out" / "sentinel2").done) == 2
    for path in deliveries.glob("*20220606T*"):
        path.rename(tmp_path / path.name)
    build_series(tmp_path / "out", sentinel2=deliveries)
    assert len(open_series(tmp_path / "out" / "sentinel2")) == 2


def test_a_series_keeps_what_does_not_stop_it(tmp_path):
    path = write_sentinel2_safe(
        tmp_path / "in", s2_cube(), start=datetime(2022, 6, 1, 10, tzinfo=UTC)
    )
    for mtd in path.rglob("MTD_*.xml"):
        mtd.write_text(mtd.read_text().replace("2022-06-01T", "2022-08-01T"))
    build_series(tmp_path / "out", sentinel2=tmp_path / "in")
    (unit,) = Manifest.load(tmp_path / "out" / "sentinel2").done.values()
    ((name, (doubt,)),) = unit["doubts"].items()
    assert name == path.stem and doubt["look"] == "date"
