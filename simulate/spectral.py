"""Spectral convolution: one matrix product over a cube, streamed by blocks of rows.

A band-averaged reflectance is a weighted mean of the source's bands, so a whole sensor is one
matrix (see :func:`trifuse.srf_data.integrate`) and several sensors are their matrices stacked.

Source: Chander et al. 2013, doi:10.1109/TGRS.2012.2218818 (band-averaged reflectance).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from trifuse.core import BandError, Cube, CubeSource, Window, ahead
from trifuse.srf_data import SpectralOperator, weighted_sums

BLOCK_BYTES = 96 << 20
"""Size of one block of source values in memory, in bytes of float32; two are held at a time."""

BLOCK_ROWS = 64
"""Blocks of more rows than this are whole multiples of it, as stored tiles mostly are."""


def convolve(source: CubeSource, operator: SpectralOperator, window: Window | None = None) -> Cube:
    """What a sensor with these response functions measures of a spectral cube.

    Only bands that carry weight are read, so dead bands may hold anything. Where a band that
    carries weight has no value, the output bands that need it are NaN there and the others are
    not; a pixel without any output band is invalid, as is one that the source calls invalid.

    Args:
        source: reflectance, one band per column of the operator, in its order.
        operator: from :func:`trifuse.srf_data.integrate` for the source's bands.
        window: pixels to compute (default: all).

    Returns:
        (n_out, y, x) float32 reflectance in the operator's bands on the source's grid.

    Raises:
        BandError: if the operator was made for another number of bands.
    """
    window = source.grid.whole if window is None else window
    data, valid = band_product(source, operator.matrix, window)
    meta = {**plain_meta(source.meta), "coverage": dict(operator.coverage)}
    return Cube(data, valid, operator.bands, source.grid.window(window), meta)


def band_product(
    source: CubeSource, matrix: np.ndarray, window: Window
) -> tuple[np.ndarray, np.ndarray]:
    """A matrix times the bands of a source, block by block while the next one is read.

    Args:
        source: one band per column of the matrix.
        matrix: (n_out, n_in) float.
        window: pixels to compute.

    Returns:
        (n_out, y, x) float32, and (y, x) bool; missing as in :func:`convolve`.
    """
    if matrix.shape[1] != len(source.bands):
        raise BandError(
            f"has {len(source.bands)} bands, the operator was made for {matrix.shape[1]}",
            where=source.name,
            fix="integrate the response functions over the bands of this source",
        )
    used = np.flatnonzero((matrix != 0).any(axis=0))
    weights = np.ascontiguousarray(matrix[:, used], np.float32)
    names = [source.bands[int(i)].name for i in used]
    data = np.empty((len(matrix), *window.shape), np.float32)
    valid = np.empty(window.shape, bool)
    blocks = row_blocks(window, len(names))
    for block, cube in ahead(blocks, lambda b: source.read(b, names)):
        rows = slice(block.row - window.row, block.row - window.row + block.height)
        values = weighted_sums(weights, cube.data.reshape(len(names), -1))
        data[:, rows] = values.reshape(-1, *block.shape)
        valid[rows] = cube.valid & np.isfinite(data[:, rows]).any(axis=0)
    return data, valid


def row_blocks(window: Window, bands: int, budget: int = BLOCK_BYTES) -> list[Window]:
    """A window cut into full-width blocks of at most ``budget`` bytes of float32."""
    rows = max(1, budget // max(1, 4 * bands * window.width))
    if rows > BLOCK_ROWS:
        rows -= rows % BLOCK_ROWS
    return [
        Window(window.row + top, window.col, min(rows, window.height - top), window.width)
        for top in range(0, window.height, rows)
    ]


def plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a derived cube keeps of its source's meta: plain values, nothing per band or file."""
    left_out = {"dtype", "sensor"}
    return {k: v for k, v in meta.items() if isinstance(v, str | int | float) and k not in left_out}
