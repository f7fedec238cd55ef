"""What is done about a shift of Sentinel-3 against Sentinel-2, and about the width of its PSF."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trifuse.align import register
from trifuse.core import PSF, ConfigError, CubeSource
from trifuse.core.resample import NO_SHIFT
from trifuse.fusion import Method

MAX_GIVEN = 5
"""Sentinel-3 cells that a shift given by hand may have."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where Sentinel-3's cells lie and how wide they see.

    Attributes:
        shift: (rows, columns) in sharp pixels.
        psf: to fuse with.
        record: what to say of it, in plain JSON values.
    """

    shift: tuple[float, float]
    psf: PSF
    record: dict[str, Any]


def coregister(
    s2: CubeSource, s3: CubeSource, how: Method, psf: PSF, mode: str | tuple[float, float]
) -> Place:
    """Look for the shift, or take the one given.

    Args:
        s2: sharp image, as the method wants to see it.
        s3: coarse image.
        how: the method; one that sharpens also has the PSF's width fitted.
        psf: of S3 as it is told.
        mode: ``auto``, ``off``, or (east, north) in metres.

    Raises:
        ConfigError: if the mode is none of these, or the shift is too long.
    """
    if mode == "off":
        return Place(NO_SHIFT, psf, {"mode": "off", "shift_pixels": [0.0, 0.0]})
    (high, wide), ratio = s2.grid.gsd, s2.grid.nested_ratio(s3.grid)
    if not isinstance(mode, str):
        east, north = map(float, mode)
        shift = (-north / high, east / wide)
        if not math.hypot(*shift) <= MAX_GIVEN * ratio:  # also refuses NaN
            raise ConfigError(
                f"a shift of {east:g} m east and {north:g} m north",
                fix=f"give at most {MAX_GIVEN} Sentinel-3 cells",
            )
        return Place(
            shift,
            psf,
            {
                "mode": "given",
                "shift_metres": {"east": east, "north": north},
                "shift_pixels": list(shift),
            },
        )
    if mode != "auto":
        raise ConfigError(f"coregister {mode!r}", fix="give auto, off or east,north metres")
    hr, lr = how.bands(s2.bands, s3.bands)
    found = register(s2.select(hr), s3.select(lr), psf=psf)
    shift, width = how.place(found, psf)
    said = found.to_json()
    return Place(
        shift,
        width,
        {
            "mode": "auto",
            **said,
            "found_pixels": said["shift_pixels"],
            "shift_pixels": list(shift),
            "psf_sigma_cells": width.sigma,
        },
    )


def registration_text(record: Mapping[str, Any]) -> str:
    """What was done about a shift of Sentinel-3, in one line."""
    if record["mode"] in ("off", "not run"):
        return f"co-registration: {record['mode']}"
    east, north = (record["shift_metres"][k] or 0.0 for k in ("east", "north"))
    if record["mode"] == "given":
        return f"co-registration: as given, Sentinel-3 moved {east:g} m east, {north:g} m north"
    if not record["reliable"]:
        return f"co-registration: none found to rely on ({record['reason']}); nothing moved"
    found = f"{east:.0f} m east, {north:.0f} m north ({record['shift_cells']:.3f} cells)"
    if not any(record["shift_pixels"]):
        return f"co-registration: {found} is no significant shift; nothing moved"
    return f"co-registration: Sentinel-3 moved {found}"
