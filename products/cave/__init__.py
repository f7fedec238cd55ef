"""Images like those of CAVE, folders of PNGs and MAT files: reader, and a factory of small ones."""

from trifuse.moved import keep_moved_names
from trifuse.products.cave.factory import write_cave
from trifuse.products.cave.reader import CaveSource, cave_scenes, is_cave, open_cave

__all__ = ["CaveSource", "cave_scenes", "is_cave", "open_cave", "write_cave"]

keep_moved_names(__name__)
