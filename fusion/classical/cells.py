"""What the detail-injecting methods share: both images in S3's cells, and a sharp twin per band.

Each band k of S3 is sharpened by an image of its own, the *synthetic sharp band* P_k: the
regression of that band on all bands of S2, fitted in S3's cells and applied to the sharp pixels
(hypersharpening). Its low-pass view is what S3 would see of it, P_L,k, upsampled as S3 is:

    fused_k = up(S3_k) + gain · (P_k − up(P_L,k))

Source: Selva et al. 2015, doi:10.1109/JSTARS.2015.2440092.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.align import SpectralMap, cells_inside, fit_cells
from trifuse.align.regression import HIDDEN
from trifuse.core import DataError, Window, fill_nearest
from trifuse.fusion.scene import Scene

FLAT = 1e-6
"""Standard deviation over level below which variance is float32 rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """The two images in S3's cells, finite everywhere and of one ground.

    Where S3 lacks a value, or S2 shows less than the whole of what a cell sees, the cell of S3 is
    replaced by what the regression makes of S2 there, plus the residual of the nearest good cell.

    Attributes:
        spectral: the regression.
        s2: (l, h, w) float32, S2 as S3 sees it.
        s3: (L, h, w) float32.
        sharp: (L, h, w) float32, the synthetic sharp bands as S3 sees them.
        trust: (L, h, w) in 0–1, how much a cell counts; 0 where it was replaced for want of S3.
    """

    spectral: SpectralMap
    s2: np.ndarray
    s3: np.ndarray
    sharp: np.ndarray
    trust: np.ndarray

    def gain(self, low: np.ndarray) -> np.ndarray:
        """cov(S3_k, low_k) / var(low_k) over the cells, as far as each counts.

        Args:
            low: (L, h, w) a low-pass view of the synthetic sharp bands.

        Returns:
            (L,) float64; 1 for a band without variance, which has no detail to scale.
        """
        weight = self.trust / self.trust.sum(axis=(1, 2), keepdims=True)
        level = (weight * low).sum(axis=(1, 2))
        away = low - level[:, None, None]
        variance = (weight * away * away).sum(axis=(1, 2))
        covariance = (weight * away * self.s3).sum(axis=(1, 2))
        flat = variance <= (FLAT * level) ** 2
        gain: np.ndarray = np.where(flat, 1.0, covariance / np.where(flat, 1.0, variance))
        return gain


def coarse_cells(scene: Scene, ridge: float | str) -> Cells:
    """Fit the synthetic sharp bands and lay both images out in S3's cells.

    Args:
        scene: the two images.
        ridge: see :func:`trifuse.align.fit_map`.

    Raises:
        ConfigError: if ``ridge`` is out of range.
        DataError: if fewer cells than coefficients are seen by both.
    """
    seen, share = scene.hr_coarse
    inside = cells_inside(scene.s2.grid, scene.pair, scene.psf)
    spectral, left = fit_cells(seen, share, scene.lrhsi, ridge=ridge, inside=inside)
    s2 = fill_nearest(seen)
    sharp = spectral.apply(s2)
    there = np.isfinite(scene.lrhsi) & np.isfinite(seen).all(axis=0)
    trust = there / (1 + ((1 - share) / HIDDEN) ** 2)
    return Cells(spectral, s2, sharp + left, sharp, trust)


def injection(scene: Scene, cells: Cells, gain: np.ndarray, low: np.ndarray) -> Injection:
    """Detail of the synthetic sharp bands, added with one gain per band.

    Args:
        scene: the two images.
        cells: their cells.
        gain: (L,).
        low: (L, h, w) the low-pass view of the synthetic sharp bands.

    Returns:
        up(S3) + gain · (P − up(low)), finite everywhere.
    """
    spectral = SpectralMap(
        cells.spectral.matrix * gain[:, None], cells.spectral.offset * gain, cells.spectral.ridge
    )
    # Upsampling is linear: what depends on cells alone goes through it once.
    rest = (cells.s3 - gain[:, None, None] * low).astype(np.float32)
    return Injection(scene, spectral, rest)


@dataclass(frozen=True, slots=True, eq=False)
class Injection:
    """A map of the sharp pixels, and a remainder in cells (L, h, w) that is upsampled and added."""

    scene: Scene
    spectral: SpectralMap
    rest: np.ndarray

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`trifuse.fusion.spectral.TileRun`."""
        fused: np.ndarray = self.spectral.apply(hrmsi) + self.scene.moved(self.rest, window)
        return fused


@dataclass(frozen=True, slots=True, eq=False)
class Modulation:
    """Detail of the synthetic sharp bands, added in proportion to S3; finite everywhere.

    S3 · P / P_L is S3 + (S3 / P_L) · (P − P_L). The quotient is taken as
    (S3 · P_L + floor²) / (P_L² + floor²): that is S3 / P_L where P_L is well above the floor, tends
    to 1 where P_L tends to 0, and is smooth and bounded for any sign of both.

    Attributes:
        scene: the two images.
        cells: their cells.
        floor: reflectance.
    """

    scene: Scene
    cells: Cells
    floor: float

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`trifuse.fusion.spectral.TileRun`."""
        cells, least = self.cells, np.float32(self.floor**2)
        fused, low = (self.scene.moved(c, window) for c in (cells.s3, cells.sharp))
        gain = (fused * low + least) / (low * low + least)
        fused += gain * (cells.spectral.apply(hrmsi) - low)
        return fused


def require_cells(cells: Cells, count: int, what: str) -> None:
    """Stop where too few cells are seen by both images.

    Raises:
        DataError: if there are fewer than ``count``.
    """
    seen = int((cells.trust > 0).all(axis=0).sum())
    if seen < count:
        raise DataError(
            f"{seen} coarse pixels have every band of both images, {what} needs {count}",
            fix="give a larger or less cloudy area, fewer S3 bands, or method mtf-glp-hs",
        )
