"""Sentinel-3 SY_2_SYN: surface reflectance of OLCI and of SLSTR's nadir view.

Oblique SLSTR bands see a part of the swath from another direction and are left alone. A band is
valid wherever it has a value: what one band misses does not take the pixel from the others.

Source: manifest and headers of real products of 2016–2023.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from trifuse.align.swath import PIXEL, RADIUS, SIGMA
from trifuse.core import Grid, MetadataError, ProductError, Window
from trifuse.products.files.hdf5 import Variable, variable_names
from trifuse.products.reader import Reader
from trifuse.products.sentinel3.common import (
    Inventory,
    common_meta,
    common_shape,
    notes_of,
    require_kind,
)
from trifuse.products.sentinel3.delivery import SIGNS, Delivery, find_delivery, sentinel3_kind
from trifuse.products.sentinel3.flags import SYN_RULES, bind_mask, mask_terms
from trifuse.products.sentinel3.geometry import Geolocation, tie_points
from trifuse.products.sentinel3.grid import OPTIONS, Swath, SwathSource, on_grid
from trifuse.products.sentinel3.manifest import product_facts
from trifuse.srf_data import load

FILL = -10000.0
"""Of the reflectances, should a file not state it."""

BASELINES = ("002",)
"""Collections that were seen; others are read with a warning."""

GEOLOCATION, TIES, FLAGS = "geolocation.nc", "tiepoints_olci.nc", "flags.nc"
_BAND_FILE = re.compile(r"Syn_.+_reflectance\.nc", re.I)
_NUMBERED = re.compile(r"SDR_\d\d(_err)?", re.I)
_NUMBERED_FILE = re.compile(r"(Syn_)?SDR_?\d\d.*\.nc", re.I)
_log = logging.getLogger(__name__)


def open_sentinel3(
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
    """Open a SY_2_SYN product on a grid.

    Args:
        path: ``.SEN3`` folder, zip of one, or a file of one.
        grid: to bring it onto, in metres, e.g. ``s2.grid.zoom_out(30)`` for fusion.
        gsd: cell size in metres where no grid is given; cells start at multiples of it.
        crs: likewise; default: UTM, by the middle of the area.
        bbox: likewise: (west, south, east, north) in degrees; default: the whole swath.
        mask: what is not usable: presets and terms of :mod:`trifuse.products.sentinel3.flags`.
        bands: those to open, for products that lack others; default: all 21.
        sigma: standard deviation of the weights in metres, see :mod:`trifuse.align.swath`.
        radius: metres beyond which a pixel has no weight.

    Returns:
        A source of surface reflectance, read lazily; ``swath`` of it is the product ungridded.

    Raises:
        ProductError: if it is damaged or incomplete (all that is missing is named at once), of
            2016, or another product.
        MetadataError: if the satellite is unknown or files contradict each other.
        GridError: if a grid is not in metres.
        OverlapError: if the swath does not reach the grid.
        ConfigError: if the mask is unknown or options contradict each other.
    """
    swath = open_syn_swath(path, mask=mask, bands=bands)
    return on_grid(swath, grid=grid, gsd=gsd, crs=crs, bbox=bbox, sigma=sigma, radius=radius)


@dataclass(frozen=True, slots=True, eq=False)
class SynSwath(Swath):
    """A SY_2_SYN product as it is.

    Attributes:
        variables: surface reflectance, one per band.
    """

    variables: tuple[Variable, ...]

    def read(self, window: Window, bands: Iterable[str] | None = None) -> np.ndarray:
        """Surface reflectance, see :meth:`Swath.read`."""
        numbers = range(len(self.bands)) if bands is None else self.bands.indices(bands)
        return np.stack([self.delivery.values(self.variables[n], window) for n in numbers])


def open_syn_swath(
    path: str | Path, *, mask: str | Sequence[str] = "default", bands: Sequence[str] | None = None
) -> SynSwath:
    """Open a SY_2_SYN product in its own geometry; see :func:`open_sentinel3`."""
    terms = mask_terms(mask)
    with find_delivery(path).kept_if_well() as delivery:
        return _open(delivery, terms, bands)


def _open(delivery: Delivery, terms: Sequence[str], bands: Sequence[str] | None) -> SynSwath:
    require_kind(delivery, "SY_2_SYN")
    facts = product_facts(delivery)
    table = load(f"S3{facts.platform}_SYN").bands
    chosen = table if bands is None else table.select(list(bands))
    _refuse_numbered(delivery)
    parts = Inventory(delivery)
    variables = []
    for name in chosen.names:
        stem = f"S{name[1:]}N" if name.startswith("S") else name
        file = f"Syn_{stem}_reflectance.nc"
        variables.append(parts.variable(file, f"SDR_{stem}"))
    place = parts.either((GEOLOCATION, ("lon", "lat")), (TIES, ("OLC_TP_lon", "OLC_TP_lat")))
    flags = parts.flags(FLAGS, ("SYN_flags", "CLOUD_flags")) if terms else []
    parts.finish("name the bands to open, or choose mask none, to do without")
    images = [*parts.found(variables), *(v for v in place if v.file != TIES), *flags]
    shape = common_shape(delivery, images)
    geolocation = _geolocation(delivery, place, shape)
    filled = [_with_fill(v, delivery) for v in parts.found(variables)]
    bound = bind_mask(terms, SYN_RULES, flags)
    needed = tuple(v for v in flags if v.name in bound.bits)
    notes = notes_of(facts, bound, geolocation, BASELINES)
    meta = {
        **common_meta(facts, bound, geolocation, filled, notes),
        "kind": "SY_2_SYN",
        "sensor": f"S3{facts.platform}_SYN",
        "level": "L2",
        "quantity": "reflectance",
        "units": "1",
    }
    return SynSwath(delivery, facts.name, chosen, needed, bound, geolocation, meta, tuple(filled))


def _geolocation(
    delivery: Delivery, place: Sequence[Variable], shape: tuple[int, int]
) -> Geolocation:
    """Places by pixel where they are, and the tie points beside them where those are."""
    lon, lat = place
    if lon.file != TIES:
        ties = None
        if delivery.has(TIES):
            try:
                coarse = [delivery.variable(TIES, n) for n in ("OLC_TP_lon", "OLC_TP_lat")]
                ties = tie_points(delivery, coarse, shape, places=True)
            except (ProductError, MetadataError) as e:
                _log.info("%s: not used: %s", delivery.where(TIES), e.what)
        return Geolocation(shape, lon, lat, ties)
    return Geolocation(shape, None, None, tie_points(delivery, place, shape, places=True))


def _with_fill(variable: Variable, delivery: Delivery) -> Variable:
    """The variable with scale and fill made sure of."""
    if np.dtype(variable.dtype).kind == "f":
        return variable
    if variable.scale is None:
        where = delivery.where(variable.file)
        raise MetadataError(f"{variable.name} has no scale_factor", where=where)
    if variable.fill is None:
        _log.warning(
            "%s: %s states no fill value: %g is taken",
            delivery.where(variable.file),
            variable.name,
            FILL,
        )
        return replace(variable, fill=FILL)
    return variable


def _refuse_numbered(delivery: Delivery) -> None:
    """The products of 2016 number their bands, and some of those are other bands.

    Raises:
        ProductError: if it is such a product.
    """
    numbered = [f.removesuffix(".nc") for f in delivery.names(_NUMBERED_FILE)]
    files = delivery.names(_BAND_FILE)
    if not numbered and files:
        path, where = delivery.path(files[0]), delivery.where(files[0])
        with contextlib.suppress(ProductError):  # the inventory says what is wrong with it
            numbered = [n for n in variable_names(path, where) if _NUMBERED.fullmatch(n)]
    if numbered:
        raise ProductError(
            f"is an early product of 2016, whose bands are numbered ({numbered[0]}) instead of "
            "named",
            where=delivery.place,
            fix="get a product of 2018 or later",
        )


def _is_syn(path: Path) -> bool:
    kind = sentinel3_kind(path)
    # types that none of the readers opens come here too, to be refused by their names
    return kind == "SY_2_SYN" or bool(kind and kind not in SIGNS)


READER = Reader("sentinel3", _is_syn, open_sentinel3, OPTIONS)
