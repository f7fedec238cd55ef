"""A fusion planned before it runs: what a plan says, what it leaves undone, who closes what."""

import json
from dataclasses import FrozenInstanceError, fields
from inspect import signature

import numpy as np
import pytest

from trifuse.core import (
    BandError,
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    MemorySource,
    MetadataError,
    OutputExistsError,
    degrade,
)
from trifuse.flows.fuse import FuseOptions, fuse, plan_fusion, run
from trifuse.fusion import Regression
from trifuse.products import write_cube

HR, LR = BandSet.of(["B2", "B4", "B8A"]), BandSet.of(["Oa04", "Oa08"])
RATIO, CELLS = 10, 12


class Watched(MemorySource):
    """A source that keeps count of what is asked of it."""

    def __init__(self, cube, name):
        super().__init__(cube, name)
        self.asked, self.closed, self.fails = [], 0, None

    def read(self, window=None, bands=None):
        if self.fails is not None:
            raise self.fails
        self.asked.append(self.bands.names if bands is None else tuple(bands))
        return super().read(window, bands)

    def close(self):
        self.closed += 1


@pytest.fixture
def pair():
    """S2 and S3 of a truth that is a linear map of S2."""
    rng = np.random.default_rng(0)
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, CELLS * RATIO, CELLS * RATIO)
    data = (0.05 + 0.4 * rng.random((3, *grid.shape))).astype(np.float32)
    cells = degrade(data[:2] + 0.1 * data[1:], RATIO)
    sharp = Cube(data, np.ones(grid.shape, bool), HR, grid)
    coarse = Cube(cells, np.ones(cells.shape[1:], bool), LR, grid.zoom_out(RATIO))
    return Watched(sharp, "s2"), Watched(coarse, "s3")


def test_every_option_is_an_argument_of_fuse_with_the_same_default():
    arguments = signature(fuse).parameters
    options = {f.name: f.default for f in fields(FuseOptions)}
    assert set(arguments) == {"s2", "s3", "dry_run", *options}
    assert {name: arguments[name].default for name in options} == options


def test_a_plan_is_frozen_and_prints_what_a_dry_run_says(pair, tmp_path):
    options = FuseOptions(tmp_path / "out.tif", method="regression", bands=["Oa08"], mtf=0.25)
    with plan_fusion(*pair, options) as plan:
        said = str(plan)
        assert plan.grid == pair[0].grid and plan.ratio == RATIO
        assert plan.bands.names == ("Oa08",) and plan.method == Regression()
        assert plan.psf.sigma == pytest.approx(plan.to_json()["psf_sigma_cells"])
        assert plan.outputs == (tmp_path / "out.tif", tmp_path / "out.png")
        assert len(plan.tiles) == 1
        for value, name in ((plan, "method"), (plan.record, "psf"), (options, "mtf")):
            with pytest.raises(FrozenInstanceError):
                setattr(value, name, None)
    assert said.startswith("regression: 120×120 pixels, 1 bands, ratio 10\n100.0 % of Sentinel-2")
    dry = fuse(
        *pair, tmp_path / "out.tif", method="regression", bands=["Oa08"], mtf=0.25, dry_run=True
    )
    assert dry.text == said and dry.record == plan.to_json()
    assert dry.cube is None and dry.selfcheck is None and dry.files == ()
    assert json.dumps(plan.to_json(), allow_nan=False)


def test_a_plan_computes_and_writes_nothing(pair, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a plan computes")

    for name in ("place_s3", "adapt_view", "stream", "cube_writer"):
        monkeypatch.setattr(f"trifuse.flows.fuse.{name}", refuse)
    for method in ("refined", "regression"):
        done = fuse(*pair, tmp_path / "out.tif", method=method, uncertainty=True, dry_run=True)
        assert done.record["registration"] == {"mode": "not run"}
    # What is seen of the images is where they have values, from samples of one band, and a few
    # blocks of all bands that are held against what is stated.
    looks = {("B2", "B4", "B8A"), ("Oa04", "Oa08")}
    assert {bands for image in pair for bands in image.asked} == {("B2",), ("Oa04",)} | looks
    assert list(tmp_path.iterdir()) == []


def test_a_run_adds_to_its_plan_and_can_be_done_again(pair):
    options = FuseOptions(method="regression", coregister="off")
    with plan_fusion(*pair, options) as plan:
        first, again = run(plan), run(plan)
    np.testing.assert_array_equal(first.cube.data, again.cube.data)
    before = plan.to_json()
    assert list(before) == list(first.record)[: len(before)]
    changed = {k for k, v in before.items() if first.record[k] != v}
    assert changed == {"registration"}
    assert set(first.record) - set(before) == {"selfcheck", "timings", "consistency", "about"}
    np.testing.assert_array_equal(
        fuse(*pair, method="regression", coregister="off").cube.data, first.cube.data
    )


def test_a_plan_looks_at_the_contents_of_files_only_when_it_runs(pair, tmp_path):
    paths = tmp_path / "s2.tif", tmp_path / "s3.tif"
    for path, image in zip(paths, pair, strict=True):
        write_cube(path, image.read())
    with plan_fusion(*paths, FuseOptions(method="bicubic", coregister="off")) as plan:
        (planned,) = plan.to_json()["inputs"]["s2"]["files"]
        (done,) = run(plan).record["inputs"]["s2"]["files"]
    assert set(planned) == {"path", "bytes", "changed"}
    assert set(done) == {"path", "bytes", "sha256"}


class TestClosing:
    def test_what_a_plan_opened_is_closed_with_it(self, pair):
        with plan_fusion(*pair) as plan:
            assert [image.closed for image in pair] == [0, 0]
            assert plan.s2 is pair[0]
        assert [image.closed for image in pair] == [1, 1]

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"bands": ["Oa99"]}, BandError),
            ({"tile": 20, "overlap": 20}, ConfigError),
            ({"mtf": 2.0}, ConfigError),
        ],
    )
    def test_a_plan_that_fails_closes_both(self, pair, options, error):
        with pytest.raises(error):
            plan_fusion(*pair, FuseOptions(**options))
        assert [image.closed for image in pair] == [1, 1]

    def test_another_quantity_closes_both(self, pair):
        bright = pair[1].read()
        top = Cube(bright.data, bright.valid, bright.bands, bright.grid, {"quantity": "radiance"})
        s3 = Watched(top, "s3")
        with pytest.raises(MetadataError, match="holds radiance"):
            plan_fusion(pair[0], s3)
        assert pair[0].closed == s3.closed == 1

    @pytest.mark.parametrize("reason", [KeyboardInterrupt(), DataError("the disk ended")])
    def test_a_fusion_that_is_stopped_closes_both_and_leaves_no_file(self, pair, tmp_path, reason):
        s2, s3 = pair
        with plan_fusion(s2, s3, FuseOptions(tmp_path / "out.tif", method="regression")) as plan:
            s2.fails = reason
            with pytest.raises(type(reason)):
                run(plan)
        assert (s2.closed, s3.closed) == (1, 1)
        s2.fails, s2.closed, s3.closed = reason, 0, 0
        with pytest.raises(type(reason)):
            fuse(s2, s3, tmp_path / "out.tif", method="regression")
        assert s2.closed == 1
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"jobs": 0}, "0 jobs"),
        ({"jobs": 2, "scheduler": "tcp://127.0.0.1:9"}, "2 jobs and a scheduler"),
        ({"consistency": "strict"}, "consistency 'strict'"),
        ({"preset": "huge"}, "preset 'huge'"),
        ({"preset": "paper", "overlap": 8}, "preset 'paper'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"device": "cpu", "precision": "16"}, "precision 16 needs CUDA"),
        ({"precision": "8"}, "precision '8'"),
        ({"dtype": "uint8"}, "dtype 'uint8'"),
        ({"coregister": "maybe"}, "coregister 'maybe'"),
        ({"method": "magic"}, "unknown method 'magic'"),
        ({"method": "network"}, "method network without weights"),
        ({"method": "bicubic", "weights": "w.safetensors"}, "takes no weights"),
        ({"method": "regression", "sharpness": "sharp"}, "method regression has no sharpness"),
        ({"method": "physics", "s2_noise": 3.0}, "s2_noise of 3.0"),
        ({"method": "physics", "adapt": 1.0}, "method physics cannot be adapted"),
        ({"adapt": 0.0}, "an adaptation of 0 s"),
        ({"bbox": (1, 2, 3, 4), "like": "a.tif"}, "both a bbox and an image"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_opened(options, said):
    with pytest.raises(ConfigError) as e:
        fuse("no.tif", "no.tif", **options)
    assert said in str(e.value) and "\n" not in str(e.value)


def test_a_method_and_weights_are_one_too_many():
    with pytest.raises(DataError, match="both a method and weights"):
        fuse("no.tif", "no.tif", method=Regression(), weights="w.safetensors")


def test_what_exists_is_refused_before_anything_is_opened(tmp_path):
    (tmp_path / "out_std.tif").touch()
    with pytest.raises(OutputExistsError, match="out_std"):
        fuse("no.tif", "no.tif", tmp_path / "out.tif", uncertainty=True)
