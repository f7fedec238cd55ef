"""What all measures share: checked inputs, the mask, and work band by band.

Images are (band, y, x), ``valid`` is (y, x) with True for pixels that count. Missing values are
NaN in either image. A measure per band counts the pixels that are valid and finite in that band of
both images; a measure of spectra counts those that are finite in every band. Sums are float64 and
no more than a few planes are held at once, whatever the number of bands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from trifuse.core import DataError


def check(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The inputs as arrays, once they fit.

    Returns:
        truth, estimate: (band, y, x); valid: (y, x) bool.

    Raises:
        DataError: if the shapes disagree, or no pixel of any band counts.
    """
    truth, estimate = np.asarray(truth), np.asarray(estimate)
    if truth.ndim != 3 or truth.shape != estimate.shape:
        raise DataError(
            f"truth has shape {truth.shape}, estimate has {estimate.shape}",
            fix="give two images of one shape (band, y, x)",
        )
    valid = check_mask(valid, truth.shape[1:])
    if not any(mask.any() for _, _, mask in planes(truth, estimate, valid)):
        raise DataError("no pixel has a value in both images", fix="check the masks and NaN")
    return truth, estimate, valid


def check_mask(valid: np.ndarray | None, shape: tuple[int, ...]) -> np.ndarray:
    """``valid`` as (y, x) bool; all True if None.

    Raises:
        DataError: if its shape is another.
    """
    if valid is None:
        return np.ones(shape, bool)
    valid = np.asarray(valid)
    if valid.shape != shape:
        raise DataError(
            f"valid has shape {valid.shape}, the images have {shape}", fix="give a mask of (y, x)"
        )
    return valid.astype(bool, copy=False)


def planes(
    truth: np.ndarray, estimate: np.ndarray, valid: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Per band: truth (y, x) float64, estimate (y, x) float64, pixels that count (y, x) bool."""
    for t, e in zip(truth, estimate, strict=True):
        t, e = t.astype(np.float64), e.astype(np.float64)
        yield t, e, valid & np.isfinite(t) & np.isfinite(e)


def per_band(
    measure: Callable[[np.ndarray, np.ndarray], float],
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None,
) -> np.ndarray:
    """A measure of two lists of values, for each band: (band,) float64, NaN without a pixel."""
    truth, estimate, valid = check(truth, estimate, valid)
    return np.array(
        [
            measure(t[mask], e[mask]) if mask.any() else np.nan
            for t, e, mask in planes(truth, estimate, valid)
        ]
    )


def mean(values: np.ndarray) -> float:
    """Mean of the values that there are; NaN if there is none."""
    values = values[~np.isnan(values)]
    return float(values.mean()) if values.size else float("nan")
