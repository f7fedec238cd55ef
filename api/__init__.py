"""TriFuse: synthetic training data and hyperspectral fusion of satellite images.

The public names below are loaded on first use, so that ``import trifuse`` stays cheap and
without torch.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

try:
    __version__ = version("trifuse")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

_HOME: dict[str, str] = {}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trifuse' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
