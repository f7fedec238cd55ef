"""EnMAP L2A deliveries: reader, and a factory of small ones."""

from trifuse.moved import keep_moved_names
from trifuse.products.enmap.factory import write_enmap_l2a
from trifuse.products.enmap.reader import EnmapSource, is_enmap, open_enmap, open_enmap_all

__all__ = ["write_enmap_l2a", "EnmapSource", "is_enmap", "open_enmap", "open_enmap_all"]

keep_moved_names(__name__)
