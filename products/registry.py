"""The readers there are: a product folder joins by one line here."""

from __future__ import annotations

from importlib import import_module

from trifuse.products.reader import Reader

_MODULES = (
    "enmap.reader",
    "sentinel2.reader",
    "landsat.reader",
    "sentinel3.reader",
    "sentinel3.olci",
    "cave.reader",
    "cave.cube",
    "files.item_stack",
    # What follows are formats of files, of which deliveries are made: they are asked last. Above
    # them no delivery is of two kinds, and the order says nothing.
    "files.envi",
    "files.geotiff",
)
"""Modules of this room, each with a ``READER``."""


def _reader(module: str) -> Reader:
    reader = import_module(f"trifuse.products.{module}").READER
    assert isinstance(reader, Reader), module
    return reader


READERS: tuple[Reader, ...] = tuple(map(_reader, _MODULES))
"""In the order in which they are asked whether a path is theirs."""
