"""Sentinel-3 on cells nested in another image's pixels, and how wide these cells see.

Fusion, its evaluation and the check of synthetic data open Sentinel-3 here, so that they look at
the same cells through the same point spread function.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from trifuse.core import PSF, CubeSource, Grid, GridError, MemorySource, OverlapError, Window
from trifuse.flows.inputs import Image, as_source

CELL = 300.0
"""Metres of a Sentinel-3 cell."""

MAX_OFF = 0.1
"""Relative difference from :data:`CELL` that whole pixels of the fine image may make up."""


def open_on_cells(s3: Image, fine: CubeSource) -> CubeSource:
    """Open a Sentinel-3 image over another one.

    Args:
        s3: a swath (a .SEN3 product), which is brought onto cells of 300 m that start at the upper
            left corner of ``fine``, a whole number of its pixels each; or an image that lies on a
            grid already, which is opened as it is.
        fine: the image in whose pixels the cells are nested.

    Raises:
        GridError: if the pixels of ``fine`` do not make up cells of 300 m.
        OverlapError: if ``fine`` is smaller than a cell, or the swath does not reach it.
        ProductError: if the image cannot be read.
    """
    from trifuse.products import open_cube

    if not is_swath(s3):
        return as_source(s3)
    # It is read several times, costs most to bring onto the grid, and is small there.
    with open_cube(s3, grid=cells_over(fine)) as swath:  # type: ignore[arg-type]
        return MemorySource(swath.read(), swath.name)


def whole_cells(image: CubeSource) -> CubeSource:
    """The part of a fused image that starts where its first coarse cell does.

    Args:
        image: made over an area that need not start at a cell's corner; its metadata tell.
    """
    origin = image.meta.get("cell_origin")
    if not isinstance(origin, Sequence) or len(origin) != 2:
        return image
    row, col = map(int, origin)
    height, width = image.grid.shape
    if not (0 <= row < height and 0 <= col < width) or row == col == 0:
        return image
    return image[Window(row, col, height - row, width - col)]


def cell_psf(cells: CubeSource, mtf: float = 0.3) -> PSF:
    """PSF of an image's pixels: the sensor's own, and what bringing a swath onto a grid adds.

    Args:
        cells: the image.
        mtf: the sensor's own modulation transfer at its Nyquist frequency.
    """
    own = PSF.from_mtf(mtf)
    resampling = cells.meta.get("resampling")
    metres = float(resampling.get("sigma_m", 0.0)) if isinstance(resampling, Mapping) else 0.0
    return PSF(math.hypot(own.sigma, metres / cells.grid.gsd[1]))


def is_swath(image: Image) -> bool:
    """Whether an image is a product whose pixels lie on no grid."""
    from trifuse.products import find_reader

    return isinstance(image, Path | str) and find_reader(image).swath


def cells_over(fine: CubeSource) -> Grid:
    """Cells of 300 m from the upper left corner of an image; those that it holds whole.

    Raises:
        GridError: if its pixels do not make up such cells.
        OverlapError: if it is smaller than a cell.
    """
    pixel = fine.grid.gsd[1]
    ratio = round(CELL / pixel)
    if ratio < 2 or abs(pixel * ratio / CELL - 1) > MAX_OFF:
        raise GridError(
            f"pixels of {pixel:g} do not make up cells of 300 m",
            where=fine.name,
            fix="give an image in metres, such as Sentinel-2's of 10, 20 or 60 m pixels",
        )
    if ratio > min(fine.grid.shape):
        raise OverlapError(
            f"{fine.grid.height}×{fine.grid.width} pixels are less than one cell of 300 m",
            where=fine.name,
            fix="give a larger area",
        )
    return fine.grid.zoom_out(ratio)
