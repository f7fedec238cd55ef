"""Compare a response table of one's own with the published ones."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from trifuse.core import Band, BandError, canonical_name
from trifuse.srf_data.tables import SensorSRF, load, names
from trifuse.srf_data.user_tables import read_tables

CENTRE_TOLERANCE = 1.0  # nm
WIDTH_TOLERANCE = 2.0  # nm


@dataclass(frozen=True, slots=True)
class Difference:
    """A band of a user's table that is not as published.

    Attributes:
        sensor: the published table, e.g. ``S2A_MSI``.
        band: centre and FWHM in nm as the user's table has them, under the published name.
        published: the same band as published; None if the sensor has no such band.
    """

    sensor: str
    band: Band
    published: Band | None

    def __str__(self) -> str:
        if self.published is None:
            return f"{self.band.name}: not a band of {self.sensor}"
        shift = self.band.centre - self.published.centre
        wider = self.band.fwhm - self.published.fwhm
        return (
            f"{self.sensor} {self.band.name}: centre {self.band.centre:.1f} nm, published "
            f"{self.published.centre:.1f} ({shift:+.1f}); width {self.band.fwhm:.1f} nm, "
            f"published {self.published.fwhm:.1f} ({wider:+.1f})"
        )


@dataclass(frozen=True, slots=True)
class TableCheck:
    """A user's table beside the published one that it was compared with.

    Attributes:
        table: name of the user's table: of its sheet, or of its file.
        sensor: the published table, e.g. ``S2A_MSI``.
        agreeing: published names of the bands that are alike.
        differences: the other bands.
    """

    table: str
    sensor: str
    agreeing: tuple[str, ...]
    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        count = len(self.agreeing) + len(self.differences)
        if not self.differences:
            return f"{self.table}: agrees with {self.sensor} in all {count} bands"
        return (
            f"{self.table}: agrees with {self.sensor} in {len(self.agreeing)} of {count} bands, "
            f"differs in {', '.join(d.band.name for d in self.differences)}"
        )


def check_table(path: Path | str, sensor: str | None = None) -> list[Difference]:
    """Name the bands that differ from the published table: the differences of all tables.

    Args:
        path: see :func:`check_tables`.
        sensor: likewise.

    Raises:
        TrifuseError: likewise.
    """
    return [d for checked in check_tables(path, sensor) for d in checked.differences]


def check_tables(path: Path | str, sensor: str | None = None) -> list[TableCheck]:
    """Compare each table of a file with the published one that it is of.

    A band differs if its centre is off by more than 1 nm or its width by more than 2 nm.

    Args:
        path: tables that :func:`trifuse.srf_data.user_tables.read_tables` reads; columns named
            after bands, like ``B8A``, ``S2A_SR_AV_B8A``, ``Oa08`` or ``Band 8``.
        sensor: the published table to compare with. Default: the one that the file, its columns
            or its comments name; among those that fit, the one with most bands alike.

    Raises:
        BandError: if no column is named after a band, or two after the same one.
        ConfigError: if there is no published table of this name.
        ProductError: if the file cannot be read.
        MissingExtraError: if it is a workbook, and openpyxl is not installed.
    """
    path = Path(path)
    return [_checked(table, path, sensor) for table in read_tables(path)]


def _checked(table: SensorSRF, path: Path, sensor: str | None) -> TableCheck:
    if sensor is None and table.name in names():
        sensor = table.name
    candidates = [sensor] if sensor else _named(table, path) or names()
    pairs = {name: _pairs(table, load(name), path) for name in candidates}

    def likeness(name: str) -> tuple[int, int, float]:
        known = [(ours, theirs) for ours, theirs in pairs[name] if theirs is not None]
        apart = sum(abs(ours.centre - theirs.centre) for ours, theirs in known)
        return sum(_alike(*pair) for pair in known), len(known), -apart

    best = max(candidates, key=likeness)
    if all(published is None for _, published in pairs[best]):
        raise BandError(
            f"columns {', '.join(table.bands.names)} are not named after bands of "
            f"{sensor or 'any sensor'}",
            where=path,
            fix="name them like B8A, Oa08 or S1",
        )
    differences = [
        Difference(best, ours, published)
        for ours, published in pairs[best]
        if published is None or not _alike(ours, published)
    ]
    odd = {d.band.name for d in differences}
    alike = tuple(ours.name for ours, _ in pairs[best] if ours.name not in odd)
    return TableCheck(table.name, best, alike, tuple(differences))


def _alike(ours: Band, published: Band) -> bool:
    return (
        abs(ours.centre - published.centre) <= CENTRE_TOLERANCE
        and abs(ours.fwhm - published.fwhm) <= WIDTH_TOLERANCE
    )


def _named(table: SensorSRF, path: Path) -> list[str]:
    """Published tables whose platform (``S2A``) the file's name or its columns mention."""
    words = {w.upper() for label in (path.stem, *table.bands.names) for w in _words(label)}
    return [name for name in names() if name.partition("_")[0] in words]


def _pairs(table: SensorSRF, published: SensorSRF, path: Path) -> list[tuple[Band, Band | None]]:
    """Each band of the user's table beside the published band that its column is named after."""
    known = {canonical_name(b.name): b for b in published.bands}
    pairs: list[tuple[Band, Band | None]] = []
    for band in table.bands:
        said = (band.name, *reversed(_words(band.name)), *_numbered(band.name))
        keys = (canonical_name(word) for word in said)
        match = next((known[k] for k in keys if k in known), None)
        if match is not None and any(match is other for _, other in pairs):
            raise BandError(f"two columns stand for {match.name} of {published.name}", where=path)
        name = band.name if match is None else match.name
        pairs.append((Band(name, band.centre, band.fwhm), match))
    return pairs


def _numbered(label: str) -> list[str]:
    """What a column called after a number alone, as ``Band 8A`` is, may stand for."""
    found = re.fullmatch(r"\s*(?:band|b|ch|channel)?[\s_.-]*0*(\d{1,2})(a?)\s*", label, re.I)
    if found is None:
        return []
    number, letter = int(found[1]), found[2].upper()
    return [f"B{number}{letter}", *([] if letter else [f"Oa{number:02d}", f"S{number}"])]


def _words(label: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z0-9]+", label) if word]
