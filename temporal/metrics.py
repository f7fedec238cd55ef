"""How good predicted series are: errors on clear pixels, spectral angle, sharpness.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159 (metrics of the evaluation).
"""

from __future__ import annotations

import pickle
from functools import lru_cache

import numpy as np

from trifuse.core import DataError, MissingExtraError, WeightsError

BRISQUE_WEIGHTS = (
    "https://github.com/photosynthesis-team/piq/releases/download/v0.4.0/brisque_svm_weights.pt"
)
"""What piq fetches at first use."""

PATCH = 990
"""Frequency profiles of larger images are means over patches of this size."""


def date_errors(
    reference: np.ndarray, estimate: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """RMSE and normalised RMSE of each date and band over clear pixels.

    The normalised one is ``√(Σ(e − r)² / Σr²)``.

    Args:
        reference: (T, band, y, x), what the sensor saw.
        estimate: (T, band, y, x), the prediction through the sensor's observation model.
        valid: (T, y, x) bool, True where clear.

    Returns:
        RMSE in the data's unit and nRMSE, each (T, band); NaN for dates without a clear pixel or
        with nothing estimated there.

    Raises:
        DataError: if shapes disagree.
    """
    _check(reference, estimate, valid)
    there = valid[:, None] & np.isfinite(estimate) & np.isfinite(reference)
    error = np.where(there, estimate.astype(np.float64) - reference, 0)
    known = np.where(there, reference.astype(np.float64), 0)
    count = there.sum(axis=(2, 3))
    squares, energy = (error**2).sum(axis=(2, 3)), (known**2).sum(axis=(2, 3))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(squares / count), np.sqrt(squares / energy)


def date_angles(reference: np.ndarray, estimate: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Spectral angle of each date in degrees, mean over clear pixels: (T,); NaN without any.

    Args:
        reference: (T, band, y, x); without temperatures.
        estimate: (T, band, y, x).
        valid: (T, y, x) bool.
    """
    _check(reference, estimate, valid)
    a, b = reference.astype(np.float64), estimate.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))
    angle = np.arccos(np.clip(cosine, -1, 1))
    there = valid & np.isfinite(angle)
    total = np.where(there, angle, 0).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.degrees(total / there.sum(axis=(1, 2))))


def frequency_profile(image: np.ndarray) -> np.ndarray:
    """Mean amplitude in rings of spatial frequency.

    The spectrum is that of the image padded with zeros to twice its width W; ring j holds the
    bins whose distance k from zero frequency lies strictly between 2j and 2j + 1, on the scale on
    which W is the Nyquist frequency.

    Args:
        image: (…, y, x), at least 6 pixels wide; only the largest centred square counts.

    Returns:
        (…, ⌊W/2⌋); the first ring is empty and NaN.
    """
    size = min(image.shape[-2:])
    if size < 6:
        raise DataError(f"an image of {size} pixels has no frequency profile", fix="give more")
    top, left = ((n - size) // 2 for n in image.shape[-2:])
    square = image[..., top : top + size, left : left + size]
    amplitude = np.abs(np.fft.fft2(square, s=(2 * size, 2 * size)))
    inside, labels = _rings(size)
    rings = np.arange(size // 2)
    flat = amplitude.reshape(*amplitude.shape[:-2], -1)[..., inside.ravel()]
    count = np.bincount(labels, minlength=len(rings))
    total = np.apply_along_axis(lambda v: np.bincount(labels, v, len(rings)), -1, flat)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(total / count)


def frequency_restoration(
    reference: np.ndarray, estimate: np.ndarray, patch: int = PATCH
) -> np.ndarray:
    """How much sharper than a reference an image is, in dB (FR): > 0 is sharper.

    Mean over all but the lowest and the highest rings of the difference of the profiles, each
    relative to its own ring 1, in 10·log10 of the amplitude.

    Args:
        reference: (…, y, x), of the same size.
        estimate: (…, y, x), finite.
        patch: larger images are cut into whole patches whose profiles are averaged.

    Returns:
        (…,) dB.

    Raises:
        DataError: if the shapes disagree, a value is missing or the image is too small.
    """
    if reference.shape != estimate.shape:
        raise DataError(f"reference {reference.shape} against estimate {estimate.shape}")
    if not (np.isfinite(reference).all() and np.isfinite(estimate).all()):
        raise DataError(
            "frequency restoration of an image with missing values", fix="fill or crop them"
        )
    profiles = [_decibel(_mean_profile(image, patch)) for image in (reference, estimate)]
    difference = profiles[1] - profiles[0]
    return np.asarray(difference[..., 2:-1].mean(axis=-1))


def brisque(image: np.ndarray) -> float:
    """No-reference quality of one band (lower is better), by piq.

    Args:
        image: (y, x), reflectance; clipped to 0–1.

    Returns:
        The score; NaN where piq cannot compute one.

    Raises:
        MissingExtraError: if piq is not installed.
        WeightsError: if its weights are not there and cannot be fetched.

    Source:
        Mittal, Moorthy, Bovik 2012, doi:10.1109/TIP.2012.2214050.
    """
    try:
        import piq
    except ImportError:
        raise MissingExtraError(
            "piq is not installed", fix="pip install 'trifuse[quality]'"
        ) from None
    import torch

    try:
        # Before piq reads the file: fetched if need be, and free of code.
        torch.hub.load_state_dict_from_url(BRISQUE_WEIGHTS, progress=False, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError) as e:
        raise WeightsError(
            f"the weights of BRISQUE cannot be had ({e})",
            where=BRISQUE_WEIGHTS,
            fix=f"fetch them once into {torch.hub.get_dir()}/checkpoints",
        ) from None
    plane = torch.from_numpy(np.clip(image, 0, 1).astype(np.float32))[None, None]
    try:
        return float(piq.brisque(plane, kernel_size=7, kernel_sigma=7 / 6, data_range=1.0))
    except (AssertionError, RuntimeError, ValueError):
        return float("nan")


def _mean_profile(image: np.ndarray, patch: int) -> np.ndarray:
    rows, cols = (n // patch for n in image.shape[-2:])
    if rows * cols == 0 or min(image.shape[-2:]) <= patch:
        return frequency_profile(image)
    parts = [
        frequency_profile(image[..., r * patch : (r + 1) * patch, c * patch : (c + 1) * patch])
        for r in range(rows)
        for c in range(cols)
    ]
    return np.asarray(np.mean(parts, axis=0))


@lru_cache(maxsize=8)
def _rings(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Bins of the padded spectrum that lie in a ring, and the ring of each of them.

    Bins on a ring's very edge fall as the published programs' single precision lets them fall.
    """
    k = np.fft.fftfreq(2 * size) * 2
    radius = np.hypot(k[:, None], k[None, :]).astype(np.float32)
    edges = (np.arange(size, dtype=np.float32) / np.float32(size)).astype(np.float32)
    number = np.searchsorted(edges, radius, side="left") - 1  # edges[number] < radius
    upper = np.append(edges, np.float32(np.inf))[number + 1]
    inside = (number >= 0) & (number % 2 == 0) & (radius < upper) & (number < size // 2 * 2)
    return inside, number[inside] // 2


def _decibel(profile: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        level = 10 * np.log10(profile)
    return np.asarray(level - level[..., 1:2])


def _check(reference: np.ndarray, estimate: np.ndarray, valid: np.ndarray) -> None:
    if reference.shape != estimate.shape or valid.shape != (
        reference.shape[0],
        *reference.shape[2:],
    ):
        raise DataError(
            f"reference {reference.shape}, estimate {estimate.shape}, valid {valid.shape}"
        )
