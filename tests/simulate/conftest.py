"""Small spectral scenes with EnMAP's bands, and a store of triplets made of four."""

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import Cube, Grid, MemorySource
from trifuse.simulate import SimulateConfig, simulate_store
from trifuse.srf_data import load


@pytest.fixture(scope="session")
def make_scene():
    """make_scene(number, height, width) -> MemorySource of mixed smooth spectra, 224 bands."""

    def make(number=0, height=40, width=60, holes=True):
        rng = np.random.default_rng(number)
        spectra = gaussian_filter(rng.random((4, 224)), (0, 12))
        shares = gaussian_filter(rng.random((4, height, width)), (0, 2, 2))
        data = np.einsum("kb,kyx->byx", spectra, shares).astype(np.float32) * 0.6
        valid = np.ones((height, width), bool)
        if holes:
            valid[:7, :9] = False
            data[:, ~valid] = np.nan
        grid = Grid.from_origin("EPSG:32633", 300000, 5800000 + 6000 * number, 30, height, width)
        meta = {"product_id": f"ENMAP01-{number:03d}", "sensor": "ENMAP", "level": "L2A"}
        cube = Cube(data, valid, load("ENMAP").bands, grid, meta)
        return MemorySource(cube, f"scene {number}")

    return make


@pytest.fixture(scope="session")
def config():
    return SimulateConfig(patch=20, stride=10, count=6, min_valid=0.7)


@pytest.fixture(scope="session")
def scenes(make_scene):
    return [make_scene(i) for i in range(4)]


@pytest.fixture(scope="session")
def finished(scenes, config, tmp_path_factory):
    """The store of the four scenes; to be read only."""
    return simulate_store(scenes, tmp_path_factory.mktemp("stores") / "store", config)


@pytest.fixture
def copy(finished, tmp_path):
    """A copy of the finished store to do harm to."""
    folder = tmp_path / "copy"
    folder.mkdir()
    for path in finished.path.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


@pytest.fixture(scope="session")
def contents():
    """contents(folder) -> the bytes of each file by name, hidden ones left out."""

    def read(folder):
        paths = Path(folder).iterdir()
        return {p.name: p.read_bytes() for p in paths if not p.name.startswith(".")}

    return read


@pytest.fixture(scope="session")
def one_line():
    """one_line(failure, *parts): a message of one line that has all the parts."""

    def check(failure, *parts):
        text = str(failure.value)
        assert "\n" not in text
        assert all(part in text for part in parts), text

    return check
