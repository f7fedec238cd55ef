"""How far off restored bands are, place by place, in closed form.

A place whose detail is e times as strong as the scene's has the prior covariance e p(|f|) C at each
frequency f. With the information N(f) that the samples of each band have of it (a diagonal matrix:
squared transfer over the variance of the noise, as if no frequency fell onto another) the errors'
covariance there is

    P(f; e) = [(e p C)⁻¹ + N]⁻¹

and what the restored detail shows of its energy is e p C less P. Both are averaged over the
frequencies for a few values of e, once a scene. So the energy that a band's restored detail shows
around a pixel tells e, and e tells the variance: two look-ups in small tables. Noise-limited bands
hardly change from place to place, and bands that are mostly guessed from others do.

Energies around a pixel are taken from few pixels, and kinds of ground differ in which bands have
more of it: a band's own e is drawn towards that of all bands, and both towards the scene's 1.

Source: Rasmussen and Williams 2006, appendix A.2 (conditioning of Gaussians); Portilla et al. 2003,
doi:10.1109/TIP.2003.818640 (Gaussian scale mixtures: energy that varies from place to place).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.restore.places import LEAST_SHARE
from trifuse.restore.sample_noise import folded
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness, pixel_noise
from trifuse.restore.spectrum import frequencies, noise_gain, transfer

DETAIL, AROUND = 1.5, 1.6
"""Detail is what is left of an image without its Gaussian of so many pixels' standard deviation,
and its energy is taken over a Gaussian window of so many."""

OWN, BELIEF = 0.5, 0.9
"""Weight of a band's own energy beside the mean of all bands (of logarithms), and how much of its
difference to the scene's is believed."""

ENERGIES = np.geomspace(3e-3, 100, 12)
"""Values of e in the tables."""

GRID = 36
"""Frequencies along an axis that are averaged over, about."""

WITHIN = 3.0
"""Standard deviations at which Gaussians end."""

REACH = int(WITHIN * DETAIL + 0.5) + int(WITHIN * AROUND + 0.5)
"""Pixels that the deviation at a pixel depends on, to each side."""

_NOTHING = 1e-20


@dataclass(frozen=True, slots=True, eq=False)
class RestoredErrors:
    """The errors of a scene's restored bands.

    Attributes:
        covariance: (l, l) of the errors, where detail is as strong as the scene's.
        shown: (k, l) energy of the restored detail where it is ``ENERGIES`` times as strong.
        variance: (k, l) of the errors there.
    """

    covariance: np.ndarray
    shown: np.ndarray
    variance: np.ndarray

    def deviation(self, pixels: np.ndarray) -> np.ndarray:
        """Standard deviations of the errors.

        Args:
            pixels: (l, y, x) restored, NaN where missing.

        Returns:
            (l, y, x) float32 reflectance; finite everywhere.
        """
        energy = np.empty(pixels.shape, np.float32)
        steps = np.log(ENERGIES)
        for out, plane, shown in zip(energy, pixels, self.shown.T, strict=True):
            seen = np.log(np.maximum(_energy(plane), _NOTHING))
            out[:] = np.interp(seen, np.log(shown), steps)
        energy *= OWN
        energy += energy.mean(axis=0) * np.float32((1 - OWN) / OWN)
        energy *= BELIEF
        for out, variance in zip(energy, self.variance.T, strict=True):
            out[:] = np.exp(np.interp(out, steps, 0.5 * np.log(variance)))
        return energy


def restored_errors(sharpness: Sharpness, statistics: Statistics) -> RestoredErrors:
    """The tables of a scene.

    Args:
        sharpness: of each band.
        statistics: of the scene, same bands.
    """
    n = GRID + -GRID % sharpness.period
    axis = frequencies(n, _chain(sharpness)) / (2 * n)
    frequency = np.hypot(axis[:, None], axis[None, :])
    high = (1 - np.exp(-2 * (np.pi * frequency * DETAIL) ** 2)).ravel() ** 2
    power = statistics.density(frequency).ravel()
    covariance = statistics.covariance + LEAST_SHARE * np.eye(len(sharpness))
    told = _information(sharpness, statistics, n)[:, :, None] * np.eye(len(sharpness))
    precision = np.linalg.inv(covariance) / power[:, None, None]
    shown, variance = [], []
    for e in ENERGIES:
        left = np.linalg.inv(precision / e + told).diagonal(axis1=1, axis2=2)
        there = e * power[:, None] * covariance.diagonal()
        shown.append((high[:, None] * (there - left)).mean(axis=0))
        variance.append(left.mean(axis=0))
    usual = np.linalg.inv(precision + told).mean(axis=0)
    if statistics.doubt is not None:
        usual = usual + np.diag(statistics.doubt**2)
        variance = [v + statistics.doubt**2 for v in variance]
    rising = np.maximum.accumulate(np.maximum(shown, _NOTHING), axis=0)
    return RestoredErrors(usual, rising, np.maximum(variance, _NOTHING))


def mapped_variance(
    matrix: np.ndarray, covariance: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    """What errors of the bands are of linear maps of them.

    Args:
        matrix: (L, l) of the map.
        covariance: (l, l) of the bands' errors; its correlation counts.
        deviation: (l, ...) standard deviations.

    Returns:
        (L, ...) float32.
    """
    scale = np.sqrt(np.maximum(covariance.diagonal(), _NOTHING))
    correlation = covariance / np.outer(scale, scale)
    flat = np.ascontiguousarray(deviation.reshape(len(deviation), -1), np.float32)
    out = np.empty((len(matrix), flat.shape[1]), np.float32)
    for row, weights in zip(out, matrix, strict=True):
        mixed = (np.outer(weights, weights) * correlation).astype(np.float32)
        np.einsum("jn,jn->n", mixed @ flat, flat, out=row)
    return np.maximum(out, 0).reshape(len(out), *deviation.shape[1:])


def _energy(plane: np.ndarray) -> np.ndarray:
    """Of the detail around each pixel; missing pixels count for nothing."""
    there = np.isfinite(plane)
    if there.all():
        detail = plane - _smooth(plane, DETAIL)
        return _smooth(detail * detail, AROUND)
    held = there.astype(np.float32)
    mean = _smooth(np.where(there, plane, 0), DETAIL) / np.maximum(_smooth(held, DETAIL), 1e-6)
    detail = np.where(there, plane - mean, 0)
    energy: np.ndarray = _smooth(detail * detail, AROUND) / np.maximum(_smooth(held, AROUND), 1e-6)
    return energy


def _smooth(plane: np.ndarray, sigma: float) -> np.ndarray:
    out: np.ndarray = gaussian_filter(plane, sigma, mode="reflect", truncate=WITHIN)
    return out


def _information(s: Sharpness, statistics: Statistics, n: int) -> np.ndarray:
    """Reciprocal variance with which the samples tell each frequency: (n², l)."""
    on_pixels, on_samples = (v**2 for v in pixel_noise(s, statistics.outside))
    out = np.empty((n * n, len(s)))
    chain = _chain(s)
    for i, ratio in enumerate(s.steps):
        seen = transfer(n, chain, ratio, s.sigma(i))
        gain = noise_gain(n, chain, ratio, s.kernel(ratio))
        noise = on_samples[i] + on_pixels[i] * np.outer(gain, gain)
        if s.laid == "warped" and s.ratio[i] > 1:
            axis = frequencies(n, chain) / (2 * n)
            noise = on_pixels[i] + folded(s, statistics, i, axis, axis)
        out[:, i] = (np.outer(seen, seen) ** 2 / np.tile(noise, (ratio, ratio))).ravel()
    return out


def _chain(sharpness: Sharpness) -> tuple[int, ...]:
    return tuple(sorted(set(sharpness.steps)))
