"""Images opened as a user says they are to be read, and open ones whose values are scaled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from trifuse.core import ConfigError, Cube, CubeSource, MemorySource, Reading, Sampling, Window
from trifuse.products.open import open_cube


def open_reading(reading: Reading, **options: Any) -> CubeSource:
    """An image as a source; of a cube or an open source the values are scaled.

    Args:
        reading: the image and what is said of it.
        options: further ones of :func:`trifuse.products.open_cube`.

    Raises:
        ConfigError: if something that is said does not apply to it.
        TrifuseError: as :func:`trifuse.products.open_cube`.
    """
    image = reading.image
    if isinstance(image, Cube):
        image = MemorySource(image, str(image.meta.get("product_id", "memory")))
    if not isinstance(image, CubeSource):
        return open_cube(image, **reading.options, **options)
    if wrong := sorted(set(reading.options) - {"scale", "offset"}):
        raise ConfigError(
            f"{', '.join(wrong)} does not apply to an image that is open",
            where=image.name,
            fix="give scale or offset, or the path",
        )
    if not reading.options:
        return image
    how = f"{', '.join(reading.options)} as given; else values as they are"
    return rescaled(image, reading.scale, reading.offset, how)


def rescaled(
    source: CubeSource,
    scale: float | Sequence[float] | None,
    offset: float | Sequence[float] | None,
    how: str,
) -> CubeSource:
    """The same image with values · scale + offset.

    Args:
        source: the image.
        scale: for all bands, or one per band; None for 1.
        offset: likewise, in what the values become; None for 0.
        how: where the numbers are from, in words, for its metadata.

    Raises:
        ConfigError: if there are not as many numbers as bands.
    """
    count = len(source.bands)
    return _Rescaled(source, _each(scale, 1.0, count), _each(offset, 0.0, count), how)


class _Rescaled(CubeSource):
    """See :func:`rescaled`."""

    def __init__(
        self, source: CubeSource, scale: Sequence[float], offset: Sequence[float], how: str
    ) -> None:
        self._source = source
        self._scale = np.array(scale, np.float32)[:, None, None]
        self._offset = np.array(offset, np.float32)[:, None, None]
        self.name, self.grid, self.bands = source.name, source.grid, source.bands
        told = {"scale": _once(scale), "offset": _once(offset), "from": how}
        self.meta: Mapping[str, Any] = {**source.meta, "calibration": told}

    @property
    def sampling(self) -> Sampling:
        """The image's own."""
        return self._source.sampling

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        cube = self._source.read(window, [self.bands[i].name for i in numbers])
        data = cube.data * self._scale[numbers] + self._offset[numbers]
        return replace(cube, data=data, meta={**cube.meta, "calibration": self.meta["calibration"]})

    def close(self) -> None:
        """Close the image."""
        self._source.close()


def _each(value: float | Sequence[float] | None, default: float, count: int) -> tuple[float, ...]:
    numbers = tuple(map(float, value)) if isinstance(value, Sequence) else (value,)
    if len(numbers) == 1:
        return (default if numbers[0] is None else float(numbers[0]),) * count
    if len(numbers) != count:
        raise ConfigError(f"{len(numbers)} numbers for {count} bands")
    return tuple(float(v) for v in numbers if v is not None)


def _once(values: Sequence[float]) -> Any:
    return values[0] if len(set(values)) == 1 else list(values)
