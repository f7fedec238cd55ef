"""Small faithful Sentinel-2 L1C products made from any cube: SAFE folders and zips.

File names, XML paths, lossless JPEG 2000, special values, offsets, samplings and the masks of
clouds and quality are those of real products; pixels are the cube's. Equal arguments give equal
bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

import numpy as np

from trifuse.core import ConfigError, Cube, DataError, atomic_path, refuse_existing
from trifuse.core.atomic import flush_to_disk
from trifuse.products.files.factory import new_folder, pack_zip, write_image, xml_bytes
from trifuse.products.sentinel2.factory import GENERATED, Made, padded, prepare
from trifuse.products.sentinel2.factory_xml import (
    BAND_ORDER,
    ProductFacts,
    manifest_xml,
    product_xml,
    tile_xml,
)
from trifuse.products.sentinel2.l1c import CLASSES, QUALITY
from trifuse.products.sentinel2.levels import L1C


def write_sentinel2_l1c(
    folder: str | Path,
    cube: Cube,
    *,
    platform: Literal["S2A", "S2B", "S2C"] = "S2A",
    baseline: str = "05.10",
    offset: int | Mapping[str, int] | None = None,
    cloud: np.ndarray | None = None,
    cirrus: np.ndarray | None = None,
    flaws: Mapping[str, Mapping[str, np.ndarray]] | None = None,
    packing: Literal["folder", "zip"] = "folder",
    tile: str = "33UUU",
    start: datetime | None = None,
    sun: tuple[float, float] = (55.0, 150.0),
    overwrite: bool = False,
) -> Path:
    """Write a cube as a SAFE product of level 1C.

    Counts, means and special values are as of
    :func:`trifuse.products.sentinel2.write_sentinel2_safe`. From baseline 04.00 on masks are
    JPEG 2000 (MSK_CLASSI, MSK_QUALIT), before it clouds are polygons (MSK_CLOUDS) around cells.

    Args:
        folder: the product is made in here.
        cube: the thirteen bands as reflectance at the top of the atmosphere on a 10 m grid, its
            sides multiples of 6 pixels.
        platform: satellite.
        baseline: processing baseline; from 04.00 on counts have an offset.
        offset: RADIO_ADD_OFFSET, for all or by band; default −1000 from baseline 04.00 on.
        cloud: (y, x) bool, opaque clouds.
        cirrus: (y, x) bool.
        flaws: by band, then by name of :data:`trifuse.products.sentinel2.l1c.QUALITY`: bool, on
            the band's own cells. From baseline 04.00 on.
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
    scl = np.zeros((cube.grid.height // 2, cube.grid.width // 2), np.uint8)
    made = prepare(cube, platform, baseline, offset, scl, cloud, cirrus, start, L1C)
    name = (
        f"{platform}_MSIL1C_{made.start:%Y%m%dT%H%M%S}_N{baseline.replace('.', '')}_R122"
        f"_T{tile}_{GENERATED}"
    )
    facts = ProductFacts(
        name,
        f"L1C_T{tile}_A035654_{made.start:%Y%m%dT%H%M%S}",
        platform,
        baseline,
        tile,
        made.start,
        made.offsets if any(made.offsets.values()) else {},
        BAND_ORDER,
        [],
        made.grids,
        sun,
        0.0 if cloud is None else 100 * float(cloud.mean()),
        L1C,
    )
    masks = {"cloud": cloud, "cirrus": cirrus}
    target = Path(folder) / (f"{name}.SAFE" if packing == "folder" else f"{name}.zip")
    refuse_existing(target, overwrite=overwrite)
    if packing == "folder":
        with new_folder(target, overwrite) as work:
            _write_safe(work, made, facts, masks, flaws or {})
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sentinel2-", dir=target.parent) as temporary:
        _write_safe(Path(temporary), made, facts, masks, flaws or {})
        with atomic_path(target, overwrite=overwrite) as partial:
            pack_zip(partial, Path(temporary), f"{name}.SAFE/", "", made.start)
    return target


def _write_safe(
    work: Path,
    made: Made,
    facts: ProductFacts,
    masks: Mapping[str, np.ndarray | None],
    flaws: Mapping[str, Mapping[str, np.ndarray]],
) -> None:
    granule = work / "GRANULE" / facts.granule
    stem = f"T{facts.tile}_{made.start:%Y%m%dT%H%M%S}"
    (granule / "IMG_DATA").mkdir(parents=True)
    images = []
    for band, gsd in L1C.native.items():
        path = granule / "IMG_DATA" / f"{stem}_{padded(band)}.jp2"
        write_image(path, made.grids[gsd], [made.counts(band, gsd)], 1, "uint16", None, "JPEG2000")
        images.append(path.relative_to(work).as_posix().removesuffix(".jp2"))
    quality = granule / "QI_DATA"
    quality.mkdir()
    cells = {k: _cells(v, made) for k, v in masks.items() if v is not None}
    if int(facts.baseline[:2]) >= 4:
        empty = np.zeros(made.grids[60].shape, bool)
        planes = [cells.get(term, empty) for term in CLASSES]
        path = quality / "MSK_CLASSI_B00.jp2"
        write_image(path, made.grids[60], planes, len(planes), "uint8", None, "JPEG2000")
        for band, gsd in L1C.native.items():
            grid, own = made.grids[gsd], flaws.get(band, {})
            planes = [np.asarray(own.get(flag, np.zeros(grid.shape, bool))) for flag in QUALITY]
            if wrong := [p.shape for p in planes if p.shape != grid.shape]:
                raise DataError(f"a flaw of {band} is {wrong[0]}, its cells are {grid.shape}")
            path = quality / f"MSK_QUALIT_{padded(band)}.jp2"
            write_image(path, grid, planes, len(planes), "uint8", None, "JPEG2000")
    else:
        (quality / "MSK_CLOUDS_B00.gml").write_bytes(_clouds_gml(cells, made))
    facts = replace(facts, images=images)
    (granule / "MTD_TL.xml").write_bytes(tile_xml(facts))
    (work / L1C.metadata).write_bytes(product_xml(facts))
    files = sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
    (work / "manifest.safe").write_bytes(manifest_xml(files))
    for path in work.rglob("*"):
        flush_to_disk(path)


def _cells(mask: np.ndarray, made: Made) -> np.ndarray:
    """Cells of 60 m with a pixel that is set: (y / 6, x / 6) bool."""
    height, width = made.grids[60].shape
    blocks = np.asarray(mask, bool).reshape(height, 6, width, 6)
    return np.asarray(blocks.any(axis=(1, 3)))


def _clouds_gml(cells: Mapping[str, np.ndarray], made: Made) -> bytes:
    """MSK_CLOUDS_B00.gml: one square polygon a cell."""
    west, _, _, north = made.grids[60].bounds
    kinds = {"cloud": "OPAQUE", "cirrus": "CIRRUS"}
    features = []
    for term, plane in cells.items():
        for number, (row, col) in enumerate(np.argwhere(plane)):
            x, y = west + 60 * col, north - 60 * row
            corners = ((x, y), (x + 60, y), (x + 60, y - 60), (x, y - 60), (x, y))
            points = " ".join(f"{a:.10g} {b:.10g}" for a, b in corners)
            ring = {"gml:LinearRing": {"gml:posList": ({"srsDimension": 2}, points)}}
            content = {
                "eop:maskType": ({"codeSpace": "urn:gs2:S2PDGS:maskType"}, kinds[term]),
                "eop:extentOf": {"gml:Polygon": {"gml:exterior": ring}},
            }
            features.append(({"gml:id": f"{kinds[term]}.{number}"}, content))
    crs = made.grids[60].crs.removeprefix("EPSG:")
    corner = ({"srsName": f"urn:ogc:def:crs:EPSG:8.7:{crs}"}, {"gml:lowerCorner": f"{west:.10g} 0"})
    content = {
        "gml:name": "MSK_CLOUDS pixels mask",
        "gml:boundedBy": {"gml:Envelope": corner},
        "eop:maskMembers": {"eop:MaskFeature": features},
    }
    spaces = {
        "xmlns:eop": "http://www.opengis.net/eop/2.0",
        "xmlns:gml": "http://www.opengis.net/gml/3.2",
    }
    return xml_bytes("eop:Mask", content, spaces)
