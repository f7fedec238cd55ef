"""Non-negative factors of spectra: endmembers and abundances.

Spectra X (bands, n) are products W·H of endmembers W (bands, M) and abundances H (M, n), all ≥ 0.
That the abundances of a pixel sum to one is asked for softly: a further band holds the constant
:data:`SUM` in X and in W.

Sources: Lee and Seung 2001, Advances in Neural Information Processing Systems 13 (multiplicative
updates); Araújo et al. 2001, doi:10.1016/S0169-7439(01)00119-8 (successive projections); Heinz and
Chang 2001, doi:10.1109/36.911111 (the further band).
"""

from __future__ import annotations

import numpy as np

SUM = 0.03
"""Weight of the sum of the abundances, in units of reflectance; more costs 0.1 to 2.5 dB."""

TINY = 1e-9
"""Keeps quotients of multiplicative updates finite."""


def successive_projections(spectra: np.ndarray, count: int) -> np.ndarray:
    """Spectra that span the others: the longest, then always the longest beside those chosen.

    Args:
        spectra: (bands, n) reflectance.
        count: how many to choose.

    Returns:
        (k,) column numbers; fewer than ``count`` where fewer are independent, and at least one.
    """
    left = np.array(spectra, np.float64)
    chosen: list[int] = []
    lengths = (left**2).sum(axis=0)
    least = 1e-12 * lengths.max(initial=0.0)
    while len(chosen) < min(count, left.shape[1]):
        best = int(np.argmax(lengths))
        if chosen and lengths[best] <= least:
            break
        chosen.append(best)
        direction = left[:, best] / max(np.sqrt(lengths[best]), TINY)
        left -= np.outer(direction, direction @ left)
        lengths = (left**2).sum(axis=0)
    return np.array(chosen, int)


def with_sum(values: np.ndarray) -> np.ndarray:
    """Spectra or endmembers (bands, n) with the band that holds the sum."""
    return np.concatenate([values, np.full((1, values.shape[1]), SUM, values.dtype)])


def update_abundances(
    spectra: np.ndarray, endmembers: np.ndarray, abundances: np.ndarray, iterations: int = 1
) -> np.ndarray:
    """Multiplicative updates H ← H ∘ WᵀX / WᵀWH, each pixel for itself.

    Args:
        spectra: (bands, n) ≥ 0.
        endmembers: (bands, M) ≥ 0.
        abundances: (M, n) > 0, the start; zeros stay.
        iterations: how many.

    Returns:
        (M, n) in the start's dtype.
    """
    kind = abundances.dtype
    upper = (endmembers.T @ spectra).astype(kind, copy=False)
    square = (endmembers.T @ endmembers).astype(kind, copy=False)
    found = abundances.copy()
    for _ in range(iterations):
        lower = square @ found
        lower += kind.type(TINY)
        np.divide(upper, lower, out=lower)
        found *= lower
    return found


def update_endmembers(
    spectra: np.ndarray, endmembers: np.ndarray, abundances: np.ndarray
) -> np.ndarray:
    """One multiplicative update W ← W ∘ XHᵀ / WHHᵀ.

    Args:
        spectra: (bands, n) ≥ 0.
        endmembers: (bands, M) ≥ 0, the start.
        abundances: (M, n) ≥ 0.

    Returns:
        (bands, M).
    """
    upper = spectra @ abundances.T
    lower = endmembers @ (abundances @ abundances.T) + TINY
    found: np.ndarray = endmembers * (upper / lower)
    return found
