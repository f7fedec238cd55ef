"""The per-scene regression with the upsampled residual."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.align import SpectralMap, cells_inside, fit_cells
from trifuse.core import Window
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.base import TileRun


def regression_prior(scene: Scene, *, ridge: float | str = "gcv", residual: bool = True) -> TileRun:
    """Linear map fitted to the coarse cells, applied to the sharp pixels, plus what it leaves.

    Args:
        scene: the two images.
        ridge: see :func:`trifuse.align.fit_map`.
        residual: whether what the map leaves of the coarse image is upsampled and added.

    Returns:
        The prediction, finite everywhere.
    """
    inside = cells_inside(scene.s2.grid, scene.pair, scene.psf)
    spectral, left = fit_cells(*scene.hr_coarse, scene.lrhsi, ridge=ridge, inside=inside)
    return _Prediction(scene, spectral, left if residual else None)


@dataclass(frozen=True, slots=True, eq=False)
class _Prediction:
    scene: Scene
    spectral: SpectralMap
    left: np.ndarray | None

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        mapped: np.ndarray = self.spectral.apply(hrmsi)
        if self.left is not None:
            mapped += self.scene.moved(self.left, window)
        return mapped
