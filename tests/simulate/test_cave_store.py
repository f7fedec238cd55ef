"""From a folder of scenes like CAVE's to a store with the bands of both sensors."""

import logging

import h5py
import numpy as np
import pytest

from trifuse.core import BandSet, Cube, Grid
from trifuse.products.cave import write_cave
from trifuse.products.cave.reader import CENTRES
from trifuse.products.files.raster import UNPLACED
from trifuse.simulate import SimulateConfig, TripletStore, plan_store, simulate_store


@pytest.fixture(scope="module")
def cave(tmp_path_factory):
    """Four scenes of 60×75 pixels."""
    root = tmp_path_factory.mktemp("CAVE")
    rng = np.random.default_rng(0)
    bands = BandSet.of([f"C{nm:.0f}" for nm in CENTRES])
    for name in ("balloons_ms", "beads_ms", "cd_ms", "paints_ms"):
        share = rng.random((2, 60, 75))
        waves = [0.4 + 0.3 * np.sin(number / 8 + rng.random()) for number in range(31)]
        data = np.stack([wave * share[0] + 0.1 * share[1] for wave in waves]).astype(np.float32)
        cube = Cube(data, np.ones((60, 75), bool), bands, Grid("", UNPLACED, 60, 75))
        write_cave(root / name, cube, name=name)
    return root


CONFIG = SimulateConfig(ratio=15, patch=30, bands="all", split=(0.5, 0.25, 0.25))


def test_a_folder_of_scenes_makes_an_ordinary_store(cave, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        store = simulate_store(cave, tmp_path / "store", CONFIG)
    assert caplog.text.count("not physical") == 4
    assert (len(store.hr_bands), len(store.lr_bands)) == (12, 21)
    assert [len(store.ids(s)) for s in ("train", "val", "test")] == [8, 4, 4]
    triplet = store.read(0)
    assert triplet.hrmsi.shape == (12, 30, 30) and triplet.lrhsi.shape == (21, 2, 2)
    assert triplet.ratio == 15 and triplet.provenance["product_id"].endswith("_ms")
    for shard in (tmp_path / "store").glob("*.h5"):
        with h5py.File(shard) as file:
            assert b"not physical" in file.attrs["spectra"]
    again = simulate_store(sorted(cave.iterdir()), tmp_path / "second", CONFIG)
    assert again.hash == store.hash  # however the scenes are named


def test_a_plan_names_the_scenes(cave):
    plan = plan_store(cave / "beads_ms", CONFIG)
    assert [u.id for u in plan.units] == ["beads_ms"]


def test_a_network_trains_on_it(cave, tmp_path):
    from trifuse.train import TrainConfig, load_config, train_fusion

    simulate_store(cave, tmp_path / "store", CONFIG)
    config = load_config(
        TrainConfig,
        None,
        [
            "model.mixer=none",
            "model.width=6",
            "optim.steps=2",
            "optim.warmup=0",
            "optim.batch=2",
            "validation.every=2",
        ],
    )
    done = train_fusion(config, tmp_path / "store", tmp_path / "run")
    assert done.weights.is_file()
    assert len(TripletStore.open(tmp_path / "store").lr_bands) == 21
