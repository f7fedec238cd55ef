"""A room that can be called as its main function was, as ``trifuse.simulate(...)``."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_room(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``, with a warning.

    A function of the room's own name could not stand in the root package: Python binds a
    sub-package to its name in the parent on import. Type checkers do not see that it can be
    called.
    """

    class Room(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            warnings.warn(
                f"{name}(...) is now trifuse.{function.__name__}(...); the old call goes with "
                "the next version",
                DeprecationWarning,
                stacklevel=2,
            )
            return function(*args, **options)

    Room.__call__.__doc__ = function.__doc__
    sys.modules[name].__class__ = Room
