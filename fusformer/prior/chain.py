"""The physics chain's map and residual, fitted once per scene.

The sharp image is taken to be as sharp as its pixels in every band: it is restored before, see
:mod:`trifuse.fusformer.physics`. What is known of the errors of its bands rides on its metadata
(``meta["restoration"]``) and goes into the standard deviation of the result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.align import cells_inside
from trifuse.core import Window, fill_nearest
from trifuse.fusformer.prior.calibration import calibration, restored_deviation
from trifuse.fusformer.prior.empirical_bayes import BayesMap, fit_bayes_cells
from trifuse.fusformer.prior.residual import residual_weights
from trifuse.fusformer.prior.spectral_prior import spectral_prior
from trifuse.fusformer.prior.universal import UniversalMap, universal_map
from trifuse.fusformer.scene import Scene

PRIOR_CELLS = 30.0
"""Cells that the universal map's own error counts for in the error of a scene's map."""


@dataclass(frozen=True, slots=True, eq=False)
class ChainRun:
    """The fitted chain; a :data:`TileRun`, finite everywhere.

    Attributes:
        scene: the two images.
        fit: the scene's map.
        universal: the map of all ground: what it leaves of usual spectra, and what is strange.
        residual: (L, h, w) float32, what is added back, in coarse cells; None for nothing.
        weights: (L,) share of the residual that it is.
        model: (L,) standard deviation of what is left of the cells and is no noise, reflectance.
    """

    scene: Scene
    fit: BayesMap
    universal: UniversalMap
    residual: np.ndarray | None
    weights: np.ndarray
    model: np.ndarray

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`TileRun`."""
        mapped = self.fit.spectral.apply(hrmsi)
        return mapped if self.residual is None else mapped + self.scene.moved(self.residual, window)

    def deviation(self, hrmsi: np.ndarray) -> np.ndarray:
        """Standard deviations, then strangeness: (L + 1, y, x) float32.

        Args:
            hrmsi: (l, y, x) finite sharp pixels.
        """
        strange = self.universal.strangeness(hrmsi) / self.universal.limit
        variance = self.fit.variance(hrmsi) + self.constant.astype(np.float32)[:, None, None]
        return np.concatenate([np.sqrt(variance), strange[None].astype(np.float32)])

    @property
    def constant(self) -> np.ndarray:
        """(L,) variance that is the same for all pixels: of the sharp bands, and of the map.

        What a linear map cannot do shows in the cells, κ times smaller than on the pixels: what is
        left of them and goes on from cell to cell is of that kind; what does not may be, up to
        what the universal map leaves of its own spectra. Few cells say little of it: they are
        fitted too well, so the latter counts for ``PRIOR_CELLS``.
        """
        known, names = calibration(), self.scene.bands.names
        scale, most = (np.array([table(n) for n in names]) for table in (known.map, known.most))
        usual = self.universal.error
        found = scale * np.maximum(self.model, np.minimum(self.fit.noise, usual / scale))
        found = np.minimum(found, most * usual)  # noise that is taken for the map's error ends here
        cells = self.fit.cells
        of_map = (PRIOR_CELLS * usual**2 + cells * found**2) / (PRIOR_CELLS + cells)
        return np.asarray(
            self.fit.spectral.matrix**2 @ restored_deviation(self.scene.s2) ** 2 + of_map
        )

    @property
    def record(self) -> dict[str, Any]:
        """What was found of the scene, in plain JSON values by S3 band."""
        names = self.scene.bands.names

        def by_band(values: np.ndarray, digits: int) -> dict[str, float]:
            return {n: float(f"{v:.{digits}g}") for n, v in zip(names, values, strict=True)}

        return {
            "map": {
                "left_of_cells": by_band(self.fit.noise, 3), "spread": by_band(self.fit.spread, 3),
            },
            "residual_weight": by_band(self.weights.round(4), 3),
        }  # fmt: skip


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
        scene, fit, universal, added, weights if residual else np.zeros(len(left)),
        np.sqrt(telling * power),
    )  # fmt: skip
