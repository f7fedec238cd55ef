"""A small picture of a cube: what a person looks at before anything else."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from trifuse.core import (
    BandError,
    Cube,
    CubeSource,
    DataError,
    Grid,
    MemorySource,
    ProductError,
    Window,
    refuse_existing,
    write_bytes,
)
from trifuse.core.picture import choose_rgb, stretch
from trifuse.products.files.layers import LayeredSource
from trifuse.products.files.raster import gdal_reason
from trifuse.products.files.source import RasterSource
from trifuse.products.sentinel3.grid import SwathSource


def write_quicklook(
    path: Path | str,
    image: Cube | CubeSource,
    *,
    rgb: Sequence[str] | None = None,
    max_size: int = 1024,
    overwrite: bool = False,
) -> tuple[str, ...]:
    """Write a PNG of a cube: stretched from the 2nd to the 98th percentile, clear where invalid.

    Args:
        path: the PNG.
        image: cube or source; a source is read reduced.
        rgb: band names of red, green and blue, or one for grey; default: see :func:`choose_rgb`.
        max_size: longest side in pixels.
        overwrite: replace an existing file.

    Returns:
        The bands shown.

    Raises:
        BandError: if a band is missing, or ``rgb`` is not one or three.
        OutputExistsError: if the file exists and ``overwrite`` is False.
        ProductError: if it cannot be written.
    """
    source = MemorySource(image) if isinstance(image, Cube) else image
    names = choose_rgb(source.bands) if rgb is None else tuple(rgb)
    if len(names) not in (1, 3):
        raise BandError(f"{len(names)} bands for a picture", fix="give one, or red, green, blue")
    refuse_existing(path, overwrite=overwrite)
    pixels = render(read_small(source, max_size, list(dict.fromkeys(names))), names)
    profile = {
        "driver": "PNG",
        "dtype": "uint8",
        "count": 4,
        "height": pixels.shape[1],
        "width": pixels.shape[2],
    }
    try:
        with warnings.catch_warnings(), MemoryFile() as file:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with file.open(**profile) as d:
                d.write(pixels)
            content = bytes(file.getbuffer())
    except RasterioError as e:
        raise ProductError(f"cannot be written ({gdal_reason(e)})", where=path) from None
    write_bytes(path, content, overwrite=overwrite)
    return names


def render(cube: Cube, rgb: Sequence[str]) -> np.ndarray:
    """Stretched colours: (4, y, x) uint8, red, green, blue and opacity.

    Args:
        cube: with the bands to show.
        rgb: their names for red, green and blue, which may repeat; or one for grey.
    """
    made, seen = stretch(cube.data[cube.bands.indices(rgb)], cube.valid)
    planes = [(value * 255).round().astype(np.uint8) for value in made]
    colours = planes * 3 if len(planes) == 1 else planes
    return np.stack([*colours, np.where(seen, 255, 0).astype(np.uint8)])


def read_small(source: CubeSource, max_size: int, bands: Sequence[str] | None = None) -> Cube:
    """A whole image averaged to at most ``max_size`` pixels a side, with bounded memory.

    Raster files and products of several give it from their overviews, swaths from their pixels;
    other sources are read in strips, whose pixels are averaged over whole blocks of the valid ones.
    """
    if max_size < 1:
        raise DataError(f"a picture of {max_size} pixels")
    if isinstance(source, (LayeredSource, RasterSource, SwathSource)):
        return source.read_small(max_size, bands)
    height, width = source.grid.shape
    step = max(1, math.ceil(max(height, width) / max_size))
    if step == 1:
        return source.read(None, bands)
    data, valid, shown = [], [], source.bands
    strip = step * max(1, 256 // step)
    for top in range(0, height, strip):
        part = source.read(Window(top, 0, min(strip, height - top), width), bands)
        shown = part.bands
        there = part.valid & np.isfinite(part.data)
        total = _block_sums(np.where(there, part.data, 0), step)
        count = _block_sums(there, step)
        with np.errstate(invalid="ignore"):
            data.append((total / count).astype(np.float32))
        valid.append((count > 0).any(axis=0))
    a, _, c, _, e, f = source.grid.transform
    small = np.concatenate(data, axis=1)
    grid = Grid(source.grid.crs, (a * step, 0.0, c, 0.0, e * step, f), *small.shape[1:])
    return Cube(small, np.concatenate(valid), shown, grid, source.meta)


def _block_sums(data: np.ndarray, step: int) -> np.ndarray:
    """Sums over blocks of ``step`` pixels, partial ones at the far edges: (band, y, x) float64."""
    rows, cols = (np.arange(0, n, step) for n in data.shape[1:])
    return np.add.reduceat(np.add.reduceat(data, rows, axis=1, dtype=float), cols, axis=2)
