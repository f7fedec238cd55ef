"""A fused image whose degradation is the coarse image: an exact projection, on request.

By default a method heeds Sentinel-3's noise and does not reproduce it. Where the coarse image is
to be taken at its word, a field c on the coarse cells is added by cubic convolution, such that

    H (f + U c) = y        with H the degradation and U the convolution.

Both are separable, so along each axis there is one small matrix H U of cells by cells, and

    c = (H_y U_y)⁻¹ (y − H f) (H_x U_x)⁻ᵀ

whatever the size of the scene: it takes one pass over the fused image for H f, and is added in a
second. It holds for the cells that see no missing pixel; others take what is left of the nearest
such cell, because nothing tells what the missing part of what they saw should be.

Source: Irani and Peleg 1991, doi:10.1016/1049-9652(91)90045-L (back-projection), whose iteration
this solves at once.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trifuse.core import DegradeAccumulator, fill_nearest
from trifuse.core.resample import KEYS_A, degrade_matrix, reach, upsample_matrix
from trifuse.fusion.scene import Scene

WHOLE = 1e-6
"""Share of what a cell sees that may be missing to rounding."""

INSIDE = 0.5
"""Cells that a shift moves out of the image by more than this share of what they see say nothing
that their neighbours within it do not say."""


@dataclass(frozen=True, slots=True)
class Consistency:
    """How far the degraded result is from the coarse image, over the cells that are seen whole.

    Attributes:
        mode: ``noise`` or ``exact``.
        rmse_before: over cells and bands, reflectance, before the projection.
        rmse_after: after it.
        largest_after: largest difference after it.
        cells: values that count, over all bands.
    """

    mode: str
    rmse_before: float
    rmse_after: float
    largest_after: float
    cells: int

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def cell_residuals(scene: Scene, seen: DegradeAccumulator) -> np.ndarray:
    """Coarse image less the degraded result: (L, h, w) float64, NaN where a cell is not whole."""
    whole = (seen.share > 1 - WHOLE) & (seen.reach > INSIDE)
    return np.where(whole, scene.lrhsi - seen.result(INSIDE).astype(np.float64), np.nan)


def projection(scene: Scene, residuals: np.ndarray) -> np.ndarray:
    """The field on the coarse cells that makes up for the residuals.

    Args:
        scene: the two images.
        residuals: (L, h, w) from :func:`cell_residuals`.

    Returns:
        (L, h, w) float32, to be added by :meth:`Scene.moved`.
    """
    filled = fill_nearest(residuals)
    sigma = scene.psf.pixels(scene.ratio)
    along = [
        _axis(n, scene.ratio, sigma, shift)
        for n, shift in zip(scene.grid.shape, scene.pair.shift, strict=True)
    ]
    (keep_y, into_y, solve_y), (keep_x, into_x, solve_x) = along
    inner = filled[:, keep_y][:, :, keep_x]
    solved = np.linalg.solve(solve_y, inner) @ np.linalg.inv(solve_x).T
    return np.asarray(into_y @ solved @ into_x.T, np.float32)


def agreement(mode: str, before: np.ndarray, after: np.ndarray) -> Consistency:
    """What the residuals of :func:`cell_residuals` say before and after."""
    known = np.isfinite(before) & np.isfinite(after)
    if not known.any():
        return Consistency(mode, 0.0, 0.0, 0.0, 0)
    a, b = before[known], after[known]
    first, last = (float(np.sqrt(np.mean(v**2))) for v in (a, b))
    return Consistency(mode, first, last, float(np.abs(b).max()), int(known.sum()))


def _axis(
    n: int, ratio: int, sigma: float, shift: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells that count, how their field goes on to the others, and H U between them."""
    cells = n // ratio
    keep = np.flatnonzero(reach(n, ratio, sigma, shift) > INSIDE)
    nearest = np.abs(np.arange(cells)[:, None] - keep).argmin(axis=1)
    into = np.zeros((cells, len(keep)))
    into[np.arange(cells), nearest] = 1
    both = degrade_matrix(n, ratio, sigma, shift) @ upsample_matrix(cells, ratio, KEYS_A, shift)
    return keep, into, (both @ into)[keep]
