"""What a Sentinel-3 product says of itself: its manifest, else its name."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree.ElementTree import Element

from trifuse.core import ProductError
from trifuse.products.files.xmltree import parse_xml
from trifuse.products.reader import OtherSensorError
from trifuse.products.sentinel3.delivery import MANIFEST, NAME, Delivery

MAX_MANIFEST = 4 << 20
PLATFORMS = ("A", "B")
"""Those whose response functions are published and tabulated here."""


@dataclass(frozen=True, slots=True)
class ProductFacts:
    """Facts of a product.

    Attributes:
        name: of the product, without ``.SEN3``.
        platform: ``A`` or ``B``.
        start_time: of the acquisition, ISO 8601, UTC; None where unknown.
        stop_time: likewise.
        baseline: collection of the processing baseline, e.g. ``002``; empty where unknown.
        timeliness: ``NR``, ``ST`` or ``NT``; empty where unknown.
        listed: files that the manifest lists.
        notes: what a user should know.
    """

    name: str
    platform: str
    start_time: str | None
    stop_time: str | None
    baseline: str
    timeliness: str
    listed: tuple[str, ...]
    notes: tuple[str, ...]


def product_facts(delivery: Delivery) -> ProductFacts:
    """Read the manifest; what it lacks comes from the product's name.

    Raises:
        ProductError: if the manifest is not to be trusted.
        MetadataError: if neither says which satellite it was, or it is an unknown one.
    """
    stated: dict[str, str] = {}
    listed: tuple[str, ...] = ()
    notes = []
    if delivery.has(MANIFEST):
        try:
            root = parse_xml(delivery.bytes(MANIFEST, MAX_MANIFEST), delivery.where(MANIFEST))
            stated, listed = _stated(root), _listed(root)
        except ProductError as e:
            if "DOCTYPE" in e.what:
                raise
            notes.append(f"{MANIFEST} {e.what}: facts are those of the product's name")
    else:
        notes.append(f"{MANIFEST} is missing: facts are those of the product's name")
    match = NAME.match(stated.get("productName", "")) or NAME.search(delivery.name)
    in_name = {k: v.upper() for k, v in match.groupdict().items()} if match else {}
    platform = (stated.get("number") or in_name.get("platform", "")).upper()
    if platform not in PLATFORMS:
        raise OtherSensorError(
            f"is of Sentinel-3{platform}, whose response functions are not known"
            if platform
            else "neither manifest nor name says which satellite it is from",
            where=delivery.place,
            fix="give the product under its own name, with its manifest",
        )
    if in_name.get("platform", platform) != platform:
        notes.append(
            f"the name says S3{in_name['platform']}, the manifest S3{platform}: the manifest counts"
        )
    return ProductFacts(
        name=match[0].upper() if match else delivery.name,
        platform=platform,
        start_time=_time(stated.get("startTime") or in_name.get("start")),
        stop_time=_time(stated.get("stopTime") or in_name.get("stop")),
        baseline=stated.get("baselineCollection") or in_name.get("baseline", ""),
        timeliness=stated.get("timeliness") or in_name.get("timeliness", ""),
        listed=listed,
        notes=tuple(notes),
    )


def _stated(root: Element) -> dict[str, str]:
    """The first text of each element that is used; namespaces differ between baselines."""
    wanted = {"productName", "startTime", "stopTime", "baselineCollection", "timeliness"}
    found: dict[str, str] = {}
    for element in root.iter():
        tag = _local(element)
        text = (element.text or "").strip()
        if tag in wanted and text:
            found.setdefault(tag, text[:200])
        elif tag == "platform":
            for child in element:
                if _local(child) == "number" and child.text:
                    found.setdefault("number", child.text.strip())
    return found


def _listed(root: Element) -> tuple[str, ...]:
    names = (e.get("href", "") for e in root.iter() if _local(e) == "fileLocation")
    return tuple(sorted({n.rsplit("/", 1)[-1] for n in names if n}))


def _local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def _time(text: str | None) -> str | None:
    """ISO 8601 in UTC from either spelling."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time.replace(tzinfo=UTC) if time.tzinfo is None else time).isoformat()
