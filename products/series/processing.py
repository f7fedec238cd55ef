"""Which products are one acquisition processed several times, and which of those is the newest.

Archives are reprocessed, and folders that grow over years hold both: an image put together of two
processings has a seam where the one's clouds end. Names tell (ESA's and USGS's conventions).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from trifuse.products.sentinel3.delivery import NAME as SENTINEL3

_SENTINEL2 = re.compile(
    r"(S2[A-Z])_MSIL2A_(\d{8}T\d{6})(?:_N(\d{4}))?_(R\d{3})_(T\d{2}[A-Z]{3})", re.I
)
_LANDSAT = re.compile(
    r"(L[COTEM]\d\d)_L2(S[PR])_(\d{6})_(\d{8})_(\d{8})_(\d\d)_(T1|T2|RT|A1|A2)", re.I
)
_TIERS = ("RT", "A2", "A1", "T2", "T1")
_TIMELINESS = ("NR", "ST", "NT")
_log = logging.getLogger(__name__)

T = TypeVar("T")
Acquisition = tuple[str, ...]
Rank = tuple[Any, ...]


def processing_of(name: str, meta: Mapping[str, Any]) -> tuple[Acquisition, Rank]:
    """What was acquired, and how new its processing is: of equal acquisitions the greatest counts.

    Products of equal rank are parts of one acquisition (Sentinel-2 delivers those of two
    datastrips apart) and belong together.

    Args:
        name: of the product.
        meta: of its source; ``baseline`` serves where the name has none.
    """
    if match := _SENTINEL2.match(name):
        craft, start, stated, orbit, tile = match.groups()
        baseline = stated or str(meta.get("baseline") or "").replace(".", "")
        # 99.xx are users' own runs, whatever the number
        return (craft, start, orbit, tile), (not baseline.startswith("99"), baseline)
    if match := _LANDSAT.match(name):
        craft, kind, place, day, made, collection, tier = match.groups()
        rank = (collection, _TIERS.index(tier.upper()) > 0, made, kind, _TIERS.index(tier.upper()))
        return (craft, place, day), rank
    if match := SENTINEL3.match(name):
        timely = match["timeliness"].upper()
        newness = _TIMELINESS.index(timely) if timely in _TIMELINESS else -1
        acquired = (match["platform"], match["kind"], match["start"], match["stop"])
        return acquired, (newness, match["baseline"], match["made"])
    return (name,), ()


def newest(
    products: Sequence[T], told: Sequence[tuple[Acquisition, Rank]], names: Sequence[str], what: str
) -> list[T]:
    """The products without those of which a newer processing is there, which is said once.

    Args:
        products: in any order, which is kept.
        told: of each, as of :func:`processing_of`.
        names: of each.
        what: they are called, in words.
    """
    best: dict[Acquisition, Rank] = {}
    for acquired, rank in told:
        best[acquired] = max(rank, best.get(acquired, rank))
    kept = [rank == best[acquired] for acquired, rank in told]
    if older := [n for n, keep in zip(names, kept, strict=True) if not keep]:
        _log.warning(
            "%d %s left out, of whose acquisitions newer processings are there: %s",
            len(older),
            what if len(older) == 1 else f"{what}s",
            ", ".join(older[:5]) + (", …" if len(older) > 5 else ""),
        )
    return [p for p, keep in zip(products, kept, strict=True) if keep]
