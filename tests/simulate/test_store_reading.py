"""A store read by other processes, and damaged or hostile ones refused."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import h5py
import numpy as np
import pytest

from trifuse.core import DataError, StoreError
from trifuse.simulate import TripletStore, simulate_store


def allow(folder, name):
    """Make the manifest agree with a file that was changed by hand."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    data = (folder / name).read_bytes()
    for record in manifest["units"].values():
        if record["file"] == name:
            record.update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.write_text(json.dumps(manifest))


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


def test_a_truncated_shard(copy, one_line):
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


def test_a_flipped_bit_is_found(copy, one_line):
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


def test_a_damaged_shard_is_made_again(copy, scenes, finished, config, contents):
    shard = copy / "ENMAP01-001.h5"
    shard.write_bytes(b"\0" * shard.stat().st_size)
    simulate_store(scenes, copy, config)
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
def test_hostile_shards_are_refused(copy, harm, message, one_line):
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
def test_damaged_manifests_are_refused(copy, change, message, one_line):
    path = copy / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))
    with pytest.raises(StoreError, match=message) as failure:
        TripletStore.open(copy)
    one_line(failure)
