"""Kernels that bring samples onto finer pixels, as matrices of one axis.

Sources: Keys 1981, doi:10.1109/TASSP.1981.1163711 (cubic convolution; its parameter is -0.5 in
GDAL and Pillow, -0.75 in torch and OpenCV); Unser 1999, doi:10.1109/79.799930 (the cubic B-spline,
which GDAL's ``cubicspline`` applies without a prefilter); Duchon 1979,
doi:10.1175/1520-0450(1979)018<1016:LFIOAT>2.0.CO;2 (Lanczos).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from trifuse.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of interpolation.

    Attributes:
        name: as options and records have it.
        reach: samples to either side that it weighs.
        weight: distance in samples → weight, not normalised.
    """

    name: str
    reach: float
    weight: Callable[[np.ndarray], np.ndarray]


def _nearest(x: np.ndarray) -> np.ndarray:
    # Half open, so that a pixel midway between two samples takes one of them.
    return ((x > -0.5 - 1e-9) & (x <= 0.5 - 1e-9)).astype(float)


def _linear(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.maximum(1 - np.abs(x), 0))


def _keys(a: float) -> Callable[[np.ndarray], np.ndarray]:
    def weight(x: np.ndarray) -> np.ndarray:
        x = np.abs(x)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    return weight


def _spline(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = (4 - 6 * x**2 + 3 * x**3) / 6, (2 - x) ** 3 / 6
    return np.where(x < 1, near, np.where(x < 2, far, 0))


def _lanczos(x: np.ndarray) -> np.ndarray:
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


KERNELS: Mapping[str, Kernel] = MappingProxyType(
    {
        k.name: k
        for k in (
            Kernel("nearest", 1, _nearest),
            Kernel("bilinear", 1, _linear),
            Kernel("cubic", 2, _keys(-0.5)),
            Kernel("bicubic", 2, _keys(-0.75)),
            Kernel("spline", 2, _spline),
            Kernel("lanczos", 3, _lanczos),
        )
    }
)
"""By name: ``cubic`` is Keys' kernel with -0.5, ``bicubic`` with -0.75, ``spline`` the B-spline."""


SAME = MappingProxyType({"average": "nearest"})
"""Other words for kernels: onto finer pixels an average is the nearest sample."""


def kernel_of(name: str) -> Kernel:
    """A kernel by its name, or by another word for it.

    Raises:
        ConfigError: if there is none of that name.
    """
    name = SAME.get(name, name)
    if name not in KERNELS:
        raise ConfigError(f"kernel {name!r}", fix=f"give one of {', '.join(KERNELS)}")
    return KERNELS[name]


@lru_cache(maxsize=256)
def kernel_matrix(n: int, ratio: int, name: str, origin: int = 0) -> np.ndarray:
    """Samples onto an axis of pixels, wherever the axis is cut from their lattice.

    All samples that reach into the axis are free, those beyond its ends too: nothing is taken for
    granted of what lies there.

    Args:
        n: pixels of the axis.
        ratio: pixels per sample.
        name: of the kernel.
        origin: a pixel where some sample starts.

    Returns:
        (n, samples) float64, rows sum to one.

    >>> kernel_matrix(4, 2, "nearest", 1).astype(int)
    array([[1, 0, 0],
           [0, 1, 0],
           [0, 1, 0],
           [0, 0, 1]])
    """
    kernel = kernel_of(name)
    at = (np.arange(n) + 0.5 - origin) / ratio - 0.5
    reach = int(np.ceil(kernel.reach))
    cells = np.arange(int(np.floor(at[0])) - reach, int(np.floor(at[-1])) + reach + 2)
    weight = kernel.weight(at[:, None] - cells)
    weight = weight[:, np.abs(weight).max(axis=0) > 1e-12]
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


@lru_cache(maxsize=256)
def interpolation_matrix(cells: int, ratio: int, name: str) -> np.ndarray:
    """Samples of a whole axis onto its pixels, those beyond the ends as the last ones.

    Args:
        cells: samples of the axis.
        ratio: pixels per sample.
        name: of the kernel.

    Returns:
        (cells · ratio, cells) float64, rows sum to one.
    """
    kernel = kernel_of(name)
    at = (np.arange(cells * ratio) + 0.5) / ratio - 0.5
    reach = int(np.ceil(kernel.reach))
    first = np.floor(at).astype(int) - reach
    taps = first[:, None] + np.arange(2 * reach + 2)
    weight = kernel.weight(at[:, None] - taps)
    weight = weight / weight.sum(axis=1, keepdims=True)
    out = np.zeros((cells * ratio, cells))
    rows = np.broadcast_to(np.arange(len(at))[:, None], taps.shape)
    np.add.at(out, (rows, np.clip(taps, 0, cells - 1)), weight)
    return out
