"""Moments and widths of response curves.

A curve is a pair (wavelength, response): (n,) float64 in nm, strictly increasing, and (n,) float64,
linear between its samples and zero outside them.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from scipy.integrate import trapezoid

from trifuse.core import BandError

Curve: TypeAlias = tuple[np.ndarray, np.ndarray]


def make_curve(wavelength: np.ndarray, response: np.ndarray, *, where: str) -> Curve:
    """Check a curve and freeze it; noise below zero is set to zero.

    Args:
        wavelength: (n,) nm.
        response: (n,) in any unit.
        where: sensor and band, for messages.

    Raises:
        BandError: if it is no curve: fewer than three samples, not increasing, not finite, or
            nowhere positive.
    """
    w = np.array(wavelength, dtype=np.float64)
    r = np.array(response, dtype=np.float64)
    if len(w) < 3 or not (np.isfinite(w).all() and np.isfinite(r).all()):
        raise BandError("fewer than three finite samples of the response", where=where)
    if (np.diff(w) <= 0).any():
        at = int(np.argmax(np.diff(w) <= 0))
        raise BandError(f"wavelengths do not increase after {w[at]:g} nm", where=where)
    r = np.maximum(r, 0.0)
    if not r.any():
        raise BandError("the response is zero everywhere", where=where)
    w.setflags(write=False)
    r.setflags(write=False)
    return w, r


def area(curve: Curve) -> float:
    """Integral of the response over wavelength, in nm times the response's unit."""
    w, r = curve
    return float(trapezoid(r, w))


def centroid(curve: Curve) -> float:
    """First moment of the curve in nm: ∫ λ S dλ / ∫ S dλ, exact for the linear interpolation."""
    w, r = curve
    step = np.diff(w)
    moment = step * (w[:-1] * (2 * r[:-1] + r[1:]) + w[1:] * (r[:-1] + 2 * r[1:])) / 6
    return float(moment.sum()) / area(curve)


def fwhm(curve: Curve) -> float:
    """Width in nm between the outermost crossings of half the peak, linear between samples."""
    w, r = curve
    half = r.max() / 2
    above = np.flatnonzero(r >= half)
    first, last = above[0], above[-1]
    low = w[first] if first == 0 else np.interp(half, r[first - 1 : first + 1], w[first - 1 :][:2])
    high = (
        w[last]
        if last == len(w) - 1
        else np.interp(half, r[last : last + 2][::-1], w[last : last + 2][::-1])
    )
    return float(high - low)


def gaussian(centre: float, width: float) -> Curve:
    """A Gaussian curve of unit peak, out to two FWHM on each side (4.7 σ) in steps of FWHM/20.

    Args:
        centre: nm.
        width: full width at half maximum in nm.
    """
    at = np.linspace(-2.0, 2.0, 81)
    return make_curve(centre + width * at, np.exp(-4 * np.log(2) * at**2), where="Gaussian")
