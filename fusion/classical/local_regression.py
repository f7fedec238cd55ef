"""The regression with a map of its own in each coarse cell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trifuse.core import BandSet, ConfigError, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion.classical.cells import Cells, coarse_cells
from trifuse.fusion.classical.local_maps import local_maps
from trifuse.fusion.method import Method, Run
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.base import Masked


@dataclass(frozen=True, slots=True)
class LocalRegression(Method):
    """A linear map of S2 to S3 that changes over the scene, and what it leaves of S3.

    Around each coarse cell the deviation from the map of the whole scene is fitted to the cells
    near it, with Gaussian weights and a ridge, so that windows with little to learn from keep the
    map of the scene. Between cells the maps are interpolated by cubic convolution: M(p), o(p). With
    x the sharp pixels, x_L the S2 that S3 sees, upsampled, and the residual:

        fused = M(p)·x + o(p) + [up(S3) − M(p)·x_L − o(p)] = up(S3) + M(p)·(x − x_L)

    A ridge without limit gives the regression of the whole scene.

    Sources: Brunsdon, Fotheringham, Charlton 1996, doi:10.1111/j.1538-4632.1996.tb00936.x
    (geographically weighted regression); Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634
    (ridge); Selva et al. 2015, doi:10.1109/JSTARS.2015.2440092 (hypersharpening).

    Attributes:
        window: standard deviation of the Gaussian weights in coarse cells.
        ridge: of the deviations, in units of the variances of the S2 bands over the scene; ``loo``
            takes the one that predicts S3 best in cells that are left out, one for the scene.
        residual: whether what the maps leave of S3 is added.
        scene_ridge: of the map of the whole scene, see :func:`trifuse.align.fit_map`.
    """

    window: float = 3.0
    ridge: float | str = "loo"
    residual: bool = True
    scene_ridge: float | str = "gcv"
    name: str = field(default="local-regression", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if not 0.5 <= self.window <= 1000:
            raise ConfigError(f"a window of {self.window:g} cells", fix="give 0.5 to 1000")
        if self.ridge != "loo" and (isinstance(self.ridge, str) or not self.ridge > 0):
            raise ConfigError(f"ridge of {self.ridge!r}", fix="give loo, or a strength above 0")

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Fit the maps: (l + 1) · L values per coarse cell are kept."""
        cells = coarse_cells(scene, self.scene_ridge)
        matrix, offset = local_maps(cells, self.window, self.ridge)
        return Masked(scene, LocalMaps(scene, cells, matrix, offset, self.residual))


@dataclass(frozen=True, slots=True, eq=False)
class LocalMaps:
    """Maps in each coarse cell, ready for windows; finite everywhere.

    Attributes:
        scene: the two images.
        cells: their cells.
        matrix: (L, l, h, w) float32.
        offset: (L, h, w) float32.
        residual: see :class:`LocalRegression`.
    """

    scene: Scene
    cells: Cells
    matrix: np.ndarray
    offset: np.ndarray
    residual: bool

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`trifuse.fusion.spectral.TileRun`."""
        moved = self.scene.moved
        if self.residual:
            fused, seen = moved(self.cells.s3, window), hrmsi - moved(self.cells.s2, window)
        else:
            fused, seen = moved(self.offset, window), hrmsi
        # One band at a time: the maps at every pixel are many times the image.
        for plane, weights in zip(fused, self.matrix, strict=True):
            for weight, band in zip(moved(weights, window), seen, strict=True):
                plane += weight * band
        return fused
