"""What a Sentinel-2 product says of itself in MTD_MSIL2A.xml or MTD_MSIL1C.xml, and MTD_TL.xml.

Reflectance is (DN + BOA_ADD_OFFSET) / BOA_QUANTIFICATION_VALUE, at the top of the atmosphere
(DN + RADIO_ADD_OFFSET) / QUANTIFICATION_VALUE. The offset, −1000 since baseline 04.00, is listed
by a band number that only the list of Spectral_Information explains; special values stand before
it is added.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD), issue 14 and later.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree.ElementTree import Element

from trifuse.core import MetadataError, canonical_name
from trifuse.products.files.xmltree import finite_number, parse_xml
from trifuse.products.reader import OtherSensorError
from trifuse.products.sentinel2.delivery import NAME
from trifuse.products.sentinel2.levels import L2A, Level
from trifuse.srf_data import names as sensors

NODATA, SATURATED = 0, 65535
"""Special values of every product so far, before the offset."""
OFFSET_SINCE = 4
"""Baselines from 04.00 on add an offset."""
LAST_KNOWN = 5
"""Baselines 05.xx are the newest known here; 99.xx are Sen2Cor runs of users."""
PLACE = ("tile", "crs", "corners", "sizes")
"""What :func:`parse_tile` tells of where the tile lies."""
_GRIDS = {"Sun_Angles_Grid", "Viewing_Incidence_Angles_Grids", "Pixel_Level_QI"}


@dataclass(frozen=True, slots=True)
class Sentinel2Metadata:
    """The part of the metadata that a reader needs.

    Attributes:
        product_id: the product's name.
        sensor: ``S2A_MSI`` …, the name of its response tables.
        baseline: processing baseline, ``05.10``; empty if not stated.
        tile: MGRS tile, ``33UUU``; empty if not stated.
        scale: reflectance of one count, by band.
        offset: reflectance of a count of 0, by band.
        nodata: stored value that means nothing was measured; None if there is none.
        saturated: stored value that means too much was measured; None if there is none.
        origin: where scale and offset are from, in words.
        facts: times, angles (degrees), cover (per cent); plain JSON values, None where not set.
        notes: what a user should know.
    """

    product_id: str
    sensor: str
    baseline: str
    tile: str
    scale: Mapping[str, float]
    offset: Mapping[str, float]
    nodata: float | None
    saturated: int | None
    origin: str
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


def parse_mtd(
    raw: bytes, where: str, tile: Mapping[str, Any], name: str, level: Level = L2A
) -> Sentinel2Metadata:
    """Read the content of a MTD_MSIL2A.xml or MTD_MSIL1C.xml.

    Args:
        raw: the file's bytes.
        where: its name, for messages.
        tile: result of :func:`parse_tile`; empty if there is no MTD_TL.xml.
        name: of the folder, for what the file does not state.
        level: of the product.

    Raises:
        ProductError: if it is no XML or not to be trusted.
        MetadataError: if it is another kind of file, or what calibration needs is missing.
    """
    found = _by_tag(parse_xml(raw, where))
    kind = _first(found, "PROCESSING_LEVEL") or _first(found, "PRODUCT_TYPE")
    if level.name[1:] not in kind:
        raise MetadataError(
            f"states the level {kind[:40]!r}, not Level-{level.name[1:]}",
            where=where,
            fix=f"give the {level.metadata} of a {level.name} product",
        )
    product_id = _first(found, "PRODUCT_URI") or _first(found, "PRODUCT_URI_2A") or name
    product_id = re.sub(r"\.SAFE$", "", product_id, flags=re.IGNORECASE)
    baseline = baseline_of(_first(found, "PROCESSING_BASELINE"), product_id)
    quantification = _quantification(found, level, where)
    added, notes = _offsets(found, baseline, level, where)
    notes = [*baseline_notes(baseline), *notes]
    if bad := [f"{b}: {v:g}" for b, v in added.items() if not abs(v) <= quantification]:
        raise MetadataError(
            f"states {level.added} of {', '.join(bad)} for a quantification of {quantification:g}",
            where=where,
        )
    specials = _specials(found, where)
    start = iso_time(_first(found, "PRODUCT_START_TIME"))
    if tile.get("start_time") is None and start:
        notes.append(
            "no MTD_TL.xml with the tile's sensing time: the time is the start of the "
            "datatake, up to some minutes earlier"
        )
    cover = finite_number(_first(found, "Cloud_Coverage_Assessment"))
    facts: dict[str, Any] = {"start_time": start, "cloud_cover_pct": cover}
    if (empty := finite_number(_first(found, "NODATA_PIXEL_PERCENTAGE"))) is not None:
        facts["nodata_pct"] = empty
    return Sentinel2Metadata(
        product_id=product_id,
        sensor=sensor_of(_first(found, "SPACECRAFT_NAME"), product_id, where),
        baseline=baseline,
        tile=tile_of(product_id) or str(tile.get("tile") or ""),
        scale=dict.fromkeys(level.bands, 1 / quantification),
        offset={b: v / quantification for b, v in added.items()},
        nodata=specials["NODATA"],
        saturated=specials["SATURATED"],
        origin=f"{level.metadata}: (DN + {level.added}) / {level.divisor}",
        facts=facts | {k: v for k, v in tile.items() if k not in PLACE and v is not None},
        notes=tuple(notes),
    )


def parse_tile(raw: bytes, where: str) -> dict[str, Any]:
    """Tile name, place, sensing time and sun angles of a MTD_TL.xml; None where not stated.

    ``corners`` are (west, north) and ``sizes`` (rows, columns) of the images by their sampling in
    metres.

    Raises:
        ProductError: if it is no XML or not to be trusted.
    """
    found = _by_tag(parse_xml(raw, where, _GRIDS))
    (sun,) = found.get("Mean_Sun_Angle", [])[:1] or [Element("none")]
    zenith, azimuth = (
        finite_number(sun.findtext(f"{w}_ANGLE") or "") for w in ("ZENITH", "AZIMUTH")
    )
    crs = _first(found, "HORIZONTAL_CS_CODE")
    return {
        "crs": crs,
        "corners": _by_sampling(found, "Geoposition", ("ULX", "ULY")),
        "sizes": _by_sampling(found, "Size", ("NROWS", "NCOLS")),
        "tile": tile_of(_first(found, "TILE_ID")),
        "start_time": iso_time(_first(found, "SENSING_TIME")),
        "sun_elevation_deg": None if zenith is None else 90 - zenith,
        "sun_azimuth_deg": azimuth,
    }


def _by_sampling(found: Found, tag: str, names: tuple[str, str]) -> dict[int, tuple[float, float]]:
    """Two numbers that MTD_TL.xml states for the images of each sampling in metres."""
    pairs = {}
    for row in found.get(tag, []):
        gsd = row.get("resolution", "")
        first, second = (finite_number(row.findtext(n) or "") for n in names)
        if gsd in ("10", "20", "60") and first is not None and second is not None:
            pairs[int(gsd)] = first, second
    return pairs


def baseline_of(stated: str, product_id: str) -> str:
    """``05.10`` from what is stated, else from the field N0510 of a name; empty if neither.

    Catalogues also write ``N0510``, and as numbers, which lose their zeros: 4.0 is 04.00, 5.1 is
    05.10, for there was no baseline 05.01.
    """
    text = stated.strip().upper().removeprefix("N")
    match = re.fullmatch(r"(\d{2})\.?(\d{2})", text, re.ASCII)
    if match is None and (number := re.fullmatch(r"(\d)\.(\d{1,2})", text, re.ASCII)):
        return f"{number[1]:0>2}.{number[2]:0<2}"
    match = match or re.search(r"_N(\d{2})(\d{2})_", product_id, re.ASCII)
    return f"{match[1]}.{match[2]}" if match else ""


def baseline_notes(baseline: str) -> list[str]:
    """A warning for a baseline whose rules are not known."""
    if not baseline:
        return ["the processing baseline is not stated; offsets are as the metadata state"]
    major = int(baseline[:2])
    if major == 99:
        return [f"baseline {baseline} is a user's own run of Sen2Cor; offsets are as it states"]
    if major > LAST_KNOWN:
        return [f"processing baseline {baseline} is unknown here; offsets are as it states"]
    return []


def sensor_of(platform: str, product_id: str, where: str) -> str:
    """``S2A_MSI`` from ``Sentinel-2A``, else from the product's name.

    Raises:
        OtherSensorError: if neither says, or there are no response tables for it.
    """
    match = re.fullmatch(r"sentinel-?2([a-z])", platform.strip(), re.IGNORECASE) or re.match(
        r"S2([A-Z])_", product_id, re.IGNORECASE
    )
    sensor = f"S2{match[1].upper()}_MSI" if match else ""
    if sensor not in sensors():
        raise OtherSensorError(
            f"states the platform {platform[:40]!r}, for which there are no response tables",
            where=where,
            fix="give a product of Sentinel-2A, 2B or 2C",
        )
    return sensor


def tile_of(text: str) -> str:
    """``33UUU`` from a name with ``_T33UUU``; empty if it has none."""
    match = re.search(r"_T(\d{2}[A-Z]{3})(?![A-Z0-9])", text, re.ASCII)
    return match[1] if match else ""


def iso_time(text: str) -> str | None:
    """The text, if it is an ISO date and time."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text


def time_of(name: str) -> str | None:
    """Start of the datatake by a product's name, ISO 8601 in UTC; None if it is no such name."""
    match = NAME.match(name)
    try:
        return f"{datetime.fromisoformat(match[3]).isoformat()}Z" if match else None
    except ValueError:
        return None


Found = dict[str, list[Element]]


def _by_tag(root: Element) -> Found:
    """Elements by tag, without namespaces and the prefix L2A_ of early products."""
    found: Found = {}
    for element in root.iter():
        found.setdefault(element.tag.rsplit("}", 1)[-1].removeprefix("L2A_"), []).append(element)
    return found


def _first(found: Found, tag: str) -> str:
    elements = found.get(tag)
    return (elements[0].text or "").strip() if elements else ""


def _quantification(found: Found, level: Level, where: str) -> float:
    value = finite_number(_first(found, level.divisor))
    if value is None or not 1 <= value <= 1e6:
        raise MetadataError(
            f"has no usable {level.divisor}", where=where, fix="fetch the product again"
        )
    return value


def _offsets(
    found: Found, baseline: str, level: Level, where: str
) -> tuple[dict[str, float], list[str]]:
    """What is added to counts, by band name."""
    listed = found.get(level.added)
    if not listed:
        major = int(baseline[:2]) if baseline else 0
        if OFFSET_SINCE <= major < 99:
            raise MetadataError(
                f"has no {level.added}, which baseline {baseline} must have: reflectance would "
                "be wrong by 0.1",
                where=where,
                fix="fetch the product again",
            )
        notes = [] if baseline and major < 99 else [f"it states no {level.added}: taken as 0"]
        return dict.fromkeys(level.bands, 0.0), notes
    numbers: dict[str, str] = {}
    for row in found.get("Spectral_Information", []):
        band = canonical_name(row.get("physicalBand", ""))
        if numbers.setdefault(band, row.get("bandId", "").strip()) != row.get("bandId", "").strip():
            raise MetadataError(f"lists {band[:10]} twice in Spectral_Information", where=where)
    values: dict[str, float | None] = {}
    for row in listed:
        number = (row.get("band_id") or row.get("bandId") or "").strip()
        if number in values:
            raise MetadataError(f"states {level.added} {number[:10]} twice", where=where)
        values[number] = finite_number(row.text or "")
    offsets = {band: values.get(numbers.get(band, "none")) for band in level.bands}
    if lost := [band for band, value in offsets.items() if value is None]:
        raise MetadataError(
            f"{level.added} and Spectral_Information give no offset for {', '.join(lost)}",
            where=where,
            fix="fetch the product again",
        )
    return {band: value for band, value in offsets.items() if value is not None}, []


def _specials(found: Found, where: str) -> dict[str, int]:
    values = {"NODATA": NODATA, "SATURATED": SATURATED}
    for row in found.get("Special_Values", []):
        name = (row.findtext("SPECIAL_VALUE_TEXT") or "").strip().upper()
        text = (row.findtext("SPECIAL_VALUE_INDEX") or "").strip()
        if name in values:
            if not re.fullmatch(r"\d{1,5}", text, re.ASCII):
                raise MetadataError(f"states {name} as {text[:20]!r}", where=where)
            values[name] = int(text)
    return values
