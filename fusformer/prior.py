"""What a network can start from: predictions made of the scene itself, before any learning.

A prior is fitted once per scene and then maps windows of sharp pixels to windows of the result.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trifuse.core import (
    PSF,
    BandSet,
    Cube,
    DataError,
    Grid,
    MemorySource,
    Window,
    fill_nearest,
    upsample,
)
from trifuse.fusformer.config import Skip
from trifuse.fusformer.scene import Scene

TileRun = Callable[[Window, np.ndarray], np.ndarray]
"""(window of the scene, (l, y, x) finite sharp pixels) → (L, y, x) float32."""


def regression_prior(scene: Scene, *, ridge: float | str = "gcv", residual: bool = True) -> TileRun:
    """Linear map fitted to the coarse cells, applied to the sharp pixels, plus what it leaves.

    Args:
        scene: the two images.
        ridge: strength in units of the band variance, or ``gcv``.
        residual: add the upsampled difference of the coarse image and the degraded prediction,
            which is the map of the degraded S2, because both steps are linear.

    Returns:
        The prediction, finite everywhere.
    """
    from trifuse.align import fit_map

    spectral = fit_map(scene.hr_coarse, scene.lrhsi, ridge=ridge)
    left = fill_nearest(scene.lrhsi - spectral.apply(scene.hr_coarse))

    def predict(window: Window, hrmsi: np.ndarray) -> np.ndarray:
        mapped: np.ndarray = spectral.apply(hrmsi)
        return mapped + upsample(left, scene.ratio, window) if residual else mapped

    return predict


PRIORS: dict[str, Callable[..., TileRun]] = {"regression": regression_prior}
"""Priors by the name that cards give them."""


def skip_image(
    hrmsi: np.ndarray,
    lrhsi: np.ndarray,
    skip: Skip,
    *,
    psf: PSF | None = None,
    prior: str = "regression",
) -> np.ndarray:
    """The image that a network adds to, for one triplet in memory: what training feeds it.

    Args:
        hrmsi: (l, H, W) float32, NaN where missing.
        lrhsi: (L, h, w) float32, H = ratio·h, NaN where missing.
        skip: ``bicubic`` or ``prior``.
        psf: of the coarse sensor.
        prior: name of the prior.

    Returns:
        (L, H, W) float32, finite.

    Raises:
        DataError: if the sizes are no multiple of each other.
    """
    (height, width), (rows, cols) = hrmsi.shape[1:], lrhsi.shape[1:]
    ratio = height // max(rows, 1)
    if (rows * ratio, cols * ratio) != (height, width):
        raise DataError(f"HrMSI of {height}×{width} pixels over LrHSI of {rows}×{cols} cells")
    grid = Grid.from_origin("", 0.0, 0.0, 1.0, height, width)
    sources = [
        MemorySource(
            Cube(
                np.asarray(data, np.float32), np.ones(g.shape, bool),
                BandSet.of([f"{letter}{i}" for i in range(len(data))]), g,
            )
        )
        for data, letter, g in ((hrmsi, "Z", grid), (lrhsi, "X", grid.zoom_out(ratio)))
    ]  # fmt: skip
    s2, s3 = sources
    scene = Scene(s2, s3, s2.bands.names, s3.bands.names, psf or PSF.from_mtf())
    if skip == "bicubic":
        return scene.upsampled(scene.grid.whole)
    return PRIORS[prior](scene)(scene.grid.whole, scene.read_filled(scene.grid.whole)[0])
