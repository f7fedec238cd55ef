"""What any scene's Sentinel-2 bands tell of its Sentinel-3 bands, before the scene is looked at.

The mean μ and covariance Σ of the spectra of many kinds of ground are known at wavelengths. With
the response functions of two sensors as matrices A (sharp) and B (coarse), the best affine map
under noise of standard deviation ν in the sharp bands is

    U = B Σ Aᵀ (A Σ Aᵀ + ν² I)⁻¹,   offset B μ − U A μ

so one table serves any two sensors, and any bands of them. Spectra that are unlike all these are
told by their Mahalanobis distance.

The spectra come from procedural scenes alone (``bench/spectral_moments.py``), so every real scene
is one that the map never saw.

Source: Kay 1993, Fundamentals of Statistical Signal Processing: Estimation Theory, chapter 12 (the
linear estimator of least mean square error).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np

from trifuse.core import Band, BandError, BandSet, canonical_name
from trifuse.srf_data import SensorSRF, gaussian, integrate, load, names

NOISE = 0.0015
"""Standard deviation that the map expects in the sharp bands, reflectance."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mean and covariance of spectra of the ground.

    Attributes:
        nm: (n,) wavelengths.
        mean: (n,) reflectance.
        factor: (n, r), the covariance is ``factor @ factor.T``.
        limit: strangeness that one in a thousand of the spectra exceeds.
        source: where the spectra are from.
    """

    nm: np.ndarray
    mean: np.ndarray
    factor: np.ndarray
    limit: float
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class UniversalMap:
    """y = matrix · x + offset, and how far to trust it.

    Attributes:
        matrix: (L, l) float64.
        offset: (L,) float64, reflectance.
        error: (L,) float64, standard deviation of what the map leaves of noise-free spectra.
        to_s2: (l, n) response functions at the wavelengths of the moments.
        centre: (l,) mean of the spectra in the sharp bands.
        precision: (l, l) inverse of their covariance, with the noise.
        limit: strangeness beyond which a spectrum is called strange.
    """

    matrix: np.ndarray
    offset: np.ndarray
    error: np.ndarray
    to_s2: np.ndarray
    centre: np.ndarray
    precision: np.ndarray
    limit: float

    def strangeness(self, s2: np.ndarray) -> np.ndarray:
        """Mahalanobis distance to the training spectra, squared, per band.

        Args:
            s2: (l, ...) reflectance.

        Returns:
            (...) float64; about 1 for usual spectra, see :attr:`limit`.
        """
        off = s2.reshape(len(s2), -1).T - self.centre
        distance: np.ndarray = ((off @ self.precision) * off).sum(axis=1) / len(s2)
        return distance.reshape(s2.shape[1:])


@cache
def training_moments() -> Moments:
    """The table that comes with the package."""
    file = files("trifuse.fusion.spectral").joinpath("moments.npz")
    with file.open("rb") as opened, np.load(opened, allow_pickle=False) as table:
        return Moments(
            table["nm"].astype(np.float64),
            table["mean"],
            table["factor"],
            float(table["limit"]),
            str(table["source"]),
        )


def universal_map(
    hr: BandSet,
    lr: BandSet,
    *,
    s2: str | None = None,
    s3: str | None = None,
    noise: float = NOISE,
    moments: Moments | None = None,
) -> UniversalMap:
    """The map between bands of two sensors.

    Args:
        hr: bands of the sharp image, any subset of its sensor's.
        lr: bands of the coarse image.
        s2: response table of the sharp sensor; default: where its bands have their names.
        s3: likewise of the coarse sensor.
        noise: standard deviation in the sharp bands, reflectance.
        moments: of the training spectra; default: those that come with the package.

    Raises:
        BandError: if nothing is known of a band's response.
    """
    table = training_moments() if moments is None else moments
    to_s2, to_s3 = sensor_responses(hr, lr, s2, s3, table.nm)
    mean, factor = table.mean.astype(np.float64), table.factor.astype(np.float64)
    sharp, coarse = to_s2 @ factor, to_s3 @ factor
    precision = np.linalg.inv(sharp @ sharp.T + noise**2 * np.eye(len(hr)))
    matrix = coarse @ sharp.T @ precision
    error = np.sqrt(((coarse - matrix @ sharp) ** 2).sum(axis=1))
    centre = to_s2 @ mean
    offset = to_s3 @ mean - matrix @ centre
    return UniversalMap(matrix, offset, error, to_s2, centre, precision, table.limit)


def sensor_responses(
    hr: BandSet, lr: BandSet, s2: str | None, s3: str | None, nm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`responses` of the sharp and of the coarse bands; see :func:`universal_map`."""
    return responses(hr, s2 or "S2A_MSI", nm), responses(lr, s3 or "S3A_SYN", nm)


def responses(bands: BandSet, sensor: str, nm: np.ndarray) -> np.ndarray:
    """Bands as weighted means over wavelengths.

    Args:
        bands: to make. Names that the sensor's table knows have its curves; others are Gaussians
            of their centre and width.
        sensor: name of a response table, or anything else.
        nm: (n,) ascending wavelengths.

    Returns:
        (bands, n) float64, rows sum to one.

    Raises:
        BandError: if a band is in no table and has no centre, or lies beyond the wavelengths.
    """
    table = load(sensor) if sensor in names() else None
    known = {} if table is None else {canonical_name(n): n for n in table.bands.names}
    curves = {}
    for band in bands:
        name = known.get(canonical_name(band.name))
        curves[band.name] = table.curve(name) if table and name else _gaussian(band)
    steps = np.gradient(nm)
    grid = BandSet.of([f"{w:g}" for w in nm], nm, steps)
    made = integrate(
        SensorSRF.of(sensor, curves), grid, detectors=["VNIR"] * len(nm), bands=list(bands.names)
    )
    return np.asarray(made.matrix)


def _gaussian(band: Band) -> tuple[np.ndarray, np.ndarray]:
    if not math.isfinite(band.centre):
        raise BandError(
            f"nothing is known of the response of band {band.name!r}",
            fix="name the bands as their sensor does, or give their centres",
        )
    return gaussian(band.centre, band.fwhm if band.fwhm > 0 else 20.0)
