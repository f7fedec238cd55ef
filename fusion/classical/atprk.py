"""Area-to-point regression kriging as a fusion method."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trifuse.align import cells_inside, fit_cells
from trifuse.align.kriging import Kriging, back_project, sensor_taps
from trifuse.align.regression import HIDDEN
from trifuse.align.variogram import LAGS, point_model
from trifuse.core import BandSet, ConfigError, Window
from trifuse.core.resample import degrade_matrix
from trifuse.core.runtime import Runtime
from trifuse.fusion.method import Method, Predicted, Run
from trifuse.fusion.scene import Scene


@dataclass(frozen=True, slots=True)
class Atprk(Method):
    """Regression on all bands of S2, its residual brought to S2's pixels by kriging.

    Each band of S3 is regressed on all bands of S2 ("synthesised" covariate). The semivariogram of
    the residual's cells is deconvolved to that of points, and area-to-point kriging with S3's PSF,
    at the place where its cells lie, interpolates the residual. All is fitted once per scene on
    the cells, so tiles never change the result.

    Source: Wang et al. 2016, doi:10.1016/j.rse.2016.10.030. The paper's regression is least
    squares (``ridge=0``) and its PSF a Gaussian of half a cell; see :func:`trifuse.stf.atprk` for
    the method to the letter.

    Attributes:
        ridge: of the regression, see :func:`trifuse.align.fit_map`.
        lags: distances in cells at which the semivariogram is taken.
        back_projection: how often what the kriged residual misses of S3 is kriged and added.
    """

    ridge: float | str = "gcv"
    lags: int = LAGS
    back_projection: int = 0
    name: str = field(default="atprk", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.lags < 1 or self.back_projection < 0:
            raise ConfigError(
                f"{self.lags} lags, {self.back_projection} back projections",
                fix="give at least 1 and 0",
            )

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Fit regression and semivariograms."""
        seen, share = scene.hr_coarse
        inside = cells_inside(scene.s2.grid, scene.pair, scene.psf)
        spectral, left = fit_cells(seen, share, scene.lrhsi, ridge=self.ridge, inside=inside)
        # Bridged cells repeat their neighbours and would make the residual look smoother.
        own = np.isfinite(scene.lrhsi) & (share >= 1 - HIDDEN)
        models = [
            point_model(np.where(there, band, np.nan), scene.ratio, self.lags)
            for band, there in zip(left, own, strict=True)
        ]
        sigma, shift = scene.psf.pixels(scene.ratio), scene.pair.shift
        kriging = Kriging.of(models, scene.ratio, sensor_taps(scene.ratio, sigma), shift=shift)
        height, width = scene.grid.shape
        kriged = back_project(
            kriging,
            left,
            degrade_matrix(height, scene.ratio, sigma, shift[0]),
            degrade_matrix(width, scene.ratio, sigma, shift[1]),
            self.back_projection,
        )

        def run(window: Window, hrmsi: np.ndarray) -> np.ndarray:
            fused = spectral.apply(hrmsi) + kriging(kriged, window)
            return np.where(scene.missing(window), np.float32(np.nan), fused)

        return Predicted(run)
