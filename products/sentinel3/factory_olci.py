"""Small faithful OL_1_EFR deliveries made from any cube of top-of-atmosphere reflectance.

File names, variables, data types, fills, scales and flags are those of real deliveries; solar
irradiance is a smooth stand-in, the same for writing and reading. Equal arguments give equal
bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from trifuse.core import BandError, Cube
from trifuse.products.sentinel3.factory_files import (
    SPACING,
    TILT,
    NetcdfFile,
    Sampler,
    SwathPlan,
    fill_rows,
    product_name,
    remove,
    swath_mask,
    write_delivery,
    write_places,
)
from trifuse.products.sentinel3.factory_xml import write_manifest
from trifuse.products.sentinel3.geometry import STEP, interpolate
from trifuse.srf_data import load

DETECTORS = 3700
BANDS = tuple(f"Oa{n:02d}" for n in range(1, 22))
_COMMON = (
    "land",
    "coastline",
    "fresh_inland_water",
    "tidal_region",
    "bright",
    "straylight_risk",
    "invalid",
    "cosmetic",
    "duplicated",
    "sun_glint_risk",
    "dubious",
)
FLAGS: dict[str, int] = {
    name: 1 << 31 - bit for bit, name in enumerate((*_COMMON, *(f"saturated_{b}" for b in BANDS)))
}
"""Meaning → bit, until 2022: saturation by band."""

FLAGS_2023: dict[str, int] = {
    name: 1 << 31 - bit for bit, name in enumerate((*_COMMON, "saturated", "partially_saturated"))
}
"""Since 2023: saturation of any band."""

_DEFAULT_START = datetime(2022, 6, 21, 10, 15, tzinfo=UTC)


def write_olci_l1(
    folder: str | Path,
    cube: Cube,
    *,
    shape: tuple[int, int] | None = None,
    spacing: tuple[float, float] = SPACING,
    tilt: float = TILT,
    platform: str = "A",
    start: datetime = _DEFAULT_START,
    sun: tuple[float, float] = (30.0, 45.0),
    flags: Mapping[str, int] = FLAGS,
    flag_masks: Mapping[str, np.ndarray] | None = None,
    leave_out: Sequence[str] = (),
    baseline: str = "002",
    zipped: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a cube as OLCI measures it on a tilted swath, as an OL_1_EFR delivery.

    Args:
        folder: as of :func:`write_syn`, like what is not listed here.
        cube: (band, y, x) top-of-atmosphere reflectance on a grid in metres; bands named
            ``Oa01`` … ``Oa21``, any of them.
        shape: see there.
        spacing: see there.
        tilt: see there.
        platform: see there.
        start: see there.
        sun: zenith angle in degrees at the first and the last tie column.
        flags: meaning → bit.
        flag_masks: flags to raise, by meaning, (y, x) bool on the cube's grid; pixels without a
            value are ``invalid``.
        leave_out: see there.
        baseline: see there.
        zipped: see there.
        overwrite: see there.

    Returns:
        the ``.SEN3`` folder or the zip.

    Raises:
        BandError, GridError, ConfigError, OutputExistsError: as of :func:`write_syn`.
    """
    if wrong := [n for n in cube.bands.names if n not in BANDS]:
        raise BandError(f"{', '.join(wrong)} are no bands of OLCI", fix="name them Oa01 … Oa21")
    plan = SwathPlan.around(cube.grid, shape, spacing, tilt)
    name = product_name(platform, "OL_1_EFR___", start, "LN1", baseline)
    attributes = {
        "product_name": f"{name}.SEN3",
        "title": "Synthetic scene made by TriFuse",
        "ac_subsampling_factor": np.int32(STEP),
        "al_subsampling_factor": np.int32(1),
    }
    ties = plan.tie_columns()
    zenith = np.linspace(*sun, len(ties))[None, :].repeat(plan.shape[0], axis=0)
    flux = solar_flux()
    detector = np.linspace(0, DETECTORS - 1, plan.shape[1]).astype(np.int16)

    def fill(work: Path) -> None:
        dims = dict(zip(("rows", "columns"), plan.shape, strict=True))
        for band in cube.bands.names:
            seen = Sampler(plan, cube.data[cube.bands.index(band)])
            irradiance = flux[BANDS.index(band)][detector].astype(np.float64)

            def radiance(
                rows: np.ndarray,
                cols: np.ndarray,
                seen: Sampler = seen,
                irradiance: np.ndarray = irradiance,
            ) -> np.ndarray:
                angle = interpolate(np.round(zenith, 6), (1, STEP), rows, cols)
                cosine = np.cos(np.radians(angle))
                return np.asarray(seen(rows, cols) * cosine * irradiance / math.pi)

            with NetcdfFile(work / f"{band}_radiance.nc", dims, attributes) as out:
                variable = out.add(
                    f"{band}_radiance",
                    ("rows", "columns"),
                    "u2",
                    _FillValue=np.uint16(65535),
                    scale_factor=0.01,
                    add_offset=0.0,
                    units="mW.m-2.sr-1.nm-1",
                )
                fill_rows(variable, plan, radiance, 0.01, 65535)
        write_places(work / "geo_coordinates.nc", plan, ("longitude", "latitude"), attributes)
        _write_instrument(work / "instrument_data.nc", plan, detector, flux)
        sizes = {"tie_rows": plan.shape[0], "tie_columns": len(ties)}
        with NetcdfFile(work / "tie_geometries.nc", sizes, attributes) as out:
            out.add(
                "SZA",
                ("tie_rows", "tie_columns"),
                "u4",
                np.rint(zenith * 1e6),
                _FillValue=np.uint32(2**32 - 1),
                scale_factor=1e-6,
            )
        places = plan.lonlat(np.arange(plan.shape[0]), ties)
        with NetcdfFile(work / "tie_geo_coordinates.nc", sizes, attributes) as out:
            for label, degrees in zip(("longitude", "latitude"), places, strict=True):
                out.add(
                    label,
                    ("tie_rows", "tie_columns"),
                    "i4",
                    np.rint(degrees * 1e6),
                    _FillValue=np.int32(-(2**31)),
                    scale_factor=1e-6,
                )
        raised = {"invalid": ~np.isfinite(cube.data).any(axis=0), **(flag_masks or {})}
        _write_quality(work / "qualityFlags.nc", plan, cube, flags, raised)
        remove(work, tuple(leave_out))
        write_manifest(work, name, start)

    return write_delivery(Path(folder), name, start, fill, zipped=zipped, overwrite=overwrite)


def solar_flux() -> np.ndarray:
    """A stand-in for solar irradiance: (21, detectors) float32 in mW m⁻² nm⁻¹.

    A black body of 5772 K at the bands' centres, a per cent more or less along the detectors.
    """
    wavelength = np.array(load("S3A_OLCI").bands.centres) * 1e-9
    c1, c2 = 1.191043e-16, 1.438777e-2
    planck = c1 / wavelength**5 / np.expm1(c2 / (wavelength * 5772)) * 1e-9
    total = 1000 * math.pi * planck * (6.957e8 / 1.495979e11) ** 2
    along = 1 + 0.01 * np.cos(np.linspace(0, 5 * 2 * math.pi, DETECTORS))
    return np.outer(total, along).astype(np.float32)


def _write_instrument(path: Path, plan: SwathPlan, detector: np.ndarray, flux: np.ndarray) -> None:
    dims = {
        **dict(zip(("rows", "columns"), plan.shape, strict=True)),
        "bands": len(BANDS),
        "detectors": DETECTORS,
    }
    with NetcdfFile(path, dims, {}) as out:
        out.add(
            "detector_index",
            ("rows", "columns"),
            "i2",
            np.broadcast_to(detector, plan.shape),
            _FillValue=np.int16(-1),
        )
        out.add(
            "solar_flux",
            ("bands", "detectors"),
            "f4",
            flux,
            _FillValue=np.float32(-1),
            units="mW.m-2.nm-1",
        )


def _write_quality(
    path: Path,
    plan: SwathPlan,
    cube: Cube,
    flags: Mapping[str, int],
    raised: Mapping[str, np.ndarray],
) -> None:
    values = np.zeros(plan.shape, np.uint32)
    for meaning, mask in raised.items():
        bit = np.uint32(flags[meaning])
        values |= np.where(swath_mask(plan, cube, mask, meaning), bit, np.uint32(0))
    dims = dict(zip(("rows", "columns"), plan.shape, strict=True))
    with NetcdfFile(path, dims, {}) as out:
        out.add(
            "quality_flags",
            ("rows", "columns"),
            "u4",
            values,
            flag_masks=np.array(list(flags.values()), np.uint32),
            flag_meanings=" ".join(flags),
        )
