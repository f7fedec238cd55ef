"""Pairwise methods by name."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module
from typing import Any

from trifuse.core import ConfigError
from trifuse.stf.pairwise import Pairwise

PAIRWISE_METHODS: dict[str, str] = {
    # name on the command line: module with ``fuse`` and ``Options``
    "atprk": "trifuse.stf.atprk"
}
"""Methods by name; a module is loaded when it is asked for."""


def get_pairwise(name: str, **options: Any) -> Pairwise:
    """A pairwise method by its name on the command line.

    >>> get_pairwise("atprk", scheme="selected").options.pairs
    1

    Args:
        name: one of :data:`PAIRWISE_METHODS`.
        options: of the method, fields of its ``Options``.

    Raises:
        ConfigError: if the name is unknown, or the method has no such option.
    """
    if name not in PAIRWISE_METHODS:
        known = ", ".join(PAIRWISE_METHODS)
        raise ConfigError(f"unknown pairwise method {name!r}", fix=f"give one of {known}")
    module = import_module(PAIRWISE_METHODS[name])
    if unknown := sorted(set(options) - {f.name for f in fields(module.Options)}):
        raise ConfigError(f"method {name!r} takes no {', '.join(unknown)}", fix="leave it out")
    return Pairwise(name, module.fuse, module.Options(**options))
