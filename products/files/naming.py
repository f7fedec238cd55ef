"""How the bands of a file are called here: by its own words, its wavelengths and what users say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trifuse.core import BandError, BandSet, ConfigError
from trifuse.core.band_names import name_bands
from trifuse.products.files.raster import Raster
from trifuse.srf_data import load


def given_centres(
    wavelengths: Sequence[float] | None, own: Sequence[float], where: str
) -> tuple[float, ...]:
    """Centres in nm as the user gives them, else the file's own.

    Raises:
        BandError: if they are not one a band.
        ConfigError: if they are no wavelengths in nm.
    """
    if wavelengths is None:
        return tuple(own)
    if len(wavelengths) != len(own):
        raise BandError(f"{len(wavelengths)} wavelengths for {len(own)} bands", where=where)
    if not all(100 < float(w) < 20_000 for w in wavelengths):
        raise ConfigError(
            f"wavelengths of {min(wavelengths):g} to {max(wavelengths):g} nm",
            where=where,
            fix="give nanometres: 665, not 0.665",
        )
    return tuple(map(float, wavelengths))


def standard_bands(
    own: BandSet, gsd: float | None, where: str, files: Sequence[str] | None = None
) -> tuple[BandSet, dict[str, Any]]:
    """Bands as Sentinel-2 and Landsat call them, where their names tell; and what they were called.

    Args:
        own: as the file has them.
        gsd: side of a pixel in metres, where it is known.
        where: the image, for messages.
        files: names to go by, if not those of the bands.

    Raises:
        BandError: if two names mean one band.
    """
    said = own.names if files is None else tuple(files)
    found = name_bands(said, own.centres, own.fwhms, gsd=gsd, where=where)
    named = {new: old for new, old in zip(found.names, said, strict=True) if new != old}
    bands = BandSet(tuple(replace(b, name=n) for b, n in zip(own, found.names, strict=True)))
    if found.sensor == "landsat":  # B4 and B5 are Sentinel-2's too: only centres tell them apart
        table = {b.name: b for b in load("L8_OLI").bands}
        bands = BandSet(
            tuple(
                replace(table[b.name], name=b.name)
                if not math.isfinite(b.centre) and b.name in table
                else b
                for b in bands
            )
        )
    return bands, {"named": named} if named else {}


def gsd_of(raster: Raster) -> float | None:
    """Side of a pixel in metres; None in degrees or without a coordinate system."""
    side = abs(float(raster.header.transform[0]))
    return side if raster.header.crs and side > 0.1 else None
