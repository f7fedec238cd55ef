"""Images like those of CAVE: folders of PNGs, and MAT files."""

from trifuse.products.cave.reader import CaveSource, cave_scenes, is_cave, open_cave

__all__ = ["CaveSource", "cave_scenes", "is_cave", "open_cave"]
