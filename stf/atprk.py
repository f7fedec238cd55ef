"""Area-to-point regression kriging (ATPRK).

A coarse band C is regressed on fine covariates P seen at its cells; the regression is applied to
the fine covariates, and what it leaves of C is kriged to the fine pixels:

    C ≈ a·D(P) + c,   Z = a·P + c + K(C − a·D(P) − c).

Covariates are other bands or dates of the fine sensor: Sentinel-2 for a Landsat or Sentinel-3
band, a panchromatic band for a multispectral one. It is made for bands of one date. As a pairwise
method (:func:`fuse`) its covariates are of another, and what has changed in between it tells from
the coarse bands alone: it does not compare two coarse images.

Sources: Wang et al. 2015, doi:10.1016/j.rse.2015.06.003 (MODIS); Wang et al. 2016,
doi:10.1016/j.rse.2016.10.030 (Sentinel-2: selected and synthesised bands); Wang et al. 2017,
doi:10.1016/j.rse.2017.10.046 (Landsat 8 with Sentinel-2).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from trifuse.align.kriging import RADIUS, Kriging, back_project, box_taps, gaussian_taps
from trifuse.align.variogram import LAGS, Exponential, deconvolve, fit_exponential, semivariogram
from trifuse.core import ConfigError, Cube, DataError, Window, fill_nearest
from trifuse.stf.pairwise import Fused, Pair, PairwiseOptions, Target
from trifuse.stf.upscaling import upscale, upscale_matrix

Scheme = Literal["synthesised", "selected"]
"""Regression on all covariates, or on the one that correlates best with the band."""

PointSpread = Literal["gaussian", "box"]
"""What a cell sees: a Gaussian of half a cell over 2·radius + 1 cells, or its pixels alone."""


@dataclass(frozen=True, slots=True, eq=False)
class AtprkFit:
    """A scene fitted, to be predicted window by window.

    Attributes:
        ratio: fine pixels per cell.
        matrix: (L, l) float64, coefficients of the covariates.
        offset: (L,) float64.
        residual: (L, h, w) float64, what the regression leaves of the coarse bands; finite.
        kriged: (L, h, w) float64, what is kriged: the residual, back-projected if asked for.
        variograms: exponential models of the residuals' cells.
        points: those of the points under them.
        kriging: the weights.
    """

    ratio: int
    matrix: np.ndarray
    offset: np.ndarray
    residual: np.ndarray
    kriged: np.ndarray
    variograms: tuple[Exponential, ...]
    points: tuple[Exponential, ...]
    kriging: Kriging

    def regression(self, covariates: np.ndarray) -> np.ndarray:
        """The regression alone: (l, y, x) to (L, y, x) float64."""
        out = np.tensordot(self.matrix, np.asarray(covariates, np.float64), axes=1)
        out += self.offset[:, None, None]
        return out

    def predict(self, covariates: np.ndarray, window: Window | None = None) -> np.ndarray:
        """The coarse bands at fine pixels.

        Args:
            covariates: (l, y, x) the window's pixels, NaN where missing.
            window: where they lie in the scene; default: all of it.

        Returns:
            (L, y, x) float64; NaN where a covariate is missing. The same in whatever windows.

        Raises:
            DataError: if the covariates do not fill the window.
        """
        kriged = self.kriging(self.kriged, window)
        if covariates.shape != (self.matrix.shape[1], *kriged.shape[1:]):
            raise DataError(f"covariates of shape {covariates.shape} for {kriged.shape[1:]} pixels")
        out: np.ndarray = self.regression(covariates) + kriged
        return out


def fit_atprk(
    coarse: np.ndarray,
    seen: np.ndarray,
    ratio: int,
    *,
    scheme: Scheme = "synthesised",
    psf: PointSpread = "gaussian",
    radius: int = RADIUS,
    lags: int = LAGS,
    back_projection: int = 0,
    variograms: Sequence[Exponential] | None = None,
) -> AtprkFit:
    """Fit regression and kriging on the cells; no fine pixel is needed.

    Args:
        coarse: (L, h, w) float, NaN where missing.
        seen: (l, h, w) covariates as the cells see them, see :func:`trifuse.stf.upscale` with
            :func:`psf_taps`; NaN where missing.
        ratio: fine pixels per cell.
        scheme: see :data:`Scheme`.
        psf: see :data:`PointSpread`.
        radius: neighbours that kriging uses on each side, in cells.
        lags: distances of the semivariogram, in cells.
        back_projection: how often what the result misses of the coarse bands is kriged and added,
            for agreement with them.
        variograms: models of the residuals' cells, if they are known already.

    Raises:
        DataError: if shapes do not fit or fewer cells than coefficients are there.
        ConfigError: if an option is out of range.
    """
    if coarse.ndim != 3 or seen.ndim != 3 or coarse.shape[1:] != seen.shape[1:]:
        raise DataError(f"coarse bands of {coarse.shape} and covariates of {seen.shape}")
    if ratio < 1 or radius < 1 or lags < 1 or back_projection < 0:
        raise ConfigError("ratio, radius and lags start at 1, back_projection at 0")
    if scheme not in ("synthesised", "selected"):
        raise ConfigError(f"scheme {scheme!r}", fix="give synthesised or selected")
    coarse, seen = np.asarray(coarse, np.float64), np.asarray(seen, np.float64)
    matrix, offset = np.zeros((len(coarse), len(seen))), np.zeros(len(coarse))
    for k, band in enumerate(coarse):
        use = np.flatnonzero(np.isfinite(band) & np.isfinite(seen).all(axis=0))
        matrix[k], offset[k] = _regress(
            band.ravel()[use], seen.reshape(len(seen), -1).T[use], scheme
        )
    left = coarse - (np.tensordot(matrix, seen, axes=1) + offset[:, None, None])
    if variograms is None:
        variograms = [fit_exponential(semivariogram(band, lags), ratio) for band in left]
    elif len(variograms) != len(coarse):
        raise DataError(f"{len(variograms)} variograms for {len(coarse)} bands")
    count = max(1, min(lags, max(coarse.shape[1:]) - 1))
    points = [deconvolve(model, ratio, count) for model in variograms]
    taps = psf_taps(ratio, psf, radius)
    kriging = Kriging.of(points, ratio, taps, radius=radius)
    residual = fill_nearest(left)
    along_y, along_x = (upscale_matrix(n * ratio, ratio, taps) for n in coarse.shape[1:])
    kriged = back_project(kriging, residual, along_y, along_x, back_projection)
    return AtprkFit(
        ratio, matrix, offset, residual, kriged, tuple(variograms), tuple(points), kriging
    )


def atprk(
    coarse: np.ndarray,
    covariates: np.ndarray,
    *,
    scheme: Scheme = "synthesised",
    psf: PointSpread = "gaussian",
    radius: int = RADIUS,
    lags: int = LAGS,
    back_projection: int = 0,
    variograms: Sequence[Exponential] | None = None,
) -> np.ndarray:
    """Coarse bands at the pixels of fine covariates.

    >>> coarse, pan = np.full((2, 4, 4), 0.3), np.random.default_rng(0).random((1, 12, 12))
    >>> bool(np.allclose(atprk(coarse, pan), 0.3))
    True

    Args:
        coarse: (L, h, w) float, NaN where missing.
        covariates: (l, y, x) float, NaN where missing; y = ratio·h and x = ratio·w.
        scheme: see :func:`fit_atprk`, and so the others.
        psf: what a cell sees.
        radius: neighbours used on each side, in cells.
        lags: of the semivariogram, in cells.
        back_projection: rounds of it.
        variograms: of the residuals' cells, if known.

    Returns:
        (L, y, x) float64; NaN where a covariate is missing, and over cells missing in a band.

    Raises:
        DataError: if shapes do not fit or fewer cells than coefficients are there.
        ConfigError: if an option is out of range.
    """
    if coarse.ndim != 3 or covariates.ndim != 3 or 0 in coarse.shape:
        raise DataError(f"coarse bands of {coarse.shape} and covariates of {covariates.shape}")
    ratio = covariates.shape[1] // coarse.shape[1]
    if ratio < 1 or covariates.shape[1:] != (coarse.shape[1] * ratio, coarse.shape[2] * ratio):
        raise DataError(f"{covariates.shape[1:]} pixels over {coarse.shape[1:]} cells")
    fit = fit_atprk(
        coarse,
        upscale(covariates, ratio, psf_taps(ratio, psf, radius)),
        ratio,
        scheme=scheme,
        psf=psf,
        radius=radius,
        lags=lags,
        back_projection=back_projection,
        variograms=variograms,
    )
    out = fit.predict(covariates)
    missing = np.isnan(coarse).repeat(ratio, axis=1).repeat(ratio, axis=2)
    out[missing] = np.nan
    return out


@dataclass(frozen=True, slots=True)
class Options(PairwiseOptions):
    """Options of :func:`fuse`; see :func:`fit_atprk`.

    Attributes:
        scheme: see :data:`Scheme`.
        psf: what a cell sees.
        radius: neighbours used on each side, in cells.
        lags: of the semivariogram, in cells.
        back_projection: rounds of it.
    """

    scheme: Scheme = "synthesised"
    psf: PointSpread = "gaussian"
    radius: int = RADIUS
    lags: int = LAGS
    back_projection: int = 0


def fuse(references: Sequence[Pair], target: Target, options: Options) -> Fused:
    """The target's coarse bands at fine pixels, as far as the fine image of another day shows how.

    Args:
        references: the nearest is looked at, and of it the fine image alone.
        target: the day.
        options: see :class:`Options`.

    Raises:
        DataError: if fewer cells than coefficients are clear in both.
        ConfigError: if an option is out of range.
    """
    fine = references[0].fine
    made = atprk(
        target.coarse.masked(),
        fine.masked(),
        scheme=options.scheme,
        psf=options.psf,
        radius=options.radius,
        lags=options.lags,
        back_projection=options.back_projection,
    ).astype(np.float32)
    valid = np.asarray(np.isfinite(made).all(axis=0))
    return Fused(Cube(made, valid, fine.bands, fine.grid))


def psf_taps(ratio: int, psf: PointSpread, radius: int = RADIUS) -> np.ndarray:
    """The PSF along one axis.

    Raises:
        ConfigError: if it is neither of the two.
    """
    if psf == "gaussian":
        return gaussian_taps(ratio, radius=radius)
    if psf == "box":
        return box_taps(ratio)
    raise ConfigError(f"PSF {psf!r}", fix="give gaussian or box")


def _regress(band: np.ndarray, seen: np.ndarray, scheme: Scheme) -> tuple[np.ndarray, float]:
    """Least squares of (n,) on (n, l) and a constant: coefficients and constant."""
    needed = 2 if scheme == "selected" else seen.shape[1] + 1
    if len(band) < needed:
        raise DataError(
            f"{len(band)} cells are seen by both for {needed} coefficients",
            fix="give a larger area or fewer covariates",
        )
    x, y = seen - seen.mean(axis=0), band - band.mean()
    columns = np.arange(seen.shape[1])
    if scheme == "selected":
        norm = np.sqrt((x**2).sum(axis=0))
        with np.errstate(invalid="ignore", divide="ignore"):
            columns = columns[[int(np.nanargmax(np.nan_to_num(np.abs(x.T @ y) / norm)))]]
    found = np.zeros(seen.shape[1])
    found[columns] = np.linalg.lstsq(x[:, columns], y, rcond=None)[0]
    return found, float(band.mean() - found @ seen.mean(axis=0))
