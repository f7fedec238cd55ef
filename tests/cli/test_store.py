"""Stores of triplets on the command line: what they hold, leakage, damage, merging."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from trifuse.core import Cube, Grid, MemorySource
from trifuse.simulate import SimulateConfig, TripletStore, simulate_store
from trifuse.srf_data import load

CONFIG = SimulateConfig(patch=20, split=(0.5, 0.25, 0.25))


def scene(name, row=0, seed=0, east=0):
    """A part of one landscape, which is as long as need be."""
    rng = np.random.default_rng(seed)
    ground = rng.random((100, 40)).astype(np.float32)
    tone = np.linspace(0.1, 0.5, 224, dtype=np.float32)
    data = tone[:, None, None] * (0.5 + ground[row : row + 40])
    grid = Grid.from_origin("EPSG:32633", 300000 + east, 5800000 - 30 * row, 30, 40, 40)
    meta = {"product_id": name, "sensor": "ENMAP", "level": "L2A"}
    return MemorySource(Cube(data, np.ones((40, 40), bool), load("ENMAP").bands, grid, meta), name)


def apart(numbers):
    return [scene(f"S{i}", seed=i, east=20000 * (i + 1)) for i in numbers]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    simulate_store(apart(range(3)), folder / "a", CONFIG)
    simulate_store([scene("T1", 0), scene("T2", 30), *apart([4])], folder / "b", CONFIG)
    return folder


def leaking(store):
    """A store as it was before ground counted."""
    path = store / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["config"]["ground"]
    path.write_text(json.dumps(manifest))
    return store


def test_info(trifuse, as_json, made):
    code, out, _ = trifuse("store", "info", made / "b")
    assert code == 0
    assert "12 triplets of 20×20 pixels, ratio 10, of 3 scenes; int16" in out
    assert "same ground, in train together: T1, T2" in out
    assert "on two sides" not in out
    rows = [line for line in out.splitlines() if len(line) == 48 and set(line) <= set("tvx#.")]
    assert len(rows) == 12 and {"t", "."} < set("".join(rows)) and "#" not in "".join(rows)
    found = as_json(trifuse("store", "info", made / "b", "--json")[1])
    assert found["scenes"]["T1"]["split"] == "train" and found["scenes"]["T1"]["triplets"] == 4
    west, south, east, north = found["scenes"]["T1"]["degrees"][0]
    assert 12 < west < east < 12.2 and 52.2 < south < north < 52.4
    assert found["hash"] == TripletStore.open(made / "b").hash


def test_check(trifuse, as_json, fails, made, tmp_path):
    code, out, _ = trifuse("store", "check", made / "b")
    assert code == 0 and "3 files are as recorded" in out
    assert as_json(trifuse("store", "check", made / "a", "--json")[1])["leaks"] == []
    fails(11, "holds no manifest.json", "store", "check", tmp_path)


def test_check_finds_ground_on_two_sides(trifuse, fails, tmp_path):
    for seed in range(20):
        config = replace(CONFIG, seed=seed)
        twins = [scene("V1"), scene("V2"), scene("T", 30), *apart([4])]
        store = simulate_store(twins, tmp_path / f"s{seed}", config)
        assert trifuse("store", "check", store.path)[0] == 0
        bad = leaking(store.path)
        sides = TripletStore.open(bad).splits
        if sides["V1"] != sides["V2"]:
            break
    line = fails(11, "the same ground is on two sides: ", "store", "check", bad)
    assert "V1 (" in line or "T (" in line
    assert "4 triplets are equal to one of another split" in line
    out = trifuse("store", "info", bad)[1]
    assert "same ground, on two sides: " in out and "#" in out


def test_check_finds_damage(fails, made, tmp_path):
    folder = shutil.copytree(made / "a", tmp_path / "a")
    shard = folder / "S1.h5"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    fails(11, "S1.h5", "store", "check", folder)


def test_merge(trifuse, as_json, made, tmp_path):
    out = tmp_path / "all"
    code, text, err = trifuse("store", "merge", made / "a", made / "b", "-o", out, "--dry-run")
    assert code == 0 and not out.exists() and "would merge 6 scenes of 2 stores" in text, err
    assert trifuse("store", "merge", made / "a", made / "b", "-o", out)[0] == 0
    merged = TripletStore.open(out, verify=True)
    both = simulate_store(
        [*apart([0, 1, 2, 4]), scene("T1", 0), scene("T2", 30)], tmp_path / "x", CONFIG
    )
    assert merged.hash == both.hash and merged.splits == both.splits
    for path in both.path.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name
    before = {p: p.stat().st_mtime_ns for p in out.glob("*.h5")}
    assert trifuse("store", "merge", made / "b", made / "a", made / "a", "-o", out)[0] == 0
    assert {p: p.stat().st_mtime_ns for p in out.glob("*.h5")} == before


def test_stores_that_do_not_fit(fails, made, tmp_path):
    fails(12, "1 stores to merge", "store", "merge", made / "a", "-o", tmp_path / "o")
    other = simulate_store(apart([7]), tmp_path / "other", replace(CONFIG, patch=10))
    fails(11, "made in another way", "store", "merge", made / "a", other.path, "-o", tmp_path / "o")
    twin = simulate_store([scene("S1", seed=9, east=90000)], tmp_path / "twin", CONFIG)
    fails(11, "another scene S1", "store", "merge", made / "a", twin.path, "-o", tmp_path / "o")
    assert not (tmp_path / "o").exists()
