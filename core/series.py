"""Many dates of one sensor on one grid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from trifuse.core.bands import BandSet
from trifuse.core.cube import Cube, CubeSource
from trifuse.core.errors import BandError, DataError, GridError
from trifuse.core.grid import Grid, Window
from trifuse.core.shown import told

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, repr=False)
class Series:
    """Dated sources of one sensor, sorted by date; all share one grid and one band set.

    Attributes:
        sensor: name of the sensor, e.g. ``S2A_MSI``.
        dates: ascending, without duplicates.
        sources: one per date.

    Raises:
        DataError: if there is no date, or dates are unsorted or doubled.
        GridError: if a source lies on another grid.
        BandError: if a source has other bands.
    """

    sensor: str
    dates: tuple[date, ...]
    sources: tuple[CubeSource, ...]

    def __post_init__(self) -> None:
        if not self.dates or len(self.dates) != len(self.sources):
            raise DataError(f"{len(self.dates)} dates for {len(self.sources)} images")
        for before, after in zip(self.dates, self.dates[1:], strict=False):
            if after <= before:
                raise DataError(
                    f"{after} follows {before}",
                    where=f"series of {self.sensor}",
                    fix="sort the dates, one image each",
                )
        first = self.sources[0]
        for day, source in zip(self.dates, self.sources, strict=True):
            if source.grid != first.grid:
                raise GridError(f"another grid than on {self.dates[0]}", where=str(day))
            if source.bands.names != first.bands.names:
                raise BandError(f"other bands than on {self.dates[0]}", where=str(day))

    @classmethod
    def of(cls, sensor: str, items: Iterable[tuple[date, CubeSource]]) -> Series:
        """Make a series from pairs in any order; a doubled date is an error."""
        pairs = sorted(items, key=lambda item: item[0])
        return cls(sensor, tuple(d for d, _ in pairs), tuple(s for _, s in pairs))

    @property
    def grid(self) -> Grid:
        """The common grid."""
        return self.sources[0].grid

    @property
    def bands(self) -> BandSet:
        """The common bands."""
        return self.sources[0].bands

    def __len__(self) -> int:
        return len(self.dates)

    def __iter__(self) -> Iterator[tuple[date, CubeSource]]:
        return zip(self.dates, self.sources, strict=True)

    def __repr__(self) -> str:
        days = f"{len(self)} dates {self.dates[0]} … {self.dates[-1]}"
        return f"Series({self.sensor}, {days}, {told(self.bands, self.grid)})"

    def between(self, first: date, last: date) -> Series:
        """The dates from ``first`` to ``last``, both included."""
        return Series.of(self.sensor, ((d, s) for d, s in self if first <= d <= last))

    def read(
        self, day: date, window: Window | None = None, bands: Iterable[str] | None = None
    ) -> Cube:
        """The image of one date.

        Raises:
            DataError: if there is no such date.
        """
        if day not in self.dates:
            raise DataError(f"no image of {day}", fix=f"{self.dates[0]} to {self.dates[-1]} exist")
        return self.sources[self.dates.index(day)].read(window, bands)

    def to_xarray(
        self, window: Window | None = None, bands: Iterable[str] | None = None
    ) -> xarray.DataArray:
        """The series for a notebook, read into memory: dims (time, band, y, x).

        Coordinates are those of :meth:`Cube.to_xarray`, and ``valid`` has a time too.

        Args:
            window: pixels to read; default: all.
            bands: to read; default: all.

        Raises:
            MissingExtraError: if xarray is not installed.
        """
        wanted = None if bands is None else list(bands)
        first = self.read(self.dates[0], window, wanted)
        frame = first.to_xarray()
        import xarray

        shape = (len(self), *first.shape)
        data, valid = np.empty(shape, np.float32), np.empty((len(self), *first.grid.shape), bool)
        for i, day in enumerate(self.dates):
            cube = first if i == 0 else self.read(day, window, wanted)
            data[i], valid[i] = cube.data, cube.valid
        coords = {k: v for k, v in frame.coords.items() if k != "valid"}
        return xarray.DataArray(
            data,
            dims=("time", *frame.dims),
            coords={
                "time": np.array(self.dates, "datetime64[ns]"),
                **coords,
                "valid": (("time", "y", "x"), valid),
            },
            attrs={"crs": first.grid.crs, "sensor": self.sensor},
        )
