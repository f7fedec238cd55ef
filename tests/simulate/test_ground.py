"""No ground on two sides: versions of one scene, overlapping tiles, repeat passes."""

import json
from dataclasses import replace

import numpy as np
import pytest

from trifuse.core import Grid, MemorySource
from trifuse.simulate import SimulateConfig, assign_splits, plan_store, simulate_store
from trifuse.simulate.footprints import ground_groups, overlapping

CONFIG = SimulateConfig(patch=20, min_valid=0.7, split=(0.5, 0.25, 0.25))


@pytest.fixture(scope="module")
def world(make_scene):
    """One large landscape to cut scenes from."""
    return make_scene(40, 100, 60, holes=False).read()


def cut(world, name, row=0, col=0, height=40, width=60):
    """A scene of a part of the world."""
    from trifuse.core import Window

    cube = world.crop(Window(row, col, height, width))
    return MemorySource(replace(cube, meta={**cube.meta, "product_id": name}), name)


def sides(store):
    """What of each split's ground is on which coordinates: split → set of (x, y) of pixels."""
    out = {}
    for split in ("train", "val", "test"):
        corners = set()
        for i in store.ids(split):
            grid = store.read(i).grid
            xs = np.round(grid.transform[2] + 30 * np.arange(grid.width)).astype(int)
            ys = np.round(grid.transform[5] - 30 * np.arange(grid.height)).astype(int)
            corners |= {(x, y) for x in xs.tolist() for y in ys.tolist()}
        out[split] = corners
    return out


CASES = {
    "two processing versions": [("V010501", 0), ("V010502", 0)],
    "overlapping tiles": [("T001", 0), ("T002", 30), ("T003", 60)],
    "repeat passes": [("20220724", 0), ("20220802", 10)],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("seed", [0, 3])
def test_the_same_ground_is_on_one_side(case, seed, world, scenes, tmp_path, caplog):
    made = [cut(world, f"ENMAP01-{name}", row) for name, row in CASES[case]]
    store = simulate_store([*scenes, *made], tmp_path / "s", replace(CONFIG, seed=seed))
    names = [f"ENMAP01-{name}" for name, _ in CASES[case]]
    assert len({store.splits[n] for n in names}) == 1
    ground = list(sides(store).values())
    assert all(not a & b for i, a in enumerate(ground) for b in ground[:i])
    assert all(store.ids(split) for split in ("train", "val", "test"))
    record = json.loads((store.path / "manifest.json").read_text())["config"]["ground"]
    assert record == [{"scenes": names, "split": store.splits[names[0]]}]
    assert f"{len(names)} scenes see the same ground" in caplog.text
    again = simulate_store([*made, *scenes][::-1], tmp_path / "t", replace(CONFIG, seed=seed))
    assert again.splits == store.splits and again.hash == store.hash


def test_versions_were_on_two_sides_when_products_alone_counted(world, scenes):
    """The check itself: without groups some seed parts the twins, whose pixels are equal."""
    twins = ["ENMAP01-V010501", "ENMAP01-V010502"]
    ids = [*(f"ENMAP01-{i:03d}" for i in range(4)), *twins]
    parted = [s for s in range(8) if len({assign_splits(ids, seed=s)[t] for t in twins}) == 2]
    assert parted
    for seed in range(8):
        together = assign_splits(ids, seed=seed, groups=[twins])
        assert len({together[t] for t in twins}) == 1


def test_a_group_larger_than_its_share_is_said(world, tmp_path, caplog):
    tiles = [cut(world, f"ENMAP01-T{i}", 20 * i) for i in range(4)]
    plan = plan_store(tiles, CONFIG)
    assert set(plan.splits.values()) == {"train"}
    assert "4 scenes of the same ground are more than the 2 of 4 that train" in plan.remarks[-1]
    store = simulate_store(tiles, tmp_path / "s", CONFIG)
    assert "more than the 2 of 4" in caplog.text
    assert len(store.ids("train")) == len(store) and not store.ids("val")


def test_scenes_of_ground_of_their_own_are_dealt_as_ever(scenes, config, finished):
    ids = [f"s{i}" for i in range(11)]
    for seed in range(5):
        assert assign_splits(ids, seed=seed) == assign_splits(ids, seed=seed, groups=[("s1",)])
    wanted = {"s0": "train", "s1": "test", "s2": "val", "s3": "train", "s4": "train"}
    assert assign_splits(list(wanted), (0.6, 0.2, 0.2), 0) == wanted, "as recorded before"
    assert "ground" not in json.loads((finished.path / "manifest.json").read_text())["config"]
    assert finished.groups == ()


def test_overlapping_scenes_may_be_added(copy, world, scenes, make_scene, config):
    before = {p: p.stat().st_mtime_ns for p in copy.glob("*.h5")}
    twin = scenes[1].read()
    twin = MemorySource(replace(twin, meta={**twin.meta, "product_id": "ENMAP01-001-V2"}), "twin")
    store = simulate_store([*scenes, twin], copy, config)
    assert store.groups == (("ENMAP01-001", "ENMAP01-001-V2"),)
    assert store.splits["ENMAP01-001"] == store.splits["ENMAP01-001-V2"]
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_groups_are_dealt_to_every_split_while_they_last():
    ids = [f"s{i}" for i in range(8)]
    pairs = [ids[i : i + 2] for i in range(0, 8, 2)]
    for seed in range(6):
        found = assign_splits(ids, (0.5, 0.25, 0.25), seed, pairs)
        assert sorted(found.values()) == ["test"] * 2 + ["train"] * 4 + ["val"] * 2
        assert all(found[a] == found[b] for a, b in pairs)
    two = assign_splits(ids, (0.8, 0.1, 0.1), 0, [ids[:4], ids[4:]])
    assert sorted(set(two.values())) == ["train", "val"]


def test_footprints():
    def at(crs, x, y, size=100):
        return Grid.from_origin(crs, x, y, 30, size, size)

    a = at("EPSG:32633", 300000, 5800000)
    grids = {
        "a": a,
        "chain": at("EPSG:32633", 302900, 5800000),
        "end": at("EPSG:32633", 305800, 5800000),
        "edge": at("EPSG:32633", 297000, 5800000),
        # The same ground in the zone beside it: 12° is the border of the zones 32 and 33.
        "zone 32": at("EPSG:32632", 703000, 5803000, 400),
        "elsewhere": at("EPSG:32634", 300000, 5800000),
        "south": at("EPSG:32733", 300000, 5800000),
        "nowhere": Grid("", a.transform, 100, 100),
        "nowhere too": Grid("", a.transform, 100, 100),
    }
    assert ("a", "chain") in overlapping(grids) and ("a", "end") not in overlapping(grids)
    assert ground_groups(grids) == [("a", "chain", "edge", "end", "zone 32")]
    assert ground_groups({k: grids[k] for k in ("a", "edge", "elsewhere", "south")}) == []


def test_both_sides_of_the_antimeridian():
    east = Grid.from_origin("EPSG:4326", 179.9, 10, 0.001, 100, 100)
    west = Grid.from_origin("EPSG:32601", 170000, 1107000, 30, 400, 400)
    far = Grid.from_origin("EPSG:4326", -179.0, 10, 0.001, 100, 100)
    assert ground_groups({"east": east, "west": west, "far": far}) == [("east", "west")]
