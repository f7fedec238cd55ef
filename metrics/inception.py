"""The inception score: how sure, and how varied, a classifier is about images.

Source: Salimans et al. 2016, "Improved Techniques for Training GANs", arXiv:1606.03498, §4.
"""

from __future__ import annotations

import numpy as np

from trifuse.core import DataError


def inception_score(probability: np.ndarray) -> float:
    """Exponential of the mean divergence of each image's class probabilities from their mean.

    Args:
        probability: (n, classes), rows sum to one.

    Returns:
        1 (all alike or all unsure) … number of classes (each sure, all classes alike often).

    Raises:
        DataError: if rows are no probabilities, or there are none.
    """
    p = np.asarray(probability, np.float64)
    if p.ndim != 2 or not len(p):
        raise DataError(f"probabilities of shape {p.shape}", fix="give (images, classes)")
    if not np.isfinite(p).all() or (p < 0).any() or np.abs(p.sum(axis=1) - 1).max() > 1e-4:
        raise DataError("rows are no probabilities", fix="let each be positive and sum to one")
    mean = p.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log(p) - np.log(mean)), 0.0)
    return float(np.exp(terms.sum(axis=1).mean()))
