"""Old import paths and callable rooms: they work for one version more, and say what to write."""

from trifuse.moved.names import keep_moved_names
from trifuse.moved.paths import keep_old_paths
from trifuse.moved.rooms import callable_room

__all__ = ["keep_old_paths", "keep_moved_names", "callable_room"]
