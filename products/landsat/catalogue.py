"""Landsat Collection 2 Level 2 by the Items of catalogues.

USGS, the Planetary Computer, Earth Search and Digital Earth Africa all keep the agency's file names
in their addresses, which tell what an asset is; keys do where the user has renamed the files. Where
the MTL file is not there, the Item serves: its scale and offset, or those of all of Collection 2.

Source: Landsat 8-9 Collection 2 Level 2 Science Product Guide (USGS, LSDS-1619).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from trifuse.core import MetadataError, ProductError
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
from trifuse.products.landsat.metadata import LST, SENSORS, SR_BANDS, LandsatMetadata
from trifuse.products.reader import OtherSensorError

KEYS = {
    "coastal": "SR_B1",
    "blue": "SR_B2",
    "green": "SR_B3",
    "red": "SR_B4",
    "nir08": "SR_B5",
    "swir16": "SR_B6",
    "swir22": "SR_B7",
    "lwir11": "ST_B10",
    "qa_pixel": "QA_PIXEL",
}
"""Part of a scene by the key of its asset, of Landsat 8 and 9."""
COLLECTION_2 = {"SR": (2.75e-05, -0.2), "ST": (0.00341802, 149.0)}
"""Scale and offset of Collection 2 Level 2."""
_PART = re.compile(r"(?:.*_)?(SR_B[1-7]|ST_B10|QA_PIXEL)\.tiff?", re.IGNORECASE)
_MTL = re.compile(r"mtl\.(xml|json|txt)", re.IGNORECASE)
_NAME = re.compile(r"L[COTEM]\d\d_L2S[PR]_\d{6}_\d{8}_\d{8}_02_(?:T1|T2|RT)", re.IGNORECASE)


def is_landsat_item(path: Path) -> bool:
    """Whether a file is an Item of a Landsat Level-2 scene; never raises."""
    item = peek_item(path)
    return item is not None and _is_landsat(item)


def _is_landsat(item: Item) -> bool:
    told = f"{item.facts.get('platform')} {item.id} {item.collection}"
    if re.search(r"landsat|_L2S[PR]_|\bls[89]_sr\b", told, re.IGNORECASE) is None:
        return False
    parts = [_part(key, asset) for key, asset in item.assets.items()]
    named = any(_PART.fullmatch(_file(a)) or _NAME.search(_file(a)) for a in item.assets.values())
    return sum(p.startswith("SR_B") for p in parts) >= 2 and (named or bool(_NAME.search(told)))


def find_item_parts(
    path: Path, *, remote: bool
) -> tuple[Item, dict[str, AnyFile], dict[str, Absent], AnyFile | None, list[str]]:
    """The files of the scene that an Item describes.

    Args:
        path: of the Item.
        remote: whether files may be read from the web, by https.

    Returns:
        the Item; files by part (``SR_B1`` …); why others have none; the MTL file, if there is one;
        and what a user should know.

    Raises:
        ProductError: if it is no such Item, or none of its bands is there.
    """
    item = read_item(path)
    parts: dict[str, AnyFile] = {}
    absent: dict[str, Absent] = {}
    metadata: dict[str, AnyFile] = {}
    for key, asset in item.assets.items():
        if form := _MTL.fullmatch(key):
            file = locate(item, key, remote=remote)
            if not isinstance(file, Absent):
                metadata[form[1].lower()] = file
            continue
        part = _part(key, asset)
        if not part or part in parts:
            continue
        file = locate(item, key, remote=remote)
        if isinstance(file, Absent):
            absent.setdefault(part, file)
        else:
            parts[part] = file
    if not any(p.startswith("SR_B") for p in parts):
        first = next(iter(absent.values()))
        web = any(a.web for a in absent.values())
        raise ProductError(
            f"has none of its bands here: {first.why}",
            where=path,
            fix="let it be fetched (--remote, remote=True), or put the files beside the Item"
            if web
            else "put the files beside the Item",
        )
    lost = {p: a for p, a in absent.items() if p not in parts}
    mtl = next((metadata[k] for k in ("xml", "json", "txt") if k in metadata), None)
    return item, parts, lost, mtl, scattered(item, parts)


def parse_landsat_item(item: Item, parts: Mapping[str, AnyFile]) -> LandsatMetadata:
    """What a reader needs of a scene whose MTL file is not there.

    Raises:
        OtherSensorError: if it is of another satellite.
        MetadataError: if scale or offset are stated and cannot be, or the collection is not 2.
    """
    facts, where = item.facts, str(item.path)
    craft = str(facts.get("platform") or "").upper().replace("-", "_")
    sensor = SENSORS.get(craft)
    if sensor is None:
        raise OtherSensorError(
            f"states the platform {str(facts.get('platform'))[:20]!r}",
            where=where,
            fix="give a scene of Landsat 8 or 9",
        )
    names = [m[0] for f in parts.values() if (m := _NAME.match(f.name))]
    named = names[0].upper() if names else item.id
    number = str(facts.get("landsat:collection_number") or ("02" if names else ""))
    scale, offset, origins = {}, {}, []
    for key, asset in item.assets.items():
        part = _part(key, asset)
        band = LST if part == "ST_B10" else part.removeprefix("SR_")
        if band not in (*SR_BANDS, LST):
            continue
        row = band_rows(asset)[0]
        stated = row.get("scale"), row.get("offset")
        if None in stated and number.lstrip("0") != "2":
            raise MetadataError(
                f"states no scale and offset of {key}, nor that it is of Collection 2", where=where
            )
        origins.append("Collection 2, of all its scenes" if None in stated else "the Item")
        numbers = COLLECTION_2[part[:2]] if None in stated else _plausible(stated, key, where)
        scale[band], offset[band] = numbers
    return LandsatMetadata(
        product_id=named,
        sensor=sensor,
        scale=scale,
        offset=offset,
        origin=f"{' and '.join(dict.fromkeys(origins))}: DN × scale + offset of Level 2",
        facts={
            "start_time": facts.get("datetime"),
            "cloud_cover_pct": facts.get("eo:cloud_cover"),
            "sun_elevation_deg": facts.get("view:sun_elevation"),
            "sun_azimuth_deg": facts.get("view:sun_azimuth"),
        },
        crs=_crs(facts),
    )


def _plausible(stated: tuple[Any, Any], key: str, where: str) -> tuple[float, float]:
    scale, offset = stated
    plain = all(isinstance(n, (int, float)) and not isinstance(n, bool) for n in stated)
    if not plain or not 1e-6 <= scale <= 1 or not abs(offset) <= 1000:
        raise MetadataError(f"states scale and offset of {stated} for {key}"[:120], where=where)
    return float(scale), float(offset)


def _crs(facts: Mapping[str, Any]) -> str:
    for key in ("proj:code", "proj:epsg"):
        digits = str(facts.get(key)).upper().removeprefix("EPSG:")
        if re.fullmatch(r"\d{4,6}", digits, re.ASCII):
            return f"EPSG:{digits}"
    return ""


def _part(key: str, asset: Mapping[str, Any]) -> str:
    """What of a scene an asset is: ``SR_B1`` …, ``ST_B10``, ``QA_PIXEL``; empty for another."""
    if match := _PART.fullmatch(_file(asset)):
        return match[1].upper()
    if re.fullmatch(r"SR_B[1-7]|ST_B10|QA_PIXEL", key.upper()):
        return key.upper()
    return KEYS.get(key.lower(), "")


def _file(asset: Mapping[str, Any]) -> str:
    return PurePosixPath(unquote(urlsplit(str(asset.get("href"))).path)).name
