"""Calibration of Sentinel-2 images by their STAC item.

Providers differ in whether the counts in their files hold the offset of −1000 still or no more,
and items contradict themselves. What is believed, in this order:

1. ``earthsearch:boa_offset_applied`` (``sentinel:…`` in version 0) is true: the offset is no longer
   in the counts, whatever ``raster:bands`` says (Earth Search lists −0.1 there all the same).
2. ``raster:bands`` states an offset other than 0: that one.
3. ``earthsearch:boa_offset_applied`` is false: −0.1 since baseline 04.00, else 0.
4. ``raster:bands`` states 0: 0.
5. Nothing is stated: −0.1 since baseline 04.00, else 0; without a baseline it cannot be told.

Pixels have the last word (:mod:`trifuse.products.sentinel2.witness`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from trifuse.core import MetadataError, canonical_name
from trifuse.products.files.item import band_rows
from trifuse.products.files.remote import AnyFile
from trifuse.products.files.xmltree import finite_number
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.metadata import (
    LAST_KNOWN,
    NODATA,
    OFFSET_SINCE,
    SATURATED,
    Sentinel2Metadata,
    baseline_of,
    iso_time,
    sensor_of,
    tile_of,
)

_SCALE, _OFFSET = 1e-4, -0.1
AUSTRALIAN_NODATA = -999
"""Fill of Geoscience Australia's analysis ready data (``ga_s2am_ard_3`` and others)."""
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version")
_PRODUCT = ("s2:product_uri", "s2:product_id", "sentinel:product_id")
"""Spellings of the same facts: of Earth Search since its version 1, of its version 0, of others."""


def parse_item(
    item: Mapping[str, Any], where: str, files: Mapping[str, AnyFile]
) -> Sentinel2Metadata:
    """Read a STAC item of a Sentinel-2 L2A product.

    Args:
        item: the JSON value.
        where: its file, for messages.
        files: the band files; assets belong to them by the name in their address.

    Raises:
        MetadataError: if the platform is unknown, or the calibration cannot be told.
    """
    stated = item.get("properties")
    facts = stated if isinstance(stated, Mapping) else {}
    product_id = (_text(facts, *_PRODUCT) or _text(item, "id")).removesuffix(".SAFE")
    baseline = baseline_of(_text_or_number(facts, *_BASELINE), product_id)
    scale, offset, rules, notes = {}, {}, [], []
    applied = _applied(facts, where)
    if len(applied) > 1:
        notes.append(
            "the item says of the offset both that it is applied and that it is not: taken as "
            "applied"
        )
    australian = _text(facts, "odc:product").startswith("ga_s2")
    for band, file in files.items():
        if australian:
            scale[band], offset[band] = _SCALE, 0.0
            rules = ["the counts of Geoscience Australia are reflectance × 10000"]
            continue
        own_scale, own_offset = _stated(item, band, file.name, where)
        scale[band] = _SCALE if own_scale is None else own_scale
        offset[band], rule = _offset(any(applied) if applied else None, own_offset, baseline, where)
        if rule not in rules:
            rules.append(rule)
    if baseline and int(baseline[:2]) > LAST_KNOWN:
        notes.append(f"processing baseline {baseline} is unknown here")
    if any("although" in rule for rule in rules):
        notes += [rule for rule in rules if "although" in rule]
    return Sentinel2Metadata(
        product_id=product_id,
        sensor=sensor_of(_text(facts, "platform"), product_id, where),
        baseline=baseline,
        tile=_tile(facts) or tile_of(product_id),
        scale=scale,
        offset=offset,
        nodata=AUSTRALIAN_NODATA if australian else NODATA,
        saturated=None if australian else SATURATED,
        origin="item: " + "; ".join(rules),
        facts={
            "start_time": iso_time(_text(facts, "datetime")),
            "cloud_cover_pct": _number(facts.get("eo:cloud_cover")),
            "sun_elevation_deg": _number(facts.get("view:sun_elevation")),
            "sun_azimuth_deg": _number(facts.get("view:sun_azimuth")),
        },
        notes=tuple(notes),
    )


def _offset(
    applied: bool | None, stated: float | None, baseline: str, where: str
) -> tuple[float, str]:
    """Offset in reflectance, and why."""
    major = int(baseline[:2]) if baseline else -1
    if applied:
        return 0.0, "the offset is applied already (earthsearch:boa_offset_applied)"
    if stated:
        return stated, f"raster:bands states an offset of {stated:g}"
    if applied is None and stated == 0:
        doubt = f", although the baseline is {baseline}" if major >= OFFSET_SINCE else ""
        return 0.0, f"raster:bands states an offset of 0{doubt}"
    if not 0 <= major < 99:
        raise MetadataError(
            f"states no offset, and the baseline {baseline or 'is not stated'} does not tell",
            where=where,
            fix="add raster:bands with an offset to the assets of the item",
        )
    if major >= OFFSET_SINCE:
        return _OFFSET, f"baseline {baseline} has an offset of {_OFFSET:g}"
    return 0.0, f"baseline {baseline} has no offset"


def _stated(
    item: Mapping[str, Any], band: str, file: str, where: str
) -> tuple[float | None, float | None]:
    """Scale and offset of a band's asset: raster:bands, or bands with raster:… since STAC 1.1."""
    row = band_rows(_asset(item["assets"], band, file))[0]
    values: list[float | None] = []
    for key in ("scale", "offset"):
        found = row.get(key)
        value = _number(found)
        if found is not None and (
            value is None or not (1e-6 <= value <= 1 if key == "scale" else abs(value) <= 1)
        ):
            raise MetadataError(f"states a {key} of {str(found)[:20]} for {band}", where=where)
        values.append(value)
    return values[0], values[1]


def _asset(assets: Mapping[str, Any], band: str, file: str) -> Mapping[str, Any]:
    """The asset whose address ends in the file's name, else the one called like the band."""
    for value in assets.values():
        if isinstance(value, Mapping) and isinstance(value.get("href"), str):
            if value["href"].split("?")[0].rsplit("/", 1)[-1].lower() == file.lower():
                return value
    for key, value in assets.items():
        if isinstance(value, Mapping) and canonical_name(str(key)) == band and band in NATIVE:
            return value
    return {}


def _applied(facts: Mapping[str, Any], where: str) -> set[bool]:
    """What the item says of the offset being applied: nothing, one thing, or both."""
    words = {"true": True, "false": False}
    stated = [facts[key] for key in _APPLIED if facts.get(key) is not None]
    said = [words.get(v.lower(), v) if isinstance(v, str) else v for v in stated]
    if wrong := [v for v in said if not isinstance(v, bool)]:
        raise MetadataError(f"states boa_offset_applied as {str(wrong[0])[:20]!r}", where=where)
    return {v for v in said if isinstance(v, bool)}


def _tile(facts: Mapping[str, Any]) -> str:
    """``33UUU`` by one of the spellings; empty if the item does not say."""
    whole = _text(facts, "grid:code").removeprefix("MGRS-").removeprefix("T") or _text(
        facts, "s2:mgrs_tile"
    )
    if tile := tile_of(f"_T{whole}"):
        return tile
    for prefix in ("mgrs", "sentinel"):
        zone = facts.get(f"{prefix}:utm_zone")
        rest = (_text(facts, f"{prefix}:{k}") for k in ("latitude_band", "grid_square"))
        number = f"{zone:02d}" if type(zone) is int else str(zone).zfill(2)
        if tile := tile_of(f"_T{number}{''.join(rest)}"):
            return tile
    return ""


def asset_place(
    item: Mapping[str, Any], band: str, file: str
) -> tuple[list[float] | None, list[int] | None]:
    """``proj:transform`` (six numbers) and ``proj:shape`` of a band's asset, as far as stated."""
    asset = _asset(item["assets"], band, file)
    numbers, shape = asset.get("proj:transform"), asset.get("proj:shape")
    plain = [_number(n) for n in numbers[:6]] if isinstance(numbers, list) else []
    known = [n for n in plain if n is not None]
    return (
        known if len(known) == 6 else None,
        shape if isinstance(shape, list) and all(type(n) is int for n in shape) else None,
    )


def _text(values: Mapping[str, Any], *keys: str) -> str:
    """The first of some spellings that is a text; empty if none is."""
    found = (values.get(key) for key in keys)
    return next((v for v in found if isinstance(v, str) and v), "")


def _text_or_number(values: Mapping[str, Any], *keys: str) -> str:
    """Likewise, where a baseline may be written 5.09 as well as "05.09"."""
    found = (values.get(key) for key in keys)
    kinds = str | int | float
    return next((str(v) for v in found if isinstance(v, kinds) and str(v) and v is not True), "")


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return finite_number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON knows integers of any size
        return None
    return number if math.isfinite(number) else None
