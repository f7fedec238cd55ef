"""An image with what a user knows better of it than its files: how it is to be read.

A :class:`Reading` stands wherever an image is asked for:
``tf.ndvi(tf.Reading("x.tif", scale=1e-4))``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trifuse.core.errors import ConfigError

OPTIONS = ("scale", "offset", "nodata", "wavelengths", "mask", "resolution", "bands", "remote")
"""What may be said of an image, as options of :func:`trifuse.products.open_cube`."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An image and how it is to be read; what is None is left to its files.

    Attributes:
        image: path, several paths, open source, or cube.
        scale: value = stored · scale + offset; one for all bands, or one per band.
        offset: likewise, in reflectance: −0.1 for counts of 1e-4 with 1000 added.
        nodata: stored number that is no value.
        wavelengths: centre of each band in nm.
        mask: which classes or flags are not usable; names depend on the product.
        resolution: sampling of the grid of a Sentinel-2 product in metres: 10, 20 or 60.
        bands: names of all bands of a file, or which bands of a product to open.
        remote: whether files that a STAC Item names on the web are read there, by https.

    Raises:
        ConfigError: if a number is none that such a thing can be.
    """

    image: Any
    scale: float | Sequence[float] | None = None
    offset: float | Sequence[float] | None = None
    nodata: float | None = None
    wavelengths: Sequence[float] | None = None
    mask: str | None = None
    resolution: int | None = None
    bands: Sequence[str] | None = None
    remote: bool | None = None

    def __post_init__(self) -> None:
        scales = _all(self.scale)
        if not all(math.isfinite(s) and s > 0 for s in scales):
            raise ConfigError(f"a scale of {self.scale}", fix="give a number above 0, such as 1e-4")
        if wrong := [o for o in _all(self.offset) if not abs(o) <= 1000]:
            raise ConfigError(
                f"an offset of {wrong[0]:g}",
                fix="give it in reflectance: −0.1 for counts of 1e-4 with 1000 added",
            )

    @property
    def options(self) -> dict[str, Any]:
        """What is said, by name."""
        return {k: v for k in OPTIONS if (v := getattr(self, k)) is not None}

    def to_json(self) -> dict[str, Any]:
        """What is said, in plain values."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in self.options.items()}


def _all(value: float | Sequence[float] | None) -> tuple[float, ...]:
    if value is None:
        return ()
    return tuple(map(float, value)) if isinstance(value, Sequence) else (float(value),)
