"""The per-scene regression with the upsampled residual."""

from __future__ import annotations

import numpy as np

from trifuse.align import cells_inside, fit_cells
from trifuse.core import Window
from trifuse.fusformer.prior.base import TileRun
from trifuse.fusformer.scene import Scene


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

    def predict(window: Window, hrmsi: np.ndarray) -> np.ndarray:
        mapped: np.ndarray = spectral.apply(hrmsi)
        return mapped + scene.moved(left, window) if residual else mapped

    return predict
