"""Pixels with their grid: a cube in memory, and a source that is not yet read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from trifuse.core.bands import BandSet
from trifuse.core.errors import DataError, MissingExtraError
from trifuse.core.grid import Grid, Window

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """An image in memory.

    Attributes:
        data: (band, y, x) float32; reflectance is unit-less 0–1 (values outside occur and are
            kept), temperature is kelvin; NaN where a band has no value.
        valid: (y, x) bool; True where the pixel is usable in every band asked for. A pixel that
            is missing in one band only is valid there and NaN in that band.
        bands: names, centres and widths, one per plane of ``data``.
        grid: where the pixels lie.
        meta: what the product says of itself; plain JSON values.

    Raises:
        DataError: if the shapes disagree.
    """

    data: np.ndarray
    valid: np.ndarray
    bands: BandSet
    grid: Grid
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = (len(self.bands), *self.grid.shape)
        if self.data.shape != expected or self.valid.shape != self.grid.shape:
            raise DataError(
                f"data {self.data.shape} and valid {self.valid.shape} do not fit "
                f"{len(self.bands)} bands on a grid of {self.grid.height}×{self.grid.width}"
            )
        if self.data.dtype != np.float32 or self.valid.dtype != np.bool_:
            raise DataError(
                f"data is {self.data.dtype}, valid is {self.valid.dtype}",
                fix="give float32 and bool",
            )
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __reduce__(self) -> tuple:
        """Plain pieces, because a mapping proxy does not pickle."""
        return Cube, (self.data, self.valid, self.bands, self.grid, dict(self.meta))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return (len(self.bands), *self.grid.shape)

    def select(self, which: Iterable[str]) -> Cube:
        """The named bands, in the order asked for.

        Raises:
            BandError: if one is missing.
        """
        numbers = self.bands.indices(which)
        return replace(self, data=self.data[numbers], bands=self.bands.select(numbers))

    def crop(self, window: Window) -> Cube:
        """A window of the cube (a view)."""
        rows, cols = window.slices
        if window.clip(*self.grid.shape) != window:
            raise DataError(f"{window} leaves an image of {self.grid.height}×{self.grid.width}")
        return replace(
            self,
            data=self.data[:, rows, cols],
            valid=self.valid[rows, cols],
            grid=self.grid.window(window),
        )

    def masked(self) -> np.ndarray:
        """A copy of ``data`` with NaN wherever ``valid`` is False: (band, y, x) float32."""
        return np.where(self.valid, self.data, np.float32(np.nan))

    def to_xarray(self) -> xarray.DataArray:
        """The cube for a notebook: dims (band, y, x), coordinates at pixel centres.

        Raises:
            MissingExtraError: if xarray is not installed.
        """
        try:
            import xarray
        except ImportError:
            raise MissingExtraError(
                "xarray is not installed", fix="pip install 'trifuse[xarray]'"
            ) from None
        a, _, c, _, e, f = self.grid.transform
        return xarray.DataArray(
            self.data,
            dims=("band", "y", "x"),
            coords={
                "band": list(self.bands.names),
                "y": f + e * (np.arange(self.grid.height) + 0.5),
                "x": c + a * (np.arange(self.grid.width) + 0.5),
                "wavelength": ("band", list(self.bands.centres), {"units": "nm"}),
                "fwhm": ("band", list(self.bands.fwhms), {"units": "nm"}),
                "valid": (("y", "x"), self.valid),
            },
            attrs={"crs": self.grid.crs, **self.meta},
        )


class CubeSource(ABC):
    """A cube that is not yet read; what every reader returns.

    Attributes:
        name: the product's name, for messages and provenance.
        grid: grid of the whole image.
        bands: all bands.
        meta: what the product says of itself; plain JSON values.
    """

    name: str
    grid: Grid
    bands: BandSet
    meta: Mapping[str, Any]

    @abstractmethod
    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """Read a window (default: all) of some bands (default: all) as calibrated values.

        Raises:
            ProductError: if the file is damaged there.
            BandError: if a band is missing.
            DataError: if the window leaves the image.
        """

    def close(self) -> None:  # noqa: B027 - nothing to close is the common case
        """Release file handles; reading again reopens them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class MemorySource(CubeSource):
    """A cube already in memory, as a source."""

    def __init__(self, cube: Cube, name: str = "memory") -> None:
        self._cube = cube
        self.name, self.grid, self.bands, self.meta = name, cube.grid, cube.bands, cube.meta

    def __reduce__(self) -> tuple:
        """Plain pieces, because a mapping proxy does not pickle."""
        return MemorySource, (self._cube, self.name)

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        cube = self._cube if bands is None else self._cube.select(bands)
        return cube if window is None else cube.crop(window)
