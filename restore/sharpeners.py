"""The ways to bring blurred bands to the sharpness of the pixels, by name."""

from __future__ import annotations

from importlib import import_module
from typing import Protocol

from trifuse.core import ConfigError, CubeSource
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.view import RestoredView


class Sharpener(Protocol):
    """A way to sharpen."""

    def __call__(
        self, source: CubeSource, sharpness: Sharpness, statistics: Statistics, *, device: str
    ) -> RestoredView:
        """The sharpened image.

        Args:
            source: the image; some of its bands are blurred.
            sharpness: of its bands, as the pixels bear it out.
            statistics: of the scene.
            device: ``cpu``, ``cuda`` or ``auto``.
        """
        ...


SHARPENERS: dict[str, str] = {
    "restore": "trifuse.restore.view:by_restoration",
    "injection": "trifuse.restore.injection:by_injection",
    "bicubic": "trifuse.restore.view:by_interpolation",
}
"""What ``sharpen`` can do, and where each is."""


def get_sharpener(name: str) -> Sharpener:
    """A way to sharpen by its name.

    Raises:
        ConfigError: if the name is unknown.
    """
    if name not in SHARPENERS:
        known = ", ".join(SHARPENERS)
        raise ConfigError(f"unknown method {name!r}", fix=f"give one of {known}")
    module, _, attribute = SHARPENERS[name].partition(":")
    found: Sharpener = getattr(import_module(module), attribute)
    return found
