"""The paper's check of a fused cube: seen by Sentinel-3, is it the Sentinel-3 image again?

Source: Cristille et al. 2024, doi:10.3390/rs16163107, table A1.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trifuse.metrics import cosine, euclidean, rmse, ssim

MIN_SHARE = 0.99
"""Cells count whose PSF lies to this share on fused pixels; others saw ground that is missing.

Beyond the edge of the cube its pixels are taken as mirrored: outer cells of a real Sentinel-3
image saw other ground there, and agree less.
"""


@dataclass(frozen=True, slots=True)
class SelfCheck:
    """Fused cube degraded to the coarse cells against the coarse image.

    Attributes:
        rmse: over all cells and bands, reflectance.
        euclidean: mean over cells of the distance of the spectra, reflectance.
        cosine: mean over cells of the cosine similarity of the spectra, 1 is best.
        ssim: structural similarity, mean over bands, 1 is best; NaN for fewer than 11 × 11 cells.
        cells: coarse cells that were compared.
        of: coarse cells of the shared ground.
    """

    rmse: float
    euclidean: float
    cosine: float
    ssim: float
    cells: int
    of: int

    def to_json(self) -> dict[str, Any]:
        """Plain values; null where there is no number."""
        return {k: v if math.isfinite(v) else None for k, v in asdict(self).items()}


def compare(lrhsi: np.ndarray, degraded: np.ndarray) -> SelfCheck:
    """Compare.

    Args:
        lrhsi: (L, h, w) the coarse image, NaN where missing.
        degraded: (L, h, w) the fused cube in its cells, NaN where it cannot be compared.
    """
    there = np.isfinite(lrhsi).all(axis=0) & np.isfinite(degraded).all(axis=0)
    if not there.any():
        nothing = math.nan
        return SelfCheck(nothing, nothing, nothing, nothing, 0, there.size)
    return SelfCheck(
        rmse=float(rmse(lrhsi, degraded, there)),
        euclidean=float(euclidean(lrhsi, degraded, there)),
        cosine=float(cosine(lrhsi, degraded, there)),
        ssim=float(ssim(lrhsi, degraded, there)),
        cells=int(there.sum()),
        of=there.size,
    )
