"""What every prior is: a function of windows, fitted once per scene."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.core import Window
from trifuse.fusion.method import Run, TileRun
from trifuse.fusion.scene import Scene


@dataclass(frozen=True, slots=True, eq=False)
class Upsampled:
    """The coarse image by cubic convolution, finite everywhere."""

    scene: Scene

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`TileRun`."""
        return self.scene.upsampled(window)


@dataclass(frozen=True, slots=True, eq=False)
class Masked(Run):
    """A prediction without what S3 lacks: NaN over such cells, band by band."""

    scene: Scene
    predict: TileRun

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """See :data:`TileRun`."""
        missing = self.scene.missing(window)
        values = self.predict(window, hrmsi)
        return np.where(missing, np.float32(np.nan), values) if missing.any() else values
