"""The spectral map of a scene whose coarse cells are few or noisy: shrunk to what maps usually are.

For each S3 band the coefficients w (and the offset) are a priori normal around those of the mean
scene u, with covariance

    t² Γ + diag((0.02 u)² + τ²),   for the offset t² Γ + 0.003² (1 + Σ u²)

Γ is how maps differ from scene to scene (:mod:`trifuse.fusion.spectral.spectral_prior`), t how
much more or less this scene does, τ what it has of its own, and S2's bands may be miscalibrated by
2 % and 0.003. S3's cells y are normal around the map of S2 in these cells with variance σ². How
far to go from the mean map (t, τ) and how much to believe the cells (σ) is told by the evidence
p(y | t, τ, σ), band by band; the posterior is averaged over all three, where τ is as much less
likely as it is larger, before the cells are seen. So one cell moves the offset, and 10⁵ make the
ordinary regression. Costs a few l × l decompositions per band, whatever the number of cells.

Sources: Lindley & Smith 1972, doi:10.1111/j.2517-6161.1972.tb00885.x (the hierarchical linear
model); MacKay 1992, doi:10.1162/neco.1992.4.3.415 (evidence); Hoeting et al. 1999,
doi:10.1214/ss/1009212519 (averaging over what the evidence leaves open).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.align import SpectralMap
from trifuse.align.regression import HIDDEN
from trifuse.align.spectral_map import patterns
from trifuse.core import DataError
from trifuse.fusion.spectral.spectral_prior import SpectralPrior

SCALES = (0.5, 1.0, 2.0, 4.0)
"""Candidates of t."""

SPREADS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Candidates of τ, per unit of reflectance, with prior chances as 1/τ: were they alike,
scenes of eight cells would lose 0.1 dB. All are above 0, so that the covariance has an inverse."""

NOISES = np.geomspace(1e-6, 1e-1, 41)
"""Candidates of σ, reflectance. Down to what float32 images of no noise leave: a floor of 1e-4
costs 0.3–1.2 dB where S3 has none."""

GAIN, OFFSET = 0.02, 0.003
"""Calibration errors of S2 that the prior allows for: relative, and reflectance."""


@dataclass(frozen=True, slots=True, eq=False)
class BayesMap:
    """A fitted map with its uncertainty.

    Attributes:
        spectral: posterior mean of the map.
        covariance: (L, l + 1, l + 1) posterior covariance of the coefficients and the offset.
        noise: (L,) σ: standard deviation of what the map leaves of S3's cells, reflectance.
        spread: (L,) τ.
        scale: (L,) t.
        cells: (L,) cells behind it, as a sum of weights.
        evidence: logarithm of the evidence, summed over the bands.
    """

    spectral: SpectralMap
    covariance: np.ndarray
    noise: np.ndarray
    spread: np.ndarray
    scale: np.ndarray
    cells: np.ndarray
    evidence: float

    def variance(self, s2: np.ndarray) -> np.ndarray:
        """Variance of the map's value for given pixels, from the uncertainty of the map alone.

        Args:
            s2: (l, ...) reflectance.

        Returns:
            (L, ...) float32.
        """
        flat = s2.reshape(len(s2), -1)
        ones = np.concatenate([flat, np.ones_like(flat[:1])]).astype(np.float32)
        out = np.empty((len(self.covariance), flat.shape[1]), np.float32)
        for row, covariance in zip(out, self.covariance.astype(np.float32), strict=True):
            np.einsum("jn,jn->n", covariance @ ones, ones, out=row)
        return np.maximum(out, 0).reshape(len(out), *s2.shape[1:])


def fit_bayes(
    seen: np.ndarray, observed: np.ndarray, weights: np.ndarray, prior: SpectralPrior
) -> BayesMap:
    """Fit on coarse cells.

    Args:
        seen: (l, n) S2 in S3's cells, NaN where missing.
        observed: (L, n) S3, NaN where missing; a cell that lacks one band counts for the others.
        weights: (n,) inverse relative variance of the cells' errors; 0 leaves a cell out.
        prior: what is known of the map without the scene.

    Returns:
        The map; that of the prior for a band without a cell.

    Raises:
        DataError: if the shapes disagree.
    """
    x, y = np.asarray(seen, np.float64).T, np.asarray(observed, np.float64).T
    before = prior.mean
    wanted = (before.shape[1] - 1, len(before))
    if (*x.shape[1:], *y.shape[1:]) != wanted or not len(x) == len(y) == len(weights):
        raise DataError(
            f"S2 has shape {seen.shape}, S3 {observed.shape}, the map is of {wanted} bands"
        )
    usable = np.isfinite(x).all(axis=1) & (weights > 0)
    features = np.column_stack([x, np.ones(len(x))])
    after, covariance = before.copy(), np.empty_like(prior.covariance)
    noise, spread, scale, cells = np.empty((4, len(before)))
    evidence = 0.0
    for rows, bands in patterns(np.isfinite(y) & usable[:, None]):
        weight, a = weights[rows, None], features[rows]
        gram = (a * weight).T @ a
        left = y[np.ix_(rows, bands)] - a @ before[bands].T
        cross, squares = (a * weight).T @ left, (weight * left**2).sum(axis=0)
        fixed = 0.5 * np.log(weight).sum()
        cells[bands] = weight.sum()
        for k, b, s in zip(bands, cross.T, squares, strict=True):
            solved = _posterior(_factors(before[k], prior.covariance[k]), gram, b, s, len(a))
            after[k] += solved.step
            covariance[k] = solved.covariance
            noise[k], spread[k], scale[k] = solved.noise, solved.spread, solved.scale
            evidence += solved.evidence + fixed
    spectral = SpectralMap(after[:, :-1], after[:, -1], np.full(len(after), np.nan))
    return BayesMap(spectral, covariance, noise, spread, scale, cells, evidence)


def fit_bayes_cells(
    seen: np.ndarray,
    share: np.ndarray,
    observed: np.ndarray,
    prior: SpectralPrior,
    *,
    inside: np.ndarray | None = None,
) -> tuple[BayesMap, np.ndarray, np.ndarray]:
    """:func:`fit_bayes` on the cells of a scene, and what it leaves of S3.

    Args:
        seen: (l, y, x) S2 in S3's cells, NaN where missing.
        share: (y, x) in 0–1, how much of what a cell sees S2 has.
        observed: (L, y, x) S3, NaN where missing.
        prior: what is known of the map without the scene.
        inside: (y, x) in 0–1, how much of what a cell sees lies within S2's edges; beyond, S3
            was made by mirroring, or saw other ground: whichever has the higher evidence.

    Returns:
        The map; (L, y, x) float32 what it leaves, NaN where S3 is missing or S2 does not show a
        cell whole; and (y, x) float64 the weights of the cells.
    """
    shares = [share]
    if inside is not None and (outer := inside < 1 - HIDDEN).any() and not outer.all():
        shares.append(share * inside)
    flat = seen.reshape(len(seen), -1), observed.reshape(len(observed), -1)
    fits = []
    for counted in shares:
        weights = 1 / (1 + ((1 - counted) / HIDDEN) ** 2)
        fits.append((fit_bayes(*flat, weights.ravel(), prior), counted, weights))
    fit, counted, weights = max(fits, key=lambda f: f[0].evidence)
    left = observed - fit.spectral.apply(seen)
    doubtful = counted < 1 - HIDDEN
    if np.isfinite(left[:, ~doubtful]).any(axis=1).all():
        left[:, doubtful] = np.nan
    return fit, left.astype(np.float32, copy=False), weights


@dataclass(frozen=True, slots=True, eq=False)
class _Posterior:
    step: np.ndarray
    covariance: np.ndarray
    noise: float
    spread: float
    scale: float
    evidence: float


def _factors(u: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Of the prior's covariance for each candidate of t and τ, as B with B Bᵀ.

    Args:
        u: (l + 1,) prior coefficients and offset.
        covariance: (l + 1, l + 1) from scene to scene.

    Returns:
        (t × τ, l + 1, l + 1).
    """
    wrong = np.append((GAIN * u[:-1]) ** 2, OFFSET**2 * (1 + u[:-1] @ u[:-1]))
    own = np.diag(np.append(np.ones(len(u) - 1), 0))
    scenes = np.square(SCALES)[:, None, None, None] * covariance
    made = scenes + np.square(SPREADS)[:, None, None] * own + np.diag(wrong)
    return np.linalg.cholesky(made.reshape(-1, len(u), len(u)))


def _posterior(
    factors: np.ndarray, gram: np.ndarray, cross: np.ndarray, squares: float, count: int
) -> _Posterior:
    """Of one band, averaged over t, τ and σ by the evidence.

    Args:
        factors: (t × τ, l + 1, l + 1) of the prior's covariance.
        gram: (l + 1, l + 1) AᵀA.
        cross: (l + 1,) Aᵀ(y − A u).
        squares: of y − A u.
        count: cells.
    """
    variance = NOISES**2
    values, vectors = np.linalg.eigh(factors.transpose(0, 2, 1) @ gram @ factors)
    values, base = values.clip(0)[..., None], factors @ vectors
    along = (cross @ base)[..., None]
    total = values + variance
    misfit = np.maximum(squares - (along**2 / total).sum(axis=1), 0) / variance
    volume = count * np.log(2 * np.pi * variance) + np.log1p(values / variance).sum(axis=1)
    rare = np.tile(np.log(SPREADS), len(SCALES))[:, None]
    evidence = -0.5 * (volume + misfit) - rare
    step = base @ (along / total)  # (t × τ, l + 1, σ)
    best = evidence.max()
    probable = np.exp(evidence - best)
    whole = probable.sum()
    probable /= whole
    chance = probable[:, None]
    mean = (step * chance).sum(axis=(0, 2))
    shrunk = (variance / total * chance).sum(axis=2, keepdims=True)
    across = base @ (shrunk * base.transpose(0, 2, 1)) + (step * chance) @ step.transpose(0, 2, 1)
    of_prior = probable.sum(axis=1).reshape(len(SCALES), len(SPREADS))
    return _Posterior(
        mean,
        across.sum(axis=0) - np.outer(mean, mean),
        noise=float(np.exp(probable.sum(axis=0) @ np.log(NOISES))),
        spread=float(np.exp(of_prior.sum(axis=0) @ np.log(SPREADS))),
        scale=float(np.exp(of_prior.sum(axis=1) @ np.log(SCALES))),
        evidence=float(best + np.log(whole) - np.log(len(NOISES) * np.exp(-rare).sum())),
    )
