"""Where pixels lie: an immutable grid with algebra.

A grid is north-up and unrotated; readers flip or refuse anything else. Windows are half-open
pixel ranges. All relations between sensors (10 m, 30 m, 300 m) are :meth:`Grid.zoom_out` and
:meth:`Grid.nested_ratio`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from trifuse.core.errors import GridError, OverlapError

Affine6 = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a·col + b·row + c, y = d·col + e·row + f, at pixel corners."""


@dataclass(frozen=True, slots=True)
class Window:
    """A rectangle of pixels: rows ``row … row + height``, columns ``col … col + width``."""

    row: int
    col: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 0 or self.width < 0:
            raise GridError(f"window of {self.height}×{self.width} pixels")

    @property
    def slices(self) -> tuple[slice, slice]:
        """Row and column slice for indexing an array's last two axes."""
        return (slice(self.row, self.row + self.height), slice(self.col, self.col + self.width))

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    def shift(self, rows: int, cols: int) -> Window:
        """The same rectangle moved."""
        return replace(self, row=self.row + rows, col=self.col + cols)

    def pad(self, margin: int) -> Window:
        """Grown by ``margin`` pixels on every side (it may leave the grid: :meth:`clip`)."""
        return Window(
            self.row - margin, self.col - margin, self.height + 2 * margin, self.width + 2 * margin
        )

    def clip(self, height: int, width: int) -> Window:
        """The part inside an image of ``height`` × ``width`` pixels."""
        r0, c0 = max(self.row, 0), max(self.col, 0)
        r1, c1 = min(self.row + self.height, height), min(self.col + self.width, width)
        return Window(r0, c0, max(r1 - r0, 0), max(c1 - c0, 0))


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinate system, affine and size of an image.

    Attributes:
        crs: ``EPSG:n`` where there is a code, else WKT; empty where unknown. A number of the EPSG,
            and objects of rasterio and pyproj, are taken for it.
        transform: pixel corners to map coordinates, see :data:`Affine6`. An ``affine.Affine`` is
            taken for it, and its nine numbers; the order of GDAL is :meth:`from_gdal`'s.
        height: rows.
        width: columns.

    Raises:
        GridError: if the numbers are no north-up grid, or the system is none.

    >>> g = Grid("EPSG:32633", (30.0, 0.0, 0.0, 0.0, -30.0, 600.0), 20, 30)
    >>> g.zoom_out(10).shape, g.nested_ratio(g.zoom_out(10))
    ((2, 3), 10)
    """

    crs: str
    transform: Affine6
    height: int
    width: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "crs", _crs_text(self.crs))
        object.__setattr__(self, "transform", _six(self.transform))
        a, b, c, d, e, _ = self.transform
        if self.height < 1 or self.width < 1:
            raise GridError(f"a grid of {self.height}×{self.width} pixels is empty")
        if not all(math.isfinite(v) for v in self.transform):
            raise GridError(f"transform {self.transform} is not finite")
        if b != 0 or d != 0:
            if c == 0 and e == 0 and b > 0:
                raise GridError(
                    f"transform {self.transform} is in the order of GDAL",
                    fix="give it to Grid.from_gdal",
                )
            raise GridError("rotated grids are not supported", fix="warp the image to north-up")
        if a <= 0 or e >= 0:
            raise GridError(f"pixels of {a:g} × {e:g} are not north-up", fix="flip the image")

    @classmethod
    def from_origin(
        cls, crs: str, west: float, north: float, gsd: float, height: int, width: int
    ) -> Grid:
        """A grid of square pixels of ``gsd`` metres from its upper left corner."""
        return cls(crs, (gsd, 0.0, west, 0.0, -gsd, north), height, width)

    @classmethod
    def from_gdal(cls, crs: Any, geotransform: Sequence[float], height: int, width: int) -> Grid:
        """A grid by GDAL's six numbers: west, pixel width, 0, north, 0, minus pixel height.

        >>> Grid.from_gdal(32633, (600000, 10, 0, 5800020, 0, -10), 4, 6).bounds
        (600000.0, 5799980.0, 600060.0, 5800020.0)
        """
        c, a, b, f, d, e = _numbers(geotransform, (6,))
        return cls(crs, (a, b, c, d, e, f), height, width)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return self.height, self.width

    @property
    def gsd(self) -> tuple[float, float]:
        """Pixel size (y, x) in map units, both positive."""
        return -self.transform[4], self.transform[0]

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """(west, south, east, north) of the outer pixel edges."""
        a, _, c, _, e, f = self.transform
        return c, f + e * self.height, c + a * self.width, f

    @property
    def whole(self) -> Window:
        """The window that is the grid itself."""
        return Window(0, 0, self.height, self.width)

    def window(self, window: Window) -> Grid:
        """The grid of a window of this one (which may reach beyond it)."""
        a, b, c, d, e, f = self.transform
        moved = (a, b, c + a * window.col, d, e, f + e * window.row)
        return Grid(self.crs, moved, window.height, window.width)

    def zoom_out(self, ratio: int) -> Grid:
        """The grid of ``ratio`` times larger cells from the same origin; partial cells drop."""
        if ratio < 1 or ratio > min(self.shape):
            raise GridError(f"ratio {ratio} does not fit a grid of {self.height}×{self.width}")
        a, b, c, d, e, f = self.transform
        scaled = (a * ratio, b, c, d, e * ratio, f)
        return Grid(self.crs, scaled, self.height // ratio, self.width // ratio)

    def zoom_in(self, ratio: int) -> Grid:
        """The grid of ``ratio`` times smaller cells over the same ground."""
        if ratio < 1:
            raise GridError(f"ratio {ratio} is not a positive integer")
        a, b, c, d, e, f = self.transform
        scaled = (a / ratio, b, c, d, e / ratio, f)
        return Grid(self.crs, scaled, self.height * ratio, self.width * ratio)

    def nested_ratio(self, coarse: Grid, tolerance: float = 0.01) -> int:
        """The integer ratio at which this grid's pixels fill the coarse cells.

        Args:
            coarse: the grid of larger cells; it may cover more or less ground.
            tolerance: allowed misfit of origin and size, in pixels of this (fine) grid.

        Raises:
            GridError: if CRS differ, the ratio is no integer, or the cells are not aligned.
        """
        self._same_crs(coarse)
        ratio_y, ratio_x = (c / f for c, f in zip(coarse.gsd, self.gsd, strict=True))
        ratio = round(ratio_x)
        if max(ratio_y, ratio_x) < 0.75:
            raise GridError(
                f"the coarse image has pixels of {coarse.gsd[1]:g} × {coarse.gsd[0]:g}, the fine "
                f"one of {self.gsd[1]:g} × {self.gsd[0]:g}",
                fix="swap the two",
            )
        extent = max(coarse.height, coarse.width) * max(ratio, 1)
        drift = max(abs(ratio_y - ratio), abs(ratio_x - ratio)) / max(ratio, 1) * extent
        if ratio < 1 or drift > max(tolerance, 1e-6 * extent):
            raise GridError(
                f"cells of {coarse.gsd[1]:g} × {coarse.gsd[0]:g} are no whole multiple of pixels "
                f"of {self.gsd[1]:g} × {self.gsd[0]:g}",
                fix="resample the coarse image to a whole multiple of the fine pixel",
            )
        off_row, off_col = self._offset(coarse)
        if max(abs(off_row - round(off_row)), abs(off_col - round(off_col))) > tolerance:
            raise GridError(
                f"coarse cells start {off_col:.3f} columns and {off_row:.3f} rows from the fine "
                "grid's origin, which is no whole number of pixels",
                fix="shift or resample one image onto the other's grid",
            )
        return ratio

    def is_nested(self, coarse: Grid, tolerance: float = 0.01) -> bool:
        """Whether :meth:`nested_ratio` has an answer."""
        try:
            self.nested_ratio(coarse, tolerance)
        except GridError:
            return False
        return True

    def locate(self, other: Grid) -> Window:
        """The window of this grid that another one of the same pixels covers (may leave it).

        Raises:
            GridError: if the pixels of the two do not coincide.
        """
        self._same_crs(other)
        sharper = other.gsd[0] < 0.75 * self.gsd[0] or other.gsd[1] < 0.75 * self.gsd[1]
        if sharper or self.nested_ratio(other) != 1:
            raise GridError(f"pixels of {self.gsd} and {other.gsd} are not of one size")
        row, col = self._offset(other)
        return Window(round(row), round(col), other.height, other.width)

    def common(self, coarse: Grid) -> tuple[Window, Window, int]:
        """The ground that this grid shares with a nested coarse one, in whole coarse cells.

        Returns:
            (window of this grid, window of the coarse grid, ratio); the first is exactly
            ``ratio`` times the second.

        Raises:
            GridError: if the coarse grid is not nested.
            OverlapError: if they share no whole coarse cell.
        """
        ratio = self.nested_ratio(coarse)
        row, col = (round(v) for v in self._offset(coarse))
        first_row, first_col = max(0, -(row // ratio)), max(0, -(col // ratio))
        last_row = min(coarse.height, (self.height - row) // ratio)
        last_col = min(coarse.width, (self.width - col) // ratio)
        if last_row <= first_row or last_col <= first_col:
            raise OverlapError(
                f"the images share no ground: {_box(self)} against {_box(coarse)}",
                fix="give images of the same area",
            )
        part = Window(first_row, first_col, last_row - first_row, last_col - first_col)
        fine = Window(
            row + first_row * ratio,
            col + first_col * ratio,
            part.height * ratio,
            part.width * ratio,
        )
        return fine, part, ratio

    def _offset(self, other: Grid) -> tuple[float, float]:
        """Origin of the other grid in pixels (row, column) of this one."""
        a, _, c, _, e, f = self.transform
        return (other.transform[5] - f) / e, (other.transform[2] - c) / a

    def _same_crs(self, other: Grid) -> None:
        if self.crs != other.crs:
            raise GridError(
                f"coordinate systems differ: {_short(self.crs)} against {_short(other.crs)}",
                fix="warp one image into the other's coordinate system",
            )


def _six(transform: Any) -> Affine6:
    """Six numbers of a transform: of six, of the nine of a matrix, or of an object with a to f."""
    if all(hasattr(transform, name) for name in "abcdef"):
        transform = [getattr(transform, name) for name in "abcdef"]
    values = _numbers(transform, (6, 9))
    if len(values) == 9 and values[6:] != [0.0, 0.0, 1.0]:
        raise GridError(
            f"the last row of the matrix is {values[6:]}, not 0, 0, 1",
            fix="give the six numbers a, b, c, d, e, f",
        )
    a, b, c, d, e, f = values[:6]
    return a, b, c, d, e, f


def _numbers(values: Any, counts: tuple[int, ...]) -> list[float]:
    try:
        numbers = [float(v) for v in values]
    except (TypeError, ValueError):
        numbers = []
    if len(numbers) not in counts:
        raise GridError(
            f"transform {str(values)[:80]} is not of {' or '.join(map(str, counts))} numbers",
            fix="give a, b, c, d, e, f of x = a·col + b·row + c, y = d·col + e·row + f, or GDAL's "
            "six to Grid.from_gdal",
        )
    return numbers


def _crs_text(crs: Any) -> str:
    """``EPSG:n`` or WKT of what people have for a coordinate system."""
    if isinstance(crs, str):
        return crs.upper() if re.fullmatch(r"epsg:\d+", crs, re.IGNORECASE) else crs
    if crs is None:
        return ""
    if not isinstance(crs, bool) and hasattr(crs, "__index__"):
        return f"EPSG:{int(crs)}"
    if hasattr(crs, "to_epsg") and hasattr(crs, "to_wkt"):
        code = crs.to_epsg()
        return f"EPSG:{code}" if code else str(crs.to_wkt())
    raise GridError(
        f"{str(crs)[:40]!r} of type {type(crs).__name__} is no coordinate system",
        fix="give EPSG:n, the number, WKT, or a CRS of rasterio or pyproj",
    )


def _short(crs: str) -> str:
    return (crs if len(crs) <= 40 else crs[:37] + "…") or "none"


def _box(grid: Grid) -> str:
    west, south, east, north = grid.bounds
    return f"x {west:g}…{east:g}, y {south:g}…{north:g}"
