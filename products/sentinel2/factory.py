"""Small faithful Sentinel-2 L2A products made from any cube: SAFE folders and zips, COG folders.

File names, XML paths, lossless JPEG 2000, special values, offsets and the samplings of 10, 20 and
60 m are those of real products; pixels are the cube's. Equal arguments give equal bytes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import ConfigError, Cube, DataError, Grid, atomic_path, refuse_existing
from trifuse.core.atomic import flush_to_disk
from trifuse.products.files.factory import new_folder, pack_zip, start_of, write_image
from trifuse.products.sentinel2.factory_xml import (
    BAND_ORDER,
    ProductFacts,
    manifest_xml,
    product_xml,
    tile_xml,
)
from trifuse.products.sentinel2.levels import L2A, NATIVE, Level

QUANTIFICATION = 10000
_NODATA, _SATURATED = 0, 65535
_DEFAULT_START = datetime(2024, 6, 21, 10, 20, 31, tzinfo=UTC)
GENERATED = "20240622T000000"


def write_sentinel2_safe(
    folder: str | Path,
    cube: Cube,
    *,
    platform: Literal["S2A", "S2B", "S2C"] = "S2A",
    baseline: str = "05.10",
    offset: int | Mapping[str, int] | None = None,
    band_order: Sequence[str] = BAND_ORDER,
    scl: np.ndarray | None = None,
    cloud: np.ndarray | None = None,
    shadow: np.ndarray | None = None,
    packing: Literal["folder", "zip"] = "folder",
    tile: str = "33UUU",
    start: datetime | None = None,
    sun: tuple[float, float] = (55.0, 150.0),
    overwrite: bool = False,
) -> Path:
    """Write a cube as a SAFE product.

    Counts are reflectance × 10000 less the offset, rounded and clipped to 1 … 65534; NaN is 0 (no
    data) and +inf is 65535 (saturated). Bands of 20 and 60 m are means of the cube's pixels; a
    cell with a pixel of no data is of no data.

    Args:
        folder: the product is made in here.
        cube: the twelve bands of a L2A product as reflectance on a 10 m grid, its sides multiples
            of 6 pixels.
        platform: satellite.
        baseline: processing baseline; from 04.00 on counts have an offset.
        offset: BOA_ADD_OFFSET, for all or by band; default −1000 from baseline 04.00 on.
        band_order: bands by their number in the metadata.
        scl: (y / 2, x / 2) uint8 scene classification; default: made up from the cube (vegetation,
            soil and water by their indices, class 1 where the cube is not valid).
        cloud: (y, x) bool, class 9 in the made classification.
        shadow: (y, x) bool, class 3 likewise.
        packing: a folder, or a zip of it.
        tile: MGRS tile in the names.
        start: sensing time; default from ``meta["start_time"]``.
        sun: (elevation, azimuth) in degrees.
        overwrite: replace a product of the same name.

    Returns:
        The folder or zip made.

    Raises:
        OutputExistsError: if it exists and ``overwrite`` is False.
        DataError: if the cube's sides are no multiples of 6, or a mask does not fit.
        BandError: if a band is missing.
        ConfigError: if an option is unknown.
    """
    if packing not in ("folder", "zip"):
        raise ConfigError(f"packing {packing!r} is unknown", fix="give folder or zip")
    made = prepare(cube, platform, baseline, offset, scl, cloud, shadow, start)
    name = (
        f"{platform}_MSIL2A_{made.start:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}_R122"
        f"_T{tile}_{GENERATED}"
    )
    facts = ProductFacts(
        name,
        f"L2A_T{tile}_A035654_{made.start:%Y%m%dT%H%M%S}",
        platform,
        baseline,
        tile,
        made.start,
        made.offsets if any(made.offsets.values()) else {},
        band_order,
        [],
        made.grids,
        sun,
        100 * float(np.isin(made.scl, (8, 9, 10)).mean()),
    )
    target = Path(folder) / (f"{name}.SAFE" if packing == "folder" else f"{name}.zip")
    refuse_existing(target, overwrite=overwrite)
    if packing == "folder":
        with new_folder(target, overwrite) as work:
            _write_safe(work, made, facts)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sentinel2-", dir=target.parent) as temporary:
        _write_safe(Path(temporary), made, facts)
        with atomic_path(target, overwrite=overwrite) as partial:
            pack_zip(partial, Path(temporary), f"{name}.SAFE/", "", made.start)
    return target


def write_sentinel2_cogs(
    folder: str | Path,
    cube: Cube,
    *,
    platform: Literal["S2A", "S2B", "S2C"] = "S2A",
    baseline: str = "05.10",
    applied: bool | None = False,
    scl: np.ndarray | None = None,
    cloud: np.ndarray | None = None,
    shadow: np.ndarray | None = None,
    tile: str = "33UUU",
    start: datetime | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a cube as a folder of COGs with a STAC item, as cloud providers serve products.

    Args:
        folder: the folder of the item is made in here.
        cube: as of :func:`write_sentinel2_safe`, like what is not listed here.
        platform: satellite.
        baseline: processing baseline.
        applied: True: the offset is taken out of the counts, and the item says so but lists it in
            ``raster:bands`` all the same (as Earth Search does); False: counts as the agency's;
            None: likewise, and the item states neither (as the Planetary Computer does).
        scl: see there.
        cloud: see there.
        shadow: see there.
        tile: see there.
        start: see there.
        overwrite: replace a folder of the same name.

    Returns:
        The folder made.
    """
    made = prepare(cube, platform, baseline, None, scl, cloud, shadow, start)
    identity = f"{platform}_{tile}_{made.start:%Y%m%d}_0_L2A"
    target = Path(folder) / identity
    stated = min(made.offsets.values()) / QUANTIFICATION
    if applied:
        made = replace(made, offsets=dict.fromkeys(NATIVE, 0))
    assets: dict[str, Any] = {}
    with new_folder(target, overwrite) as work:
        for band, gsd in (*NATIVE.items(), ("SCL", 20)):
            file = f"{padded(band)}.tif"
            plane = made.classes(gsd) if band == "SCL" else made.counts(band, gsd)
            dtype = "uint8" if band == "SCL" else "uint16"
            write_image(work / file, made.grids[gsd], [plane], 1, dtype, 0, "COG")
            asset: dict[str, Any] = {"href": f"https://example.com/{identity}/{file}"}
            if applied is not None and band != "SCL":
                asset["raster:bands"] = [
                    {"nodata": 0, "data_type": dtype, "scale": 1e-4, "offset": stated}
                ]
            assets[band.lower()] = asset
        properties: dict[str, Any] = {
            "datetime": made.start.isoformat().replace("+00:00", "Z"),
            "platform": f"sentinel-2{platform[2].lower()}",
            "constellation": "sentinel-2",
            "grid:code": f"MGRS-{tile}",
            "s2:processing_baseline": baseline,
            "s2:product_uri": f"{platform}_MSIL2A_{made.start:%Y%m%dT%H%M%S}"
            f"_N{baseline.replace('.', '')}_R122_T{tile}_{GENERATED}.SAFE",
        }
        if applied is not None:
            properties["earthsearch:boa_offset_applied"] = applied
        item: dict[str, Any] = {
            "type": "Feature",
            "stac_version": "1.0.0",
            "id": identity,
            "properties": properties,
            "geometry": None,
            "links": [],
            "assets": assets,
        }
        (work / f"{identity}.json").write_text(json.dumps(item, indent=1, sort_keys=True))
        for path in work.iterdir():
            flush_to_disk(path)
    return target


@dataclass(frozen=True, eq=False)
class Made:
    """A cube with everything the files need."""

    cube: Cube
    grids: dict[int, Grid]
    offsets: Mapping[str, int]
    scl: np.ndarray
    start: datetime

    def reflectance(self, band: str, gsd: int) -> np.ndarray:
        """Means over the cells of a sampling: (y, x) float64."""
        plane = self.cube.data[self.cube.bands.index(band)].astype(np.float64)
        mean: np.ndarray = _blocks(plane, gsd // 10).mean(axis=(1, 3))
        return mean

    def counts(self, band: str, gsd: int) -> np.ndarray:
        """(y, x) uint16."""
        plane = self.reflectance(band, gsd)
        finite = np.isfinite(plane)
        numbers = np.rint(np.where(finite, plane, 0) * QUANTIFICATION) - self.offsets[band]
        special = np.where(np.isposinf(plane), _SATURATED, _NODATA)
        return np.where(finite, np.clip(numbers, 1, _SATURATED - 1), special).astype(np.uint16)

    def classes(self, gsd: int) -> np.ndarray:
        """SCL at 20 or 60 m: (y, x) uint8."""
        return self.scl if gsd == 20 else self.scl[1::3, 1::3]


def prepare(
    cube: Cube,
    platform: str,
    baseline: str,
    offset: int | Mapping[str, int] | None,
    scl: np.ndarray | None,
    cloud: np.ndarray | None,
    shadow: np.ndarray | None,
    start: datetime | None,
    level: Level = L2A,
) -> Made:
    """Check the options and make what all forms of a product share."""
    height, width = cube.grid.shape
    if height % 6 or width % 6:
        raise DataError(
            f"a cube of {height}×{width} pixels does not divide into cells of 60 m",
            fix="crop it to multiples of 6 pixels",
        )
    if platform not in ("S2A", "S2B", "S2C") or len(baseline) != 5 or not baseline[:2].isdigit():
        raise ConfigError(
            f"platform {platform!r}, baseline {baseline!r}",
            fix="give S2A, S2B or S2C and a baseline like 05.10",
        )
    cube = cube.select(level.bands)
    if offset is None:
        offset = -1000 if 4 <= int(baseline[:2]) < 99 else 0
    every = offset if isinstance(offset, Mapping) else dict.fromkeys(level.bands, offset)
    for mask in (cloud, shadow):
        if mask is not None and mask.shape != cube.grid.shape:
            raise DataError(f"a mask is {mask.shape}, the cube {cube.grid.shape}")
    if scl is not None and scl.shape != (height // 2, width // 2):
        raise DataError(f"scl is {scl.shape}, not {(height // 2, width // 2)}")
    classes = _classify(cube, cloud, shadow) if scl is None else scl.astype(np.uint8)
    grids = {gsd: cube.grid.zoom_out(gsd // 10) for gsd in (10, 20, 60)}
    return Made(cube, grids, every, classes, start_of(cube, start, _DEFAULT_START))


def _classify(cube: Cube, cloud: np.ndarray | None, shadow: np.ndarray | None) -> np.ndarray:
    """A plausible SCL at 20 m: indices of clear ground, and what is given."""
    green, red, nir = (
        np.nan_to_num(cube.data[cube.bands.index(b)], posinf=1) for b in ("B3", "B4", "B8")
    )
    classes = np.where(nir > 2 * red, 4, 5)
    classes = np.where(green > 1.2 * nir, 6, classes)
    classes = _blocks(classes, 2)[:, 0, :, 0]
    explained = np.zeros(cube.grid.shape, bool)
    for mask in (cloud, shadow):
        explained |= False if mask is None else mask.astype(bool)
    empty = np.isnan(cube.data).all(axis=0)
    for mask, number in ((~cube.valid & ~explained, 1), (shadow, 3), (cloud, 9), (empty, 0)):
        if mask is not None:
            classes = np.where(_blocks(mask, 2).any(axis=(1, 3)), number, classes)
    return classes.astype(np.uint8)


def _write_safe(work: Path, made: Made, facts: ProductFacts) -> None:
    granule = work / "GRANULE" / facts.granule
    stem = f"T{facts.tile}_{made.start:%Y%m%dT%H%M%S}"
    later = int(facts.baseline[:2]) >= 4
    contents = {
        10: [b for b in NATIVE if NATIVE[b] == 10],
        20: [b for b in NATIVE if b not in ("B8", "B9") and (later or b != "B1")],
        60: [b for b in NATIVE if b != "B8"],
    }
    images = []
    for gsd, bands in contents.items():
        place = granule / "IMG_DATA" / f"R{gsd}m"
        place.mkdir(parents=True)
        planes = {padded(b): ([made.counts(b, gsd)], "uint16") for b in bands}
        if gsd == 10:
            thin = np.full(made.grids[10].shape, 100)
            colours = [made.reflectance(b, 10) for b in ("B4", "B3", "B2")]
            tci = [np.clip(np.nan_to_num(c, posinf=1.0) * 255 / 0.3, 0, 255) for c in colours]
            planes |= {"AOT": ([thin], "uint16"), "WVP": ([thin], "uint16"), "TCI": (tci, "uint8")}
        else:
            planes["SCL"] = ([made.classes(gsd)], "uint8")
        for what, (values, dtype) in planes.items():
            path = place / f"{stem}_{what}_{gsd}m.jp2"
            write_image(path, made.grids[gsd], values, len(values), dtype, None, "JPEG2000")
            images.append(path.relative_to(work).as_posix().removesuffix(".jp2"))
    quality = granule / "QI_DATA"
    quality.mkdir()
    probability = np.where(np.isin(made.scl, (8, 9)), 90, 0)
    for name, gsd, plane in (
        ("MSK_CLDPRB_20m", 20, probability),
        ("MSK_QUALIT_B02", 10, np.zeros(made.grids[10].shape)),
    ):
        path = quality / f"{name}.jp2"
        write_image(path, made.grids[gsd], [plane], 1, "uint8", None, "JPEG2000")
    facts = replace(facts, images=images)
    (granule / "MTD_TL.xml").write_bytes(tile_xml(facts))
    (work / "MTD_MSIL2A.xml").write_bytes(product_xml(facts))
    files = sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
    (work / "manifest.safe").write_bytes(manifest_xml(files))
    for path in work.rglob("*"):
        flush_to_disk(path)


def _blocks(plane: np.ndarray, k: int) -> np.ndarray:
    """(y / k, k, x / k, k) view of (y, x)."""
    height, width = plane.shape
    return plane.reshape(height // k, k, width // k, k)


def padded(band: str) -> str:
    """``B2`` as files are named: ``B02``."""
    return band if band in ("B8A", "SCL") else f"B{int(band[1:]):02d}"
