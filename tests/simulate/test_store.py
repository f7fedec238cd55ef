"""Stores of triplets: what they hold, the same bytes whatever happens, what makes none."""

import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import h5py
import numpy as np
import pytest

from trifuse.core import (
    BandError,
    CubeSource,
    DataError,
    MemorySource,
    OutputExistsError,
    PartialError,
    ProductError,
    StoreError,
    Window,
    degrade,
)
from trifuse.core.atomic import Sink
from trifuse.simulate import TripletStore, plan_store, scene_views, simulate_store
from trifuse.simulate.shards import decode, encode

# --- what a store holds


def test_samples_are_cut_from_the_views_of_the_whole_scene(finished, scenes):
    seen = set()
    for number in finished.ids():
        t = finished.read(number)
        scene = scenes[int(t.provenance["product_id"][-3:])]
        seen.add(scene.name)
        row, col = t.provenance["row"], t.provenance["col"]
        fine = Window(row, col, 20, 20)
        hrmsi, _, hrhsi = scene_views(scene)
        for ours, view in ((t.hrmsi, hrmsi), (t.hrhsi, hrhsi)):
            wanted = view.crop(fine).masked()
            assert ours.dtype == np.float32
            np.testing.assert_array_equal(np.isnan(ours), np.isnan(wanted))
            assert np.nanmax(np.abs(ours - wanted)) <= 0.5e-4 + 1e-7
        assert t.grid == scene.grid.window(fine)
        assert t.provenance["valid_share"] == pytest.approx(np.isfinite(t.hrhsi[0]).mean())
    assert len(seen) == 4


def test_a_triplet_agrees_with_itself(finished):
    for t in map(finished.read, finished.ids()):
        alone = degrade(t.hrhsi, t.ratio, t.psf)
        np.testing.assert_array_equal(np.isnan(alone), np.isnan(t.lrhsi))
        assert np.nanmax(np.abs(alone - t.lrhsi)) <= 1e-4 + 1e-7, "the rounding of both"


def test_what_a_store_says_of_itself(finished, config):
    assert len(finished) == len(finished.ids()) == 24
    assert len(finished.hr_bands) == 12
    assert len(finished.lr_bands) == 19
    assert finished.ratio == 10
    assert finished.psf.mtf == pytest.approx(0.3)
    assert finished.config == config
    assert json.loads(json.dumps(dict(finished.meta)))["hash"] == finished.hash
    assert finished.meta["srf"]["S2A_MSI"]["issue"]
    assert finished.meta["counts"] == {"train": 12, "val": 6, "test": 6}
    assert finished.meta["software"].startswith("TriFuse")


def test_scenes_are_never_on_two_sides(finished):
    sides = {
        s: {finished.read(i).provenance["product_id"] for i in finished.ids(s)}
        for s in ("train", "val", "test")
    }
    assert {s: len(p) for s, p in sides.items()} == {"train": 2, "val": 1, "test": 1}
    assert len(set.union(*sides.values())) == 4
    assert sorted(i for s in sides for i in finished.ids(s)) == finished.ids()


def test_a_shard_is_understood_without_us(finished):
    with h5py.File(finished.path / "ENMAP01-000.h5") as f:
        assert f["hrhsi"].shape == (6, 19, 20, 20)
        assert f["hrhsi"].chunks == (1, 19, 20, 20)
        assert f["hrmsi"].dtype == np.int16
        assert [n.decode() for n in f["hrmsi"].attrs["band_names"]][:2] == ["B1", "B2"]
        assert f["hrmsi"].attrs["centre_nm"][3] == pytest.approx(664.6, abs=0.1)
        assert f["hrmsi"].attrs["scale"] == 1e-4
        assert f["hrmsi"].attrs["nodata"] == -32768
        assert f.attrs["product_id"] == b"ENMAP01-000"
        assert f.attrs["ratio"] == 10
        assert f.attrs["psf_sigma_cells"][0] == pytest.approx(0.494, abs=1e-3)
        for key in ("s2_issue", "s3_source", "software", "content", "crs"):
            assert f.attrs[key]


def test_float32_keeps_every_bit(scenes, tmp_path, config):
    store = simulate_store(scenes[0], tmp_path / "s", replace(config, dtype="float32"))
    t = store.read(2)
    window = Window(t.provenance["row"], t.provenance["col"], 20, 20)
    wanted = scene_views(scenes[0])[2].crop(window).masked()
    np.testing.assert_array_equal(t.hrhsi, wanted)


def test_a_psf_per_band_is_kept(scenes, tmp_path, config):
    mtf = {"Oa04": 0.3, "Oa08": 0.3, "S5": 0.2}
    config = replace(config, mtf=mtf, bands=("B4", "B8", "Oa04", "Oa08", "S5"))
    store = simulate_store(scenes[0], tmp_path / "s", config)
    assert [p.mtf for p in store.psf] == pytest.approx([0.3, 0.3, 0.2])
    assert store.hr_bands.names == ("B4", "B8")


def test_counts_lose_at_most_half_of_one():
    values = np.random.default_rng(0).uniform(-3.2767, 3.2767, 200_000).astype(np.float32)
    values[:3] = 0, np.nan, 3.2767
    stored, saturated = encode(values, "int16")
    back = decode(stored)
    assert saturated == 0
    assert np.isnan(back[1])
    # half a count, and the float32 rounding of value and result
    assert np.nanmax(np.abs(back.astype(np.float64) - values)) <= 0.5e-4 + 2.5e-7
    stored, saturated = encode(np.array([4.0, -4.0, np.inf, 0.1], np.float32), "int16")
    assert saturated == 2
    assert stored.tolist() == [32767, -32767, -32768, 1000]


def test_saturation_is_counted(scenes, tmp_path, caplog, config):
    cube = scenes[0].read()
    data = cube.data.copy()
    data[:, :, ::4] *= 20
    bright = MemorySource(replace(cube, data=data), "bright")
    store = simulate_store(bright, tmp_path / "s", config)
    assert "values beyond ±3.2767 were set to that limit" in caplog.text
    assert max(np.nanmax(store.read(i).hrhsi) for i in store.ids()) == pytest.approx(3.2767)


# --- the same bytes, whatever happens


def test_same_inputs_same_bytes(finished, scenes, tmp_path, config, contents):
    again = simulate_store(scenes[::-1], tmp_path / "again", config)
    assert contents(again.path) == contents(finished.path)
    assert again.hash == finished.hash
    other = simulate_store(scenes, tmp_path / "other", replace(config, seed=1))
    assert other.hash != finished.hash


def test_processes_make_the_same_bytes(finished, scenes, tmp_path, config, contents):
    store = simulate_store(scenes, tmp_path / "s", config, jobs=2)
    assert contents(store.path) == contents(finished.path)


KILLED = textwrap.dedent("""
    import os, pickle, signal, sys
    import h5py
    from trifuse.core import CubeSource, Manifest
    from trifuse.simulate import simulate_store

    scenes, config = pickle.load(open(sys.argv[1], "rb"))
    where = sys.argv[3]
    die = lambda: os.kill(os.getpid(), signal.SIGKILL)

    class Deadly(CubeSource):
        def __init__(self, inner):
            self.inner = inner
            for key in ("name", "grid", "bands", "meta"):
                setattr(self, key, getattr(inner, key))
        def read(self, window=None, bands=None):
            if window.width < self.grid.width:
                return self.inner.read(window, bands)  # a look, before any work
            die()

    if where == "reading":
        scenes[2] = Deadly(scenes[2])
    elif where == "writing":
        plain, calls = h5py.Dataset.__setitem__, []
        def write(self, *args):
            calls.append(None)
            if len(calls) == 40:
                self.file.flush()
                die()
            plain(self, *args)
        h5py.Dataset.__setitem__ = write
    elif where == "recording":
        plain = Manifest.record
        Manifest.record = lambda self, *a: die() if len(self.done) == 2 else plain(self, *a)
    simulate_store(scenes, sys.argv[2], config)
""")


@pytest.mark.parametrize("where", ["reading", "writing", "recording"])
def test_a_killed_run_goes_on_where_it_stopped(
    where, finished, scenes, tmp_path, config, contents, one_line
):
    (tmp_path / "scenes.pickle").write_bytes(pickle.dumps((scenes, config)))
    folder = tmp_path / "store"
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path / "scenes.pickle", folder, where],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    with pytest.raises(StoreError, match="2 of 4 units are missing") as failure:
        TripletStore.open(folder)
    one_line(failure, "run the command that makes it again; it resumes")
    kept = {p.name: p.stat().st_mtime_ns for p in folder.glob("*-00[01].h5")}
    assert len(kept) == 2
    store = simulate_store(scenes, folder, config)
    assert contents(folder) == contents(finished.path)
    assert store.hash == finished.hash
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert not list(folder.glob("*.partial*")) + list(folder.glob(".*partial*"))


def test_a_finished_store_is_left_alone(copy, scenes, config):
    before = {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")}
    simulate_store(scenes, copy, config)
    assert {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")} == before


def test_another_configuration_is_refused_and_overwritten_on_request(copy, scenes, config):
    config = replace(config, patch=10)
    with pytest.raises(StoreError, match="patch is 20 there and 10 here"):
        simulate_store(scenes, copy, config)
    assert simulate_store(scenes, copy, config, overwrite=True).config.patch == 10


def test_a_folder_of_other_things_is_left_alone(scenes, tmp_path, config):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="holds files but no manifest"):
        simulate_store(scenes, tmp_path, config)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_scenes_may_be_added(copy, scenes, make_scene, config):
    before = {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")}
    store = simulate_store([*scenes, make_scene(9)], copy, config)
    assert len(store) == 30
    assert {p: p.stat().st_mtime_ns for p in before} == before


# --- what cannot be made


class Broken(CubeSource):
    def __init__(self, inner, name):
        self.inner, self.name = inner, name
        self.grid, self.bands, self.meta = inner.grid, inner.bands, {"product_id": name}

    def read(self, window=None, bands=None):
        raise ProductError("cannot be read at row 7", where=self.name)


def test_one_damaged_scene_does_not_stop_the_others(scenes, tmp_path, config, one_line):
    damaged = Broken(scenes[0], "ENMAP-damaged")
    with pytest.raises(PartialError, match="1 of 4 units failed") as failure:
        simulate_store([*scenes[1:], damaged], tmp_path / "s", config)
    one_line(failure, "ENMAP-damaged", "cannot be read at row 7")
    with pytest.raises(StoreError, match="1 of 4 units are missing"):
        TripletStore.open(tmp_path / "s")
    assert len(simulate_store(scenes[1:], tmp_path / "s", config)) == 18


def test_a_full_disk(scenes, tmp_path, monkeypatch, config, one_line):
    honest = Sink.write

    def full(self, content):
        if bytes(content[:4]) == b"\x89HDF":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return honest(self, content)

    monkeypatch.setattr(Sink, "write", full)
    with pytest.raises(ProductError, match="No space left on device") as failure:
        simulate_store(scenes[0], tmp_path / "s", config)
    one_line(failure, "ENMAP01-000.h5: cannot be written", "free some space")
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["manifest.json"]


def test_the_same_scene_twice(scenes, tmp_path, config):
    with pytest.raises(DataError, match=r"is given twice \(product ENMAP01-000\)"):
        simulate_store([*scenes, scenes[0]], tmp_path / "s", config)
    assert not (tmp_path / "s").exists()


def test_scenes_with_other_bands(scenes, tmp_path, config):
    cube = scenes[1].read()
    usable = [not 640 < b.centre < 690 for b in cube.bands]
    less = MemorySource(replace(cube, meta={**cube.meta, "usable": usable}))
    with pytest.raises(BandError, match="ENMAP01-001: makes other bands than ENMAP01-000: B4"):
        simulate_store([scenes[0], less], tmp_path / "s", config)
    named = replace(config, bands=("B2", "B8", "Oa04"))
    assert simulate_store([scenes[0], less], tmp_path / "s", named).hr_bands.names == ("B2", "B8")


def test_scenes_without_a_valid_triplet(scenes, tmp_path, caplog, config):
    cube = scenes[0].read()
    night = MemorySource(replace(cube, valid=np.zeros_like(cube.valid)), "night")
    with pytest.raises(DataError, match="no triplet of 20×20 pixels has 70 % valid"):
        simulate_store(night, tmp_path / "s", config)
    store = simulate_store([night, *scenes[1:]], tmp_path / "t", config)
    assert "ENMAP01-000: no triplet has 70 % valid pixels" in caplog.text
    assert len(store) == 18


def test_scenes_that_are_too_small(scenes, tmp_path, config):
    with pytest.raises(DataError, match="scene 0: a patch of 50 pixels does not fit 40×60"):
        simulate_store(scenes, tmp_path / "s", replace(config, patch=50))
    with pytest.raises(DataError, match="no scenes given"):
        simulate_store([], tmp_path / "s", config)


def test_an_output_that_is_a_file(scenes, tmp_path, config):
    (tmp_path / "s").write_text("")
    with pytest.raises((StoreError, OutputExistsError), match="is a file"):
        simulate_store(scenes, tmp_path / "s", config)


def test_a_plan_touches_nothing(scenes, tmp_path, config):
    plan = plan_store(scenes, config)
    assert [u.id for u in plan.units] == [f"ENMAP01-00{i}" for i in range(4)]
    assert set(plan.candidates.values()) == {6}
    assert json.loads(json.dumps(plan.to_json()))["scenes"]["ENMAP01-003"]["triplets_at_most"] == 6
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_kind_become_file_names(scenes, tmp_path, config):
    cube = scenes[0].read()
    odd = MemorySource(replace(cube, meta={"product_id": "../Ä b/" + "x" * 300}))
    store = simulate_store(odd, tmp_path / "s", config)
    (shard,) = (tmp_path / "s").glob("*.h5")
    assert len(shard.name) < 100
    assert store.read(0).provenance["product_id"].startswith("../Ä b/x")
