"""Small faithful Landsat Collection 2 Level-2 scenes made from any cube: folders and tar files.

File names, MTL groups and keys (in all three forms), data types, fill, coefficients and QA_PIXEL
bits are those of real scenes, with the Level-1 coefficients of the same names beside them. Equal
arguments give equal bytes.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import ConfigError, Cube, DataError, atomic_path, refuse_existing
from trifuse.core.atomic import flush_to_disk
from trifuse.products.files.factory import add_member, new_folder, start_of, write_image, xml_bytes
from trifuse.products.landsat.mask import BITS
from trifuse.products.landsat.metadata import LST, SR_BANDS

REFLECTANCE = (2.75e-05, -0.2)
TEMPERATURE = (0.00341802, 149.0)
"""(MULT, ADD) of Collection 2."""
_LEVEL_1 = (2.0e-05, -0.1)
_CLEAR = 6
_DEFAULT_START = datetime(2024, 6, 21, 10, 12, 31, 861099, tzinfo=UTC)
_ROOT = "LANDSAT_METADATA_FILE"


def write_landsat(
    folder: str | Path,
    cube: Cube,
    *,
    satellite: Literal[8, 9] = 9,
    cloud: np.ndarray | None = None,
    shadow: np.ndarray | None = None,
    qa: np.ndarray | None = None,
    packing: Literal["folder", "tar"] = "folder",
    metadata: Sequence[str] = ("xml", "json", "txt"),
    reflectance: tuple[float, float] = REFLECTANCE,
    path_row: str = "193024",
    start: datetime | None = None,
    sun: tuple[float, float] = (55.0, 150.0),
    overwrite: bool = False,
) -> Path:
    """Write a cube as a Landsat scene.

    Counts are (value − ADD) / MULT, rounded and clipped to 1 … 65535; NaN is 0 (fill).

    Args:
        folder: the scene is made in here.
        cube: ``B1`` … ``B7`` as reflectance, and ``LST`` in kelvin if it is to be delivered.
        satellite: 8 or 9.
        cloud: (y, x) bool, bit 3 of QA_PIXEL.
        shadow: (y, x) bool, bit 4.
        qa: (y, x) uint16 QA_PIXEL; default: made up. Fill where no band has a value; what
            ``cube.valid`` rules out for no reason given here becomes dilated cloud (bit 1).
        packing: a folder, or a tar.
        metadata: forms of the MTL file.
        reflectance: (MULT, ADD), for tests of readers that should read them.
        path_row: WRS path and row, six digits.
        start: centre time; default from ``meta["start_time"]``.
        sun: (elevation, azimuth) in degrees.
        overwrite: replace a scene of the same name.

    Returns:
        The folder or tar made.

    Raises:
        OutputExistsError: if it exists and ``overwrite`` is False.
        BandError: if a band of reflectance is missing.
        DataError: if a mask does not fit.
        ConfigError: if an option is unknown.
    """
    if (
        satellite not in (8, 9)
        or packing not in ("folder", "tar")
        or (set(metadata) - {"xml", "json", "txt"})
    ):
        raise ConfigError(
            f"satellite {satellite}, packing {packing!r}, metadata {metadata}",
            fix="give 8 or 9; folder or tar; xml, json, txt",
        )
    start = start_of(cube, start, _DEFAULT_START)
    name = f"LC{satellite:02d}_L2SP_{path_row}_{start:%Y%m%d}_{start:%Y%m%d}_02_T1"
    flags = _flags(cube, cloud, shadow) if qa is None else qa
    if flags.shape != cube.grid.shape:
        raise DataError(f"a mask is {flags.shape}, the cube {cube.grid.shape}")
    bands = [*SR_BANDS, *([LST] if LST in cube.bands.names else [])]
    planes = {b: cube.data[i] for b, i in zip(bands, cube.bands.indices(bands), strict=True)}
    groups = _groups(name, satellite, start, sun, reflectance, flags, LST in planes)
    target = Path(folder) / (name if packing == "folder" else f"{name}.tar")
    refuse_existing(target, overwrite=overwrite)
    if packing == "folder":
        with new_folder(target, overwrite) as work:
            _write(work, name, cube, planes, flags, groups, metadata, reflectance)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".landsat-", dir=target.parent) as temporary:
        _write(Path(temporary), name, cube, planes, flags, groups, metadata, reflectance)
        with (
            atomic_path(target, overwrite=overwrite) as partial,
            tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as tar,
        ):
            for file in sorted(Path(temporary).iterdir()):
                with file.open("rb") as content:
                    add_member(tar, file.name, content)
    return target


def _flags(cube: Cube, cloud: np.ndarray | None, shadow: np.ndarray | None) -> np.ndarray:
    flags = np.zeros(cube.grid.shape, np.uint16)
    explained = np.zeros(cube.grid.shape, bool)
    for mask, term in ((cloud, "cloud"), (shadow, "cloudshadow")):
        if mask is not None:
            if mask.shape != flags.shape:
                raise DataError(f"a mask is {mask.shape}, the cube {flags.shape}")
            flags[mask.astype(bool)] |= np.uint16(1 << BITS[term])
            explained |= mask.astype(bool)
    flags[~cube.valid & ~explained] |= np.uint16(1 << BITS["dilatedcloud"])
    flags[(flags & 0b1010) == 0] |= np.uint16(1 << _CLEAR)
    flags[np.isnan(cube.data).all(axis=0)] = 1 << BITS["fill"]
    return flags


def _write(
    work: Path,
    name: str,
    cube: Cube,
    planes: Mapping[str, np.ndarray],
    flags: np.ndarray,
    groups: Mapping[str, Mapping[str, Any]],
    metadata: Sequence[str],
    reflectance: tuple[float, float],
) -> None:
    for band, plane in planes.items():
        scale, offset = TEMPERATURE if band == LST else reflectance
        missing = ~np.isfinite(plane)
        counts = np.rint((np.where(missing, 0, plane).astype(np.float64) - offset) / scale)
        stored = np.where(missing, 0, np.clip(counts, 1, 65535))
        part = "ST_B10" if band == LST else f"SR_{band}"
        write_image(work / f"{name}_{part}.TIF", cube.grid, [stored], 1, "uint16", 0, "GeoTIFF")
    write_image(work / f"{name}_QA_PIXEL.TIF", cube.grid, [flags], 1, "uint16", 1, "GeoTIFF")
    for kind in metadata:
        (work / f"{name}_MTL.{kind}").write_bytes(_mtl(groups, kind))
    for path in work.iterdir():
        flush_to_disk(path)


def _mtl(groups: Mapping[str, Mapping[str, Any]], kind: str) -> bytes:
    if kind == "xml":
        return xml_bytes(_ROOT, groups)
    if kind == "json":
        text = {g: {k: str(v) for k, v in rows.items()} for g, rows in groups.items()}
        return json.dumps({_ROOT: text}, indent=2).encode()
    lines = [f"GROUP = {_ROOT}"]
    for group, rows in groups.items():
        lines.append(f"  GROUP = {group}")
        for key, value in rows.items():
            lines.append(
                f'    {key} = "{value}"' if isinstance(value, str) else f"    {key} = {value}"
            )
        lines.append(f"  END_GROUP = {group}")
    return "\n".join([*lines, f"END_GROUP = {_ROOT}", "END", ""]).encode()


def _groups(
    name: str,
    satellite: int,
    start: datetime,
    sun: tuple[float, float],
    reflectance: tuple[float, float],
    flags: np.ndarray,
    thermal: bool,
) -> dict[str, dict[str, Any]]:
    seen = (flags & 1) == 0
    cloudy = (flags & (1 << BITS["cloud"])) != 0
    files = {f"FILE_NAME_BAND_{n}": f"{name}_SR_B{n}.TIF" for n in range(1, 8)}
    if thermal:
        files["FILE_NAME_BAND_ST_B10"] = f"{name}_ST_B10.TIF"
    files["FILE_NAME_QUALITY_L1_PIXEL"] = f"{name}_QA_PIXEL.TIF"

    def coefficients(pair: tuple[float, float]) -> dict[str, float]:
        mult = {f"REFLECTANCE_MULT_BAND_{n}": pair[0] for n in range(1, 8)}
        return mult | {f"REFLECTANCE_ADD_BAND_{n}": pair[1] for n in range(1, 8)}

    groups: dict[str, dict[str, Any]] = {
        "PRODUCT_CONTENTS": {
            "LANDSAT_PRODUCT_ID": name,
            "PROCESSING_LEVEL": "L2SP",
            "COLLECTION_NUMBER": "02",
            "COLLECTION_CATEGORY": "T1",
            "OUTPUT_FORMAT": "GEOTIFF",
            **files,
        },
        "IMAGE_ATTRIBUTES": {
            "SPACECRAFT_ID": f"LANDSAT_{satellite}",
            "SENSOR_ID": "OLI_TIRS",
            "DATE_ACQUIRED": f"{start:%Y-%m-%d}",
            "SCENE_CENTER_TIME": f"{start:%H:%M:%S.%f}0Z",
            "CLOUD_COVER": round(100 * float(cloudy[seen].mean()), 2) if seen.any() else -1.0,
            "SUN_AZIMUTH": float(sun[1]),
            "SUN_ELEVATION": float(sun[0]),
        },
        "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS": coefficients(reflectance),
    }
    if thermal:
        groups["LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"] = {
            "TEMPERATURE_MULT_BAND_ST_B10": TEMPERATURE[0],
            "TEMPERATURE_ADD_BAND_ST_B10": TEMPERATURE[1],
        }
    return groups | {"LEVEL1_RADIOMETRIC_RESCALING": coefficients(_LEVEL_1)}
