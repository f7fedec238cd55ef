"""What a Landsat Collection 2 Level-2 scene says of itself in its MTL file: XML, JSON or text.

The file repeats the Level-1 metadata with coefficients of the same names and other values, so a
coefficient is only taken from the group of its level.

Source: Landsat 8-9 Collection 2 Level 2 Science Product Guide (USGS, LSDS-1619).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from trifuse.core import MetadataError, ProductError
from trifuse.products.files.xmltree import finite_number, parse_xml
from trifuse.products.reader import OtherSensorError

SR_BANDS = ("B1", "B2", "B3", "B4", "B5", "B6", "B7")
LST = "LST"
"""Name of the band of surface temperature, in kelvin."""
SENSORS = {"LANDSAT_8": "L8_OLI", "LANDSAT_9": "L9_OLI"}
_ROOT = "LANDSAT_METADATA_FILE"
_REFLECTANCE = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
_TEMPERATURE = "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"
_MAX_LINES = 100_000

Groups = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class LandsatMetadata:
    """The part of an MTL file that a reader needs.

    Attributes:
        product_id: the scene's name, ``LC09_L2SP_…``.
        sensor: ``L8_OLI`` or ``L9_OLI``, the name of its response tables.
        scale: value of one count, by band (``B1`` … ``B7``, and ``LST`` where it was produced).
        offset: value of a count of 0, by band.
        origin: where these are from, in words.
        facts: time, angles (degrees), cover (per cent); plain JSON values, None where not set.
        crs: ``EPSG:n`` of the stated projection; empty if it states none that is known.
    """

    product_id: str
    sensor: str
    scale: Mapping[str, float]
    offset: Mapping[str, float]
    origin: str
    facts: Mapping[str, Any]
    crs: str


def parse_mtl(raw: bytes, where: str) -> LandsatMetadata:
    """Read the content of an MTL file; its kind is told by its first character.

    Raises:
        ProductError: if it is not well-formed or not to be trusted.
        MetadataError: if it is of another level or satellite, or a coefficient is missing.
    """
    start = raw.lstrip(b"\xef\xbb\xbf \t\r\n")[:1]
    read = {b"<": _from_xml, b"{": _from_json}.get(start, _from_text)
    groups = read(raw, where)
    contents = groups.get("PRODUCT_CONTENTS", {})
    level = contents.get("PROCESSING_LEVEL", "")
    if level not in ("L2SP", "L2SR"):
        raise MetadataError(
            f"states the processing level {level[:20]!r}, not L2SP or L2SR",
            where=where,
            fix="give a Collection 2 Level-2 scene",
        )
    image = groups.get("IMAGE_ATTRIBUTES", {})
    craft = image.get("SPACECRAFT_ID", "")
    if craft not in SENSORS:
        raise OtherSensorError(
            f"states the satellite {craft[:20]!r}",
            where=where,
            fix="give a scene of Landsat 8 or 9",
        )
    scale, offset = {}, {}
    for band in SR_BANDS:
        suffix = f"BAND_{band[1:]}"
        scale[band] = _coefficient(groups, _REFLECTANCE, f"REFLECTANCE_MULT_{suffix}", where)
        offset[band] = _coefficient(groups, _REFLECTANCE, f"REFLECTANCE_ADD_{suffix}", where)
    if "FILE_NAME_BAND_ST_B10" in contents:
        scale[LST] = _coefficient(groups, _TEMPERATURE, "TEMPERATURE_MULT_BAND_ST_B10", where)
        offset[LST] = _coefficient(groups, _TEMPERATURE, "TEMPERATURE_ADD_BAND_ST_B10", where)
    if bad := [b for b, v in scale.items() if not v > 0]:
        raise MetadataError(f"states a MULT of {scale[bad[0]]:g} for {bad[0]}", where=where)
    return LandsatMetadata(
        product_id=contents.get("LANDSAT_PRODUCT_ID", ""),
        sensor=SENSORS[craft],
        scale=scale,
        offset=offset,
        origin="MTL: DN × MULT + ADD of Level 2",
        facts={
            "start_time": _time(image),
            "processing_level": level,
            "collection_category": contents.get("COLLECTION_CATEGORY") or None,
            "cloud_cover_pct": finite_number(image.get("CLOUD_COVER", "")),
            "sun_elevation_deg": finite_number(image.get("SUN_ELEVATION", "")),
            "sun_azimuth_deg": finite_number(image.get("SUN_AZIMUTH", "")),
        },
        crs=_projection(groups.get("PROJECTION_ATTRIBUTES", {})),
    )


def _projection(stated: Mapping[str, str]) -> str:
    """UTM zones of Landsat are northern on either side of the equator; else polar stereographic."""
    zone = stated.get("UTM_ZONE", "")
    kind = stated.get("MAP_PROJECTION", "")
    if kind == "UTM" and re.fullmatch(r"[1-9]|[1-5]\d|60", zone, re.ASCII):
        return f"EPSG:{32600 + int(zone)}"
    if kind == "PS" and stated.get("TRUE_SCALE_LAT", "").startswith("-71"):
        return "EPSG:3031"
    return ""


def _from_xml(raw: bytes, where: str) -> Groups:
    root = parse_xml(raw, where)
    if root.tag != _ROOT:
        raise MetadataError(f"is a <{root.tag[:40]}>, no Landsat MTL", where=where)

    def values(group: Element) -> dict[str, str]:
        return {row.tag: (row.text or "").strip() for row in group}

    return {group.tag: values(group) for group in root}


def _from_json(raw: bytes, where: str) -> Groups:
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as e:
        raise ProductError(f"is no JSON ({e})", where=where, fix="fetch it again") from None
    root = value.get(_ROOT)
    if not isinstance(root, dict):
        raise MetadataError(f"has no {_ROOT}", where=where)
    return {
        group: {key: str(v) for key, v in rows.items() if isinstance(v, (str, int, float))}
        for group, rows in root.items()
        if isinstance(rows, dict)
    }


def _from_text(raw: bytes, where: str) -> Groups:
    """``GROUP = NAME`` … ``KEY = value`` … ``END_GROUP = NAME``, one group deep."""
    try:
        lines = raw.decode("utf-8").splitlines()
    except UnicodeDecodeError:
        raise ProductError("is no UTF-8 text", where=where, fix="fetch it again") from None
    if len(lines) > _MAX_LINES:
        raise ProductError(f"has {len(lines)} lines", where=where)
    groups: dict[str, dict[str, str]] = {}
    inside: list[str] = []
    for line in lines:
        key, _, value = (part.strip() for part in line.partition("="))
        if key == "GROUP":
            inside.append(value)
        elif key == "END_GROUP":
            if not inside or inside.pop() != value:
                raise ProductError(
                    f"ends the group {value[:40]!r} that is not open",
                    where=where,
                    fix="fetch it again",
                )
        elif value and inside:
            groups.setdefault(inside[-1], {})[key] = value.strip('"')
    if not groups or inside:
        raise ProductError(
            "is cut short" if inside else "is no Landsat MTL", where=where, fix="fetch it again"
        )
    return groups


def _coefficient(groups: Groups, group: str, key: str, where: str) -> float:
    value = finite_number(groups.get(group, {}).get(key, ""))
    if value is None:
        raise MetadataError(f"has no {group}/{key}", where=where, fix="fetch the scene again")
    return value


def _time(image: Mapping[str, str]) -> str | None:
    """Date and centre time, to the microsecond that dates of Python hold."""
    clock = re.sub(r"(\.\d{6})\d*", r"\1", image.get("SCENE_CENTER_TIME", "").strip('"'))
    text = f"{image.get('DATE_ACQUIRED', '')}T{clock}"
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text
