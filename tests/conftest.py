"""Shared fixtures: where real data lies, and limits that keep runs alike."""

import os

# One thread in this process and in those it starts: small arrays gain nothing from more, and
# results that are compared to the bit need the same number everywhere.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of real samples (TRIFUSE_DATA, else ../shared/data beside the repository)."""
    path = Path(os.environ.get("TRIFUSE_DATA", ROOT.parent / "shared" / "data"))
    if not path.is_dir():
        pytest.skip("real data not found: set TRIFUSE_DATA to its folder")
    return path


@pytest.fixture(scope="session")
def fixtures_dir(data_dir: Path) -> Path:
    """Folder of recorded numbers, beside the real samples."""
    path = data_dir.parent / "fixtures"
    if not path.is_dir():
        pytest.skip("recorded fixtures not found beside the folder of TRIFUSE_DATA")
    return path
