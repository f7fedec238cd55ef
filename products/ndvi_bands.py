"""Which bands, with which weights, are red and near infrared.

``s2`` asks what Sentinel-2 would see in B4 and B8A. A hyperspectral source is integrated over the
two response functions. A source of a few bands (a fused cube has the 19 or 21 of Sentinel-3) is
too coarse for that: linear interpolation between centres takes bands for points, although they are
as wide as B4 and B8A themselves. There, non-negative weights are found by which the bands'
responses add up to the response that is wanted. Against spectra of EnMAP, HyMap, AVIRIS and the
USGS library, the Sentinel-3 bands so weighted give the NDVI of B4 and B8A to 0.0004–0.0008 (RMSE);
interpolation gives 0.0006–0.0022, the single bands Oa08 and Oa17 0.0014–0.008, and ``paper``
0.002–0.006.

``paper`` takes NIR as the mean of Oa17, S3, Oa18 and red as the mean of S2, Oa08, Oa09 (Cristille
et al. 2024, section 6.3). ``bands`` takes single bands.

Source: Lawson and Hanson 1974, chapter 23 (non-negative least squares).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from trifuse.core import Band, BandError, BandSet, ConfigError, canonical_name
from trifuse.core.band_names import listed
from trifuse.products.files.geotiff import HYPERSPECTRAL
from trifuse.srf_data import gaussian, integrate, load

DefinitionName = Literal["s2", "paper", "bands"]

PAPER_RED = ("S2", "Oa08", "Oa09")
PAPER_NIR = ("Oa17", "S3", "Oa18")

MIN_MATCH = 0.7
"""Share of a response that the bands' weighted responses must have in common with it."""


@dataclass(frozen=True, slots=True)
class NdviDefinition:
    """Red and NIR as weighted means of bands.

    Attributes:
        name: ``s2``, ``paper`` or ``bands``.
        red: (band, weight), weights sum to one.
        nir: likewise.
        red_nm: mean wavelength of red, weighted; NaN where unknown.
        nir_nm: likewise.
        how: how the weights came about, in words.
    """

    name: str
    red: tuple[tuple[str, float], ...]
    nir: tuple[tuple[str, float], ...]
    red_nm: float
    nir_nm: float
    how: str

    @property
    def bands(self) -> tuple[str, ...]:
        """The bands that are needed, each once."""
        return tuple(dict.fromkeys(n for n, _ in (*self.red, *self.nir)))

    @property
    def formula(self) -> str:
        """The whole computation in one line."""
        nir, red = (_terms(part) for part in (self.nir, self.red))
        return f"NDVI = (NIR - red) / (NIR + red); NIR = {nir}; red = {red}"

    def to_json(self) -> dict[str, Any]:
        """Plain values for sidecars."""

        def nm(value: float) -> float | None:
            return round(value, 2) if math.isfinite(value) else None

        return {
            "definition": self.name,
            "formula": self.formula,
            "red": dict(self.red),
            "nir": dict(self.nir),
            "wavelength_red_nm": nm(self.red_nm),
            "wavelength_nir_nm": nm(self.nir_nm),
            "how": self.how,
        }


def define_ndvi(
    bands: BandSet,
    definition: DefinitionName = "s2",
    *,
    red: str | None = None,
    nir: str | None = None,
    red_nm: float = 665.0,
    nir_nm: float = 865.0,
    tolerance_nm: float = 25.0,
    srf: str = "S2A_MSI",
    usable: Sequence[bool] | None = None,
    detectors: Sequence[str] | None = None,
) -> NdviDefinition:
    """Which bands make red and NIR, and with which weights.

    Args:
        bands: of the source.
        definition: ``s2``, ``paper`` or ``bands``; see the module.
        red: name of the red band, for ``bands``; default: the one nearest to ``red_nm``.
        nir: name of the NIR band, likewise.
        red_nm: wavelength in nm, for ``bands``.
        nir_nm: wavelength in nm, for ``bands``.
        tolerance_nm: how far the nearest band may be, for ``bands``.
        srf: table of the responses of B4 and B8A, for ``s2``.
        usable: as of :func:`trifuse.srf_data.integrate`.
        detectors: as of :func:`trifuse.srf_data.integrate`.

    Raises:
        BandError: if the bands do not allow the definition.
        ConfigError: if there is no such definition.
    """
    if definition == "paper":
        how = "means of three bands, Cristille et al. 2024"
        return _of(definition, bands, _mean(bands, PAPER_RED), _mean(bands, PAPER_NIR), how)
    if definition == "bands":
        i = bands.index(red) if red else bands.nearest(red_nm, tolerance_nm)
        j = bands.index(nir) if nir else bands.nearest(nir_nm, tolerance_nm)
        if i == j:
            raise BandError(f"red and NIR are one band, {bands[i].name}", fix="give two")
        return _of(definition, bands, {bands[i].name: 1.0}, {bands[j].name: 1.0}, "single bands")
    if definition != "s2":
        raise ConfigError(f"NDVI definition {definition!r}", fix="give s2, paper or bands")
    if (own := _own_bands(bands)) is not None:
        return _of(definition, bands, {own[0]: 1.0}, {own[1]: 1.0}, "the source's own bands")
    wanted = load(srf).select(["B4", "B8A"])
    if len(bands) >= HYPERSPECTRAL:
        made = integrate(wanted, bands, usable=usable, detectors=detectors, bands="all")
        rows = [
            {bands[int(i)].name: float(row[i]) for i in np.flatnonzero(row)} for row in made.matrix
        ]
        return _of(definition, bands, rows[0], rows[1], f"integrated over the responses of {srf}")
    known = _with_widths(bands)
    rows = [match_response(known, *wanted.curve(n), n) for n in ("B4", "B8A")]
    how = f"weights that match the responses of {srf} B4 and B8A"
    return _of(definition, known, rows[0], rows[1], how)


def match_response(
    bands: BandSet, wavelength: np.ndarray, response: np.ndarray, name: str
) -> dict[str, float]:
    """Non-negative weights by which the responses of bands add up to another response.

    Least squares of the difference, every response normalised to unit area; the bands' are taken
    as Gaussians of their centre and FWHM.

    Args:
        bands: with centres and widths in nm; others have no weight.
        wavelength: (n,) nm, ascending, of the response that is wanted.
        response: (n,).
        name: of what is wanted, for the message.

    Returns:
        Weight per band, summing to one; those below 0.001 are left out.

    Raises:
        BandError: if less than :data:`MIN_MATCH` of the response can be matched.
    """
    from scipy.optimize import nnls

    nm = np.arange(wavelength[0] - 150.0, wavelength[-1] + 150.0, 0.5)
    target = np.interp(nm, wavelength, response, left=0.0, right=0.0)
    target /= target.sum()
    near = [b for b in bands if b.fwhm > 0 and nm[0] < b.centre < nm[-1]]
    curves = [np.interp(nm, *gaussian(b.centre, b.fwhm), left=0.0, right=0.0) for b in near]
    share, weights = 0.0, np.zeros(0)
    if near:
        matrix = np.stack([c / c.sum() for c in curves], axis=1)
        weights = nnls(matrix, target)[0]
        if weights.sum() > 0:
            weights = weights / weights.sum()
            weights = np.where(weights < 1e-3, 0.0, weights)
            weights /= weights.sum()
            share = float(np.minimum(matrix @ weights, target).sum())
    if share < MIN_MATCH:
        raise BandError(
            f"the bands {listed(bands.names)} match {100 * share:.0f} % of the response of "
            f"{name}, less than {100 * MIN_MATCH:.0f} %",
            fix="give wavelengths and FWHM in the band tags, or take the definition bands",
        )
    return {b.name: float(w) for b, w in zip(near, weights, strict=True) if w > 0}


_OWN = (
    (("B4", 665.0, 5.0), ("B8A", 865.0, 15.0)),  # Sentinel-2
    (("B4", 665.0, 5.0), ("B8", 833.0, 15.0)),
    (("B4", 655.0, 4.0), ("B5", 865.0, 15.0)),  # Landsat-8 and -9, whose red is 10 nm bluer
)
"""Red and NIR of the sensors that have both: name, centre and tolerance in nm."""


def _own_bands(bands: BandSet) -> tuple[str, str] | None:
    """Names of the red and NIR of a Sentinel-2 or Landsat source.

    Raises:
        BandError: if B5 may be either's.
    """
    by_name = {canonical_name(b.name): b for b in bands}

    def fits(name: str, nm: float, tolerance: float) -> bool:
        band = by_name.get(name)
        return band is not None and not abs(band.centre - nm) > tolerance  # NaN: unknown, taken

    for red, nir in _OWN:
        if fits(*red) and fits(*nir):
            if nir[0] == "B5" and not math.isfinite(by_name["B5"].centre):
                raise BandError(
                    "B5 is Sentinel-2's red edge or Landsat's near infrared, and no wavelengths "
                    "tell which",
                    fix="give --wavelengths, or for Landsat name the bands SR_B4, SR_B5 (--bands)",
                )
            return by_name[red[0]].name, by_name[nir[0]].name
    return None


def _with_widths(bands: BandSet) -> BandSet:
    """Centre and width of Sentinel-3's bands by their names, where the file does not say."""
    if not any(b.name.startswith("Oa") for b in bands):
        return bands
    table = {b.name: b for b in load("S3A_SYN").bands}

    def known(band: Band) -> Band:
        given = math.isfinite(band.centre) and math.isfinite(band.fwhm)
        return band if given else table.get(band.name, band)

    return BandSet(tuple(map(known, bands)))


def _mean(bands: BandSet, names: Sequence[str]) -> dict[str, float]:
    return {bands[i].name: 1 / len(names) for i in bands.indices(names)}


def _of(
    name: str, bands: BandSet, red: Mapping[str, float], nir: Mapping[str, float], how: str
) -> NdviDefinition:
    def centre(part: Mapping[str, float]) -> float:
        return sum(w * bands[bands.index(n)].centre for n, w in part.items())

    return NdviDefinition(
        name, tuple(red.items()), tuple(nir.items()), centre(red), centre(nir), how
    )


def _terms(part: Sequence[tuple[str, float]]) -> str:
    return " + ".join(name if w == 1 else f"{w:.4g} {name}" for name, w in part)
