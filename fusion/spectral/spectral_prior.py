"""How spectral maps differ from scene to scene, learnt before the scene at hand is looked at.

The best affine map of Sentinel-2's bands to a band of Sentinel-3 is another one in each scene. Over
small procedural scenes s these maps are taken as draws of one normal distribution for each band,

    w_s ~ N(u, Γ),   y = [x, 1] · w_s + noise of variance σ²

and u, Γ and σ² are found by expectation and maximisation: each scene's map is told by its own
spectra as far as these go, by the others where they do not. So the map of a scene that shows few
kinds of ground moves where maps do move, and Γ says which coefficients move together. u is the
mean of the maps of scenes, which is not the map of all their spectra together
(:mod:`trifuse.fusion.spectral.universal`).

What comes with the package are the mean and the covariance of each scene's spectra at wavelengths
(``bench/spectral_prior.py``); the maps of any bands of any two sensors follow from their response
functions, once per pair of sensors and in a fraction of a second. Real spectra have more to them
than models of materials: what these lack (``LACKS``) is added to each scene's covariance.

Sources: Lindley & Smith 1972, doi:10.1111/j.2517-6161.1972.tb00885.x (the hierarchical linear
model); Dempster, Laird & Rubin 1977, doi:10.1111/j.2517-6161.1977.tb01600.x (expectation and
maximisation).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import BandSet, WeightsError
from trifuse.core.weights import read_arrays, write_arrays
from trifuse.fusion.spectral.universal import sensor_responses

SHIPPED = Path(__file__).with_name("shipped") / "spectral_prior.safetensors"

NETWORK, FORMAT = "spectral_prior", 1
"""Name and version of the card's layout."""

LACKS = ((0.002, 10.0), (0.01, 300.0))
"""Standard deviations of what the spectra of procedural scenes lack, reflectance, each with the nm
over which it changes: fine features, and other kinds of ground. Chosen on Jasper and procedural
scenes 900–904. Without the first, maps of scenes use differences of bands that only spectra as
smooth as models have, and scenes without errors gain 0.15 dB less."""

NOISE = 3e-4
"""Standard deviation that the maps of scenes expect in the sharp bands, reflectance."""

CELLS = 1000.0
"""Independent spectra that a scene counts for."""

STEPS = 15
"""Of expectation and maximisation. Eight more change a fused scene by less than 0.01 dB."""

_TENSORS = ("nm", "basis", "mean", "factor")


@dataclass(frozen=True, slots=True, eq=False)
class SceneSpectra:
    """Mean and covariance of the spectra of many scenes, each by itself.

    Attributes:
        nm: (n,) ascending wavelengths.
        basis: (n, b) directions that the spectra of all scenes lie in.
        mean: (scenes, b), a scene's mean spectrum is ``basis @ mean``, reflectance.
        factor: (scenes, b, r), the covariance of its spectra is that of ``basis @ factor``.
    """

    nm: np.ndarray
    basis: np.ndarray
    mean: np.ndarray
    factor: np.ndarray


@dataclass(frozen=True, slots=True, eq=False)
class SpectralPrior:
    """What is known of a scene's map before its cells are seen, for each coarse band.

    Attributes:
        mean: (L, l + 1) coefficients, then the offset, of the mean scene.
        covariance: (L, l + 1, l + 1) of the coefficients and the offset from scene to scene.
        noise: (L,) standard deviation of what its own map leaves of a scene's spectra, reflectance.
    """

    mean: np.ndarray
    covariance: np.ndarray
    noise: np.ndarray


def spectral_prior(
    hr: BandSet,
    lr: BandSet,
    *,
    s2: str | None = None,
    s3: str | None = None,
    spectra: SceneSpectra | None = None,
) -> SpectralPrior:
    """The distribution of the maps between bands of two sensors.

    Args:
        hr: bands of the sharp image, any subset of its sensor's.
        lr: bands of the coarse image.
        s2: response table of the sharp sensor; default: where its bands have their names.
        s3: likewise of the coarse sensor.
        spectra: of scenes; default: those that come with the package, whose distributions are
            kept for the next call.

    Raises:
        BandError: if nothing is known of a band's response.
        WeightsError: if the file of the package is damaged.
    """
    table = scene_spectra() if spectra is None else spectra
    to_s2, to_s3 = sensor_responses(hr, lr, s2, s3, table.nm)
    if spectra is None:
        return _shipped(to_s2.tobytes(), to_s3.tobytes(), len(table.nm))
    return _learn(*_moments(table, to_s2, to_s3))


@cache
def scene_spectra() -> SceneSpectra:
    """The scenes that come with the package."""
    return read_spectra(SHIPPED)[0]


def read_spectra(path: Path) -> tuple[SceneSpectra, dict[str, Any]]:
    """Scenes and their card.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, or holds other things.
    """
    card, arrays = read_arrays(path, _TENSORS, of=(NETWORK, FORMAT))
    nm, basis, mean, factor = (a.astype(np.float64) for a in arrays)
    fits = basis.shape == (len(nm), mean.shape[-1]) and factor.shape[:2] == mean.shape
    if not fits or not all(np.isfinite(a).all() for a in (nm, basis, mean, factor)):
        raise WeightsError("the tensors do not fit each other, or are not finite", where=path)
    return SceneSpectra(nm, basis, mean, factor), card


def write_spectra(
    path: Path, spectra: SceneSpectra, card: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write scenes as float32, and the card inside and as JSON beside.

    Args:
        path: ends in ``.safetensors``.
        spectra: of scenes.
        card: plain JSON values.
        overwrite: replace what is there.

    Raises:
        OutputExistsError: if a file is in the way.
    """
    described = {"format": FORMAT, "network": NETWORK, **card}
    arrays = {name: getattr(spectra, name) for name in _TENSORS}
    write_arrays(path, arrays, described, overwrite=overwrite)


@lru_cache(maxsize=16)
def _shipped(sharp: bytes, coarse: bytes, n: int) -> SpectralPrior:
    to_s2, to_s3 = (np.frombuffer(b).reshape(-1, n) for b in (sharp, coarse))
    return _learn(*_moments(scene_spectra(), to_s2, to_s3))


def _moments(
    table: SceneSpectra, to_s2: np.ndarray, to_s3: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Means over each scene's spectra, of features a = [x, 1] and coarse bands y.

    Args:
        table: the scenes.
        to_s2: (l, n) response functions.
        to_s3: (L, n).

    Returns:
        a aᵀ (scenes, l + 1, l + 1), y aᵀ (scenes, L, l + 1) and y² (scenes, L).
    """
    apart = np.subtract.outer(table.nm, table.nm)
    lack = sum(s**2 * np.exp(-0.5 * (apart / width) ** 2) for s, width in LACKS)
    sharp, coarse = ((to @ table.basis) @ table.factor for to in (to_s2, to_s3))
    ones = np.ones((len(table.mean), 1))
    x = np.concatenate([table.mean @ (to_s2 @ table.basis).T, ones], axis=1)
    y = table.mean @ (to_s3 @ table.basis).T
    gram = x[:, :, None] * x[:, None]
    gram[:, :-1, :-1] += sharp @ sharp.transpose(0, 2, 1) + to_s2 @ lack @ to_s2.T
    gram[:, :-1, :-1] += NOISE**2 * np.eye(len(to_s2))
    cross = y[:, :, None] * x[:, None]
    cross[:, :, :-1] += coarse @ sharp.transpose(0, 2, 1) + to_s3 @ lack @ to_s2.T
    squares = y**2 + (coarse**2).sum(axis=2) + ((to_s3 @ lack) * to_s3).sum(axis=1)
    return gram, cross, squares


def _learn(gram: np.ndarray, cross: np.ndarray, squares: np.ndarray) -> SpectralPrior:
    """Expectation and maximisation over scenes, all bands at once; see :func:`_moments`."""
    scenes, bands, n = cross.shape
    mean = np.linalg.solve(gram.mean(axis=0), cross.mean(axis=0).T).T
    covariance = np.tile(np.diag(np.append(np.full(n - 1, 0.1**2), 0.005**2)), (bands, 1, 1))
    variance = np.full(bands, 1e-6)
    for _ in range(STEPS):
        inverse, count = np.linalg.inv(covariance), CELLS / variance
        # Expectation: the posterior of each scene's map, given the distribution.
        posterior = np.linalg.inv(count[:, None, None] * gram[:, None] + inverse)
        told = count[:, None] * cross + np.einsum("kij,kj->ki", inverse, mean)
        maps = np.einsum("skij,skj->ski", posterior, told)
        # Maximisation: the distribution, given all maps.
        mean = maps.mean(axis=0)
        off = (maps - mean).transpose(1, 2, 0)
        covariance = off @ off.transpose(0, 2, 1) / scenes + posterior.mean(axis=0)
        covariance = (covariance + covariance.transpose(0, 2, 1)) / 2 + 1e-10 * np.eye(n)
        left = squares + ((maps @ gram - 2 * cross) * maps).sum(axis=2)
        left += np.einsum("skij,sij->sk", posterior, gram)
        variance = np.maximum(left.mean(axis=0), 1e-12)
    return SpectralPrior(mean, covariance, np.sqrt(variance))
