"""How much detail an image holds at each spatial frequency: discrete Fourier transforms.

Images are reduced by their mean and tapered by a Hann window, so that the edges of the frame do
not show as a cross. Frequencies are in cycles per pixel, up to ½ (Nyquist).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trifuse.core import DataError

EMPTY = 1e-20
"""Power below which a frequency counts as absent."""


@dataclass(frozen=True, slots=True, eq=False)
class RadialPower:
    """Power of an image by spatial frequency, mean over directions.

    Attributes:
        frequency: (n,) cycles per pixel, the middle of each ring.
        power: (n,) mean squared amplitude, in squared units of the image.
    """

    frequency: np.ndarray
    power: np.ndarray


def amplitude(image: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Amplitude of the Fourier transform, zero frequency in the middle.

    Args:
        image: (y, x); NaN counts as the mean of the rest.
        valid: (y, x) bool, True where a pixel counts; default: all that are finite.

    Returns:
        (y, x) float64, normalised so that the sum of squares is the variance of the tapered image.

    Raises:
        DataError: if the image is no plane of at least 8×8 pixels, or nothing is valid.
    """
    image = np.asarray(image, np.float64)
    if image.ndim != 2 or min(image.shape) < 8:
        raise DataError(f"an image of shape {image.shape}", fix="give a plane of 8×8 or more")
    there = np.isfinite(image) if valid is None else np.isfinite(image) & valid
    if not there.any():
        raise DataError("no pixel is valid", fix="check the mask")
    taper = np.outer(np.hanning(image.shape[0] + 2)[1:-1], np.hanning(image.shape[1] + 2)[1:-1])
    tapered = np.where(there, image - image[there].mean(), 0.0) * taper
    # What the taper lets through of the mean would swamp the lowest frequencies.
    tapered -= taper * tapered.sum() / taper.sum()
    spectrum = np.fft.fftshift(np.fft.fft2(tapered))
    found: np.ndarray = np.abs(spectrum) / np.sqrt(image.size * (taper**2).sum())
    return found


def radial_power(
    image: np.ndarray, valid: np.ndarray | None = None, *, bins: int = 64
) -> RadialPower:
    """Mean power in rings of spatial frequency up to Nyquist.

    Args:
        image: (y, x); NaN counts as the mean of the rest.
        valid: (y, x) bool, True where a pixel counts.
        bins: rings between 0 and ½ cycles per pixel; empty ones are left out.

    Raises:
        DataError: as of :func:`amplitude`.
    """
    power = amplitude(image, valid) ** 2
    distance = _radius(power.shape)
    ring = np.floor(distance * 2 * bins).astype(int)
    inside = (ring < bins) & (distance > 0)
    count = np.bincount(ring[inside], minlength=bins)
    total = np.bincount(ring[inside], power[inside], minlength=bins)
    middle = np.bincount(ring[inside], distance[inside], minlength=bins)
    kept = count > 0
    return RadialPower(middle[kept] / count[kept], total[kept] / count[kept])


def transfer(
    image: np.ndarray, reference: np.ndarray, valid: np.ndarray | None = None, *, bins: int = 64
) -> RadialPower:
    """Amplitude of an image relative to that of a reference, by frequency; 1 is equal sharpness.

    Args:
        image: (y, x).
        reference: (y, x), the same ground.
        valid: (y, x) bool, True where a pixel counts in both.
        bins: rings.

    Returns:
        Frequencies in cycles per pixel and the unit-less ratio of amplitudes (in ``power``).

    Raises:
        DataError: if the shapes differ, or as of :func:`amplitude`.
    """
    if np.shape(image) != np.shape(reference):
        raise DataError(f"images of {np.shape(image)} and {np.shape(reference)}")
    there = np.isfinite(image) & np.isfinite(reference)
    there = there if valid is None else there & valid
    ours, theirs = (radial_power(i, there, bins=bins) for i in (image, reference))
    return RadialPower(ours.frequency, np.sqrt(ours.power / np.maximum(theirs.power, EMPTY)))


def differing_frequencies(
    image: np.ndarray,
    reference: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    share: float = 0.02,
) -> np.ndarray:
    """The frequencies at which two images differ most: the paper's difference of transforms.

    Args:
        image: (y, x).
        reference: (y, x), the same ground.
        valid: (y, x) bool, True where a pixel counts in both.
        share: of the frequencies that are marked, 0–1.

    Returns:
        (y, x) bool, zero frequency in the middle: True at the largest differences of the
        logarithm of the amplitude.

    Raises:
        DataError: if the shapes differ, or as of :func:`amplitude`.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107, figure 17.
    """
    if np.shape(image) != np.shape(reference):
        raise DataError(f"images of {np.shape(image)} and {np.shape(reference)}")
    there = np.isfinite(image) & np.isfinite(reference)
    there = there if valid is None else there & valid
    ours, theirs = (np.log10(amplitude(i, there) + EMPTY) for i in (image, reference))
    difference = np.abs(ours - theirs)
    marked: np.ndarray = difference > np.quantile(difference, 1 - share)
    return marked


def _radius(shape: tuple[int, ...]) -> np.ndarray:
    y, x = (np.fft.fftshift(np.fft.fftfreq(n)) for n in shape)
    distance: np.ndarray = np.hypot(y[:, None], x)
    return distance
