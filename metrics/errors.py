"""Differences of values: RMSE, PSNR, ERGAS, correlation. All but ERGAS have a form per band."""

from __future__ import annotations

import numpy as np

from trifuse.core import DataError
from trifuse.metrics.inputs import check, mean, per_band, planes

MEAN_FLOOR = 0.01
"""ERGAS divides by no band mean smaller than this share of the largest one."""


def rmse(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Root mean square error over all pixels and bands, in the unit of the data; 0 is perfect.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Raises:
        DataError: if the shapes disagree or nothing is valid.
    """
    truth, estimate, valid = check(truth, estimate, valid)
    total, count = 0.0, 0
    for t, e, mask in planes(truth, estimate, valid):
        total += float(np.square(t[mask] - e[mask]).sum())
        count += int(mask.sum())
    return float(np.sqrt(total / count))


def rmse_bands(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Root mean square error of each band: (band,), in the unit of the data. See :func:`rmse`."""
    return per_band(_rmse, truth, estimate, valid)


def psnr(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean over bands of the peak signal-to-noise ratio in dB; infinite is perfect.

    For one band 20·log10(max of the true band / RMSE of the band). Bands whose true maximum is
    not above zero have no such ratio and are left out.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Yokoya, Grohnfeldt, Chanussot 2017, doi:10.1109/MGRS.2016.2637824, eq. (17).
    """
    return mean(psnr_bands(truth, estimate, valid))


def psnr_bands(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Peak signal-to-noise ratio of each band in dB: (band,). See :func:`psnr`."""

    def ratio(t: np.ndarray, e: np.ndarray) -> float:
        peak, error = float(t.max()), _rmse(t, e)
        if peak <= 0:
            return float("nan")
        return float(20 * np.log10(peak / error)) if error else float("inf")

    return per_band(ratio, truth, estimate, valid)


def ergas(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None, *, ratio: float
) -> float:
    """Relative dimensionless global error in synthesis (ERGAS); 0 is perfect.

    100/ratio · √(mean over bands of (RMSE of the band / mean of the true band)²). Bands that are
    nearly black (water in the SWIR) would decide alone; their mean counts as at least 1 % of that
    of the brightest band.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.
        ratio: fine pixels per coarse cell, e.g. 10 for 300 m to 30 m.

    Raises:
        DataError: if the shapes disagree, nothing is valid, or the ratio is not positive.

    Source:
        Wald 2000, Quality of high resolution synthesised images: is there a simple criterion?,
        Fusion of Earth Data, Sophia Antipolis, 99–103.
    """
    if not ratio > 0:
        raise DataError(f"ratio of {ratio}", fix="give fine pixels per coarse cell")
    errors = rmse_bands(truth, estimate, valid)
    means = per_band(lambda t, _: abs(float(t.mean())), truth, estimate, valid)
    means = np.maximum(means, MEAN_FLOOR * np.nanmax(means))
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(errors == 0, 0.0, errors / means)
    return float(100 / ratio * np.sqrt(mean(relative**2)))


def cc(truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None) -> float:
    """Mean over bands of Pearson's correlation, −1…1; 1 is perfect.

    Constant bands have none and are left out; NaN if all are constant.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.

    Raises:
        DataError: if the shapes disagree or nothing is valid.

    Source:
        Loncan et al. 2015, doi:10.1109/MGRS.2015.2440094, section "Quality measures".
    """
    return mean(cc_bands(truth, estimate, valid))


def cc_bands(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None
) -> np.ndarray:
    """Pearson's correlation of each band: (band,). See :func:`cc`."""

    def correlation(t: np.ndarray, e: np.ndarray) -> float:
        if t.min() == t.max() or e.min() == e.max():
            return float("nan")  # by values: the variance of a constant can round above zero
        t, e = t - t.mean(), e - e.mean()
        norm = np.sqrt(np.dot(t, t) * np.dot(e, e))
        return float(np.clip(np.dot(t, e) / norm, -1, 1)) if norm else float("nan")

    return per_band(correlation, truth, estimate, valid)


def _rmse(t: np.ndarray, e: np.ndarray) -> float:
    return float(np.sqrt(np.square(t - e).mean()))
