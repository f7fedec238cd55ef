"""Series of dated images: in a folder, of LS2S2, and built from products of an area."""

from trifuse.moved import keep_moved_names
from trifuse.products.series.build import BuiltSeries, build_series
from trifuse.products.series.find import open_sensors
from trifuse.products.series.folder import is_series, open_series, write_series
from trifuse.products.series.ls2s2 import is_ls2s2, open_ls2s2

__all__ = [
    "is_series",
    "open_series",
    "write_series",
    "build_series",
    "BuiltSeries",
    "open_sensors",
    "is_ls2s2",
    "open_ls2s2",
]

keep_moved_names(__name__)
