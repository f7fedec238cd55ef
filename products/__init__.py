"""Readers and writers of satellite products, and NDVI."""

from trifuse.products.cave import CaveSource, cave_scenes, is_cave, open_cave, write_cave
from trifuse.products.enmap import (
    EnmapSource,
    is_enmap,
    open_enmap,
    open_enmap_all,
    write_enmap_l2a,
)
from trifuse.products.files.envi import open_envi
from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.files.raster import crs_text, parse_crs
from trifuse.products.files.source import MosaicSource, RasterSource
from trifuse.products.files.xarray_source import open_xarray
from trifuse.products.inspect import describe, inspect_product, inspect_source
from trifuse.products.landsat import LandsatSource, is_landsat, open_landsat, write_landsat
from trifuse.products.ndvi import ndvi, write_ndvi
from trifuse.products.ndvi_bands import NdviDefinition, define_ndvi
from trifuse.products.open import detect, find_reader, open_cube, open_scenes
from trifuse.products.plausible import Doubt, doubts, require_plausible
from trifuse.products.reader import Reader
from trifuse.products.registry import READERS
from trifuse.products.sentinel2 import (
    Sentinel2Source,
    is_sentinel2,
    open_sentinel2,
    write_sentinel2_cogs,
    write_sentinel2_l1c,
    write_sentinel2_safe,
)
from trifuse.products.sentinel3 import (
    OlciSwath,
    SwathSource,
    SynSwath,
    open_olci,
    open_olci_swath,
    open_sentinel3,
    open_syn_swath,
    write_olci_l1,
    write_syn,
)
from trifuse.products.series import (
    BuiltSeries,
    build_series,
    is_ls2s2,
    is_series,
    open_ls2s2,
    open_sensors,
    open_series,
    write_series,
)
from trifuse.products.write.animation import can_animate, write_animation
from trifuse.products.write.quicklook import choose_rgb, read_small, write_quicklook
from trifuse.products.write.stac import footprint, stac_item, write_stac_item
from trifuse.products.write.writer import (
    CubeWriter,
    copy_source,
    cube_writer,
    software,
    write_cube,
    write_sidecar,
)

__all__ = [
    "open_cube",
    "open_scenes",
    "detect",
    "find_reader",
    "READERS",
    "Reader",
    "open_geotiff",
    "open_envi",
    "open_xarray",
    "open_enmap",
    "open_enmap_all",
    "is_enmap",
    "EnmapSource",
    "write_enmap_l2a",
    "open_sentinel2",
    "is_sentinel2",
    "Sentinel2Source",
    "write_sentinel2_safe",
    "write_sentinel2_cogs",
    "write_sentinel2_l1c",
    "open_sentinel3",
    "open_syn_swath",
    "SynSwath",
    "write_syn",
    "open_olci",
    "open_olci_swath",
    "OlciSwath",
    "write_olci_l1",
    "SwathSource",
    "open_cave",
    "is_cave",
    "cave_scenes",
    "CaveSource",
    "write_cave",
    "open_landsat",
    "is_landsat",
    "LandsatSource",
    "write_landsat",
    "RasterSource",
    "MosaicSource",
    "cube_writer",
    "CubeWriter",
    "write_cube",
    "copy_source",
    "write_sidecar",
    "software",
    "write_stac_item",
    "stac_item",
    "footprint",
    "write_quicklook",
    "choose_rgb",
    "read_small",
    "open_series",
    "write_series",
    "is_series",
    "build_series",
    "BuiltSeries",
    "open_sensors",
    "open_ls2s2",
    "is_ls2s2",
    "write_animation",
    "can_animate",
    "ndvi",
    "write_ndvi",
    "define_ndvi",
    "NdviDefinition",
    "inspect_product",
    "inspect_source",
    "describe",
    "doubts",
    "require_plausible",
    "Doubt",
    "crs_text",
    "parse_crs",
]
