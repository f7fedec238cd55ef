"""The ``xfdumanifest.xml`` of a made Sentinel-3 delivery: the paths that readers use."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

_PREFIXES = ("xfdu", "sentinel-safe", "sentinel3")
_SAFE = "http://www.esa.int/safe/sentinel/1.1"
_S3 = "http://www.esa.int/safe/sentinel/sentinel-3/1.0"
_XFDU = "urn:ccsds:schema:xfdu:1"


def write_manifest(
    work: Path, name: str, start: datetime, extra: Callable[[Element], None] | None = None
) -> None:
    """Write ``xfdumanifest.xml`` for the files that are there."""
    for prefix, namespace in zip(_PREFIXES, (_XFDU, _SAFE, _S3), strict=True):
        register_namespace(prefix, namespace)
    stop = start + timedelta(minutes=3)
    root = Element(f"{{{_XFDU}}}XFDU", {"version": "esa/safe/sentinel/1.1/sentinel-3/1.0"})
    facts = SubElement(root, "metadataSection")

    def section(identity: str, namespace: str, tag: str, **content: str) -> Element:
        holder = SubElement(facts, "metadataObject", ID=identity, classification="DESCRIPTION")
        data = SubElement(SubElement(holder, "metadataWrap", mimeType="text/xml"), "xmlData")
        inner = SubElement(data, f"{{{namespace}}}{tag}")
        for key, value in content.items():
            SubElement(inner, f"{{{namespace}}}{key}").text = value
        return inner

    def time(moment: datetime) -> str:
        return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    section(
        "acquisitionPeriod", _SAFE, "acquisitionPeriod", startTime=time(start), stopTime=time(stop)
    )
    identifier = {"A": "2016-011A", "B": "2018-039A"}.get(name[2], "")
    section(
        "platform",
        _SAFE,
        "platform",
        nssdcIdentifier=identifier,
        familyName="Sentinel-3",
        number=name[2],
    )
    general = section(
        "generalProductInformation",
        _S3,
        "generalProductInformation",
        productName=f"{name}.SEN3",
        productType=name[4:15],
        timeliness=name[-6:-4],
        baselineCollection=name[-3:],
        creationTime=time(start + timedelta(days=1)),
    )
    SubElement(
        general, f"{{{_S3}}}comment"
    ).text = "Synthetic scene in the form of a Sentinel-3 product, made by TriFuse"
    if extra is not None:
        extra(section("productInformation", _S3, f"{name[4:6].lower()}ProductInformation"))
    files = SubElement(root, "dataObjectSection")
    for path in sorted(work.glob("*.nc")):
        content = path.read_bytes()
        holder = SubElement(files, "dataObject", ID=f"{path.stem}Data")
        stream = SubElement(
            holder, "byteStream", mimeType="application/x-netcdf", size=str(len(content))
        )
        SubElement(stream, "fileLocation", locatorType="URL", href=f"./{path.name}")
        digest = SubElement(stream, "checksum", checksumName="MD5")
        digest.text = hashlib.md5(content, usedforsecurity=False).hexdigest()
    indent(root)
    text = tostring(root, encoding="utf-8", xml_declaration=True)
    (work / "xfdumanifest.xml").write_bytes(text + b"\n")
