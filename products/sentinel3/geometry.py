"""Where the pixels of a Sentinel-3 swath lie.

``geolocation.nc`` gives each pixel its place on the terrain. Where it is missing, the tie points
serve: every 64th column, on the ellipsoid, so in mountains at the swath's edge they are off by up
to kilometres. In SY_2_SYN they are one long list that runs down the columns (first all rows of the
first tie column), while everything else in the product runs along the rows; the order is told
from the places themselves, because neighbours along a column are 300 m apart and neighbours
along a row 19 km.

Places are interpolated as unit vectors, which know no antimeridian and no pole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trifuse.core import MetadataError, Window
from trifuse.products.files.hdf5 import Variable, global_numbers
from trifuse.products.sentinel3.delivery import Delivery

STEP = 64
"""Columns from one tie point to the next."""

BLOCK = (16, 32)
"""Rows and columns of the blocks of pixels by which a swath is searched."""

_STRIP = 512


@dataclass(frozen=True, slots=True)
class TiePoints:
    """A field given at every so-many-th row and column.

    Attributes:
        variables: of the field, e.g. latitude and longitude.
        shape: (rows, columns) of the tie points.
        step: pixels from one to the next, (row, column).
        by_column: whether a list runs down the columns.
    """

    variables: tuple[Variable, ...]
    shape: tuple[int, int]
    step: tuple[int, int]
    by_column: bool = False

    def fields(self, delivery: Delivery) -> list[np.ndarray]:
        """Values of each variable at the tie points: (row, column) float64."""
        return [self._ordered(delivery.values(v, dtype=np.float64)) for v in self.variables]

    def _ordered(self, values: np.ndarray) -> np.ndarray:
        rows, cols = self.shape
        if values.ndim == 2:
            return values
        return values.reshape(cols, rows).T if self.by_column else values.reshape(rows, cols)


@dataclass(frozen=True, slots=True)
class Geolocation:
    """Where the pixels of a swath lie.

    Attributes:
        shape: (rows, columns) of the swath.
        lon: longitude per pixel; None if only tie points are there.
        lat: latitude per pixel; likewise.
        ties: tie points (longitude, latitude); None if there are none.
    """

    shape: tuple[int, int]
    lon: Variable | None
    lat: Variable | None
    ties: TiePoints | None

    @property
    def origin(self) -> str:
        """Where places are from, in words."""
        if self.lon is not None:
            return f"{self.lon.file} (on the terrain)"
        return "tie points (on the ellipsoid, no terrain)"

    def lonlat(self, delivery: Delivery, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude in degrees, each (row, col) float64; NaN where unknown."""
        if self.lon is None or self.lat is None:
            rows, cols = window.slices
            return self._tied(
                delivery, np.arange(rows.start, rows.stop), np.arange(cols.start, cols.stop)
            )
        lon, lat = (delivery.values(v, window, np.float64) for v in (self.lon, self.lat))
        wrong = ~((np.abs(lat) <= 90) & (np.abs(lon) <= 360))
        lon[wrong], lat[wrong] = np.nan, np.nan
        return lon, lat

    def mesh(self, delivery: Delivery, *, by_pixel: bool = False) -> Mesh:
        """Where the blocks of the swath lie.

        Args:
            delivery: of the swath.
            by_pixel: from the places of the pixels even if there are tie points, which are much
                quicker to read.
        """
        rows, cols = (
            np.unique([*range(0, n, step), n]) for n, step in zip(self.shape, BLOCK, strict=True)
        )
        if self.lon is None or (self.ties is not None and not by_pixel):
            middles = ((e[:-1] + e[1:]) // 2 for e in (rows, cols))
            return Mesh(rows, cols, *self._tied(delivery, *middles))
        places = np.full((2, len(rows) - 1, len(cols) - 1), np.nan)
        for window in self._strips():
            lonlat = np.stack(self.lonlat(delivery, window))
            for top in range(0, window.height, BLOCK[0]):
                block = lonlat[:, top : top + BLOCK[0]]
                places[:, (window.row + top) // BLOCK[0]] = _first_known(block, cols)
        return Mesh(rows, cols, *places)

    def outline(self, delivery: Delivery) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude of pixels between which all others lie: each (n,) float64."""
        found = []
        if self.lon is None:
            ends = np.array([0, self.shape[1] - 1])
            found.append(self._tied(delivery, np.arange(self.shape[0]), ends))
        else:
            for window in self._strips():
                lon, lat = self.lonlat(delivery, window)
                known = np.isfinite(lon)
                rows = np.flatnonzero(known.any(axis=1))
                for col in (
                    known[rows].argmax(axis=1),
                    self.shape[1] - 1 - known[rows, ::-1].argmax(axis=1),
                ):
                    found.append((lon[rows, col], lat[rows, col]))
                found += [(lon[r], lat[r]) for r in rows[[0, -1] if len(rows) else []]]
        mesh = self.mesh(delivery)
        found.append((mesh.lon, mesh.lat))
        lon, lat = (np.concatenate([v[i].ravel() for v in found]) for i in (0, 1))
        known = np.isfinite(lon) & np.isfinite(lat)
        return lon[known], lat[known]

    def _strips(self) -> list[Window]:
        """Windows of whole rows and whole blocks, so that frames need not be held whole."""
        return [
            Window(top, 0, min(_STRIP, self.shape[0] - top), self.shape[1])
            for top in range(0, self.shape[0], _STRIP)
        ]

    def _tied(
        self, delivery: Delivery, rows: np.ndarray, cols: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        assert self.ties is not None
        vectors = unit_vectors(*self.ties.fields(delivery))
        at = [interpolate(v, self.ties.step, rows, cols) for v in vectors]
        lon = np.degrees(np.arctan2(at[1], at[0]))
        lat = np.degrees(np.arctan2(at[2], np.hypot(at[0], at[1])))
        return lon, lat


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """One place in each block of a swath.

    Attributes:
        rows: (n + 1,) first rows of the blocks, and the end.
        cols: (m + 1,) likewise.
        lon: (n, m) degrees, NaN where no pixel of the block has a place.
        lat: (n, m) likewise.
    """

    rows: np.ndarray
    cols: np.ndarray
    lon: np.ndarray
    lat: np.ndarray

    def covering(
        self, x: np.ndarray, y: np.ndarray, box: tuple[float, float, float, float]
    ) -> Window | None:
        """The blocks whose place lies in a box.

        Args:
            x: (n, m) map coordinates of the places, not finite where unknown.
            y: likewise.
            box: (west, south, east, north) in map coordinates; larger than what is looked for by
                what blocks can reach from their places.
        """
        west, south, east, north = box
        with np.errstate(invalid="ignore"):
            hit = (x >= west) & (x <= east) & (y >= south) & (y <= north)
        if not hit.any():
            return None
        i, j = np.flatnonzero(hit.any(axis=1)), np.flatnonzero(hit.any(axis=0))
        top, left = int(self.rows[i[0]]), int(self.cols[j[0]])
        return Window(top, left, int(self.rows[i[-1] + 1]) - top, int(self.cols[j[-1] + 1]) - left)


def tie_points(
    delivery: Delivery,
    variables: Sequence[Variable],
    shape: tuple[int, int],
    *,
    places: bool = False,
) -> TiePoints:
    """Tell how tie points belong to the pixels of a swath.

    Args:
        delivery: of the swath.
        variables: of one file and shape: a list, or (tie row, tie column).
        shape: (rows, columns) of the swath.
        places: whether they are longitude and latitude, by which the order of a list is told.

    Raises:
        MetadataError: if their number does not fit the swath.
    """
    first = variables[0]
    where = delivery.where(first.file)
    if any(v.shape != first.shape for v in variables) or len(first.shape) > 2:
        raise MetadataError("has tie points of different shapes", where=where)
    path = delivery.path(first.file)
    along, across = (_stated_step(path, where, axis) for axis in ("al", "ac"))
    step_row = along or 1
    rows = math.ceil((shape[0] - 1) / step_row) + 1
    count = math.prod(first.shape)
    cols = first.shape[1] if len(first.shape) == 2 else count // rows
    step_col = across or _column_step(shape[1], cols)
    fits = rows * cols == count and (cols - 1) * step_col >= shape[1] - 1 and step_col
    if not fits or (len(first.shape) == 2 and first.shape[0] != rows):
        raise MetadataError(
            f"has {'×'.join(map(str, first.shape))} tie points, which do not fit "
            f"{shape[0]}×{shape[1]} pixels",
            where=where,
            fix="get the product again",
        )
    ties = TiePoints(tuple(variables), (rows, cols), (step_row, step_col))
    if places and len(first.shape) == 1:
        lists = [delivery.values(v, dtype=np.float64) for v in variables]
        return TiePoints(ties.variables, ties.shape, ties.step, runs_down(*lists, cols=cols))
    return ties


def _stated_step(path: Path, where: str, axis: str) -> int:
    """Pixels from tie point to tie point, along or across the track; 0 where the file is silent."""
    numbers = global_numbers(path, where, f"{axis}_subsampling_factor")
    return int(numbers[0]) if len(numbers) == 1 and 1 <= numbers[0] < math.inf else 0


def runs_down(lon: np.ndarray, lat: np.ndarray, *, cols: int) -> bool:
    """Whether a list of places runs down the columns of a swath rather than along its rows.

    Args:
        lon: (n,) degrees.
        lat: (n,) degrees.
        cols: tie points in a row.
    """
    if cols in (1, len(lon)):
        return cols == 1
    vectors = np.stack(unit_vectors(lon, lat))

    def gap(distance: int) -> float:
        steps = np.linalg.norm(vectors[:, distance:] - vectors[:, :-distance], axis=0)
        return float(np.nanmedian(steps)) if np.isfinite(steps).any() else math.inf

    # Rows are 300 m apart: next to each other in a list down the columns, a row's length apart in
    # one along the rows.
    return gap(1) <= gap(cols)


def unit_vectors(lon: np.ndarray, lat: np.ndarray) -> list[np.ndarray]:
    """x, y and z of the directions with these longitudes and latitudes in degrees."""
    a, b = np.radians(lon), np.radians(lat)
    return [np.cos(b) * np.cos(a), np.cos(b) * np.sin(a), np.sin(b)]


def interpolate(
    field: np.ndarray, step: tuple[int, int], rows: np.ndarray, cols: np.ndarray
) -> np.ndarray:
    """Bilinear values of a tie-point field at pixels: (len(rows), len(cols)) float64.

    Args:
        field: (tie row, tie column); the first tie point is pixel (0, 0).
        step: pixels from one tie point to the next, (row, column).
        rows: numbers of the pixels' rows.
        cols: likewise of the columns.
    """
    i, u = _between(rows / step[0], field.shape[0])
    j, v = _between(cols / step[1], field.shape[1])
    down = field[i] * (1 - u)[:, None] + field[np.minimum(i + 1, len(field) - 1)] * u[:, None]
    right = np.minimum(j + 1, field.shape[1] - 1)
    values: np.ndarray = down[:, j] * (1 - v) + down[:, right] * v
    return values


def _between(at: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.clip(np.floor(at).astype(int), 0, max(count - 2, 0))
    return first, np.clip(at - first, 0.0, 1.0)


def _column_step(columns: int, ties: int) -> int:
    """Columns between tie points where the file does not say."""
    if ties < 2:
        return 1 if columns == 1 else 0
    if (ties - 1) * STEP >= columns - 1 > (ties - 2) * STEP:
        return STEP
    return (columns - 1) // (ties - 1) if (columns - 1) % (ties - 1) == 0 else 0


def _first_known(places: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The first known place of each group of columns.

    Args:
        places: (2, row, col) longitude and latitude, NaN where unknown.
        edges: (m + 1,) first columns of the groups, and the end.

    Returns:
        (2, m), NaN where a group has none.
    """
    known = np.isfinite(places).all(axis=0)
    col = np.where(known.any(axis=0), np.arange(known.shape[1]), known.shape[1])
    first = np.minimum.reduceat(col, edges[:-1])
    there = first < edges[1:]
    at = np.where(there, first, 0)
    return np.where(there, places[:, known[:, at].argmax(axis=0), at], np.nan)
