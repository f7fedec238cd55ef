"""OLCI level 1 (OL_1_EFR): reflectance at the top of the atmosphere.

Radiance becomes reflectance as ρ = π · L / (F₀ · cos θ): F₀ is the solar irradiance of the detector
that saw the pixel, on the day (instrument_data.nc), and θ the sun's zenith angle, interpolated
from the tie points. This is not surface reflectance: ``meta["quantity"]`` says
``toa_reflectance``, by which what needs surface reflectance refuses it.

Source: Sentinel-3 OLCI level 1 product data format specification.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trifuse.align.swath import PIXEL, RADIUS, SIGMA
from trifuse.core import Grid, MetadataError, ProductError, Window
from trifuse.products.files.hdf5 import Variable
from trifuse.products.reader import Reader
from trifuse.products.sentinel3.common import (
    Inventory,
    common_meta,
    common_shape,
    notes_of,
    require_kind,
)
from trifuse.products.sentinel3.delivery import Delivery, find_delivery, sentinel3_kind
from trifuse.products.sentinel3.flags import OLCI_RULES, bind_mask, mask_terms
from trifuse.products.sentinel3.geometry import Geolocation, TiePoints, interpolate, tie_points
from trifuse.products.sentinel3.grid import OPTIONS, Swath, SwathSource, on_grid
from trifuse.products.sentinel3.manifest import product_facts
from trifuse.srf_data import load

_log = logging.getLogger(__name__)

BASELINES = ("002", "003", "004")
LOWEST_SUN = 88.0
"""Sun zenith in degrees beyond which nothing is reflectance any more."""


def open_olci(
    path: str | Path,
    *,
    grid: Grid | None = None,
    gsd: float = PIXEL,
    crs: str | None = None,
    bbox: tuple[float, float, float, float] | None = None,
    mask: str | Sequence[str] = "default",
    bands: Sequence[str] | None = None,
    sigma: float = SIGMA,
    radius: float = RADIUS,
) -> SwathSource:
    """Open an OL_1_EFR product on a grid, as reflectance at the top of the atmosphere.

    Arguments and errors as of :func:`trifuse.products.open_sentinel3`; mask terms are those of
    level 1, ``bands`` are of ``Oa01`` to ``Oa21``.
    """
    swath = open_olci_swath(path, mask=mask, bands=bands)
    return on_grid(swath, grid=grid, gsd=gsd, crs=crs, bbox=bbox, sigma=sigma, radius=radius)


@dataclass(frozen=True, slots=True, eq=False)
class OlciSwath(Swath):
    """An OL_1_EFR product as it is.

    Attributes:
        variables: radiance, one per band.
        sun: tie points of the sun's zenith angle.
        detector: number of the detector that saw each pixel.
        flux: (21, detectors) solar irradiance.
    """

    variables: tuple[Variable, ...]
    sun: TiePoints
    detector: Variable
    flux: Variable

    def cos_sun(self, window: Window) -> np.ndarray:
        """Cosine of the sun's zenith angle: (row, col) float64; NaN at night."""
        rows, cols = window.slices
        zenith = interpolate(
            self.sun.fields(self.delivery)[0],
            self.sun.step,
            np.arange(rows.start, rows.stop),
            np.arange(cols.start, cols.stop),
        )
        with np.errstate(invalid="ignore"):
            day = (zenith >= 0) & (zenith <= LOWEST_SUN)
            return np.where(day, np.cos(np.radians(zenith)), np.nan)

    def read(self, window: Window, bands: Iterable[str] | None = None) -> np.ndarray:
        """Reflectance at the top of the atmosphere, see :meth:`Swath.read`."""
        numbers = list(range(len(self.bands)) if bands is None else self.bands.indices(bands))
        flux = self.delivery.values(self.flux, dtype=np.float64)
        flux[~(flux > 0)] = np.nan
        seen = self.delivery.values(self.detector, window)
        known = (seen >= 0) & (seen < flux.shape[1])
        detector = np.where(known, seen, 0).astype(np.intp)
        factor = np.where(known, np.pi / self.cos_sun(window), np.nan)
        out = np.empty((len(numbers), *window.shape), np.float32)
        for plane, number in zip(out, numbers, strict=True):
            variable = self.variables[number]
            radiance = self.delivery.values(variable, window, np.float64)
            plane[:] = radiance * factor / flux[_band_number(variable) - 1][detector]
        return out


def open_olci_swath(
    path: str | Path, *, mask: str | Sequence[str] = "default", bands: Sequence[str] | None = None
) -> OlciSwath:
    """Open an OL_1_EFR product in its own geometry; see :func:`open_olci`."""
    terms = mask_terms(mask, level1=True)
    with find_delivery(path).kept_if_well() as delivery:
        return _open(delivery, terms, bands)


def _open(delivery: Delivery, terms: Sequence[str], bands: Sequence[str] | None) -> OlciSwath:
    require_kind(delivery, "OL_1_EFR")
    facts = product_facts(delivery)
    table = load(f"S3{facts.platform}_OLCI").bands
    chosen = table if bands is None else table.select(list(bands))
    parts = Inventory(delivery)
    radiance = [parts.variable(f"{n}_radiance.nc", f"{n}_radiance") for n in chosen.names]
    place = [parts.variable("geo_coordinates.nc", n) for n in ("longitude", "latitude")]
    sun = parts.variable("tie_geometries.nc", "SZA")
    detector = parts.variable("instrument_data.nc", "detector_index")
    flux = parts.variable("instrument_data.nc", "solar_flux")
    flags = parts.flags("qualityFlags.nc", ("quality_flags",)) if terms else []
    parts.finish("name the bands to open, or choose mask none, to do without")
    assert sun is not None and detector is not None and flux is not None
    variables = parts.found(radiance)
    shape = common_shape(delivery, [*variables, *parts.found(place), detector, *flags])
    if len(flux.shape) != 2 or flux.shape[0] != 21:
        raise MetadataError(
            f"solar_flux is {flux.shape}, not 21 bands by detectors",
            where=delivery.where(flux.file),
        )
    for variable in variables:
        if variable.scale is None and np.dtype(variable.dtype).kind != "f":
            raise MetadataError(
                f"{variable.name} has no scale_factor", where=delivery.where(variable.file)
            )
    geolocation = Geolocation(shape, place[0], place[1], _coarse_places(delivery, shape))
    bound = bind_mask(terms, OLCI_RULES, flags)
    meta = {
        **common_meta(
            facts, bound, geolocation, variables, notes_of(facts, bound, geolocation, BASELINES)
        ),
        "kind": "OLCI_L1",
        "sensor": f"S3{facts.platform}_OLCI",
        "level": "L1",
        "quantity": "toa_reflectance",
        "units": "1",
    }
    needed = tuple(v for v in flags if v.name in bound.bits)
    return OlciSwath(
        delivery,
        facts.name,
        chosen,
        needed,
        bound,
        geolocation,
        meta,
        tuple(variables),
        tie_points(delivery, [sun], shape),
        detector,
        flux,
    )


def _coarse_places(delivery: Delivery, shape: tuple[int, int]) -> TiePoints | None:
    """Tie points that tell quickly what lies where, if they are there."""
    file, names = "tie_geo_coordinates.nc", ("longitude", "latitude")
    if not delivery.has(file):
        return None
    try:
        return tie_points(delivery, [delivery.variable(file, n) for n in names], shape, places=True)
    except (MetadataError, ProductError) as e:
        # They only tell sooner what lies where, which geo_coordinates.nc tells too.
        _log.warning("%s: %s %s: done without", delivery.place, file, e.what)
        return None


def _band_number(variable: Variable) -> int:
    return int(variable.name[2:4])


def _is_olci(path: Path) -> bool:
    return sentinel3_kind(path) == "OL_1_EFR"


READER = Reader("olci", _is_olci, open_olci, OPTIONS)
