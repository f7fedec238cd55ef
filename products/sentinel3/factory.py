"""Small faithful SY_2_SYN deliveries made from any cube, for tests and demos.

File names, variables, data types, fills, scales, flags with their meanings, places and tie points
are those of real deliveries; the manifest says that the scene is synthetic. Of the files that
carry no reflectance, place or flag there are none. Equal arguments give equal bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from scipy import ndimage

from trifuse.core import BandError, ConfigError, Cube
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
from trifuse.srf_data import S3_SYN

FLAGS: dict[str, dict[str, int]] = {
    "SYN_flags": {
        name: 1 << bit
        for bit, name in enumerate(
            (
                "SYN_cloud",
                "SYN_snow_risk",
                "SYN_SDR_OOR",
                "SYN_AOT_climato",
                "SYN_land",
                "SYN_no_olc",
                "SYN_no_sln",
                "SYN_no_slo",
                "SYN_partly_cloudy",
                "SYN_partly_water",
                "SYN_border",
                "SYN_aerosol_filled",
                "SYN_success",
                "SYN_negative_curvature",
                "SYN_too_low",
                "SYN_high_error",
            )
        )
    },
    "CLOUD_flags": {"CLOUD": 1, "CLOUD_AMBIGUOUS": 2, "CLOUD_MARGIN": 4, "SNOW_ICE": 8},
}
"""Variable → meaning → bit, since 2018."""

FLAGS_2016: dict[str, dict[str, int]] = {
    "SYN_flags": {
        {"SYN_SDR_OOR": "SYN_shadow_risk", "SYN_AOT_climato": "SYN_cloud_filled"}.get(
            name, name
        ): bit
        for name, bit in FLAGS["SYN_flags"].items()
    }
}
"""Of 2016, before there were cloud flags of their own."""

NOMINAL: dict[str, tuple[float, float]] = {
    "Oa01": (400, 15),
    "Oa02": (412.5, 10),
    "Oa03": (442.5, 10),
    "Oa04": (490, 10),
    "Oa05": (510, 10),
    "Oa06": (560, 10),
    "Oa07": (620, 10),
    "Oa08": (665, 10),
    "Oa09": (673.75, 7.5),
    "Oa10": (681.25, 7.5),
    "Oa11": (708.75, 10),
    "Oa12": (753.75, 7.5),
    "Oa16": (778.75, 15),
    "Oa17": (865, 20),
    "Oa18": (885, 10),
    "Oa21": (1020, 40),
    "S1": (555, 20),
    "S2": (659, 20),
    "S3": (865, 20),
    "S5": (1610, 60),
    "S6": (2250, 50),
}
"""Nominal centre and width in nm, as manifests state them."""

_FILL = -10000
_DEFAULT_START = datetime(2022, 6, 21, 10, 15, tzinfo=UTC)


def write_syn(
    folder: str | Path,
    cube: Cube,
    *,
    shape: tuple[int, int] | None = None,
    spacing: tuple[float, float] = SPACING,
    tilt: float = TILT,
    platform: str = "A",
    start: datetime = _DEFAULT_START,
    cloud: np.ndarray | None = None,
    water: np.ndarray | None = None,
    margin: int = 1,
    flags: Mapping[str, Mapping[str, int]] = FLAGS,
    flag_masks: Mapping[str, np.ndarray] | None = None,
    leave_out: Sequence[str] = (),
    numbered: bool = False,
    row_major_ties: bool = False,
    baseline: str = "002",
    zipped: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write a cube as Sentinel-3 sees it on a tilted swath, as a SY_2_SYN delivery.

    Reflectance is sampled at the pixels' centres by cubic interpolation and stored as int16 of
    1e-4 with fill −10000, which pixels off the cube or without a value get. The oblique bands are
    those of the nadir view, 20 % brighter, over the middle of the swath only.

    Args:
        folder: the delivery is made in here.
        cube: (band, y, x) reflectance as 300 m pixels show it, on any grid in metres of about
            that cell size; bands named as in :data:`trifuse.srf_data.S3_SYN`, any of them.
        shape: (rows, columns); default: as large as covers the cube.
        spacing: metres from row to row and from column to column.
        tilt: degrees by which rows dip from west to east.
        platform: ``A`` or ``B``.
        start: of the acquisition, UTC.
        cloud: (y, x) bool on the cube's grid; default: what ``cube.valid`` rules out although
            there is a value.
        water: (y, x) bool on the cube's grid; the rest is land.
        margin: pixels around clouds that are flagged as their margin.
        flags: variable → meaning → bit.
        flag_masks: further flags by meaning, (y, x) bool on the cube's grid.
        leave_out: files not to deliver, e.g. ``geolocation.nc``.
        numbered: number the bands as products of 2016 do.
        row_major_ties: list tie points along the rows, as real products do not.
        baseline: collection, the last part of the name.
        zipped: pack it.
        overwrite: replace a delivery of the same name.

    Returns:
        the ``.SEN3`` folder or the zip.

    Raises:
        BandError: if a band is none of the product's.
        GridError: if the cube's grid is not in metres.
        ConfigError: if an option is out of range.
        OutputExistsError: if it exists and ``overwrite`` is False.
    """
    if wrong := [n for n in cube.bands.names if n not in S3_SYN]:
        raise BandError(
            f"{', '.join(wrong)} are no bands of SY_2_SYN", fix=f"name them {', '.join(S3_SYN)}"
        )
    plan = SwathPlan.around(cube.grid, shape, spacing, tilt)
    name = product_name(platform, "SY_2_SYN___", start, "LN2", baseline)
    attributes = {"product_name": f"{name}.SEN3", "title": "Synthetic scene made by TriFuse"}
    if cloud is None:
        cloud = ~cube.valid & np.isfinite(cube.data).any(axis=0)

    def fill(work: Path) -> None:
        for number, band in enumerate(cube.bands.names):
            label = f"{number + 1:02d}" if numbered else None
            _write_band(work, plan, band, cube.data[number], attributes, label)
        write_places(work / "geolocation.nc", plan, ("lon", "lat"), attributes)
        _write_ties(work / "tiepoints_olci.nc", plan, attributes, along_rows=row_major_ties)
        raised = _raised(plan, cube, cloud, water, margin, flag_masks or {})
        _write_flags(work / "flags.nc", plan, flags, raised, attributes)
        remove(work, tuple(leave_out))
        write_manifest(work, name, start, lambda node: _describe_bands(node, cube.bands.names))

    return write_delivery(Path(folder), name, start, fill, zipped=zipped, overwrite=overwrite)


def _write_band(
    work: Path,
    plan: SwathPlan,
    band: str,
    plane: np.ndarray,
    attributes: Mapping[str, Any],
    label: str | None,
) -> None:
    nadir = Sampler(plan, plane)
    views = [(f"{band}N", 1.0), (f"{band}O", 1.2)] if band.startswith("S") else [(band, 1.0)]
    dims = dict(zip(("rows", "columns"), plan.shape, strict=True))
    for view, gain in views:
        name = f"SDR_{label or view}"

        def seen(
            rows: np.ndarray, cols: np.ndarray, gain: float = gain, view: str = view
        ) -> np.ndarray:
            values = nadir(rows, cols) * gain
            if view.endswith("O"):
                values[:, (cols < plan.shape[1] // 4) | (cols >= 3 * plan.shape[1] // 4)] = np.nan
            return values

        def uncertain(rows: np.ndarray, cols: np.ndarray) -> np.ndarray:
            return np.asarray(np.abs(seen(rows, cols)) * 0.05)

        with NetcdfFile(work / f"Syn_{view}_reflectance.nc", dims, attributes) as out:
            for suffix, values in (("", seen), ("_err", uncertain)):
                variable = out.add(
                    name + suffix,
                    ("rows", "columns"),
                    "i2",
                    _FillValue=np.int16(_FILL),
                    scale_factor=np.float32(1e-4),
                    add_offset=np.float32(0),
                    long_name=f"Surface directional reflectance, channel {view}",
                    units="1",
                )
                fill_rows(variable, plan, values, 1e-4, _FILL)


def _write_ties(
    path: Path, plan: SwathPlan, attributes: Mapping[str, Any], *, along_rows: bool
) -> None:
    """One long list per field; real ones run down the columns."""
    rows, cols = np.arange(plan.shape[0]), plan.tie_columns()
    lon, lat = plan.lonlat(rows, cols)
    across = np.linspace(-1, 1, len(cols))[None, :].repeat(len(rows), axis=0)
    fields = {
        "OLC_TP_lon": lon,
        "OLC_TP_lat": lat,
        "SZA": 35 + 5 * across,
        "SAA": 150 + 8 * across,
        "OLC_VZA": 30 + 25 * across,
        "OLC_VAA": 100 + 2 * across,
    }
    with NetcdfFile(path, {"n_tie_points": lon.size}, attributes) as out:
        for name, values in fields.items():
            listed = values if along_rows else values.T
            out.add(name, ("n_tie_points",), "f8", listed.ravel(), units="degrees")


def _raised(
    plan: SwathPlan,
    cube: Cube,
    cloud: np.ndarray,
    water: np.ndarray | None,
    margin: int,
    further: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    """Flags by meaning: (row, col) bool."""
    clouded = swath_mask(plan, cube, cloud, "cloud")
    wide = (
        ndimage.binary_dilation(clouded, np.ones((3, 3)), iterations=margin) if margin else clouded
    )
    seen = swath_mask(plan, cube, np.isfinite(cube.data).any(axis=0), "data")
    raised = {
        "SYN_cloud": clouded,
        "CLOUD": clouded,
        "CLOUD_MARGIN": wide & ~clouded,
        "SYN_land": seen & ~swath_mask(plan, cube, water, "water"),
        "SYN_success": seen & ~clouded,
        "SYN_no_olc": ~seen,
    }
    for meaning, mask in further.items():
        raised[meaning] = raised.get(meaning, False) | swath_mask(plan, cube, mask, meaning)
    return raised


def _write_flags(
    path: Path,
    plan: SwathPlan,
    flags: Mapping[str, Mapping[str, int]],
    raised: Mapping[str, np.ndarray],
    attributes: Mapping[str, Any],
) -> None:
    dims = dict(zip(("rows", "columns"), plan.shape, strict=True))
    known = {meaning for bits in flags.values() for meaning in bits}
    if unknown := sorted(set(raised) - known - set(FLAGS["SYN_flags"]) - set(FLAGS["CLOUD_flags"])):
        raise ConfigError(f"no flag is called {', '.join(unknown)}")
    with NetcdfFile(path, dims, attributes) as out:
        for name, bits in flags.items():
            dtype = np.dtype("u1" if max(bits.values()) < 256 else "u2")
            values = np.zeros(plan.shape, dtype)
            for meaning, bit in bits.items():
                if meaning in raised:
                    values |= np.where(raised[meaning], dtype.type(bit), dtype.type(0))
            out.add(
                name,
                ("rows", "columns"),
                dtype.str,
                values,
                flag_masks=np.array(list(bits.values()), dtype),
                flag_meanings=" ".join(bits),
            )


def _describe_bands(node: Element, bands: Sequence[str]) -> None:
    namespace = node.tag.partition("}")[0] + "}"
    listed = SubElement(node, f"{namespace}bandDescriptions", bands=str(len(bands)))
    for band in bands:
        centre, width = NOMINAL[band]
        one = SubElement(listed, f"{namespace}band", name=band)
        SubElement(one, f"{namespace}centralWavelength").text = f"{centre:g}"
        SubElement(one, f"{namespace}bandwidth").text = f"{width:g}"
