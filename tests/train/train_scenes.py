"""Small spectral scenes."""

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.core import BandSet, Cube, Grid, MemorySource

SCENES = (1, 2, 4)
"""Those of the store that the tests share."""


def scene(number: int, height: int = 40, width: int = 60) -> MemorySource:
    """Smooth mixtures of smooth spectra, with texture: 224 bands at 30 m."""
    rng = np.random.default_rng(number)
    nm = np.linspace(420, 2450, 224)
    # Five strong components that six bands can tell apart, and ten weak ones that they cannot.
    centres = np.r_[450, 650, 850, 1400, 2100, rng.uniform(450, 2400, 10)]
    strength = np.r_[np.full(5, 0.4), np.full(10, 0.02)]
    peaks = strength * np.exp(-(((nm[:, None] - centres) / 250) ** 2))
    share = gaussian_filter(rng.random((15, height, width)), (0, 2, 2))
    share = (share - share.min()) / np.ptp(share)
    data = (0.05 + np.einsum("bk,kyx->byx", peaks, share)).astype(np.float32)
    bands = BandSet.of([f"E{i + 1:03d}" for i in range(224)], nm, np.full(224, 10.0))
    grid = Grid.from_origin("EPSG:32633", 3e5 + 1e4 * number, 5.8e6, 30.0, height, width)
    valid = np.ones((height, width), bool)
    valid[3, 4] = False
    return MemorySource(Cube(data, valid, bands, grid), f"scene {number}")
