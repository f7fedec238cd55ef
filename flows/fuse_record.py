"""What is said of a fusion: in the sidecar, and on a terminal."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from trifuse.core import CubeSource
from trifuse.flows.match import Match, other_instrument
from trifuse.fusion import Method, SelfCheck
from trifuse.srf_data import load, names

_log = logging.getLogger(__name__)


def settings_record(how: Method) -> dict[str, Any]:
    """Options of a method that are plain values."""
    if not is_dataclass(how):
        return {}
    values = ((f.name, getattr(how, f.name)) for f in fields(how) if f.init)
    return {k: v for k, v in values if isinstance(v, str | int | float | None)}


def restoration_text(about: Mapping[str, Any] | None) -> list[str]:
    """What was done to Sentinel-2's bands, in a line or a few."""
    if about is None:
        return []
    if about["restored"]:
        coarse = [n for n, facts in about["bands"].items() if facts["ratio"] > 1]
        blur = {(f["ratio"], f"{f['mtf']:.2f}") for f in about["bands"].values() if f["ratio"] > 1}
        mtf = ", ".join(f"{m} of samples of {r} pixels" for r, m in sorted(blur))
        done = f"restored to the pixels: {', '.join(coarse)}; MTF {mtf}"
    else:
        done = "Sentinel-2 as it is, not restored"
    return [done, *(f"warning: {w}" for w in about.get("warnings", ()))]


def selfcheck_text(check: SelfCheck) -> str:
    """The self-check in one line."""
    ssim = "" if math.isnan(check.ssim) else f", SSIM {check.ssim:.4f}"
    return (
        f"seen by Sentinel-3 again: RMSE {check.rmse:.5f}, Euclidean {check.euclidean:.5f}, "
        f"cosine {check.cosine:.6f}{ssim} over {check.cells} of {check.of} cells"
    )


def pairing_record(matched: Match, how: Method) -> dict[str, Any]:
    """What is known of the pair, with bands that are not those the network was made for."""
    instrument = []
    if how.card is not None:
        for image, source, bands in (
            ("Sentinel-2", matched.s2, how.card.hr_bands),
            ("Sentinel-3", matched.s3, how.card.lr_bands),
        ):
            if text := other_instrument(source.bands, bands, f"{image}: the network expects"):
                instrument.append(text)
                _log.warning("%s", text)
    return {**matched.to_json(), "instrument": instrument}


def about_record(source: CubeSource) -> dict[str, Any]:
    """What a record says of an opened input."""
    sensor = str(source.meta.get("sensor", ""))
    facts = {k: source.meta.get(k) for k in ("start_time", "baseline", "calibration", "mask")}
    return {
        "product": source.name,
        "sensor": sensor or None,
        "srf_issue": load(sensor).issue if sensor in names() else None,
        **{k: v for k, v in facts.items() if v is not None},
    }
