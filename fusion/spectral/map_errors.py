"""How far off the scene's spectral map is, pixel by pixel, beyond the uncertainty of its numbers.

What no linear map can do depends on the pixel: spectra of a kind that the scene's cells show much
of are mapped well, and the farther one lies from them the less. The standard deviation grows with
the distance d of the pixel from the cells (Mahalanobis, squared, per band; 1 for a pixel as the
cells are):

    σ_b(x) = σ_b ((1 + d(x)) / 2) ^ growth_b

which is how a mixture of Gaussians of several scales behaves. σ_b is a priori what the universal
map leaves of usual spectra times a factor. What this scene's map leaves of its cells and is no
noise tells of it too: what is finer than the cells hides in their means, so that on pixels it is
some times larger. That number is sure where errors are white on the pixels, as noise is; errors
that go on from pixel to pixel differ in it from scene to scene.

Cells few in number say little of how the scene spreads: their covariance is drawn towards that of
all ground, as large as theirs.

Source: Andrews and Mallows 1974, doi:10.1111/j.2517-6161.1974.tb00989.x (scale mixtures of normal
distributions).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.fusion.spectral.calibration import calibration
from trifuse.fusion.spectral.universal import UniversalMap

FEW = 6.0
"""Cells that the covariance of all ground counts for."""

WHOLE = 0.9
"""Share of what a cell sees that the sharp image must show for the cell to count."""

FLOOR = 1e-4
"""Standard deviation of the sharp bands within which spectra are alike, reflectance."""


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Where a scene's cells lie among spectra.

    Attributes:
        centre: (l,) their mean.
        precision: (l, l) inverse of their covariance, that of the pixels' errors added.
    """

    centre: np.ndarray
    precision: np.ndarray

    def distance(self, pixels: np.ndarray) -> np.ndarray:
        """(l, y, x) → (y, x) float32, squared and per band: about 1 for pixels as the cells are."""
        off = (pixels.reshape(len(pixels), -1) - self.centre[:, None]).astype(np.float32)
        squares = np.einsum("jn,jn->n", self.precision.astype(np.float32) @ off, off)
        distance: np.ndarray = np.maximum(squares / len(off), 0).reshape(pixels.shape[1:])
        return distance


@dataclass(frozen=True, slots=True, eq=False)
class MapErrors:
    """What a scene's map cannot do.

    Attributes:
        ground: of the scene.
        deviation: (L,) standard deviation where pixels are as cells are, reflectance.
        growth: (L,) its exponent.
    """

    ground: Ground
    deviation: np.ndarray
    growth: np.ndarray

    def variance(self, pixels: np.ndarray) -> np.ndarray:
        """(l, y, x) → (L, y, x) float32."""
        farther = np.log((1 + self.ground.distance(pixels)) / 2)
        grown = 2 * self.growth.astype(np.float32)[:, None, None] * farther
        near = np.square(self.deviation).astype(np.float32)
        return np.asarray(near[:, None, None] * np.exp(grown))


def ground_of(
    seen: np.ndarray, share: np.ndarray, universal: UniversalMap, errors: np.ndarray
) -> Ground:
    """Where the cells of a scene lie.

    Args:
        seen: (l, y, x) S2 in S3's cells, NaN where missing.
        share: (y, x) in 0–1, how much of what a cell sees S2 has.
        universal: tells how all ground spreads.
        errors: (l, l) covariance of the errors of S2's pixels.
    """
    whole = np.isfinite(seen).all(axis=0) & (share > WHOLE)
    cells = seen[:, whole].T.astype(np.float64)
    all_ground, n = np.linalg.inv(universal.precision), len(cells)
    centre, own = universal.centre, np.zeros_like(all_ground)
    if n:
        centre = cells.mean(axis=0)
        own = (cells - centre).T @ (cells - centre) / n
    size = (n * np.trace(own) / np.trace(all_ground) + FEW) / (n + FEW)
    covariance = (n * own + FEW * size * all_ground) / (n + FEW)
    return Ground(centre, np.linalg.inv(covariance + errors + FLOOR**2 * np.eye(len(errors))))


def map_errors(
    ground: Ground,
    names: tuple[str, ...],
    usual: np.ndarray,
    model: np.ndarray,
    telling: np.ndarray,
) -> MapErrors:
    """What to expect of the map of a scene.

    Args:
        ground: of the scene.
        names: (L,) of the coarse bands.
        usual: (L,) standard deviation of what the universal map leaves of usual spectra.
        model: (L,) of what the scene's map leaves of its cells and is no noise.
        telling: (L,) share of what is left that this is, 0–1.
    """
    known = calibration()
    usual = usual * [known.usual(n) for n in names]
    finer = np.array([known.finer(n) for n in names])
    believed = np.clip(0.5 - 1 / finer, 0, None) * np.sqrt(telling)
    found = finer * np.maximum(model, 1e-9)
    deviation = np.where(telling > 0, usual * (found / usual) ** believed, usual)
    growth = np.array([known.growth(n) for n in names])
    return MapErrors(ground, np.maximum(deviation, np.minimum(finer, 1) * model), growth)
