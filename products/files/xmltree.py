"""XML of a product, parsed without trusting it: no DOCTYPE, no entities, bounded size and depth.

Beside it stands what tells the numbers in it (and in metadata of other forms) from other text.
"""

from __future__ import annotations

import io
import math
from collections.abc import Collection
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
from defusedxml import DefusedXmlException

from trifuse.core import ProductError

MAX_XML_BYTES = 64 << 20
MAX_ELEMENTS = 2_000_000
MAX_DEPTH = 40


def parse_xml(raw: bytes, where: str, unused: Collection[str] = ()) -> Element:
    """The root element.

    Args:
        raw: the file's bytes.
        where: its name, for messages.
        unused: tags whose content is thrown away while parsing, to save memory.

    Raises:
        ProductError: if it is no XML, has a DOCTYPE, is implausibly large or deep.
    """
    if len(raw) > MAX_XML_BYTES:
        raise ProductError(f"is larger than {MAX_XML_BYTES >> 20} MiB", where=where)
    if not raw.strip():
        raise ProductError("is empty", where=where, fix="fetch the product again")
    root: Element | None = None
    count = depth = 0
    try:
        events = defusedxml.ElementTree.iterparse(
            io.BytesIO(raw), events=("start", "end"), forbid_dtd=True
        )
        for event, element in events:
            if event == "start":
                root = element if root is None else root
                count, depth = count + 1, depth + 1
                if count > MAX_ELEMENTS or depth > MAX_DEPTH:
                    raise ProductError("has implausibly many or deep elements", where=where)
            else:
                depth -= 1
                if element.tag in unused:
                    element.clear()
    except DefusedXmlException:
        raise ProductError(
            "has a DOCTYPE or entities, which no product has", where=where, fix="do not use it"
        ) from None
    except (ParseError, LookupError, ValueError) as e:
        raise ProductError(
            f"is no well-formed XML ({e})", where=where, fix="fetch the product again"
        ) from None
    if root is None:
        raise ProductError("is empty", where=where, fix="fetch the product again")
    return root


def finite_number(text: str) -> float | None:
    """The number that a text states; None if it states none, or none that is finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
