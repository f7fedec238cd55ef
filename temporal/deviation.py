"""How far an estimate in time may be from the truth, in the unit of the images.

The kernel tells how uncertain a day is against how much a pixel varies; how much that is, its own
images tell: their sum of squares, whitened by the model, and a few images' worth of what pixels
usually do, so that a pixel that was seen once or twice is not taken for one that never changes.

Source: Rasmussen and Williams 2006, ISBN 026218253X, §2.3 and §5.4.1 (the scale of a process).
"""

from __future__ import annotations

import numpy as np

from trifuse.temporal.kernels import INFRARED, SHORTWAVE, THERMAL, VISIBLE, Kernel
from trifuse.temporal.kriging import Estimate

USUAL = {VISIBLE: 0.02, INFRARED: 0.05, SHORTWAVE: 0.04, THERMAL: 0.01}
"""Standard deviation of what varies slowly, as pixels usually have it; kelvin / 1000 of thermal
bands."""

WORTH = 4.0
"""Images that the usual counts as."""


def process_variance(kernel: Kernel, made: Estimate) -> np.ndarray:
    """Variance of the error of an estimate: (Q, band, P) float32, squared unit of its values.

    Args:
        kernel: it was made with.
        made: the estimate, with its energies.
    """
    count = made.number[:, None]
    total = WORTH * USUAL[kernel] ** 2 + made.energy
    return np.asarray(made.spread[:, None] * total / (WORTH + np.maximum(count - 1, 0)))
