"""Kinds of ground in a scene: pixels that learn their statistics from each other, not from others.

A window around a pixel at the edge of a lake holds land, whose bands go together otherwise. So
pixels are sorted softly into a few kinds by their spectra, and averages are taken over the window
for each kind alone.

Source: Lloyd 1982, doi:10.1109/TIT.1982.1056489 (k-means); Tomasi and Manduchi 1998,
doi:10.1109/ICCV.1998.710815 (averages over pixels that are alike).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import cdist
from torch import Tensor

from trifuse.core import CubeSource, fill_nearest
from trifuse.restore.scene_blocks import sample_windows
from trifuse.restore.sharpness import Sharpness

COUNT = 6
"""Kinds of ground."""

SOFTNESS = 0.15
"""Squared distance at which a kind's share falls by e: of the bands' deviations, mean over them."""

SMOOTH = 1.0
"""Standard deviation in pixels of the Gaussian that spectra are taken after."""

PIXELS = 20_000
"""Pixels that kinds are learnt from, about."""

STEPS = 20
"""Of k-means."""

LEAST = 1e-3
"""Share of a window that a kind must have to say something."""


@dataclass(frozen=True, slots=True, eq=False)
class Kinds:
    """Where the kinds of ground of a scene lie among spectra.

    Attributes:
        centres: (k, l) mean spectra, reflectance.
        deviation: (l,) standard deviation of the scene's bands.
    """

    centres: np.ndarray
    deviation: np.ndarray

    def shares(self, image: Tensor) -> Tensor:
        """How much each pixel is of each kind: (l, y, x) → (k, y, x), sums to one over kinds."""
        scale = torch.as_tensor(self.deviation, dtype=image.dtype, device=image.device)
        centres = torch.as_tensor(self.centres, dtype=image.dtype, device=image.device)
        spectra = (image / scale[:, None, None]).flatten(1).T
        apart = torch.cdist(spectra, centres / scale) ** 2 / len(scale)
        shares = torch.softmax(-apart / SOFTNESS, dim=1)
        return shares.T.reshape(len(centres), *image.shape[1:])


def ground_kinds(source: CubeSource, sharpness: Sharpness) -> Kinds:
    """Kinds of a scene, from windows spread evenly over it: of the scene alone.

    Args:
        source: the image, as it is.
        sharpness: of its bands.
    """
    windows = sample_windows(source.grid.shape, sharpness.period, sharpness.origin)
    total = sum(w.height * w.width for w in windows)
    step = max(1, round((total / PIXELS) ** 0.5))
    spectra = []
    for window in windows:
        data = source.read(window).masked()
        there = np.isfinite(data).all(axis=0)
        if not there.any():
            continue
        filled = fill_nearest(data)
        smooth = np.stack([gaussian_filter(plane, SMOOTH, mode="reflect") for plane in filled])
        spectra.append(smooth[:, ::step, ::step][:, there[::step, ::step]].T)
    found = np.concatenate(spectra) if spectra else np.zeros((0, len(source.bands)))
    if len(found) < COUNT:
        return Kinds(np.zeros((1, len(source.bands))), np.ones(len(source.bands)))
    found = found.astype(np.float64)
    deviation = np.maximum(found.std(axis=0), 1e-6)
    scaled = found / deviation
    # From pixels at even steps along the direction that they differ most in: no chance in it.
    centred = scaled - scaled.mean(axis=0)
    along = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -1]
    places = ((np.arange(COUNT) + 0.5) / COUNT * len(scaled)).astype(int)
    centres = scaled[np.argsort(along, kind="stable")[places]]
    for _ in range(STEPS):
        nearest = cdist(scaled, centres).argmin(axis=1)
        for k in range(COUNT):
            own = nearest == k
            if own.any():
                centres[k] = scaled[own].mean(axis=0)
    return Kinds(centres * deviation, deviation)


def average_by_kind(
    planes: Tensor, shares: Tensor, onto: tuple[Tensor, Tensor], back: tuple[Tensor, Tensor]
) -> Tensor:
    """Averages over a window around each pixel, of pixels of its kinds alone.

    Args:
        planes: (n, y, x).
        shares: (k, y, x), see :meth:`Kinds.shares`.
        onto: (v, y) and (w, x), the window's weights around points that lie less densely.
        back: (y, v) and (x, w), from the points to the pixels.

    Returns:
        (n, y, x).
    """
    out = torch.zeros_like(planes)
    for share in shares:
        there = onto[0] @ share @ onto[1].T + LEAST
        mean = (onto[0] @ (planes * share) @ onto[1].T) / there
        out += (back[0] @ mean @ back[1].T).mul_(share)
    return out
