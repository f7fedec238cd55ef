"""Differences of spectra, pixel by pixel: spectral angle, cosine, Euclidean distance."""

from __future__ import annotations

import numpy as np

from trifuse.metrics.inputs import check, mean, planes


def sam(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Spectral angle in degrees, mean over pixels, 0…180; 0 is perfect.

    Pixels that are zero in every band of either image have no angle and are skipped.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        Degrees; NaN if no pixel has all bands and a non-zero spectrum in both images.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Yuhas, Goetz, Boardman 1992, Discrimination among semi-arid landscape endmembers using the
        spectral angle mapper (SAM) algorithm, JPL Publication 92-14, 147–149.
    """
    return float(np.degrees(mean(np.arccos(_cosines(truth, estimate, valid)))))


def sam_map(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Spectral angle of each pixel in degrees, 0…180: (y, x) float64, NaN where there is none.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Raises:
        DataError: if the shapes disagree or nothing is valid.
    """
    angle: np.ndarray = np.degrees(np.arccos(_cosines(truth, estimate, valid)))
    return angle


def cosine(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Cosine similarity of the spectra, mean over pixels, −1…1; 1 is perfect.

    Pixels and errors as in :func:`sam`.

    Source:
        Cristille et al. 2024, doi:10.3390/rs16163107, table A1.
    """
    return mean(_cosines(truth, estimate, valid))


def euclidean(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Euclidean distance of the spectra, mean over pixels, in the unit of the data; 0 is perfect.

    It grows with the number of bands: by √bands at an equal error.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Returns:
        The mean; NaN if no pixel has all bands in both images.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Cristille et al. 2024, doi:10.3390/rs16163107, table A1.
    """
    truth, estimate, there = check(truth, estimate, valid)
    total = np.zeros(there.shape)
    for t, e, mask in planes(truth, estimate, there):
        there = there & mask
        total += np.square(np.where(mask, t, 0) - np.where(mask, e, 0))
    return mean(np.sqrt(total[there]))


def _cosines(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    """Cosine of the angle between two spectra: (y, x) float64 in [−1, 1], NaN without one."""
    truth, estimate, there = check(truth, estimate, valid)
    dot, square_t, square_e = np.zeros((3, *there.shape))
    for t, e, mask in planes(truth, estimate, there):
        there = there & mask
        t, e = np.where(mask, t, 0), np.where(mask, e, 0)
        dot += t * e
        square_t += t * t
        square_e += e * e
    # One root of the product, not a product of roots: then equal spectra give exactly 1.
    norm = np.sqrt(square_t * square_e)
    there &= norm > 0
    return np.where(there, np.clip(dot / np.where(there, norm, 1), -1, 1), np.nan)
