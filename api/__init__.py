"""TriFuse: synthetic training data and hyperspectral fusion of satellite images.

The public names are loaded on first use, so that ``import trifuse`` stays cheap and without
torch. Rooms are sub-packages (``trifuse.core``, ``trifuse.metrics`` …); ``trifuse.simulate`` and
``trifuse.train`` are rooms that can be called.
"""

from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from trifuse.moved import keep_old_paths

if TYPE_CHECKING:
    from trifuse.core import Band, BandSet, Cube, CubeSource, Grid, Series, TrifuseError
    from trifuse.flows.evaluate import evaluate
    from trifuse.flows.fidelity import check_fidelity
    from trifuse.flows.fuse import fuse
    from trifuse.flows.interpolate import interpolate
    from trifuse.flows.match import match
    from trifuse.flows.ndvi import ndvi, ndvi_series
    from trifuse.flows.sharpen import sharpen
    from trifuse.products import build_series, open_cube, open_sensors, open_series, write_cube
    from trifuse.simulate import TripletStore
    from trifuse.srf_data import load as load_srf
    from trifuse.train import TripletDataset

keep_old_paths()

try:
    __version__ = version("trifuse")
except PackageNotFoundError:  # a source tree on the path, not installed
    __version__ = "0+unknown"

_HOME = {
    "open_cube": "trifuse.products",
    "open_series": "trifuse.products",
    "open_sensors": "trifuse.products",
    "build_series": "trifuse.products",
    "write_cube": "trifuse.products",
    "simulate": "trifuse.simulate",
    "train": "trifuse.train",
    "fuse": "trifuse.flows.fuse",
    "match": "trifuse.flows.match",
    "sharpen": "trifuse.flows.sharpen",
    "interpolate": "trifuse.flows.interpolate",
    "ndvi": "trifuse.flows.ndvi",
    "ndvi_series": "trifuse.flows.ndvi",
    "check_fidelity": "trifuse.flows.fidelity",
    "evaluate": "trifuse.flows.evaluate",
    "load_srf": "trifuse.srf_data",
    "TripletStore": "trifuse.simulate",
    "TripletDataset": "trifuse.train",
    **dict.fromkeys(
        ("Grid", "Band", "BandSet", "Cube", "CubeSource", "Series", "TrifuseError"), "trifuse.core"
    ),
}
"""Public name → module that defines it."""

__all__ = [
    "__version__",
    "open_cube",
    "open_series",
    "write_cube",
    "simulate",
    "train",
    "match",
    "fuse",
    "ndvi",
    "sharpen",
    "ndvi_series",
    "evaluate",
    "check_fidelity",
    "load_srf",
    "open_sensors",
    "build_series",
    "interpolate",
    "TripletStore",
    "TripletDataset",
    "Grid",
    "Band",
    "BandSet",
    "Cube",
    "CubeSource",
    "Series",
    "TrifuseError",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'trifuse' has no attribute {name!r}")
    module = import_module(_HOME[name])
    if name in ("simulate", "train"):  # rooms that can be called
        return module
    return getattr(module, "load" if name == "load_srf" else name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
