"""Looks at what is stated of a product, against its name and its pixels."""

from __future__ import annotations

import re
from datetime import datetime

from trifuse.products.plausible.seen import Seen

_DAYS = re.compile(r"(?<!\d)(\d{8})(?:T\d{6})?(?!\d)")


def date(seen: Seen) -> str:
    """First date of the name against the time."""
    name = str(seen.meta.get("product_id") or "")
    try:
        stated = datetime.fromisoformat(str(seen.meta.get("start_time"))).date()
        found = _DAYS.search(name)
        named = datetime.strptime(found[1], "%Y%m%d").date() if found else stated
    except ValueError:
        return ""
    if abs((named - stated).days) <= 1:
        return ""
    return f"the name is of {named}, the metadata of {stated}"


def clouds(seen: Seen) -> str:
    """Share that the mask hides against the cloud cover."""
    stated = seen.meta.get("cloud_cover_pct")
    if not isinstance(stated, int | float):
        return ""
    if 0 <= stated <= 5 and seen.hidden > 0.95:
        return (
            f"the mask takes out {100 * seen.hidden:.0f} % of the pixels looked at, although the "
            f"metadata state {stated:g} % of clouds"
        )
    if 99 <= stated <= 100 and seen.hidden < 0.01 and seen.meta.get("mask"):
        return (
            f"the mask takes out {100 * seen.hidden:.0f} % of the pixels looked at, although the "
            f"metadata state {stated:g} % of clouds"
        )
    return ""


def nodata(seen: Seen) -> str:
    """Places without any value against the share of the image that is without data."""
    stated = seen.meta.get("nodata_pct")
    if not isinstance(stated, int | float) or not 0 <= stated <= 1 or not seen.empty:
        return ""
    return (
        f"{seen.empty} of the places looked at hold no value, although the metadata state "
        f"{stated:g} % without data"
    )
