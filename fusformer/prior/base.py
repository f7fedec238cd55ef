"""What every prior is: a function of windows, fitted once per scene."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trifuse.core import Window

TileRun = Callable[[Window, np.ndarray], np.ndarray]
"""(window of the scene, (l, y, x) finite sharp pixels) → (L, y, x) float32."""
