"""Whole images in one call: what tests hold against results that are made piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.align import (
    Pair,
    SpectralMap,
    SwathIndex,
    cells_inside,
    coarse_view,
    fit_cells,
    missing_pixels,
    pair,
)
from trifuse.align.regression import read_masked
from trifuse.align.swath import PIXEL, RADIUS, SIGMA
from trifuse.core import (
    PSF,
    BandSet,
    Cube,
    CubeSource,
    DataError,
    Grid,
    MemorySource,
    Window,
    upsample,
)
from trifuse.core.resample import NO_SHIFT


@dataclass(frozen=True, slots=True, eq=False)
class RegressionFit:
    """A fitted scene, to be predicted window by window.

    Attributes:
        s2: the sharp source.
        pair: the shared ground; windows are pixels of its ``grid``.
        bands: of the prediction: those of S3.
        spectral: the map.
        residual: (L, y, x) float32, S3 less the mapped coarse S2, in cells; bridged from the
            nearest cell where one of the two is missing. None if it is not to be added.
        missing: (L, y, x) bool, cells that S3 lacks.
    """

    s2: CubeSource
    pair: Pair
    bands: BandSet
    spectral: SpectralMap
    residual: np.ndarray | None
    missing: np.ndarray

    def predict(self, window: Window | None = None, s2: np.ndarray | None = None) -> np.ndarray:
        """The S3 bands at S2's pixels: map(S2) + upsampled residual.

        The same values come out whatever windows a scene is cut into.

        Args:
            window: pixels of ``pair.grid``; default: all.
            s2: (l, y, x) its S2 pixels, NaN where missing; read from the source if not given.

        Returns:
            (L, y, x) float32 reflectance; NaN where S2 has no value in some band, and over the
            cells where S3 has none.

        Raises:
            DataError: if the window leaves the shared ground or the pixels do not fill it.
        """
        grid, ratio = self.pair.grid, self.pair.ratio
        window = grid.whole if window is None else window
        if window.clip(*grid.shape) != window:
            raise DataError(f"{window} leaves the shared ground of {grid.height}×{grid.width}")
        if s2 is None:
            s2 = read_masked(self.s2, self.pair.s2_window, window)
        if s2.shape[1:] != window.shape:
            raise DataError(f"S2 has shape {s2.shape} for a window of {window.shape}")
        out = self.spectral.apply(s2)
        if self.residual is not None:
            out += upsample(self.residual, ratio, window, shift=self.pair.shift)
        if self.missing.any():
            out[missing_pixels(self.missing, self.pair, window)] = np.nan
        return out


def regression_fit(
    s2: CubeSource | Cube,
    s3: CubeSource | Cube,
    *,
    psf: PSF | None = None,
    ridge: float | str = "gcv",
    residual: bool = True,
    shift: tuple[float, float] = NO_SHIFT,
    tile: int = 1024,
) -> RegressionFit:
    """Fit the regression of S3 on S2 over their shared ground, in one pass over S2.

    S2 is read tile by tile and only S2 in S3's cells is kept, so memory does not grow with S2.

    Args:
        s2: sharp image.
        s3: coarse image, its cells a whole number of S2 pixels.
        psf: of S3; default: MTF 0.3 at Nyquist.
        ridge: see :func:`fit_map`.
        residual: whether predictions add the upsampled residual.
        shift: (rows, columns) in S2 pixels by which S3's cells lie beside where their grid says.
        tile: edge of the tiles read, in S2 pixels.

    Raises:
        GridError: if the grids do not fit.
        OverlapError: if they share no ground.
        DataError: if fewer cells than coefficients are seen by both.
        ConfigError: if an option is out of range.
    """
    fine = MemorySource(s2, "S2") if isinstance(s2, Cube) else s2
    coarse = MemorySource(s3, "S3") if isinstance(s3, Cube) else s3
    shared = pair(fine, coarse, shift=shift)
    observed = coarse.read(shared.s3_window).masked()
    seen, share = coarse_view(fine, shared, psf=psf, tile=tile)
    try:
        inside = cells_inside(fine.grid, shared, psf)
        spectral, left = fit_cells(seen, share, observed, ridge=ridge, inside=inside)
    except DataError as e:
        raise DataError(e.what, where=f"{fine.name} and {coarse.name}", fix=e.fix) from None
    return RegressionFit(
        fine, shared, coarse.bands, spectral, left if residual else None, np.isnan(observed)
    )


def resample_swath(
    x: np.ndarray,
    y: np.ndarray,
    data: np.ndarray,
    valid: np.ndarray,
    grid: Grid,
    *,
    sigma: float = SIGMA,
    radius: float = RADIUS,
    pixel: float = PIXEL,
) -> tuple[np.ndarray, np.ndarray]:
    """Bring a swath of (band, row, col) onto a grid: (band, y, x), and where a band has a value."""
    return (
        SwathIndex(x, y, pixel=pixel).weights(grid, sigma=sigma, radius=radius).apply(data, valid)
    )
