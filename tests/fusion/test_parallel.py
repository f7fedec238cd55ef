"""Tiles by batches, parts and places of work: the same bytes, and what is done is not lost."""

import pickle
import threading

import numpy as np
import pytest
import torch

from trifuse.core import BandSet, Cube, DataError, Grid, MemorySource, Window, degrade
from trifuse.core.runtime import Runtime
from trifuse.fusformer import Card, FusformerConfig, build_model
from trifuse.fusion import Network, Predicted, Regression, fuse_cube, parallel
from trifuse.fusion.network_run import NetworkRun
from trifuse.fusion.parallel import in_parts
from trifuse.fusion.tiles import TileWork

HR, LR = BandSet.of(["B2", "B4", "B8A"]), BandSet.of(["Oa04", "Oa08"])


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 90, 140)
    data = (0.05 + 0.4 * rng.random((3, 90, 140))).astype(np.float32)
    valid = np.ones(grid.shape, bool)
    valid[20:31, 70:82] = valid[40:70, 40:60] = False
    coarse = degrade(data[:2] + 0.1 * data[1:], 10)
    return (
        MemorySource(Cube(data, valid, HR, grid), "s2"),
        MemorySource(Cube(coarse, np.ones((9, 14), bool), LR, grid.zoom_out(10)), "s3"),
    )


def network(mixer="dwconv", **changes):
    torch.manual_seed(1)
    config = FusformerConfig(3, 2, width=12, encoder=1, decoder=1, mixer=mixer, **changes)
    model = build_model(config)
    torch.nn.init.normal_(model.head[2].weight, std=0.05)
    return Network(model, Card(config, HR, LR))


def serially(units, work, manifest, **place):
    """What run_units does in this process, to count and to break."""
    for unit in units:
        if unit.id not in manifest.done:
            manifest.record(unit, work(unit, manifest.folder))


@pytest.mark.parametrize("method", [network(), network("channel"), Regression()])
def test_parts_come_to_the_same_bytes(images, tmp_path, method, monkeypatch):
    monkeypatch.setattr("trifuse.fusion.tiles.PART", 2)
    options = {"method": method, "tile": 48, "device": "cpu"}
    whole, first = fuse_cube(*images, **options)
    parted, second = fuse_cube(*images, **options, compute=in_parts(tmp_path / "p"))
    assert whole.data.tobytes() == parted.data.tobytes()
    assert first.selfcheck.to_json() == second.selfcheck.to_json()
    assert len(list((tmp_path / "p").glob("part_*.npy"))) > len(first.plan.rows)


def test_parts_of_a_broken_run_are_used(images, tmp_path, monkeypatch):
    monkeypatch.setattr(parallel, "run_units", serially)
    computed = []
    work = parallel.write_part

    def counted(job, unit, folder):
        computed.append(unit.id)
        if len(computed) == 2:
            raise KeyboardInterrupt
        return work(job, unit, folder)

    monkeypatch.setattr(parallel, "write_part", counted)
    options = {"method": Regression(), "tile": 48, "device": "cpu"}
    folder = tmp_path / "p"
    with pytest.raises(KeyboardInterrupt):
        fuse_cube(*images, **options, compute=in_parts(folder, identity={"a": 1}))
    cube, _ = fuse_cube(*images, **options, compute=in_parts(folder, identity={"a": 1}))
    assert computed == ["0-2", "3-5", "3-5"]
    assert cube.data.tobytes() == fuse_cube(*images, **options)[0].data.tobytes()
    fuse_cube(*images, **options, compute=in_parts(folder, identity={"a": 2}))
    assert computed[3:] == ["0-2", "3-5"], "of other work nothing is used"
    fuse_cube(*images, **options, compute=in_parts(folder))
    assert computed[5:] == ["0-2", "3-5"], "of unknown work neither"


def work_of(images, method, **runtime):
    from trifuse.core import PSF
    from trifuse.fusion.inference import plan_tiles
    from trifuse.fusion.scene import Scene

    scene = Scene(*images, *method.bands(HR, LR), PSF.from_mtf())
    plan = plan_tiles(*scene.grid.shape, method, tile=48)
    return TileWork(scene, method, Runtime("cpu", **runtime), plan)


class Closure(Regression):
    """A method whose prepared form does not pickle."""

    def prepare(self, scene, runtime):
        run = super().prepare(scene, runtime)
        return Predicted(lambda *tile: run(*tile))


@pytest.mark.parametrize("method", [network(), Regression(), Closure()])
def test_work_travels_with_what_was_prepared(images, method, monkeypatch):
    work = work_of(images, method)
    here = [v.tobytes() for _, v in work.tiles()]
    there = pickle.loads(pickle.dumps(work))
    if not isinstance(method, Closure):
        monkeypatch.setattr(type(method), "prepare", None)
    assert [v.tobytes() for _, v in there.tiles()] == here
    assert "hr_coarse" in there.scene.__dict__, "the pass over S2 is not made again"


def test_batches_of_equal_tiles_are_the_tiles(images, monkeypatch):
    monkeypatch.setattr(Runtime, "batch", lambda self, pixels: 3)
    sizes = []
    submit = NetworkRun.submit
    monkeypatch.setattr(
        NetworkRun, "submit", lambda s, w, *r: (sizes.append(len(w)), submit(s, w, *r))[1]
    )
    batched = work_of(images, network())
    alone = work_of(images, network())
    monkeypatch.setattr(alone.run, "batch", lambda pixels: 1)
    pairs = list(zip(batched.tiles(), alone.tiles(), strict=True))
    assert max(sizes) == 3 and [a[0] for a, _ in pairs] == [b[0] for _, b in pairs]
    for (_, a), (_, b) in pairs:
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6, equal_nan=True)


def test_a_batch_that_is_too_large_is_computed_one_by_one(images):
    work = work_of(images, network())
    expected = work.run(Window(0, 0, 40, 40), work.scene.read_filled(Window(0, 0, 40, 40))[0])
    model = work.run.model

    class Greedy(torch.nn.Module):
        def __init__(self, limit):
            super().__init__()
            self.inner, self.limit = model, limit

        def forward(self, hrmsi, skip):
            if len(hrmsi) > self.limit:
                raise torch.OutOfMemoryError
            return self.inner(hrmsi, skip)

    windows = [Window(0, 0, 40, 40)] * 2
    read = [work.scene.read_filled(w)[0] for w in windows]
    for limit in (1, 0):
        run = NetworkRun(Greedy(limit), work.run.skip, work.scene, work.runtime)
        looks = [run.look(w, r) for w, r in zip(windows, read, strict=True)]
        if limit:
            found = run.submit(windows, read, looks)()
            np.testing.assert_array_equal(found[0], expected)
            np.testing.assert_array_equal(found[1], expected)
        else:
            with pytest.raises(DataError, match=r"40×40 pixels does not fit.*smaller tile"):
                run.submit(windows, read, looks)


def test_what_cannot_be_compiled_runs_as_it_is(images, monkeypatch, caplog):
    def no_compiler(model):
        def fail(*_):
            raise RuntimeError("no C++ compiler\nand a long story")

        return fail

    monkeypatch.setattr(torch, "compile", no_compiler)
    fast = [v.tobytes() for _, v in work_of(images, network(), compile=True).tiles()]
    assert fast == [v.tobytes() for _, v in work_of(images, network()).tiles()]
    assert caplog.text.count("cannot be compiled (no C++ compiler)") == 1


def test_an_error_in_a_tile_ends_the_threads(images, monkeypatch):
    work = work_of(images, Regression())
    _ = work.run
    read = work.scene.read_filled

    def fail(window):
        if window.row:
            raise DataError("no such row")
        return read(window)

    monkeypatch.setattr(work.scene, "read_filled", fail)
    with pytest.raises(DataError, match="no such row"):
        list(work.tiles())
    assert not any(t.name.startswith("fuse-read") for t in threading.enumerate())
