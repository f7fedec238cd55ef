"""Pixels with their grid: a cube in memory, and a source that is not yet read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import numpy as np

from trifuse.core.bands import BandSet
from trifuse.core.errors import DataError
from trifuse.core.grid import Grid, Window
from trifuse.core.sampling import Sampling
from trifuse.core.shown import told
from trifuse.core.xarray_made import labelled, lazily
from trifuse.core.xarray_read import pieces_of

if TYPE_CHECKING:
    import xarray

    from trifuse.core.xarray_read import XArray


@dataclass(frozen=True, slots=True, eq=False, repr=False)
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
        sampled: how the bands were sampled, where that is known otherwise than from ``meta``; see
            :attr:`sampling`.

    Raises:
        DataError: if the shapes disagree.
    """

    data: np.ndarray
    valid: np.ndarray
    bands: BandSet
    grid: Grid
    meta: Mapping[str, Any] = field(default_factory=dict)
    sampled: Sampling | None = None

    # A window is asked for by its index; that does not make an image a sequence.
    __iter__ = None

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
        if self.sampled is not None and len(self.sampled) != len(self.bands):
            object.__setattr__(self, "sampled", None)  # of other bands, which were replaced
        object.__setattr__(self, "meta", MappingProxyType(dict(self.meta)))

    def __reduce__(self) -> tuple:
        """Plain pieces, because a mapping proxy does not pickle."""
        pieces = (self.data, self.valid, self.bands, self.grid, dict(self.meta), self.sampled)
        return Cube, pieces

    @property
    def shape(self) -> tuple[int, int, int]:
        """(bands, height, width)."""
        return (len(self.bands), *self.grid.shape)

    @property
    def sampling(self) -> Sampling:
        """How the bands were sampled: what is known otherwise, else what ``meta`` tells."""
        if self.sampled is not None:
            return self.sampled
        return Sampling.told(self.meta, self.bands.names)

    def select(self, which: Iterable[str]) -> Cube:
        """The named bands, in the order asked for.

        Raises:
            BandError: if one is missing.
        """
        numbers = self.bands.indices(which)
        return replace(
            self,
            data=self.data[numbers],
            bands=self.bands.select(numbers),
            sampled=_known(self.sampling.select(numbers)),
        )

    def crop(self, window: Window) -> Cube:
        """A window of the cube (a view); ``cube[window]`` is the same.

        Raises:
            DataError: if it leaves the image.
        """
        rows, cols = _inside(window, self.grid).slices
        return replace(
            self,
            data=self.data[:, rows, cols],
            valid=self.valid[rows, cols],
            grid=self.grid.window(window),
            sampled=_known(self.sampling.cropped(window)),
        )

    @overload
    def __getitem__(self, key: Window) -> Cube: ...
    @overload
    def __getitem__(self, key: str) -> np.ndarray: ...
    def __getitem__(self, key: Window | str) -> Cube | np.ndarray:
        """A window as a cube, or a band as (y, x) float32 with NaN where it is not valid."""
        if isinstance(key, Window):
            return self.crop(key)
        plane = self.data[self.bands.index(key)]
        return np.where(self.valid, plane, np.float32(np.nan))

    def with_meta(self, meta: Mapping[str, Any] | None = None, /, **words: Any) -> Cube:
        """The same pixels with more said of them; words of the sampling count for it."""
        more = {**(meta or {}), **words}
        sampled = self.sampled and self.sampled.retold(more, self.bands.names)
        return replace(self, meta={**self.meta, **more}, sampled=sampled)

    def masked(self) -> np.ndarray:
        """A copy of ``data`` with NaN wherever ``valid`` is False: (band, y, x) float32."""
        return np.where(self.valid, self.data, np.float32(np.nan))

    def to_xarray(self) -> xarray.DataArray:
        """The cube with labels: dims (band, y, x), coordinates at pixel centres.

        After the CF conventions, so that ``.rio.crs`` and ``.to_netcdf()`` work. ``valid`` is a
        coordinate; metadata that are no text or number are JSON in one attribute.

        >>> from trifuse.simulate import procedural_scene
        >>> procedural_scene(20, seed=1).select(["E010"]).to_xarray().sizes["y"]
        20

        Raises:
            MissingExtraError: if xarray is not installed.
        """
        meta = self.sampling.described(self.meta, self.bands.names)
        name = str(self.meta.get("quantity", "reflectance"))
        return labelled(self.data, self.valid, self.bands, self.grid, meta, name)

    @classmethod
    def from_xarray(cls, array: XArray) -> Cube:
        """What :meth:`to_xarray` made, or any labelled array of values: the inverse.

        Counts, one variable a band, and what is too large for memory:
        :func:`trifuse.products.open_cube`.

        Args:
            array: floats of dims (band, y, x) in any order, or (y, x), NaN is missing; or a Dataset
                of one such array.

        Raises:
            DataError: if it holds no floats, or more dimensions.
            GridError: if its coordinates are no regular grid.
        """
        data, valid, bands, grid, meta, corner = pieces_of(array)
        sampled = Sampling.told(meta, bands.names).cropped(Window(*corner, *grid.shape))
        return cls(data, valid, bands, grid, meta, _known(sampled) if any(corner) else None)

    def plot(self, bands: Sequence[str] | None = None, *, ax: Any = None) -> Any:
        """Show the cube in a notebook: stretched from the 2nd to the 98th percentile.

        Args:
            bands: of red, green and blue, or one; default: see
                :func:`trifuse.core.picture.choose_rgb`.
            ax: matplotlib axes to draw into; default: new ones.

        Returns:
            The axes.

        Raises:
            MissingExtraError: if matplotlib is not installed.
            BandError: if a band is missing, or they are not one or three.
        """
        from trifuse.core.picture import choose_rgb, draw

        names = choose_rgb(self.bands) if bands is None else tuple(bands)
        planes = self.data[self.bands.indices(names)]
        return draw(planes, self.valid, names, self.grid, ax)

    def __repr__(self) -> str:
        share = f"{100 * float(self.valid.mean()):.0f} % valid"
        return f"Cube({told(self.bands, self.grid)}, {share})"


class CubeSource(ABC):
    """A cube that is not yet read; what every reader returns.

    ``source[window]``, ``source.select(names)`` and ``source.with_meta(...)`` are sources too:
    they read what they show of this one, and close it when they are closed.

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
    _sampled: Sampling | None = None

    # A window is asked for by its index; that does not make an image a sequence.
    __iter__ = None

    @abstractmethod
    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """Read a window (default: all) of some bands (default: all) as calibrated values.

        Raises:
            ProductError: if the file is damaged there.
            BandError: if a band is missing.
            DataError: if the window leaves the image.
        """

    @property
    def sampling(self) -> Sampling:
        """How the bands were sampled: what a reader knows, else what ``meta`` tells."""
        if self._sampled is not None:
            return self._sampled
        return Sampling.told(self.meta, self.bands.names)

    def _sampled_part(self, window: Window, numbers: Sequence[int]) -> Sampling | None:
        """That of some bands in a window, for the cube read; None where nothing is known."""
        return _known(self.sampling.select(numbers).cropped(window))

    def __getitem__(self, window: Window) -> CubeSource:
        """A window of the image.

        Raises:
            DataError: if it leaves the image.
        """
        return _Part(self)[window]

    def select(self, which: Iterable[str]) -> CubeSource:
        """The named bands, in the order asked for.

        Raises:
            BandError: if one is missing.
        """
        return _Part(self).select(which)

    def with_meta(self, meta: Mapping[str, Any] | None = None, /, **words: Any) -> CubeSource:
        """The same image with more said of it; words of the sampling count for it."""
        return _Part(self).with_meta(meta, **words)

    def with_sampling(self, sampling: Sampling) -> CubeSource:
        """The same image with its sampling known better, band by band."""
        return _Part(self).with_sampling(sampling)

    def to_xarray(self, chunk: int | None = None) -> xarray.DataArray:
        """The image with labels, as :meth:`Cube.to_xarray`; blocks are read when they are needed.

        Args:
            chunk: side of a block in pixels; default: about 64 MB of all bands.

        Without Dask the whole image is read.

        Raises:
            MissingExtraError: if xarray is not installed.
        """
        shape = (len(self.bands), *self.grid.shape)
        if (lazy := lazily(self.read, shape, chunk)) is None:
            return self.read().to_xarray()
        meta = self.sampling.described(self.meta, self.bands.names)
        name = str(self.meta.get("quantity", "reflectance"))
        return labelled(*lazy, self.bands, self.grid, meta, name)

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self.name!r}, {told(self.bands, self.grid)})"

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


class _Part(CubeSource):
    """What is shown of another source; one, however many steps led to it.

    Args:
        source: the whole image.
        window: of it that is shown; default: all.
        names: of the bands that are shown, in order; default: all.
        words: what is said beside the image's own metadata.
        sampled: sampling of what is shown, where it is not the image's own.
    """

    def __init__(
        self,
        source: CubeSource,
        window: Window | None = None,
        names: tuple[str, ...] | None = None,
        words: Mapping[str, Any] | None = None,
        sampled: Sampling | None = None,
    ) -> None:
        self._source, self._window, self._names = source, window, names
        self._words, self._sampled = dict(words or {}), sampled
        self.name, self.meta = source.name, {**source.meta, **self._words}
        self.grid = source.grid if window is None else source.grid.window(window)
        self._numbers = None if names is None else source.bands.indices(names)
        self.bands = source.bands if names is None else source.bands.select(self._numbers or ())

    def __reduce__(self) -> tuple:
        """Plain pieces, which are put together again where they arrive."""
        return _Part, (self._source, self._window, self._names, self._words, self._sampled)

    @property
    def sampling(self) -> Sampling:
        """See :attr:`CubeSource.sampling`."""
        if self._sampled is not None:
            return self._sampled
        own = self._source.sampling
        own = own if self._numbers is None else own.select(self._numbers)
        return own if self._window is None else own.cropped(self._window)

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        names = self._names
        if bands is not None:
            names = self.bands.select(self.bands.indices(bands)).names
        at = window
        if self._window is not None:
            inner = self.grid.whole if window is None else _inside(window, self.grid, self.name)
            at = inner.shift(self._window.row, self._window.col)
        cube = self._source.read(at, names)
        if not self._words and self._sampled is None:
            return cube
        sampled = cube.sampled
        if self._sampled is not None:
            numbers = self.bands.indices(cube.bands.names)
            sampled = self._sampled_part(window or self.grid.whole, numbers)
        return replace(cube, meta={**cube.meta, **self._words}, sampled=sampled)

    def close(self) -> None:
        """Close the image that this is a part of."""
        self._source.close()

    def __getitem__(self, window: Window) -> CubeSource:
        _inside(window, self.grid, self.name)
        first = self._window or self.grid.whole
        moved = window.shift(first.row, first.col)
        sampled = self._sampled and self._sampled.cropped(window)
        return _Part(self._source, moved, self._names, self._words, sampled)

    def select(self, which: Iterable[str]) -> CubeSource:
        """See :meth:`CubeSource.select`."""
        numbers = self.bands.indices(which)
        names = self.bands.select(numbers).names
        sampled = self._sampled and self._sampled.select(numbers)
        return _Part(self._source, self._window, names, self._words, sampled)

    def with_meta(self, meta: Mapping[str, Any] | None = None, /, **words: Any) -> CubeSource:
        """See :meth:`CubeSource.with_meta`."""
        more = {**(meta or {}), **words}
        retold = self.sampling.retold(more, self.bands.names)
        sampled = self._sampled if retold is self.sampling else retold
        return _Part(self._source, self._window, self._names, {**self._words, **more}, sampled)

    def with_sampling(self, sampling: Sampling) -> CubeSource:
        """See :meth:`CubeSource.with_sampling`."""
        return _Part(self._source, self._window, self._names, self._words, sampling)


class MemorySource(CubeSource):
    """A cube already in memory, as a source."""

    def __init__(self, cube: Cube, name: str = "memory") -> None:
        self._cube = cube
        self.name, self.grid, self.bands, self.meta = name, cube.grid, cube.bands, cube.meta

    def __reduce__(self) -> tuple:
        """Plain pieces, because a mapping proxy does not pickle."""
        return MemorySource, (self._cube, self.name)

    @property
    def sampling(self) -> Sampling:
        """The cube's."""
        return self._cube.sampling

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`."""
        cube = self._cube if bands is None else self._cube.select(bands)
        return cube if window is None else cube.crop(window)


def _known(sampling: Sampling) -> Sampling | None:
    return sampling if sampling.known else None


def _inside(window: Window, grid: Grid, where: str | None = None) -> Window:
    """The window, if it lies in an image.

    Raises:
        DataError: if it does not.
    """
    if window.clip(*grid.shape) != window:
        raise DataError(f"{window} leaves an image of {grid.height}×{grid.width}", where=where)
    return window
