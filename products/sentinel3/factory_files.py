"""Parts of made Sentinel-3 deliveries: swaths, netCDF files, folders and zips."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import rasterio.warp
from scipy import ndimage

from trifuse.core import ConfigError, Cube, Grid, atomic_path, fill_nearest, refuse_existing
from trifuse.core.atomic import flush_to_disk
from trifuse.products.files.factory import new_folder, pack_zip
from trifuse.products.files.raster import parse_crs
from trifuse.products.sentinel3.area import require_metres
from trifuse.products.sentinel3.geometry import STEP

BLOCK = 256
"""Rows that are made at once, so that full frames take little memory."""

SPACING = (296.4, 269.7)
"""Metres from row to row and from column to column, as in a real product of 2023-09-12."""

TILT = 13.0
"""Degrees by which the rows of that product dip from west to east."""

_STAMP = "%Y%m%dT%H%M%S"


@dataclass(frozen=True, slots=True)
class SwathPlan:
    """A scan-like swath on a map: rows go down and a little left, columns right and a little down.

    Attributes:
        grid: whose coordinate system it lies in, and whose middle is its own.
        shape: (rows, columns).
        spacing: metres from row to row and from column to column.
        tilt: degrees by which rows dip to the right.
    """

    grid: Grid
    shape: tuple[int, int]
    spacing: tuple[float, float] = SPACING
    tilt: float = TILT

    @classmethod
    def around(
        cls,
        grid: Grid,
        shape: tuple[int, int] | None,
        spacing: tuple[float, float] = SPACING,
        tilt: float = TILT,
    ) -> SwathPlan:
        """A swath of some shape, by default as large as covers the grid.

        Raises:
            GridError: if the grid is not in metres.
            ConfigError: if a value is out of range.
        """
        require_metres(grid.crs)
        if min(spacing) <= 0 or (shape is not None and min(shape) < 2):
            raise ConfigError(f"a swath of {shape} pixels {spacing} m apart")
        if shape is None:
            west, south, east, north = grid.bounds
            angle = math.radians(tilt)
            c, s = abs(math.cos(angle)), abs(math.sin(angle))
            down = (east - west) * s + (north - south) * c
            along = (east - west) * c + (north - south) * s
            shape = (math.ceil(down / spacing[0]) + 4, math.ceil(along / spacing[1]) + 4)
        return cls(grid, shape, spacing, tilt)

    def xy(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map coordinates of the pixels at some rows and columns: each (row, col) float64."""
        west, south, east, north = self.grid.bounds
        angle = math.radians(self.tilt)
        down = (np.asarray(rows, float)[:, None] - (self.shape[0] - 1) / 2) * self.spacing[0]
        right = (np.asarray(cols, float)[None, :] - (self.shape[1] - 1) / 2) * self.spacing[1]
        x = (west + east) / 2 + right * math.cos(angle) - down * math.sin(angle)
        y = (south + north) / 2 - right * math.sin(angle) - down * math.cos(angle)
        return x, y

    def lonlat(self, rows: np.ndarray, cols: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude in degrees, each (row, col) float64."""
        x, y = self.xy(rows, cols)
        lon, lat = rasterio.warp.transform(
            parse_crs(self.grid.crs), "EPSG:4326", x.ravel(), y.ravel()
        )
        return np.reshape(lon, x.shape), np.reshape(lat, x.shape)

    def blocks(self) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Row slices with the numbers of their rows and of all columns."""
        cols = np.arange(self.shape[1])
        for top in range(0, self.shape[0], BLOCK):
            rows = np.arange(top, min(top + BLOCK, self.shape[0]))
            yield slice(top, top + len(rows)), rows, cols

    def tie_columns(self, step: int = STEP) -> np.ndarray:
        """Numbers of the tie columns; the last may lie beyond the swath."""
        return np.arange(math.ceil((self.shape[1] - 1) / step) + 1) * step


class Sampler:
    """What a sensor on a swath sees of a plane of a cube, by cubic interpolation.

    Args:
        plan: the swath.
        plane: (y, x) float on ``plan.grid``, NaN where missing.
    """

    def __init__(self, plan: SwathPlan, plane: np.ndarray) -> None:
        self._plan = plan
        self._missing = ~np.isfinite(plane)
        whole = fill_nearest(plane.astype(np.float64))
        self._spline = ndimage.spline_filter(whole, order=3, mode="nearest")

    def __call__(self, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
        """(row, col) float64; NaN off the grid and where its nearest pixel has no value."""
        at = grid_position(self._plan, rows, cols)
        values: np.ndarray = ndimage.map_coordinates(
            self._spline, at, order=3, mode="nearest", prefilter=False
        )
        values[nearest_of(self._plan, self._missing, rows, cols, outside=True)] = np.nan
        return values


def nearest_of(
    plan: SwathPlan, mask: np.ndarray, rows: np.ndarray, cols: np.ndarray, *, outside: bool
) -> np.ndarray:
    """A (y, x) bool mask at the pixels of a swath: (row, col) bool."""
    at = np.rint(grid_position(plan, rows, cols)).astype(int)
    height, width = plan.grid.shape
    inside = (at[0] >= 0) & (at[0] < height) & (at[1] >= 0) & (at[1] < width)
    clipped = mask[at[0].clip(0, height - 1), at[1].clip(0, width - 1)]
    return np.where(inside, clipped, outside)


def grid_position(plan: SwathPlan, rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
    """Places of pixels in rows and columns of the grid: (2, row, col), centres are whole."""
    a, _, c, _, e, f = plan.grid.transform
    x, y = plan.xy(rows, cols)
    return np.stack([(y - f) / e - 0.5, (x - c) / a - 0.5])


class NetcdfFile:
    """A netCDF-4 file in the making; equal content gives equal bytes.

    Args:
        path: to write to.
        dimensions: name → size.
        attributes: global ones.
    """

    def __init__(
        self, path: Path, dimensions: Mapping[str, int], attributes: Mapping[str, Any]
    ) -> None:
        self._file = h5py.File(path, "w")
        self._file.attrs.update({k: _plain(v) for k, v in attributes.items()})
        self._dimensions = dict(dimensions)
        for name, size in dimensions.items():
            scale = self._file.create_dataset(name, (size,), ">f4")
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable.{size:10d}")

    def __enter__(self) -> NetcdfFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(
        self,
        name: str,
        dimensions: tuple[str, ...],
        dtype: str,
        values: np.ndarray | None = None,
        **attributes: Any,
    ) -> Any:
        """Add a variable; without values it is returned to be filled."""
        shape = tuple(self._dimensions[d] for d in dimensions)
        chunks = tuple(-(-n // 4) for n in shape) if len(shape) == 2 else None
        variable = self._file.create_dataset(
            name,
            shape,
            dtype,
            chunks=chunks,
            compression="gzip" if chunks else None,
            compression_opts=1 if chunks else None,
            shuffle=bool(chunks),
        )
        for key, value in attributes.items():
            variable.attrs[key] = _plain(value)
        for number, dimension in enumerate(dimensions):
            variable.dims[number].attach_scale(self._file[dimension])
        if values is not None:
            variable[...] = values
        return variable


def write_places(
    path: Path, plan: SwathPlan, names: tuple[str, str], attributes: Mapping[str, Any]
) -> None:
    """Longitude and latitude per pixel as int32 of 1e-6 degrees, and the altitude (sea level)."""
    dims = dict(zip(("rows", "columns"), plan.shape, strict=True))
    fill = np.int32(-(2**31))
    with NetcdfFile(path, dims, attributes) as out:
        places = [
            out.add(
                name, ("rows", "columns"), "i4", _FillValue=fill, scale_factor=1e-6, units=units
            )
            for name, units in zip(names, ("degrees_east", "degrees_north"), strict=True)
        ]
        out.add(
            "altitude",
            ("rows", "columns"),
            "i2",
            np.zeros(plan.shape, np.int16),
            _FillValue=np.int16(-32768),
            units="m",
        )
        for rows, r, c in plan.blocks():
            for variable, degrees in zip(places, plan.lonlat(r, c), strict=True):
                variable[rows] = np.rint(degrees * 1e6)


def fill_rows(
    variable: Any,
    plan: SwathPlan,
    values: Callable[[np.ndarray, np.ndarray], np.ndarray],
    scale: float,
    fill: int,
) -> None:
    """Store values by blocks of rows as numbers; NaN becomes the fill, the rest is clipped."""
    limits = np.iinfo(variable.dtype)
    for rows, r, c in plan.blocks():
        numbers = np.rint(values(r, c) / scale)
        missing = ~np.isfinite(numbers)
        low, high = limits.min, limits.max
        if fill == high:
            high -= 1
        elif low <= fill < 0:
            low = fill + 1
        variable[rows] = np.where(missing, fill, np.clip(np.nan_to_num(numbers), low, high))


def product_name(platform: str, kind: str, start: datetime, centre: str, baseline: str) -> str:
    """Name of a product without ``.SEN3``: a frame of three minutes, made a day later."""
    stop, made = start + timedelta(minutes=3), start + timedelta(days=1)
    times = "_".join(t.strftime(_STAMP) for t in (start, stop, made))
    return f"S3{platform}_{kind}_{times}_0180_001_001_0000_{centre}_O_NT_{baseline}"


def write_delivery(
    folder: Path,
    name: str,
    start: datetime,
    fill: Callable[[Path], None],
    *,
    zipped: bool,
    overwrite: bool,
) -> Path:
    """Make a ``.SEN3`` folder, or a zip of one; it appears when it is complete.

    Args:
        folder: to make it in.
        name: of the product.
        start: time of the members of a zip.
        fill: writes the files into the folder it is given.
        zipped: whether to pack it.
        overwrite: replace one of the same name.

    Returns:
        the folder or zip.
    """
    if not zipped:
        target = folder / f"{name}.SEN3"
        with new_folder(target, overwrite) as work:
            fill(work)
            for path in work.iterdir():
                flush_to_disk(path)
        return target
    target = folder / f"{name}.SEN3.zip"
    refuse_existing(target, overwrite=overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=".sen3-", dir=folder) as temporary,
        atomic_path(target, overwrite=overwrite) as partial,
    ):
        work = Path(temporary)
        fill(work)
        pack_zip(partial, work, f"{name}.SEN3/", "", start)
    return target


def swath_mask(plan: SwathPlan, cube: Cube, mask: np.ndarray | None, what: str) -> np.ndarray:
    """A (y, x) mask of the cube's grid at the pixels of the swath: (row, col) bool."""
    if mask is None:
        return np.zeros(plan.shape, bool)
    if mask.shape != cube.grid.shape:
        raise ConfigError(f"{what} is {mask.shape}, the cube {cube.grid.shape}")
    out = np.zeros(plan.shape, bool)
    for rows, r, c in plan.blocks():
        out[rows] = nearest_of(plan, mask.astype(bool), r, c, outside=False)
    return out


def remove(work: Path, leave_out: tuple[str, ...]) -> None:
    """Take files out of a delivery, as a broken transfer would.

    Raises:
        ConfigError: if there is no such file.
    """
    for name in leave_out:
        with contextlib.suppress(FileNotFoundError):
            (work / name).unlink()
            continue
        raise ConfigError(f"there is no {name} to leave out")


def _plain(value: Any) -> Any:
    """NetCDF keeps text as bytes and numbers in lists."""
    if isinstance(value, str):
        return np.bytes_(value)
    return np.atleast_1d(value)
