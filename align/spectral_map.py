"""The linear map from one sensor's bands to another's, fitted on pairs of pixels of one scene.

Ridge regression of every output band on all input bands and a constant. The strength λ is in
units of the input bands' variances: it minimises

    Σ (y − o − Σ_j m_j x_j)² + n λ Σ_j var(x_j) m_j²

over n pixels, so gains and offsets of the inputs change nothing. With ``gcv`` λ minimises the
generalised cross-validation score, one λ for all output bands: the mean over bands of each
band's score relative to its variance. ``gcv-band`` chooses a λ for each band by its own score,
which gains where the pixels are free of noise and loses where they are not: of a score with few
pixels the minimum is itself uncertain, and the mean over bands is less so.

Sources: Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634 (ridge); Golub, Heath, Wahba
1979, doi:10.1080/00401706.1979.10489751 (generalised cross-validation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from trifuse.core import ConfigError, DataError

CANDIDATES = np.logspace(-10, 1, 111)
"""Strengths that cross-validation chooses from, in units of the band variance."""

CHUNK = 1 << 16
"""Pixels mapped at once, few enough to stay in the processor's cache."""


@dataclass(frozen=True, slots=True, eq=False)
class SpectralMap:
    """y = matrix · x + offset.

    Attributes:
        matrix: (L, l) float64.
        offset: (L,) float64, reflectance.
        ridge: (L,) float64, strength used for each output band, in units of the band variance.
    """

    matrix: np.ndarray
    offset: np.ndarray
    ridge: np.ndarray

    def apply(self, s2: np.ndarray) -> np.ndarray:
        """Map pixels; each depends on itself alone, to the last bit.

        Args:
            s2: (l, ...) reflectance.

        Returns:
            (L, ...) float32; NaN where any input band is NaN.

        Raises:
            DataError: if the number of bands is another.
        """
        s2 = np.asarray(s2)
        if len(s2) != self.matrix.shape[1]:
            raise DataError(f"{len(s2)} bands given to a map from {self.matrix.shape[1]}")
        flat = s2.reshape(len(s2), -1)
        out = np.empty((len(self.matrix), flat.shape[1]), np.float32)
        matrix, offset = self.matrix.astype(np.float32), self.offset.astype(np.float32)
        # Not a matrix product: there the rounding of a pixel depends on its place in the block.
        for start in range(0, flat.shape[1], CHUNK):
            part = flat[:, start : start + CHUNK].astype(np.float32, copy=False)
            total, term = np.empty((2, part.shape[1]), np.float32)
            for row, weights, constant in zip(out, matrix, offset, strict=True):
                total[:] = constant
                for plane, weight in zip(part, weights, strict=True):
                    total += np.multiply(plane, weight, out=term)
                row[start : start + CHUNK] = total
        return out.reshape(len(out), *s2.shape[1:])


def fit_map(
    s2_coarse: np.ndarray,
    s3: np.ndarray,
    *,
    ridge: float | str = "gcv",
    valid: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> SpectralMap:
    """Fit the map from S2 to S3 bands on pixels where both are seen at one resolution.

    Args:
        s2_coarse: (l, y, x) S2 degraded to S3's cells, NaN where missing.
        s3: (L, y, x), NaN where missing; a pixel missing in one band counts for the others.
        ridge: strength in units of the band variance, ``gcv`` or ``gcv-band``; see the module.
        valid: (y, x) bool, True where a pixel counts; default: all.
        weights: (y, x) non-negative weights of the squared errors; default: equal.

    Raises:
        ConfigError: if ``ridge`` is neither.
        DataError: if the shapes disagree, or a band has fewer pixels than coefficients.
    """
    _check_ridge(ridge)
    x, y = np.asarray(s2_coarse, np.float64), np.asarray(s3, np.float64)
    if x.ndim != 3 or y.ndim != 3 or x.shape[1:] != y.shape[1:]:
        raise DataError(
            f"S2 has shape {x.shape}, S3 has {y.shape}",
            fix="give two images (band, y, x) of one size",
        )
    weight = _weights(valid, weights, x.shape[1:])
    x, y, weight = x.reshape(len(x), -1).T, y.reshape(len(y), -1).T, weight.ravel()
    seen = np.isfinite(x).all(axis=1) & (weight > 0)

    solvers = [
        (bands, _Decomposition.of(x[rows], y[np.ix_(rows, bands)], weight[rows], bands))
        for rows, bands in patterns(np.isfinite(y) & seen[:, None])
    ]
    strength = np.empty(y.shape[1])
    if isinstance(ridge, str):
        scores = np.empty((len(CANDIDATES), y.shape[1]))
        for bands, solver in solvers:
            scores[:, bands] = solver.scores(CANDIDATES)
        if ridge == "gcv":
            scores = np.broadcast_to(scores.mean(axis=1, keepdims=True), scores.shape)
        # Of equal scores the strongest: where pixels are too few, none has a finite one.
        strength[:] = CANDIDATES[::-1][scores[::-1].argmin(axis=0)]
    else:
        strength[:] = ridge

    matrix, offset = np.empty((y.shape[1], x.shape[1])), np.empty(y.shape[1])
    for bands, solver in solvers:
        matrix[bands], offset[bands] = solver.solve(strength[bands])
    return SpectralMap(matrix, offset, strength)


@dataclass(frozen=True, slots=True, eq=False)
class _Decomposition:
    """Singular value decomposition of the centred inputs, scaled to unit variance, U S Vᵀ.

    Attributes:
        count: pixels n.
        effective: pixels that would tell as much at equal weights, (Σw)² / Σw².
        centre_x, scale_x: (l,) weighted mean and standard deviation of the inputs.
        centre_y: (k,) weighted mean of the outputs.
        s: (r,) singular values above rounding.
        vt: (r, l).
        uy: (r, k) Uᵀ Y.
        outside: (k,) squares of Y that no combination of the inputs reaches.
    """

    count: int
    effective: float
    centre_x: np.ndarray
    scale_x: np.ndarray
    centre_y: np.ndarray
    s: np.ndarray
    vt: np.ndarray
    uy: np.ndarray
    outside: np.ndarray

    @classmethod
    def of(
        cls, x: np.ndarray, y: np.ndarray, weight: np.ndarray, bands: np.ndarray
    ) -> _Decomposition:
        """Decompose (n, l) inputs and (n, k) outputs."""
        count, coefficients = len(x), x.shape[1] + 1
        if count < coefficients:
            raise DataError(
                f"S3 band {bands[0] + 1} has {count} coarse pixels seen by both images for "
                f"{coefficients} coefficients",
                fix="give a larger or less cloudy area, fewer S2 bands, or leave that band out",
            )
        weight = weight / weight.mean()
        effective = float(count / np.square(weight).mean())
        centre_x, centre_y = (np.average(a, axis=0, weights=weight) for a in (x, y))
        x, y = x - centre_x, y - centre_y
        scale = np.sqrt(np.average(x**2, axis=0, weights=weight))
        # A band without variance has no say; what is left of it is rounding.
        scale = np.where(scale > 1e-9 * np.abs(centre_x), scale, np.inf)
        root = np.sqrt(weight)[:, None]
        y = root * y
        u, s, vt = np.linalg.svd(root * (x / scale), full_matrices=False)
        keep = s > s[0] * count * np.finfo(float).eps
        u, s, vt = u[:, keep], s[keep], vt[keep]
        uy = u.T @ y
        outside = np.square(y - u @ uy).sum(axis=0)
        return cls(count, effective, centre_x, scale, centre_y, s, vt, uy, outside)

    def scores(self, strengths: np.ndarray) -> np.ndarray:
        """Generalised cross-validation relative to the variance: (strengths, k)."""
        kept = self.s**2 / (self.s**2 + self.count * strengths[:, None])
        residual = self.outside + (1 - kept) ** 2 @ self.uy**2
        freedom = 1 - (kept.sum(axis=1) + 1) / self.effective
        variance = self.outside + (self.uy**2).sum(axis=0)
        flat = variance <= self.count * (1e-9 * self.centre_y) ** 2  # rounding of a constant band
        # As many coefficients as pixels: whatever λ → 0 promises is empty.
        share = np.where(freedom > 1e-9, freedom, np.nan)[:, None]
        relative = residual / np.where(flat, np.inf, variance) / share**2
        return np.where(np.isnan(relative), np.inf, relative)

    def solve(self, strengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (k, l) and offsets (k,) at one strength per output band."""
        gain = self.s[:, None] / (self.s[:, None] ** 2 + self.count * strengths)
        matrix = (self.vt.T @ (gain * self.uy)).T / self.scale_x
        return matrix, self.centre_y - matrix @ self.centre_x


def patterns(there: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Output bands that share their pixels: pixels (n,) bool and band numbers, from (n, L)."""
    groups: dict[bytes, list[int]] = {}
    for band in range(there.shape[1]):
        groups.setdefault(there[:, band].tobytes(), []).append(band)
    for bands in groups.values():
        yield there[:, bands[0]], np.array(bands)


def _weights(
    valid: np.ndarray | None, weights: np.ndarray | None, shape: tuple[int, ...]
) -> np.ndarray:
    """Both masks as weights (y, x) float64."""
    out = np.ones(shape)
    for name, mask in (("valid", valid), ("weights", weights)):
        if mask is None:
            continue
        mask = np.asarray(mask, np.float64)
        if mask.shape != shape or not (mask >= 0).all():
            raise DataError(
                f"{name} of shape {mask.shape} for images of {shape}",
                fix="give (y, x) without negative values or NaN",
            )
        out *= mask
    return out


def _check_ridge(ridge: float | str) -> None:
    good = (
        ridge in ("gcv", "gcv-band")
        if isinstance(ridge, str)
        else (math.isfinite(ridge) and ridge >= 0)
    )
    if not good:
        raise ConfigError(f"ridge of {ridge!r}", fix="give gcv, gcv-band, or a strength ≥ 0")
