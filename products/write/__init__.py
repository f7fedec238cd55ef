"""Writers of products and of what stands beside them."""

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
    "write_animation",
    "can_animate",
]
