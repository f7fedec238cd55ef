"""Where the images of a Sentinel-2 delivery lie, and at which sampling they are there.

A file says where it lies; where it does not (COGs that lost their tags), the item or MTD_TL.xml
say, and the name of the tile at least in which coordinate system.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from trifuse.core import MetadataError
from trifuse.products.files.raster import UNPLACED, Raster
from trifuse.products.sentinel2.delivery import Delivery
from trifuse.products.sentinel2.item import asset_place
from trifuse.products.sentinel2.levels import L2A, Level


def native_of(images: Mapping[tuple[str, int], Any], level: Level = L2A) -> dict[str, int]:
    """Sampling of the file to take for each band that is there: the finest of its images."""
    chosen = {}
    for band, own in level.native.items():
        there = sorted(gsd for name, gsd in images if name == band and gsd >= own)
        if there:
            chosen[band] = there[0]
    return chosen


def place_images(
    rasters: Mapping[str, Raster],
    delivery: Delivery,
    tile: str,
    place: Mapping[str, Any],
    sampling: Mapping[str, int],
) -> list[str]:
    """Give images without a place the one that the metadata state; what a user should know of it.

    Args:
        rasters: by band; changed in place.
        delivery: of the images.
        tile: MGRS tile, or empty.
        place: what MTD_TL.xml says, see :func:`trifuse.products.sentinel2.metadata.parse_tile`.
        sampling: metres of each band's file.

    Raises:
        MetadataError: if nothing says where an image lies.
    """
    item = None if delivery.item is None else delivery.item[1]
    crs, who = _stated_crs(item, place, tile)
    bare = [band for band, raster in rasters.items() if not raster.header.crs]
    lost = [band for band, raster in rasters.items() if raster.header.transform == UNPLACED]
    if bare and not crs:
        raise MetadataError(
            f"there is no coordinate system in the files of {', '.join(bare)}, and neither item "
            "nor MTD_TL.xml state one",
            where=delivery.origin,
            fix="add proj:code to the properties of the item, or assign the files theirs",
        )
    for band in lost:
        raster = rasters[band]
        gsd = 20 if band == "SCL" else sampling[band]
        transform = _stated_transform(item, place, band, raster, gsd)
        if transform is None:
            raise MetadataError(
                "has no georeference, and neither item nor MTD_TL.xml state one that fits",
                where=raster.name,
                fix="get the file again",
            )
        raster.header = replace(raster.header, transform=transform, flipped=False)
    for band in bare:
        rasters[band].header = replace(rasters[band].header, crs=crs)
    notes = []
    if bare:
        notes.append(f"no coordinate system in the files of {', '.join(bare)}: {crs} by {who}")
    if lost:
        notes.append(f"no georeference in the files of {', '.join(lost)}: by the metadata")
    others = {r.header.crs for b, r in rasters.items() if b not in bare} - {crs}
    if crs and others and all(re.fullmatch(r"EPSG:32[67]\d\d", c) for c in others):
        notes.append(
            f"{who} states {crs}, the images {', '.join(sorted(others))}: the images count"
        )
    return notes


def _stated_crs(
    item: Mapping[str, Any] | None, place: Mapping[str, Any], tile: str
) -> tuple[str, str]:
    """``EPSG:n`` by the item, else MTD_TL.xml, else the name of the tile; and which of them."""
    stated = {} if item is None else item.get("properties")
    facts = stated if isinstance(stated, Mapping) else {}
    said = [("the item", facts.get(k)) for k in ("proj:code", "proj:epsg")]
    if item is not None:
        assets = [a for a in item["assets"].values() if isinstance(a, Mapping)]
        codes = {a.get(k) for a in assets for k in ("proj:code", "proj:epsg")} - {None}
        said += [("the item", next(iter(codes)))] if len(codes) == 1 else []
    said += [("MTD_TL.xml", place.get("crs")), ("the name of the tile", tile_crs(tile))]
    for who, value in said:
        digits = str(value).upper().removeprefix("EPSG:")
        if re.fullmatch(r"\d{4,6}", digits, re.ASCII):
            return f"EPSG:{digits}", who
    return "", ""


def tile_crs(tile: str) -> str:
    """``EPSG:32633`` of the MGRS tile 33UUU; empty if it is none."""
    match = re.fullmatch(r"(\d{1,2})([C-HJ-NP-X])[A-Z]{2}", tile, re.ASCII)
    if match is None or not 1 <= int(match[1]) <= 60:
        return ""
    return f"EPSG:{(32600 if match[2] >= 'N' else 32700) + int(match[1])}"


def _stated_transform(
    item: Mapping[str, Any] | None, place: Mapping[str, Any], band: str, raster: Raster, gsd: int
) -> tuple[float, ...] | None:
    """Six numbers of the transform, if they are stated for an image of this size."""
    shape = [raster.header.height, raster.header.width]
    if item is not None:
        numbers, size = asset_place(item, band, raster.name.rsplit("/", 1)[-1])
        if numbers is not None and size == shape:
            return tuple(numbers)
    corner = place.get("corners", {}).get(gsd)
    if corner is None or tuple(shape) != place["sizes"].get(gsd):
        return None
    return (float(gsd), 0.0, corner[0], 0.0, -float(gsd), corner[1])
