"""What lies beside the files of a product and is none: of systems, drives and downloads."""

from __future__ import annotations

CLUTTER = {
    *("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini", ".Trashes", "$RECYCLE.BIN"),
    *("System Volume Information", "lost+found", "@eaDir", "#recycle", "#snapshot", "@Recycle"),
}
"""Folders and files that operating systems and network drives add to what they keep or pack."""
UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp")
"""Endings that those who fetch files give to what is not there whole yet."""


def is_clutter(name: str) -> bool:
    """Whether a member or file is no part of a product: what systems and drives leave beside.

    macOS adds a file ``._name`` to every file, in its place or in a tree ``__MACOSX`` of its own.
    """
    parts = name.replace("\\", "/").split("/")
    return parts[-1].startswith("._") or not CLUTTER.isdisjoint(parts)


def is_unfinished(name: str) -> bool:
    """Whether a file is, by its name, a download that did not end."""
    return name.lower().endswith(UNFINISHED)
