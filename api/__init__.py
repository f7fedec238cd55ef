"""TriFuse: synthetic training data and hyperspectral fusion of satellite images.

The public names are loaded on first use, so that ``import trifuse`` stays cheap and without
torch. Rooms are sub-packages: ``trifuse.core``, ``trifuse.metrics``, ``trifuse.products`` and so
on.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from trifuse.moved import keep_old_paths

if TYPE_CHECKING:
    from trifuse.core import Band, BandSet, Cube, CubeSource, Grid, Reading, Series, TrifuseError
    from trifuse.flows.evaluate import evaluate
    from trifuse.flows.fidelity import check_fidelity
    from trifuse.flows.fuse import fuse
    from trifuse.flows.interpolate import interpolate
    from trifuse.flows.match import match
    from trifuse.flows.ndvi import ndvi, ndvi_series
    from trifuse.flows.sharpen import sharpen
    from trifuse.flows.verify import verify
    from trifuse.flows.views import write_views
    from trifuse.products import build_series, open_cube, open_sensors, open_series, write_cube
    from trifuse.simulate import TripletStore, simulate_store
    from trifuse.srf_data import load as load_srf
    from trifuse.train import TripletDataset, train_fusion

    __version__: str

_HOME = {
    "open_cube": "trifuse.products:open_cube",
    "open_series": "trifuse.products:open_series",
    "open_sensors": "trifuse.products:open_sensors",
    "build_series": "trifuse.products:build_series",
    "write_cube": "trifuse.products:write_cube",
    "simulate_store": "trifuse.simulate:simulate_store",
    "train_fusion": "trifuse.train:train_fusion",
    "fuse": "trifuse.flows.fuse:fuse",
    "match": "trifuse.flows.match:match",
    "sharpen": "trifuse.flows.sharpen:sharpen",
    "interpolate": "trifuse.flows.interpolate:interpolate",
    "ndvi": "trifuse.flows.ndvi:ndvi",
    "ndvi_series": "trifuse.flows.ndvi:ndvi_series",
    "write_views": "trifuse.flows.views:write_views",
    "check_fidelity": "trifuse.flows.fidelity:check_fidelity",
    "evaluate": "trifuse.flows.evaluate:evaluate",
    "verify": "trifuse.flows.verify:verify",
    "load_srf": "trifuse.srf_data:load",
    "TripletStore": "trifuse.simulate:TripletStore",
    "TripletDataset": "trifuse.train:TripletDataset",
    "Grid": "trifuse.core:Grid",
    "Reading": "trifuse.core:Reading",
    "Band": "trifuse.core:Band",
    "BandSet": "trifuse.core:BandSet",
    "Cube": "trifuse.core:Cube",
    "CubeSource": "trifuse.core:CubeSource",
    "Series": "trifuse.core:Series",
    "TrifuseError": "trifuse.core:TrifuseError",
}
"""Public name → module that defines it, and its name there."""

__all__ = [
    "__version__",
    "open_cube",
    "open_series",
    "write_cube",
    "simulate_store",
    "write_views",
    "train_fusion",
    "match",
    "fuse",
    "ndvi",
    "sharpen",
    "ndvi_series",
    "evaluate",
    "check_fidelity",
    "verify",
    "load_srf",
    "open_sensors",
    "build_series",
    "interpolate",
    "TripletStore",
    "TripletDataset",
    "Grid",
    "Reading",
    "Band",
    "BandSet",
    "Cube",
    "CubeSource",
    "Series",
    "TrifuseError",
]

keep_old_paths()


def _installed_version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # slower than all the rest

    try:
        return version("trifuse")
    except PackageNotFoundError:  # a source tree on the path, not installed
        return "0+unknown"


def _public(name: str) -> Any:
    if name == "__version__":
        return _installed_version()
    if name in ("simulate", "train"):  # rooms that scripts call without importing them
        return import_module(f"trifuse.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'trifuse' has no attribute {name!r}")
    module, _, its_name = _HOME[name].partition(":")
    return getattr(import_module(module), its_name)


def __dir__() -> list[str]:
    return sorted(__all__)


if not TYPE_CHECKING:  # type checkers would take any name for one that exists
    __getattr__ = _public
