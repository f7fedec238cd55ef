"""Modules by the paths they had: a finder that hands out the module of today."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from trifuse.moved.names import keep_moved_names
from trifuse.moved.table import DIVIDED, MODULES, NAMES

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importlib.abc takes longer to import than the rest of this room


class _Divided(ModuleType):
    """A module that hands on what it had; its own modules do not hide names spelt as they are."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in NAMES[self.__name__]:
            super().__setattr__(name, value)


class OldPaths(Loader):
    """Finds and loads what ``MODULES`` and ``DIVIDED`` list, and nothing else.

    A module that moved whole is the module of today, under a second name: what is pickled,
    patched or compared through the old path is the same object. One that was divided is an empty
    module that hands on the names it had.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of an old path; None for every other name."""
        if fullname in MODULES or fullname in DIVIDED:
            return ModuleSpec(fullname, self, is_package=fullname in DIVIDED)
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """An empty module where one was divided; None leaves it to Python."""
        return _Divided(spec.name) if spec.name in DIVIDED else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module of today in the place of the empty ``module``, or let it hand on."""
        name = module.__name__
        new = MODULES.get(name) or DIVIDED[name]
        # The frames of importlib are passed over: the warning names the line that imports.
        warnings.warn(
            f"{name} has moved to {new}; the old path goes with the next version",
            DeprecationWarning,
            stacklevel=2,
        )
        if name in MODULES:
            sys.modules[name] = import_module(new)
        else:
            keep_moved_names(name)


def keep_old_paths() -> None:
    """Let every old path be imported, from now on.

    The finder stands first: folders that moved away may leave their ``__pycache__`` behind, which
    Python would take for packages without content.
    """
    if not any(isinstance(finder, OldPaths) for finder in sys.meta_path):
        sys.meta_path.insert(0, OldPaths())
