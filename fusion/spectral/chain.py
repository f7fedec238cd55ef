"""The physics chain's map and residual, fitted once per scene.

The sharp image is taken to be as sharp as its pixels in every band: it is restored before, see
:mod:`trifuse.restore.view`. What the scene's view knows of the errors of its bands goes into the
standard deviation of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from trifuse.align import cells_inside
from trifuse.core import Window, fill_nearest
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.calibration import calibration, restored_factors
from trifuse.fusion.spectral.empirical_bayes import BayesMap, fit_bayes_cells
from trifuse.fusion.spectral.map_errors import MapErrors, ground_of, map_errors
from trifuse.fusion.spectral.residual import residual_weights
from trifuse.fusion.spectral.spectral_prior import spectral_prior
from trifuse.fusion.spectral.universal import UniversalMap, universal_map
from trifuse.restore.restored_errors import mapped_variance


@dataclass(frozen=True, eq=False)
class ChainRun:
    """The fitted chain; a :data:`TileRun`, finite everywhere.

    Attributes:
        scene: the two images.
        fit: the scene's map.
        universal: the map of all ground: what it leaves of usual spectra, and what is strange.
        residual: (L, h, w) float32, what is added back, in coarse cells; None for nothing.
        weights: (L,) share of the residual that it is.
        model: (L,) standard deviation of what is left of the cells and is no noise, reflectance.
        telling: (L,) share of what is left that this is, 0–1.
    """

    scene: Scene
    fit: BayesMap
    universal: UniversalMap
    residual: np.ndarray | None
    weights: np.ndarray
    model: np.ndarray
    telling: np.ndarray

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`TileRun`."""
        mapped = self.fit.spectral.apply(hrmsi)
        return mapped if self.residual is None else mapped + self.scene.moved(self.residual, window)

    def deviation(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """Standard deviations, then strangeness: (L + 1, y, x) float32.

        Errors of the sharp bands go together, and through the map as they do; the map's numbers
        are uncertain; and there is what no linear map can do.

        Args:
            window: of the scene.
            hrmsi: (l, y, x) its finite sharp pixels.
        """
        strange = self.universal.strangeness(hrmsi) / self.universal.limit
        variance = self.map_errors.variance(hrmsi)
        variance += calibration().map ** 2 * self.fit.variance(hrmsi)
        variance += mapped_variance(
            self.fit.spectral.matrix, self._sharp_covariance, self._sharp_deviation(window)
        )
        return np.concatenate([np.sqrt(variance), strange[None].astype(np.float32)])

    @cached_property
    def map_errors(self) -> MapErrors:
        """What the map cannot do; looks at the scene's cells when it is first asked for."""
        ground = ground_of(*self.scene.hr_coarse, self.universal, self._sharp_covariance)
        return map_errors(
            ground, self.scene.bands.names, self.universal.error, self.model, self.telling
        )

    @cached_property
    def _sharp_covariance(self) -> np.ndarray:
        """(l, l) of the sharp bands' errors."""
        names, factors = self.scene.s2.bands.names, self._factors
        return self.scene.view.covariance(names) * np.outer(factors, factors)

    def _sharp_deviation(self, window: Window) -> np.ndarray:
        """(l, y, x), or (l, 1, 1) where all pixels have the same."""
        ground = self.scene.pair.s2_window
        at, names = window.shift(ground.row, ground.col), self.scene.s2.bands.names
        deviations = self.scene.view.deviations(at, names)
        return deviations * self._factors.astype(np.float32)[:, None, None]

    @property
    def _factors(self) -> np.ndarray:
        """(l,) of the sharp bands' deviations."""
        return restored_factors(self.scene.view.calibrated_as, self.scene.s2.bands.names)

    @property
    def record(self) -> dict[str, Any]:
        """What was found of the scene, in plain JSON values by S3 band."""
        names = self.scene.bands.names

        def by_band(values: np.ndarray, digits: int) -> dict[str, float]:
            return {n: float(f"{v:.{digits}g}") for n, v in zip(names, values, strict=True)}

        return {
            "map": {
                "left_of_cells": by_band(self.fit.noise, 3),
                "spread": by_band(self.fit.spread, 3),
            },
            "residual_weight": by_band(self.weights.round(4), 3),
        }


def chain_prior(scene: Scene, *, residual: bool = True, s3_noise: float | None = None) -> ChainRun:
    """Fit the empirical-Bayes map and weigh its residual.

    Args:
        scene: the two images, the sharp one restored.
        residual: whether what the map leaves of S3 is added back, as far as it is not noise.
        s3_noise: standard deviation of S3's noise, reflectance; default: told by the residual.

    Raises:
        BandError: if nothing is known of a band's response.
    """
    s2, s3 = scene.sensors
    universal = universal_map(scene.s2.bands, scene.bands, s2=s2, s3=s3)
    prior = spectral_prior(scene.s2.bands, scene.bands, s2=s2, s3=s3)
    inside = cells_inside(scene.s2.grid, scene.pair, scene.psf)
    fit, left, _ = fit_bayes_cells(*scene.hr_coarse, scene.lrhsi, prior, inside=inside)
    telling = residual_weights(left, scene.psf)
    with np.errstate(invalid="ignore"):
        power = np.nan_to_num(np.nanmean(np.square(left, dtype=np.float64), axis=(1, 2)))
    weights = telling if s3_noise is None else residual_weights(left, scene.psf, s3_noise)
    added = None
    if residual and weights.any():
        added = fill_nearest(left) * weights.astype(np.float32)[:, None, None]
    return ChainRun(
        scene,
        fit,
        universal,
        added,
        weights if residual else np.zeros(len(left)),
        np.sqrt(telling * power),
        telling,
    )
