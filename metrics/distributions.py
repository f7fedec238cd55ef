"""Differences of distributions: Jensen–Shannon divergence, Jaccard index of class maps."""

from __future__ import annotations

import numpy as np

from trifuse.core import DataError
from trifuse.metrics.inputs import check, check_mask, mean, per_band, planes

BINS = 256
"""Bins of a histogram unless told otherwise."""


def jsd(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None, *, bins: int = BINS
) -> float:
    """Jensen–Shannon divergence (base 2) of the histograms, mean over bands, 0…1; 0 is perfect.

    The histograms of a band have common, equal bins over the range of both images. This is the
    divergence; its square root is the Jensen–Shannon distance.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.
        bins: number of bins.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Lin 1991, doi:10.1109/18.61115, eq. (4.1) with equal weights.
    """
    return mean(jsd_bands(truth, estimate, valid, bins=bins))


def jsd_bands(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None, *, bins: int = BINS
) -> np.ndarray:
    """Jensen–Shannon divergence of each band's histograms: (band,). See :func:`jsd`."""

    def divergence(t: np.ndarray, e: np.ndarray) -> float:
        span = (min(t.min(), e.min()), max(t.max(), e.max()))
        p, q = (np.histogram(v, bins, range=span)[0] for v in (t, e))
        return _divergence(p, q)

    return per_band(divergence, truth, estimate, valid)


def jsd_spectra(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Jensen–Shannon divergence (base 2) of the mean spectra, 0…1; 0 is perfect.

    The mean over pixels is taken per band, negative means count as 0, and each spectrum is
    normalised to a sum of 1. Arguments, errors and source as in :func:`jsd`.

    Returns:
        The divergence; NaN if a mean spectrum is zero.
    """
    truth, estimate, valid = check(truth, estimate, valid)
    pairs = [
        (t[mask].mean(), e[mask].mean())
        for t, e, mask in planes(truth, estimate, valid)
        if mask.any()
    ]
    p, q = np.maximum(np.array(pairs).T, 0)
    return _divergence(p, q)


def jaccard(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Jaccard index (intersection over union), 0…1; 1 is perfect.

    Args:
        truth: (y, x) bool mask, or integer class map.
        estimate: (y, x) of the same kind.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        For masks the index of their True pixels (1 if neither has any); for class maps the mean
        over all classes that occur in either.

    Raises:
        DataError: if the shapes or kinds disagree, or nothing is valid.

    Source:
        Jaccard 1901, Bulletin de la Société vaudoise des sciences naturelles 37, 547–579.
    """
    truth, estimate = np.asarray(truth), np.asarray(estimate)
    kinds = {truth.dtype.kind, estimate.dtype.kind}
    if truth.shape != estimate.shape or not (kinds <= {"b"} or kinds <= {"i", "u"}):
        raise DataError(
            f"truth is {truth.dtype} {truth.shape}, estimate is {estimate.dtype} {estimate.shape}",
            fix="give two masks (bool) or two class maps (integers) of one shape",
        )
    there = check_mask(valid, truth.shape)
    if not there.any():
        raise DataError("no pixel is valid", fix="check the mask")
    t, e = truth[there], estimate[there]
    classes = [True] if kinds == {"b"} else np.union1d(t, e).tolist()
    shares = []
    for label in classes:
        in_t, in_e = t == label, e == label
        union = np.count_nonzero(in_t | in_e)
        shares.append(np.count_nonzero(in_t & in_e) / union if union else 1.0)
    return float(np.mean(shares))


def _divergence(p: np.ndarray, q: np.ndarray) -> float:
    """Of two non-negative vectors, normalised here."""
    if not (p.sum() > 0 and q.sum() > 0):
        return float("nan")
    p, q = p / p.sum(), q / q.sum()
    return float(np.clip(_entropy((p + q) / 2) - (_entropy(p) + _entropy(q)) / 2, 0, 1))


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log2(p)).sum())
