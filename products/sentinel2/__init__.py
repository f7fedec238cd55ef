"""Sentinel-2 L2A and L1C: reader, and factories of small deliveries."""

from trifuse.moved import keep_moved_names
from trifuse.products.sentinel2.factory import write_sentinel2_cogs, write_sentinel2_safe
from trifuse.products.sentinel2.factory_l1c import write_sentinel2_l1c
from trifuse.products.sentinel2.reader import Sentinel2Source, is_sentinel2, open_sentinel2

__all__ = [
    "write_sentinel2_cogs",
    "write_sentinel2_safe",
    "write_sentinel2_l1c",
    "Sentinel2Source",
    "is_sentinel2",
    "open_sentinel2",
]

keep_moved_names(__name__)
