"""Sentinel-2 by the Items of catalogues: which asset is which band, and where its file is.

Earth Search (0, 1 and collection 1), the Planetary Computer, the Copernicus Data Space, Digital
Earth Africa and Geoscience Australia name their assets each in its own way; file names, which most
keep from the agency, tell bands best.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from trifuse.core import ProductError, canonical_name
from trifuse.products.files.archive import FileRef
from trifuse.products.files.item import (
    Absent,
    Item,
    band_rows,
    locate,
    peek_item,
    read_item,
    scattered,
)
from trifuse.products.files.remote import AnyFile
from trifuse.products.sentinel2.delivery import Delivery
from trifuse.products.sentinel2.levels import L1C, L2A, NATIVE_L1C, Level

NAMES = {
    "coastal": "B1",
    "blue": "B2",
    "green": "B3",
    "red": "B4",
    "rededge1": "B5",
    "rededge2": "B6",
    "rededge3": "B7",
    "nir": "B8",
    "nir08": "B8A",
    "nir09": "B9",
    "cirrus": "B10",
    "swir16": "B11",
    "swir22": "B12",
    "scl": "SCL",
    "nbart_coastal_aerosol": "B1",
    "nbart_blue": "B2",
    "nbart_green": "B3",
    "nbart_red": "B4",
    "nbart_red_edge_1": "B5",
    "nbart_red_edge_2": "B6",
    "nbart_red_edge_3": "B7",
    "nbart_nir_1": "B8",
    "nbart_nir_2": "B8A",
    "nbart_swir_2": "B11",
    "nbart_swir_3": "B12",
    "oa_fmask": "FMASK",
}
"""Band by the key of an asset, where it is no number: of Earth Search, and of Geoscience Australia
(whose ``swir_2`` is the first of Sentinel-2)."""
_NUMBER = r"(B(?:0?[1-9]|1[0-2]|0?8A)|SCL)"
_FILE = re.compile(rf"(?:.*_)?{_NUMBER}(?:_(10|20|60)m)?\.(?:jp2|tif|tiff)", re.IGNORECASE)
_KEY = re.compile(rf"{_NUMBER}(?:_(10|20|60)m)?", re.IGNORECASE)
_SAMPLINGS = (10, 20, 60)
_METADATA = ("product-metadata", "product_metadata")
_TILE = ("granule-metadata", "granule_metadata")


def is_sentinel2_item(path: Path) -> bool:
    """Whether a file is an Item of a Sentinel-2 product; never raises."""
    item = peek_item(path)
    return item is not None and _is_sentinel2(item)


def _is_sentinel2(item: Item) -> bool:
    platform = f"{item.facts.get('platform')} {item.facts.get('constellation')} {item.id}"
    named = re.search(r"sentinel-?2|^\S+ \S+ S2[A-Z]_", platform, re.IGNORECASE)
    bands = {band for key, asset in item.assets.items() if (band := _band(key, asset)[0])}
    return bool(named) and len(bands - {"SCL", "FMASK"}) >= 2


def find_item_files(path: Path, *, remote: bool) -> Delivery:
    """The files of the product that an Item describes.

    Args:
        path: of the Item.
        remote: whether files may be read from the web, by https.

    Raises:
        ProductError: if it is no such Item, names a band twice, or none of its files is there.
    """
    item = read_item(path)
    if not _is_sentinel2(item):
        raise ProductError("is no Item of a Sentinel-2 product", where=path)
    level = _level(item)
    found: dict[tuple[str, int], tuple[tuple[bool, bool], AnyFile]] = {}
    absent: dict[str, Absent] = {}
    for key, asset in item.assets.items():
        band, gsd = _band(key, asset)
        if band not in (*level.bands, "SCL", "FMASK"):
            continue
        file = locate(item, key, remote=remote)
        if isinstance(file, Absent):
            absent.setdefault(band, file)
            continue
        # Earth Search has its COGs and, under keys of their own, the agency's JPEG 2000.
        rank = (isinstance(file, FileRef), not file.name.lower().endswith(".jp2"))
        before = found.get((band, gsd))
        if before is None or rank > before[0]:
            found[band, gsd] = rank, file
        elif rank == before[0] and file != before[1]:
            raise ProductError(
                f"names {before[1].name} and {file.name} for {band}",
                where=path,
                fix="keep one of the assets",
            )
    images = {key: file for key, (_, file) in found.items()}
    _require_some(images, absent, path)
    lost = {b: a for b, a in absent.items() if b not in _names(images)}
    left_out = [b for b in (*level.bands, "SCL") if b in lost and lost[b].web]
    notes = scattered(item, {f"{b}{g}": f for (b, g), f in images.items()})
    if left_out:
        notes.append(
            f"the assets of {', '.join(left_out)} are on the web and not fetched: left out"
        )
    if "SCL" in left_out:
        notes.append("without the SCL no clouds are masked")
    return Delivery(
        name=item.id,
        origin=path.absolute(),
        images=images,
        metadata=_beside(item, _METADATA),
        tile_metadata=_beside(item, _TILE),
        item=(FileRef.of(path), item.value),
        level=level,
        notes=tuple(notes),
        absent={b: a.why for b, a in lost.items()},
        left_out=tuple(left_out),
    )


def _names(images: Mapping[tuple[str, int], Any]) -> set[str]:
    return {band for band, _ in images}


def _require_some(
    images: Mapping[tuple[str, int], Any], absent: Mapping[str, Absent], path: Path
) -> None:
    """Stop where no band has a file."""
    if _names(images) - {"SCL", "FMASK"}:
        return
    first = next(iter(absent.values()))
    web = any(a.web for a in absent.values())
    raise ProductError(
        f"has none of its {len(absent)} bands here: {first.why}",
        where=path,
        fix="let it be fetched (--remote, remote=True), or put the files beside the Item"
        if web
        else "put the files beside the Item",
    )


def _level(item: Item) -> Level:
    told = [item.collection, item.id]
    told += [
        str(item.facts.get(k)) for k in ("s2:product_type", "processing:level", "s2:product_uri")
    ]
    return L1C if re.search(r"(?:L|MSI|Level-?)1C", " ".join(told), re.IGNORECASE) else L2A


def _beside(item: Item, keys: tuple[str, ...]) -> FileRef | None:
    """The file of an asset of metadata, if it is on this machine."""
    for key in keys:
        if key in item.assets:
            file = locate(item, key, remote=False)
            if isinstance(file, FileRef):
                return file
    return None


def _band(key: str, asset: Mapping[str, Any]) -> tuple[str, int]:
    """Band and sampling in metres of an asset; an empty name if it is of no band."""
    address = PurePosixPath(unquote(urlsplit(str(asset.get("href"))).path)).name
    plain = key.lower().removesuffix("-jp2").removesuffix("_jp2")
    own = band_rows(asset)[0]
    match = _KEY.fullmatch(plain) or (None if plain in NAMES else _FILE.fullmatch(address))
    if match is not None:
        band = canonical_name(match[1])
        gsd = int(match[2] or 0)
    elif plain in NAMES:
        band, gsd = NAMES[plain], 0
    else:
        return "", 0
    native = 20 if band in ("SCL", "FMASK") else NATIVE_L1C[band]
    if not gsd:
        suffix = _FILE.fullmatch(address)
        stated = (
            suffix[2] if suffix and suffix[2] else own.get("spatial_resolution", asset.get("gsd"))
        )
        known = str(stated).removesuffix(".0")
        gsd = int(known) if known in map(str, _SAMPLINGS) else native
    return band, max(gsd, 10)
