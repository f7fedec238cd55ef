"""Landsat Collection 2 Level 2: reader, and a factory of small deliveries."""

from trifuse.moved import keep_moved_names
from trifuse.products.landsat.factory import write_landsat
from trifuse.products.landsat.reader import LandsatSource, is_landsat, open_landsat

__all__ = ["write_landsat", "LandsatSource", "is_landsat", "open_landsat"]

keep_moved_names(__name__)
