"""No verb destroys what it reads, whatever is asked for, from Python as from the shell."""

from datetime import date

import numpy as np
import pytest

import trifuse as tf
from trifuse.cli.main import run
from trifuse.core import BandSet, Cube, Grid, MemorySource, OutputExistsError, Series
from trifuse.flows.report import report
from trifuse.flows.report_run import report_run
from trifuse.flows.store import merge_stores
from trifuse.products import build_series, copy_source, open_cube, write_cube, write_series
from trifuse.simulate import simulate_store

GRID = Grid.from_origin("EPSG:32633", 5e5, 5e6, 10.0, 40, 40)


def cube(seed, names=("B4", "B8", "B8A")):
    rng = np.random.default_rng(seed)
    data = rng.uniform(0.1, 0.4, (len(names), 40, 40)).astype(np.float32)
    return Cube(data, np.ones((40, 40), bool), BandSet.of(names), GRID)


@pytest.fixture
def given(tmp_path):
    """A folder with images, a product with its deviations, a series, and the record of a run."""
    (tmp_path / "s").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.jsonl").write_text("{}\n")
    for name in ("s2.tif", "s3.tif", "fused_std.tif"):
        write_cube(tmp_path / name, cube(1))
    tf.ndvi(cube(0), tmp_path / "fused.tif")
    days = [(date(2020, 5, d), MemorySource(cube(d))) for d in (1, 11)]
    write_series(tmp_path / "data/sentinel2", Series.of("sentinel2", days))
    return tmp_path


def state(folder):
    return {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


VERBS = {
    "build onto its source": lambda d: build_series(
        d / "data", sentinel2=d / "data/sentinel2", overwrite=True
    ),
    "build into its source": lambda d: build_series(
        d / "data/sentinel2", sentinel2=d / "data/sentinel2", overwrite=True
    ),
    "fuse onto its own deviations": lambda d: tf.fuse(
        d / "fused_std.tif", d / "s3.tif", d / "fused.tif", uncertainty=True, overwrite=True
    ),
    "fuse onto one": lambda d: tf.fuse(d / "s2.tif", d / "s3.tif", d / "s3.tif", overwrite=True),
    "interpolate into the series": lambda d: tf.interpolate(
        d / "data", d / "data/sentinel2", dates="2020-05-05", overwrite=True
    ),
    "interpolate over the series": lambda d: tf.interpolate(
        d / "data", d / "data", dates="2020-05-05", overwrite=True
    ),
    "report onto the sidecar": lambda d: report(
        d / "fused.tif", d / "fused.tif.json", overwrite=True
    ),
    "report onto the image": lambda d: report(d / "fused.tif", d / "fused.tif", overwrite=True),
    "ndvi onto the image": lambda d: tf.ndvi(d / "s2.tif", d / "s2.tif", overwrite=True),
    "ndvi of an open image": lambda d: tf.ndvi(
        open_cube(d / "s2.tif"), d / "s2.tif", overwrite=True
    ),
    "ndvi over the series": lambda d: tf.ndvi_series(
        d / "data/sentinel2", d / "data/sentinel2", overwrite=True
    ),
    "sharpen onto the image": lambda d: tf.sharpen(d / "s2.tif", d / "s2.tif", overwrite=True),
    "simulate around its scene": lambda d: simulate_store([d / "s2.tif"], d, overwrite=True),
    "merge stores into one": lambda d: merge_stores([d / "data", d / "s"], d / "s", overwrite=True),
    "report onto the record of a run": lambda d: report_run(
        d / "run", d / "run/metrics.jsonl", overwrite=True
    ),
    "copy an open image": lambda d: copy_source(
        d / "s2.tif", open_cube(d / "s2.tif"), overwrite=True
    ),
    "write an open series": lambda d: write_series(
        d / "data/sentinel2", tf.open_series(d / "data/sentinel2"), overwrite=True
    ),
}


@pytest.mark.parametrize("name", VERBS)
def test_an_input_is_spared(given, name):
    before = state(given)
    with pytest.raises(OutputExistsError, match=r"an input too|holds the input|lies in the input"):
        VERBS[name](given)
    assert state(given) == before


def test_from_the_shell_it_is_5(given, capsys):
    before = state(given)
    words = ["ndvi", str(given / "data/sentinel2"), "-o", str(given / "data/sentinel2/ndvi")]
    assert run([*words, "--overwrite"]) == 5
    assert "lies in the input sentinel2; write elsewhere" in capsys.readouterr().err
    assert state(given) == before
