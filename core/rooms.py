"""A room that is also its main function, as ``trifuse.simulate(...)``."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_room(name: str, function: Callable[..., Any]) -> None:
    """Let the module ``name`` be called as ``function``.

    The root package offers ``trifuse.simulate(...)`` while ``trifuse.simulate`` is a room. Python
    binds a sub-package to its name in the parent on import, so only one object can stand there;
    a module that can be called is both.
    """

    class Room(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            return function(*args, **options)

    Room.__call__.__doc__ = function.__doc__
    sys.modules[name].__class__ = Room
