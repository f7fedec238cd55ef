"""Which coarse cells tell something about both images."""

from __future__ import annotations

import numpy as np

from trifuse.align.regression import HIDDEN
from trifuse.core import DataError
from trifuse.fusion.scene import Scene

ENOUGH = 40
"""Cells at which those that S2 sees a little less well are left out."""

LACKING = (1e-4, HIDDEN)
"""Share of what a cell sees that S2 may lack, the strictest first: what is hidden is another
ground than what S3 sees, and a thousandth of it shows in a fit without noise."""


def sure_cells(scene: Scene, least: int = 2) -> np.ndarray:
    """Cells with a value in every band of both images, seen as wholly as enough of them are.

    Args:
        scene: the two images.
        least: how many cells are needed.

    Returns:
        (h, w) bool.

    Raises:
        DataError: if fewer than ``least`` are there.
    """
    seen, share = scene.hr_coarse
    both: np.ndarray = np.isfinite(scene.lrhsi).all(axis=0) & np.isfinite(seen).all(axis=0)
    if both.sum() < least:
        raise DataError(
            f"{int(both.sum())} cells are seen by both images in all bands, {least} are needed",
            fix="give a larger or less cloudy area, or fewer bands",
        )
    for lacking in LACKING:
        whole = both & (share >= 1 - lacking)
        if whole.sum() >= max(ENOUGH, least):
            return whole
    return both
