"""Names by the packages that handed them on: looked up where they are today."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any

from trifuse.moved.table import NAMES


def keep_moved_names(module: str) -> None:
    """Let ``module`` hand on the names that ``NAMES`` lists for it, each with a warning.

    Type checkers do not see them.
    """
    homes = NAMES[module]

    def moved(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        home, new = homes[name]
        warnings.warn(
            f"{module}.{name} has moved to {home}.{new}; the old path goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(import_module(home), new)

    # Not a plain attribute: a module-level __getattr__ would tell type checkers that every
    # name exists.
    vars(sys.modules[module])["__getattr__"] = moved
