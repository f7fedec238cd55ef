"""What a network can start from: predictions made of the scene itself, before any learning.

A prior is fitted once per scene and then maps windows of sharp pixels to windows of the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trifuse.align import cells_inside, fit_cells
from trifuse.core import Window
from trifuse.fusformer.scene import Scene

TileRun = Callable[[Window, np.ndarray], np.ndarray]
"""(window of the scene, (l, y, x) finite sharp pixels) → (L, y, x) float32."""


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


PRIORS: dict[str, Callable[..., TileRun]] = {"regression": regression_prior}
"""Priors by the name that cards give them."""
