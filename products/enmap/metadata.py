"""What an EnMAP METADATA.XML says, reduced to what is used here.

Source: EnMAP product specification (DLR, EN-PCV-ICD-2009); layout checked against the
qualification delivery of 2020 (processor V000204).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree.ElementTree import Element

from trifuse.core import Band, BandSet, MetadataError
from trifuse.products.enmap.detectors import detectors
from trifuse.products.files.xmltree import finite_number, parse_xml

UNUSED = {"calibration", "navigation", "RPC", "time", "matching"}
"""Orbit, attitude, camera model: nine tenths of the file."""
MAX_BANDS = 1000
_CORNERS = ("upper_left", "upper_right", "lower_right", "lower_left", "center")


@dataclass(frozen=True, slots=True)
class EnmapMetadata:
    """The part of METADATA.XML that a reader needs.

    Attributes:
        product_id: the delivery's name without ``-METADATA.XML``; empty if not stated.
        level: ``L1B``, ``L1C`` or ``L2A``.
        bands: ``E001…`` with centre and FWHM in nm, in the order of the image.
        detectors: ``VNIR`` or ``SWIR`` per band.
        gain: per band; value = DN × gain + offset.
        offset: per band.
        dead: bands that the processor's statistics report as not produced.
        image_format: ``GeoTIFF``, ``BSQ``, ``BIL``, ``BIP`` or ``JPEG2000``; empty if not stated.
        crs: ``EPSG:n`` of the stated projection; empty if unknown.
        shape: (height, width) that the image should have; None if not stated.
        files: names in the stated file list.
        facts: times, angles (degrees), cover (per cent), processing; plain JSON values, None
            where not set.
        notes: what a user should know.
    """

    product_id: str
    level: str
    bands: BandSet
    detectors: tuple[str, ...]
    gain: tuple[float, ...]
    offset: tuple[float, ...]
    dead: tuple[bool, ...]
    image_format: str
    crs: str
    shape: tuple[int, int] | None
    files: tuple[str, ...]
    facts: Mapping[str, Any]
    notes: tuple[str, ...]


def parse_metadata(raw: bytes, where: str) -> EnmapMetadata:
    """Read the content of a METADATA.XML.

    Args:
        raw: the file's bytes.
        where: its name, for messages.

    Raises:
        ProductError: if it is no XML, has a DOCTYPE, is implausibly large or deep.
        MetadataError: if it is another kind of file, or what calibration needs is missing.
    """
    root = parse_xml(raw, where, UNUSED)
    if root.tag != "level_X":
        raise MetadataError(f"is a <{root.tag[:40]}>, not an EnMAP <level_X>", where=where)
    level = _text(root, "metadata/schema/processingLevel") or _text(root, "base/level")
    if level not in ("L1B", "L1C", "L2A"):
        raise MetadataError(
            f"states the processing level {level!r}", where=where, fix="give an EnMAP L2A product"
        )
    rows = _numbered(root, "specific/bandCharacterisation/bandID", where)
    bands = BandSet(
        tuple(
            Band(
                f"E{number:03d}",
                _wavelength(row, "wavelengthCenterOfBand", number, where),
                _wavelength(row, "FWHMOfBand", number, where),
            )
            for number, row in rows
        )
    )
    gain = tuple(_needed(row, "GainOfBand", number, where) for number, row in rows)
    if min(gain) <= 0:
        raise MetadataError(
            f"GainOfBand of band {gain.index(min(gain)) + 1} is {min(gain):g}", where=where
        )
    told, notes = _detectors(root, bands.centres, where)
    return EnmapMetadata(
        product_id=re.sub(r"-METADATA\.XML$", "", _text(root, "metadata/name"), flags=re.I),
        level=level,
        bands=bands,
        detectors=told,
        gain=gain,
        offset=tuple(_needed(row, "OffsetOfBand", number, where) for number, row in rows),
        dead=_dead(root, len(rows)),
        image_format=_text(root, "processing/productFormat").partition("+")[0],
        crs=_epsg(_text(root, "product/ortho/projection")),
        shape=_shape(root),
        files=tuple(
            e.text.strip()
            for e in root.findall("product/productFileInformation/file/name")
            if e.text and e.text.strip()
        ),
        facts=_facts(root),
        notes=tuple(notes),
    )


def _text(node: Element, path: str) -> str:
    return (node.findtext(path) or "").strip()


def _number(node: Element, path: str) -> float | None:
    """A finite number, or None if it is missing, no number, or −999 (not set)."""
    value = finite_number(_text(node, path))
    return None if value == -999 else value


def _band_number(row: Element) -> int | None:
    text = row.get("number", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _needed(row: Element, tag: str, number: int, where: str) -> float:
    value = _number(row, tag)
    if value is None:
        raise MetadataError(
            f"band {number} has no {tag}",
            where=where,
            fix="give the METADATA.XML as it was delivered",
        )
    return value


def _wavelength(row: Element, tag: str, number: int, where: str) -> float:
    value = _needed(row, tag, number, where)
    low, high = (300, 3000) if tag == "wavelengthCenterOfBand" else (0.5, 100)
    if not low <= value <= high:
        raise MetadataError(
            f"{tag} of band {number} is {value:g}, which is no value in nm", where=where
        )
    return value


def _numbered(root: Element, path: str, where: str) -> list[tuple[int, Element]]:
    """The elements sorted by their ``number``, which must be 1, 2, 3 …: the image's bands."""
    found = root.findall(path)
    if not found:
        raise MetadataError(
            f"has no {path}, so no wavelengths",
            where=where,
            fix="give the METADATA.XML as it was delivered",
        )
    if len(found) > MAX_BANDS:
        raise MetadataError(f"has {len(found)} {path}", where=where)
    rows = [(number, e) for e in found if (number := _band_number(e)) is not None]
    rows.sort(key=lambda row: row[0])
    if len(rows) < len(found):
        raise MetadataError(f"{path} lacks a number", where=where)
    if [number for number, _ in rows] != list(range(1, len(rows) + 1)):
        raise MetadataError(f"{path} are not numbered 1 to {len(rows)}", where=where)
    return rows


def _detectors(
    root: Element, centres: Sequence[float], where: str
) -> tuple[tuple[str, ...], list[str]]:
    """Detector per band, and a note where the lists of channels do not fit the bands."""
    vnir, swir = (
        _text(root, f"specific/{d}ProductQuality/expectedChannelsList")[: 20 * MAX_BANDS]
        for d in ("vnir", "swir")
    )
    told, text = detectors((vnir, swir), centres)
    if told is None:
        raise MetadataError(text, where=where, fix="give the METADATA.XML as it was delivered")
    return told, [text] if text else []


def _dead(root: Element, count: int) -> tuple[bool, ...]:
    """A band that was not produced has the statistics mean −1000000 and deviation 0."""
    dead = [False] * count
    for row in root.findall("product/bandStatistics/bandID"):
        number = _band_number(row)
        if number is not None and 1 <= number <= count:
            mean, deviation = _number(row, "mean"), _number(row, "stdDeviation")
            dead[number - 1] = deviation == 0 and mean is not None and mean <= -1e6
    return tuple(dead)


def _epsg(projection: str) -> str:
    """``UTM_Zone32_North`` and the like as ``EPSG:n``; empty for others."""
    if match := re.fullmatch(r"UTM_Zone0?(\d{1,2})_(North|South)", projection, re.I):
        if 1 <= (zone := int(match[1])) <= 60:
            return f"EPSG:{(32600 if match[2].lower() == 'north' else 32700) + zone}"
    return {"laea-etrs89": "EPSG:3035", "geographic": "EPSG:4326"}.get(projection.lower(), "")


def _shape(root: Element) -> tuple[int, int] | None:
    height, width = (_number(root, f"specific/{side}OfOrthoScene") for side in ("height", "width"))
    return None if not height or not width else (int(height), int(width))


def _facts(root: Element) -> dict[str, Any]:
    def angle(name: str) -> float | None:
        """At the centre, else the mean of the corners."""
        at = {c: _number(root, f"specific/{name}/{c}") for c in _CORNERS}
        corners = [v for c, v in at.items() if c != "center" and v is not None]
        if at["center"] is not None or not corners:
            return at["center"]
        return sum(corners) / len(corners)

    def quality(name: str) -> float | None:
        return _number(root, f"specific/qualityFlag/{name}")

    return {
        "start_time": _text(root, "base/temporalCoverage/startTime") or None,
        "stop_time": _text(root, "base/temporalCoverage/stopTime") or None,
        "sun_elevation_deg": angle("sunElevationAngle"),
        "sun_azimuth_deg": angle("sunAzimuthAngle"),
        "across_off_nadir_deg": angle("acrossOffNadirAngle"),
        "along_off_nadir_deg": angle("alongOffNadirAngle"),
        "scene_azimuth_deg": angle("sceneAzimuthAngle"),
        "cloud_cover_pct": quality("cloudCover"),
        "cloud_shadow_pct": quality("cloudShadow"),
        "cirrus_cover_pct": quality("cirrusCover"),
        "haze_cover_pct": quality("hazeCover"),
        "snow_cover_pct": quality("snowCover"),
        "water_cover_pct": quality("waterCover"),
        "overall_quality": quality("overallQuality"),
        "quality_atmosphere": quality("qualityAtmosphere"),
        "scene_aot": quality("sceneAOT"),
        "scene_water_vapour": quality("sceneWV"),
        "correction_type": _text(root, "processing/correctionType") or None,
        "processor_version": _text(root, "base/revision") or None,
    }
