"""Attributes that had another name: the old one works for one version, with a warning."""

from __future__ import annotations

import warnings
from typing import Any


def renamed(old: str, new: str) -> Any:
    """A property that hands on another attribute and says that its name is old.

    Args:
        old: name under which it is kept.
        new: name to use.
    """

    def read(self: Any) -> Any:
        warn_renamed(f"{type(self).__name__}.{old}", new)
        return getattr(self, new)

    return property(read, doc=f"Old name of ``{new}``.")


def warn_renamed(old: str, new: str) -> None:
    """Warn whoever called the caller that a name will go."""
    warnings.warn(f"{old} is now {new}; the old name will go", DeprecationWarning, stacklevel=3)
