"""A small real store, and one server that has imported the slow packages to fork children from."""

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import BandSet, Cube, Grid, MemorySource
from trifuse.simulate import SimulateConfig, TripletStore, simulate_store

sys.path.insert(0, str(Path(__file__).parent))  # children import the task by its module's name
multiprocessing.set_forkserver_preload(
    ["torch", "timm.optim", "timm.scheduler", "timm.utils", "lightning_fabric", "trifuse.train"]
)


def scene(number: int, height: int = 40, width: int = 60) -> MemorySource:
    """Smooth mixtures of five smooth spectra, with texture: 224 bands at 30 m."""
    rng = np.random.default_rng(number)
    nm = np.linspace(420, 2450, 224)
    peaks = np.exp(-(((nm[:, None] - np.array([450, 650, 850, 1400, 2100])) / 250) ** 2))
    share = gaussian_filter(rng.random((5, height, width)), (0, 2, 2))
    share = (share - share.min()) / np.ptp(share)
    data = (0.05 + 0.4 * np.einsum("bk,kyx->byx", peaks, share)).astype(np.float32)
    bands = BandSet.of([f"E{i + 1:03d}" for i in range(224)], nm, np.full(224, 10.0))
    grid = Grid.from_origin("EPSG:32633", 3e5 + 1e4 * number, 5.8e6, 30.0, height, width)
    valid = np.ones((height, width), bool)
    valid[3, 4] = False
    return MemorySource(Cube(data, valid, bands, grid), f"scene {number}")


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> TripletStore:
    """12 training and 6 validation triplets of 20×20 pixels, ratio 5, 4 and 5 bands."""
    config = SimulateConfig(
        ratio=5, patch=20, min_valid=0.9, split=(0.5, 0.5, 0), dtype="float32",
        bands=("B3", "B4", "B8", "B11", "Oa06", "Oa08", "Oa17", "S5", "S6"),
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("store")
    return simulate_store([scene(i) for i in (1, 2, 4)], folder, config)
