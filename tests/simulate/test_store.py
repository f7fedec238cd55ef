import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

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
from trifuse.simulate import SimulateConfig, TripletStore, plan_store, scene_views, simulate_store
from trifuse.simulate.shards import decode, encode

CONFIG = SimulateConfig(patch=20, stride=10, count=6, min_valid=0.7)


@pytest.fixture(scope="module")
def scenes(make_scene):
    return [make_scene(i) for i in range(4)]


@pytest.fixture(scope="module")
def finished(scenes, tmp_path_factory):
    return simulate_store(scenes, tmp_path_factory.mktemp("stores") / "store", CONFIG)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished store to do harm to."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in finished.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def contents(folder):
    return {p.name: p.read_bytes() for p in Path(folder).iterdir() if not p.name.startswith(".")}


def allow(folder, name):
    """Make the manifest agree with a file that was changed by hand."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    data = (folder / name).read_bytes()
    for record in manifest["units"].values():
        if record["file"] == name:
            record.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.write_text(json.dumps(manifest))


def one_line(failure, *parts):
    text = str(failure.value)
    assert "\n" not in text
    assert all(part in text for part in parts), text


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


def test_what_a_store_says_of_itself(finished):
    assert len(finished) == len(finished.ids()) == 24
    assert len(finished.hr_bands) == 12
    assert len(finished.lr_bands) == 19
    assert finished.ratio == 10
    assert finished.psf.mtf == pytest.approx(0.3)
    assert finished.config == CONFIG
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


def test_float32_keeps_every_bit(scenes, tmp_path):
    store = simulate_store(scenes[0], tmp_path / "s", replace(CONFIG, dtype="float32"))
    t = store.read(2)
    window = Window(t.provenance["row"], t.provenance["col"], 20, 20)
    wanted = scene_views(scenes[0])[2].crop(window).masked()
    np.testing.assert_array_equal(t.hrhsi, wanted)


def test_a_psf_per_band_is_kept(scenes, tmp_path):
    mtf = {"Oa04": 0.3, "Oa08": 0.3, "S5": 0.2}
    config = replace(CONFIG, mtf=mtf, bands=("B4", "B8", "Oa04", "Oa08", "S5"))
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


def test_saturation_is_counted(scenes, tmp_path, caplog):
    cube = scenes[0].read()
    bright = MemorySource(replace(cube, data=cube.data * 20), "bright")
    store = simulate_store(bright, tmp_path / "s", CONFIG)
    assert "values beyond ±3.2767 were set to that limit" in caplog.text
    assert max(np.nanmax(store.read(i).hrhsi) for i in store.ids()) == pytest.approx(3.2767)


# --- the same bytes, whatever happens


def test_same_inputs_same_bytes(finished, scenes, tmp_path):
    again = simulate_store(scenes[::-1], tmp_path / "again", CONFIG)
    assert contents(again.path) == contents(finished.path)
    assert again.hash == finished.hash
    other = simulate_store(scenes, tmp_path / "other", replace(CONFIG, seed=1))
    assert other.hash != finished.hash


def test_processes_make_the_same_bytes(finished, scenes, tmp_path):
    assert contents(simulate_store(scenes, tmp_path / "s", CONFIG, jobs=2).path) == contents(
        finished.path
    )


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
def test_a_killed_run_goes_on_where_it_stopped(where, finished, scenes, tmp_path):
    (tmp_path / "scenes.pickle").write_bytes(pickle.dumps((scenes, CONFIG)))
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
    store = simulate_store(scenes, folder, CONFIG)
    assert contents(folder) == contents(finished.path)
    assert store.hash == finished.hash
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept
    assert not list(folder.glob("*.partial*")) + list(folder.glob(".*partial*"))


def test_a_finished_store_is_left_alone(copy, scenes):
    before = {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")}
    simulate_store(scenes, copy, CONFIG)
    assert {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")} == before


def test_another_configuration_is_refused_and_overwritten_on_request(copy, scenes):
    config = replace(CONFIG, patch=10)
    with pytest.raises(StoreError, match="patch is 20 there and 10 here"):
        simulate_store(scenes, copy, config)
    assert simulate_store(scenes, copy, config, overwrite=True).config.patch == 10


def test_a_folder_of_other_things_is_left_alone(scenes, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(StoreError, match="holds files but no manifest"):
        simulate_store(scenes, tmp_path, CONFIG)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]


def test_scenes_may_be_added(copy, scenes, make_scene):
    before = {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")}
    store = simulate_store([*scenes, make_scene(9)], copy, CONFIG)
    assert len(store) == 30
    assert {p: p.stat().st_mtime_ns for p in before} == before


# --- what cannot be made


class Broken(CubeSource):
    def __init__(self, inner, name):
        self.inner, self.name = inner, name
        self.grid, self.bands, self.meta = inner.grid, inner.bands, {"product_id": name}

    def read(self, window=None, bands=None):
        raise ProductError("cannot be read at row 7", where=self.name)


def test_one_damaged_scene_does_not_stop_the_others(scenes, tmp_path):
    damaged = Broken(scenes[0], "ENMAP-damaged")
    with pytest.raises(PartialError, match="1 of 4 units failed") as failure:
        simulate_store([*scenes[1:], damaged], tmp_path / "s", CONFIG)
    one_line(failure, "ENMAP-damaged", "cannot be read at row 7")
    with pytest.raises(StoreError, match="1 of 4 units are missing"):
        TripletStore.open(tmp_path / "s")
    assert len(simulate_store(scenes[1:], tmp_path / "s", CONFIG)) == 18


def test_a_full_disk(scenes, tmp_path, monkeypatch):
    def full(self, *args):
        raise OSError("Can't synchronously write data (No space left on device)")

    monkeypatch.setattr(h5py.Dataset, "__setitem__", full)
    with pytest.raises(ProductError, match="No space left on device") as failure:
        simulate_store(scenes[0], tmp_path / "s", CONFIG)
    one_line(failure, "ENMAP01-000.h5: cannot be written", "check the disk's space")
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["manifest.json"]


def test_the_same_scene_twice(scenes, tmp_path):
    with pytest.raises(DataError, match=r"is given twice \(product ENMAP01-000\)"):
        simulate_store([*scenes, scenes[0]], tmp_path / "s", CONFIG)
    assert not (tmp_path / "s").exists()


def test_scenes_with_other_bands(scenes, tmp_path):
    cube = scenes[1].read()
    usable = [not 640 < b.centre < 690 for b in cube.bands]
    less = MemorySource(replace(cube, meta={**cube.meta, "usable": usable}))
    with pytest.raises(BandError, match="ENMAP01-001: makes other bands than ENMAP01-000: B4"):
        simulate_store([scenes[0], less], tmp_path / "s", CONFIG)
    named = replace(CONFIG, bands=("B2", "B8", "Oa04"))
    assert simulate_store([scenes[0], less], tmp_path / "s", named).hr_bands.names == ("B2", "B8")


def test_scenes_without_a_valid_triplet(scenes, tmp_path, caplog):
    cube = scenes[0].read()
    night = MemorySource(replace(cube, valid=np.zeros_like(cube.valid)), "night")
    with pytest.raises(DataError, match="no triplet of 20×20 pixels has 70 % valid"):
        simulate_store(night, tmp_path / "s", CONFIG)
    store = simulate_store([night, *scenes[1:]], tmp_path / "t", CONFIG)
    assert "ENMAP01-000: no triplet has 70 % valid pixels" in caplog.text
    assert len(store) == 18


def test_scenes_that_are_too_small(scenes, tmp_path):
    with pytest.raises(DataError, match="scene 0: a patch of 50 pixels does not fit 40×60"):
        simulate_store(scenes, tmp_path / "s", replace(CONFIG, patch=50))
    with pytest.raises(DataError, match="no scenes given"):
        simulate_store([], tmp_path / "s", CONFIG)


def test_an_output_that_is_a_file(scenes, tmp_path):
    (tmp_path / "s").write_text("")
    with pytest.raises((StoreError, OutputExistsError), match="is a file"):
        simulate_store(scenes, tmp_path / "s", CONFIG)


def test_a_plan_touches_nothing(scenes, tmp_path):
    plan = plan_store(scenes, CONFIG)
    assert [u.id for u in plan.units] == [f"ENMAP01-00{i}" for i in range(4)]
    assert set(plan.candidates.values()) == {6}
    assert json.loads(json.dumps(plan.to_json()))["scenes"]["ENMAP01-003"]["triplets_at_most"] == 6
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_kind_become_file_names(scenes, tmp_path):
    cube = scenes[0].read()
    odd = MemorySource(replace(cube, meta={"product_id": "../Ä b/" + "x" * 300}))
    store = simulate_store(odd, tmp_path / "s", CONFIG)
    (shard,) = (tmp_path / "s").glob("*.h5")
    assert len(shard.name) < 100
    assert store.read(0).provenance["product_id"].startswith("../Ä b/x")


# --- reading, in the hands of others


READ = """
import hashlib, pickle, sys
store = pickle.load(sys.stdin.buffer)
print(hashlib.sha256(store.read(7).hrhsi.tobytes()).hexdigest())
"""


def test_a_fresh_process_reads_what_we_read(finished):
    mine = hashlib.sha256(finished.read(7).hrhsi.tobytes()).hexdigest()
    done = subprocess.run(
        [sys.executable, "-c", READ], input=pickle.dumps(finished), capture_output=True, check=True
    )
    assert done.stdout.decode().strip() == mine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_process_reads_what_we_read(finished):
    mine = hashlib.sha256(finished.read(7).hrhsi.tobytes()).digest()  # the parent's file is open
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writer, hashlib.sha256(finished.read(7).hrhsi.tobytes()).digest())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 64) == mine


def test_few_files_are_open_at_a_time(finished, monkeypatch):
    monkeypatch.setattr("trifuse.simulate.store.OPEN_FILES", 2)
    store = TripletStore.open(finished.path)
    for number in (0, 6, 12, 18, 1, 7):
        store.read(number)
        assert len(store._handles) <= 2
    store.close()
    assert not store._handles
    np.testing.assert_array_equal(store.read(3).hrmsi, finished.read(3).hrmsi)


def test_a_sample_that_is_not_there(finished):
    for number in (-1, 24):
        with pytest.raises(DataError, match=f"no sample {number} among 24"):
            finished.read(number)
    with pytest.raises(ValueError, match="no split 'dev'"):
        finished.ids("dev")


def test_no_rasterio_is_needed(finished):
    code = (
        "import sys; sys.modules['rasterio'] = sys.modules['spectral'] = None; "
        "from trifuse.simulate.store import TripletStore; "
        f"TripletStore.open({str(finished.path)!r}).read(0); "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# --- damaged and hostile stores


def test_a_truncated_shard(copy):
    shard = copy / "ENMAP01-002.h5"
    shard.write_bytes(shard.read_bytes()[:-500])
    with pytest.raises(StoreError, match=r"cut short: ENMAP01-002\.h5") as failure:
        TripletStore.open(copy)
    one_line(failure)
    allow(copy, shard.name)
    with pytest.raises(StoreError, match=r"ENMAP01-002\.h5: is truncated or damaged") as failure:
        TripletStore.open(copy)
    one_line(failure, "delete it and run the command that makes it again")


def test_a_missing_shard_and_a_missing_manifest(copy):
    (copy / "ENMAP01-002.h5").unlink()
    with pytest.raises(StoreError, match=r"missing or cut short: ENMAP01-002\.h5"):
        TripletStore.open(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(StoreError, match=r"holds no manifest\.json"):
        TripletStore.open(copy)
    with pytest.raises(StoreError, match=r"holds no manifest\.json"):
        TripletStore.open(copy / "nowhere")


def test_a_flipped_bit_is_found(copy):
    shard = copy / "ENMAP01-001.h5"
    with h5py.File(shard) as f:
        chunk = f["hrhsi"].id.get_chunk_info(3)
    data = bytearray(shard.read_bytes())
    data[chunk.byte_offset + chunk.size // 2] ^= 1
    shard.write_bytes(data)
    store = TripletStore.open(copy)
    store.read(6 + 2)
    with pytest.raises(StoreError, match=r"ENMAP01-001\.h5: is truncated or damaged") as failure:
        store.read(6 + 3)
    one_line(failure)
    with pytest.raises(StoreError, match="differs from its recorded hash"):
        TripletStore.open(copy, verify=True)


def test_a_damaged_shard_is_made_again(copy, scenes, finished):
    shard = copy / "ENMAP01-001.h5"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    simulate_store(scenes, copy, CONFIG)
    assert contents(copy) == contents(finished.path)


def external(f):
    del f["hrmsi"]
    f["hrmsi"] = h5py.ExternalLink("/etc/hostname", "/x")


def soft(f):
    del f["hrmsi"]
    f["hrmsi"] = h5py.SoftLink("/hrhsi")


def extra(f):
    f["more"] = np.zeros(3)


def raw_file(f):
    shape = f["hrmsi"].shape
    del f["hrmsi"]
    f.create_dataset("hrmsi", shape, "i2", external=[("/etc/hostname", 0, h5py.h5f.UNLIMITED)])


def virtual(f):
    layout = h5py.VirtualLayout(f["hrmsi"].shape, "i2")
    layout[:] = h5py.VirtualSource("/etc/hostname", "x", shape=f["hrmsi"].shape)
    del f["hrmsi"]
    f.create_virtual_dataset("hrmsi", layout)


def lzf(f):
    data = f["hrmsi"][:]
    del f["hrmsi"]
    f.create_dataset("hrmsi", data=data, chunks=(1, *data.shape[1:]), compression="lzf")


def huge(f):
    del f["row"]
    del f["hrmsi"]
    f.create_dataset("row", (10**12,), "i4")
    f.create_dataset("hrmsi", (10**12, 12, 20, 20), "i2", chunks=(1, 12, 20, 20))


def kind(f):
    data = f["hrmsi"][:].astype("f8")
    del f["hrmsi"]
    f.create_dataset("hrmsi", data=data, chunks=(1, *data.shape[1:]))


def shape(f):
    data = f["hrmsi"][:, :-1]
    del f["hrmsi"]
    f.create_dataset("hrmsi", data=data, chunks=(1, *data.shape[1:]))


def group(f):
    del f["hrmsi"]
    f.create_group("hrmsi")


def absent(f):
    del f["lrhsi"]


def bands(f):
    names = f["hrhsi"].attrs["band_names"]
    f["hrhsi"].attrs["band_names"] = names[::-1]


def unnamed(f):
    del f["hrhsi"].attrs["band_names"]


def another(f):
    f.attrs["format"] = "something-else-2"


def content(f):
    f.attrs["content"] = "0" * 64


def grid(f):
    f.attrs["transform"] = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (external, "'hrmsi' is a link out of its place"),
        (soft, "'hrmsi' is a link out of its place"),
        (extra, "'more' does not belong"),
        (raw_file, "'hrmsi' is no dataset of its own"),
        (virtual, "'hrmsi' is no dataset of its own"),
        (lzf, "'hrmsi' needs the unknown filter"),
        (huge, "claims 1000000000000 samples"),
        (kind, "'hrmsi' is float64"),
        (shape, r"'hrmsi' is int16 \(6, 11, 20, 20\)"),
        (group, "'hrmsi' is no dataset of its own"),
        (absent, "lacks lrhsi"),
        (bands, "'hrhsi' has bands S6, S5"),
        (unnamed, "is truncated or damaged"),
        (another, "is no shard of format"),
        (content, "is not the file that the manifest records"),
        (grid, "grid: rotated"),
    ],
)
def test_hostile_shards_are_refused(copy, harm, message):
    name = "ENMAP01-001.h5"
    with h5py.File(copy / name, "r+") as f:
        harm(f)
    allow(copy, name)
    with pytest.raises(StoreError, match=message) as failure:
        TripletStore.open(copy)
    one_line(failure, name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["config"].update(format="other"), "is no store of format"),
        (lambda m: m["config"].pop("hr_bands"), "damaged"),
        (lambda m: m["config"]["simulate"].update(patch=-3), "damaged"),
        (lambda m: m["config"]["simulate"].update(patch="x"), "damaged"),
        (lambda m: m["config"].update(simulate=[]), "damaged"),
        (lambda m: m.pop("units"), "damaged"),
        (lambda m: m["units"]["ENMAP01-000"].update(file="../../etc/passwd"), "outside itself"),
        (lambda m: m["units"]["ENMAP01-000"].update(count=3), "is not the file"),
        (lambda m: m["units"]["ENMAP01-000"].pop("file"), "damaged"),
    ],
)
def test_damaged_manifests_are_refused(copy, change, message):
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=message) as failure:
        TripletStore.open(copy)
    one_line(failure)
