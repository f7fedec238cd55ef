"""Band-averaged reflectance: a spectrum seen through another sensor's response functions.

    r = ∫ S(λ) ρ(λ) dλ / ∫ S(λ) dλ

ρ is linear between the centres of the source's bands, so r is a weighted sum of them and the
weights are integrals of S times hat functions, here exact: S is linear between its samples, and a
product of two linear pieces is a parabola, which Simpson's rule integrates without error. Taking S
at the centres alone would miss responses that are narrower than the source's sampling (Oa13–Oa15).

The source covers the wavelengths from its first centre less half a FWHM to its last centre plus
half a FWHM, gaps excluded; ρ is held beyond an outermost centre. A gap lies between neighbouring
centres that are more than 2.5 FWHM apart (two or more bands in a row are missing); it too is
covered for half a FWHM on either side. What is not covered has no weight, and the rest is
renormalised.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from trifuse.core import BandError, BandSet, ConfigError, DataError
from trifuse.core.shown import named
from trifuse.srf_data.curves import Curve, area
from trifuse.srf_data.tables import SensorSRF

Overlap: TypeAlias = Literal["vnir", "swir", "all"]

GAP = 2.5  # in FWHM


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SpectralOperator:
    """The linear map from a source's bands to those of another sensor.

    Attributes:
        matrix: (n_out, n_in) float64, read-only; rows sum to one.
        bands: the n_out bands that are made.
        coverage: share (0–1) of each response that the source covers, for every band considered.
        dropped: bands refused for want of coverage.
    """

    matrix: np.ndarray
    bands: BandSet
    coverage: dict[str, float]
    dropped: tuple[str, ...]

    def __repr__(self) -> str:
        n_out, n_in = self.matrix.shape
        left = f", without {', '.join(self.dropped)}" if self.dropped else ""
        return f"SpectralOperator({n_in} to {n_out} bands {named(self.bands)}{left})"

    @property
    def used(self) -> tuple[int, ...]:
        """Positions of the source bands that have any weight; no other needs to be read."""
        return tuple(np.flatnonzero(self.matrix.any(axis=0)).tolist())

    def apply(self, data: np.ndarray) -> np.ndarray:
        """Make the bands of pixels.

        A band is NaN where a source band that it draws on is NaN; others are not touched by it.

        Args:
            data: (n_in, ...) reflectance.

        Returns:
            (n_out, ...) float32.

        Raises:
            DataError: if the number of bands is another.
        """
        if len(data) != self.matrix.shape[1]:
            raise DataError(f"{len(data)} bands given to an operator for {self.matrix.shape[1]}")
        used = list(self.used)
        weights = self.matrix[:, used].astype(np.float32)
        values = np.asarray(data)[used].reshape(len(used), -1).astype(np.float32, copy=False)
        return weighted_sums(weights, values).reshape(len(weights), *np.shape(data)[1:])


def weighted_sums(weights: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """``weights @ pixels`` where a missing value only reaches the outputs that weigh it.

    Args:
        weights: (n_out, n_in) float32.
        pixels: (n_in, n) float32; what is not finite is missing.

    Returns:
        (n_out, n) float32, NaN where a value with weight is missing.
    """
    # The extra row of ones is a sum that misses nothing: finite only where all values are.
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.concatenate([weights, np.ones_like(weights[:1])]) @ pixels
    out: np.ndarray = product[:-1]
    holes = ~np.isfinite(product[-1])
    if holes.any():
        part = pixels[:, holes]
        missing = ~np.isfinite(part)
        needed = (weights != 0).astype(np.float32) @ missing.astype(np.float32) > 0
        out[:, holes] = np.where(needed, np.nan, weights @ np.where(missing, 0, part))
    return out


def integrate(
    srf: SensorSRF,
    source: BandSet,
    *,
    usable: Sequence[bool] | None = None,
    detectors: Sequence[str] | None = None,
    overlap: Overlap = "vnir",
    split_nm: float = 955.0,
    bands: Literal["auto", "all"] | Sequence[str] = "auto",
    min_coverage: float = 0.95,
) -> SpectralOperator:
    """Weights that turn a source's bands into those of another sensor.

    Args:
        srf: the responses to integrate over.
        source: the bands of the spectra; centres (nm) are needed, FWHM is taken from the local
            sampling where unknown. Their order does not matter.
        usable: per source band, whether it holds values (default: all do).
        detectors: per source band, ``VNIR`` or ``SWIR`` (default: see :func:`infer_detectors`).
        overlap: which bands count where the two detectors overlap: ``vnir``: VNIR below
            ``split_nm`` and SWIR from there on; ``swir``: SWIR only; ``all``: both, interleaved.
        split_nm: wavelength in nm; see ``overlap``.
        bands: those to make: names, ``all``, or ``auto`` for all that can be made.
        min_coverage: share of a response that must be covered.

    Raises:
        BandError: if a band asked for is covered too little (with ``auto``: if every band is);
            the message lists bands and shares. Also if the source has no usable wavelengths.
        ConfigError: if an option is out of range.

    Source:
        Yokoya, Grohnfeldt, Chanussot 2017, IEEE GRSM 5(2), section on simulation: band-averaged
        reflectance with normalised responses.
    """
    if overlap not in ("vnir", "swir", "all") or not 0 < min_coverage <= 1:
        raise ConfigError(
            f"overlap {overlap!r} with a coverage of at least {min_coverage}",
            fix="give vnir, swir or all, and a share above 0 up to 1",
        )
    if bands not in ("auto", "all"):
        srf = srf.select([bands] if isinstance(bands, str) else bands)
    keep = _kept(source, usable, detectors, overlap, split_nm)
    cells = _cells(np.array(source.centres)[keep], np.array(source.fwhms)[keep])

    rows, coverage = np.zeros((len(srf.bands), len(source))), {}
    for row, band, curve in zip(rows, srf.bands, srf.curves, strict=True):
        weights = _hat_integrals(curve, cells, len(keep))
        coverage[band.name] = float(min(1.0, weights.sum() / area(curve)))
        if coverage[band.name] >= min_coverage:
            row[keep] = weights / weights.sum()
    refused = tuple(n for n, share in coverage.items() if share < min_coverage)
    if refused and (bands != "auto" or len(refused) == len(rows)):
        shares = ", ".join(f"{n} {100 * coverage[n]:.1f} %" for n in refused)
        raise BandError(
            f"bands of {srf.name} are covered by less than {100 * min_coverage:g} %: {shares}",
            fix="give source bands that reach them, or take those that can be made (auto)",
        )
    made = [i for i, band in enumerate(srf.bands) if band.name not in refused]
    matrix = rows[made]
    matrix.setflags(write=False)
    return SpectralOperator(matrix, srf.bands.select(made), coverage, refused)


def infer_detectors(centres: Iterable[float]) -> list[str]:
    """Which detector each band belongs to, from the order of the centres.

    EnMAP lists VNIR and then SWIR, which starts at shorter wavelengths than VNIR ends: the one
    descent of the centres is the border. Without one, or with several, nothing can be told and all
    bands count as one detector, ``VNIR``.

    Args:
        centres: nm, in the product's order.
    """
    known = list(centres)
    descents = np.flatnonzero(np.diff(known) < 0)
    border = int(descents[0]) + 1 if len(descents) == 1 else len(known)
    return ["VNIR"] * border + ["SWIR"] * (len(known) - border)


def _kept(
    source: BandSet,
    usable: Sequence[bool] | None,
    detectors: Sequence[str] | None,
    overlap: Overlap,
    split_nm: float,
) -> np.ndarray:
    """Positions of the source bands that carry the spectrum, by wavelength."""
    centre = np.array(source.centres)
    alive = np.isfinite(centre) if usable is None else np.array(usable, dtype=bool)
    detector = np.array(infer_detectors(centre) if detectors is None else detectors)
    if not len(alive) == len(detector) == len(centre):
        raise BandError(
            f"{len(centre)} bands, but usable for {len(alive)} and detectors for {len(detector)}"
        )
    if not alive.any() or not np.isfinite(centre[alive]).all():
        raise BandError(
            "the source has no bands with known wavelengths"
            if not alive.any()
            else f"{int((~np.isfinite(centre[alive])).sum())} usable bands have no wavelength",
            fix="give a product whose metadata has wavelengths",
        )
    vnir, swir = alive & (detector != "SWIR"), alive & (detector == "SWIR")
    if overlap != "all" and vnir.any() and swir.any():
        # Only where both detectors reach, so that nothing is cut that the other cannot replace.
        shared = (centre >= centre[swir].min()) & (centre <= centre[vnir].max())
        split = split_nm if overlap == "vnir" else -np.inf
        alive &= ~(shared & np.where(swir, centre < split, centre >= split))
    order = np.argsort(centre, kind="stable")
    kept: np.ndarray = order[alive[order]]
    return kept


@dataclass(frozen=True, slots=True)
class _Cells:
    """Consecutive intervals of wavelength in which ρ is linear between two nodes, or unknown.

    Attributes:
        edges: (n + 1,) nm.
        left: (n,) node whose value ρ has at the left edge; −1 where ρ is unknown.
        right: (n,) node at the right edge.
    """

    edges: np.ndarray
    left: np.ndarray
    right: np.ndarray


def _cells(centre: np.ndarray, width: np.ndarray) -> _Cells:
    """Cells of a source whose centres (nm) ascend; equal centres follow at zero distance."""
    width = _known_widths(centre, width)
    edges, left, right = [centre[0] - width[0] / 2, centre[0]], [0], [0]
    for i in range(len(centre) - 1):
        if centre[i + 1] - centre[i] > GAP * max(width[i], width[i + 1]):
            edges += [centre[i] + width[i] / 2, centre[i + 1] - width[i + 1] / 2]
            left += [i, -1, i + 1]
            right += [i, -1, i + 1]
        else:
            left.append(i)
            right.append(i + 1)
        edges.append(centre[i + 1])
    edges.append(centre[-1] + width[-1] / 2)
    last = len(centre) - 1
    return _Cells(np.array(edges), np.array([*left, last]), np.array([*right, last]))


def _known_widths(centre: np.ndarray, width: np.ndarray) -> np.ndarray:
    """FWHM in nm; where unknown, the median of the nearest steps between centres."""
    steps = np.diff(centre)
    known = np.isfinite(width) & (width > 0)
    local = [
        np.median(steps[max(0, i - 3) : i + 3]) if len(steps) else 0.0 for i in range(len(centre))
    ]
    return np.where(known, width, local)


def _hat_integrals(curve: Curve, cells: _Cells, nodes: int) -> np.ndarray:
    """∫ S(λ) h(λ) dλ for the hat function h of every node: (nodes,), in nm."""
    w, s = curve
    inside = cells.edges[(cells.edges > w[0]) & (cells.edges < w[-1])]
    breaks = np.unique(np.concatenate([w, inside]))
    low, high = breaks[:-1], breaks[1:]
    cell = np.searchsorted(cells.edges, (low + high) / 2, side="right") - 1
    covered = (cell >= 0) & (cell < len(cells.left))
    covered[covered] = cells.left[cell[covered]] >= 0
    low, high, cell = low[covered], high[covered], cell[covered]

    start, stop = cells.edges[cell], cells.edges[cell + 1]
    s_low, s_high = np.interp(low, w, s), np.interp(high, w, s)
    t_low, t_high = (low - start) / (stop - start), (high - start) / (stop - start)
    step = high - low
    # Simpson with the middle values written out: exact for the product of two linear pieces.
    rising = step * (2 * s_low * t_low + s_low * t_high + s_high * t_low + 2 * s_high * t_high) / 6
    total = step * (s_low + s_high) / 2
    sums = np.zeros(nodes)
    np.add.at(sums, cells.right[cell], rising)
    np.add.at(sums, cells.left[cell], total - rising)
    return sums
