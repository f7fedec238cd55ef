"""A small real store, and one server that has imported the slow packages to fork children from."""

import multiprocessing
import sys
from pathlib import Path

import pytest

from trifuse.simulate import SimulateConfig, TripletStore, simulate_store

sys.path.insert(0, str(Path(__file__).parent))  # children import the task by its module's name
multiprocessing.set_forkserver_preload(
    ["torch", "timm.optim", "timm.scheduler", "timm.utils", "lightning_fabric", "trifuse.train"]
)


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> TripletStore:
    """12 training and 6 validation triplets of 20×20 pixels, ratio 5, 6 and 5 bands."""
    config = SimulateConfig(
        ratio=5,
        patch=20,
        min_valid=0.9,
        split=(0.5, 0.5, 0),
        dtype="float32",
        bands=("B2", "B3", "B4", "B8", "B11", "B12", "Oa06", "Oa08", "Oa17", "S5", "S6"),
    )
    folder = tmp_path_factory.mktemp("store")
    from train_scenes import SCENES, scene

    return simulate_store([scene(i) for i in SCENES], folder, config)
