"""Compare a response table of one's own with the published ones."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trifuse.core import Band, BandError, MetadataError, ProductError, canonical_name
from trifuse.srf_data.curves import make_curve
from trifuse.srf_data.tables import (
    GAUSSIAN,
    SAMPLED,
    SensorSRF,
    load,
    names,
    parse_table,
    split_comments,
)

CENTRE_TOLERANCE = 1.0  # nm
WIDTH_TOLERANCE = 2.0  # nm
_LIMIT = 32 << 20  # bytes; the largest published table has 1.3 MB
_UNITS = {
    "nm": 1.0,
    "nanometer": 1.0,
    "nanometre": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "μm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "micrometre": 1e3,
}


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


def check_table(path: Path | str, sensor: str | None = None) -> list[Difference]:
    """Name the bands that differ from the published table.

    A band differs if its centre is off by more than 1 nm or its width by more than 2 nm.

    Args:
        path: a table that :func:`read_table` reads; columns named after bands, like ``B8A``,
            ``S2A_SR_AV_B8A`` or ``Oa08``.
        sensor: the table to compare with. Default: the one that the file, its columns or its
            comments name; among those that fit, the one with most bands alike.

    Raises:
        BandError: if no column is named after a band, or two after the same one.
        ConfigError: if there is no published table of this name.
        ProductError: if the file cannot be read.
    """
    path = Path(path)
    table = read_table(path)
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
    return [
        Difference(best, ours, published)
        for ours, published in pairs[best]
        if published is None or not _alike(ours, published)
    ]


def read_table(path: Path | str) -> SensorSRF:
    """Read a response table of one's own.

    Either TriFuse's own format, or delimited text with one header line, a column of wavelengths
    and one column of responses a band; empty cells are no samples. Wavelengths are nm or µm: as
    the header (``wavelength_um``) or a comment (``# unit: um``) says, else by their size.

    Raises:
        ProductError: if the file is missing, too large or not such a table.
        MetadataError: if the unit that it states cannot be.
        BandError: if a column is no response curve.
    """
    path = Path(path)
    comments, body = split_comments(text := _text(path))
    if body and tuple(body[0].split(",")) in (SAMPLED, GAUSSIAN):
        return parse_table(text, where=path.name)
    delimiter = max(";\t,", key=body[0].count) if body else ","
    if body and delimiter not in body[0]:
        delimiter, body = " ", [" ".join(line.split()) for line in body]
    rows = list(csv.reader(body, delimiter=delimiter))
    if len(rows) < 4 or len(rows[0]) < 2 or _is_number(rows[0][0]):
        raise ProductError(
            "is no table with a header line, a column of wavelengths and one column a band",
            where=path,
            fix="give such a CSV",
        )
    header = [cell.strip() for cell in rows[0]]
    values = np.array([_floats(row, len(header), n, path) for n, row in enumerate(rows[1:], 2)])
    wavelength = values[:, 0] * _to_nm(values[:, 0], [header[0], *comments], path)
    curves = {}
    for label, response in zip(header[1:], values[:, 1:].T, strict=True):
        if label in curves:
            raise BandError(f"two columns are named {label!r}", where=path)
        there = np.isfinite(response)
        curves[label] = make_curve(
            wavelength[there], response[there], where=f"{path}, column {label}"
        )
    return SensorSRF.of(path.stem, curves)


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
        keys = (canonical_name(word) for word in (band.name, *reversed(_words(band.name))))
        match = next((known[k] for k in keys if k in known), None)
        if match is not None and any(match is other for _, other in pairs):
            raise BandError(f"two columns stand for {match.name} of {published.name}", where=path)
        name = band.name if match is None else match.name
        pairs.append((Band(name, band.centre, band.fwhm), match))
    return pairs


def _words(label: str) -> list[str]:
    return [word for word in re.split(r"[^A-Za-z0-9]+", label) if word]


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LIMIT:
            raise ProductError(f"larger than {_LIMIT >> 20} MiB", where=path)
        raw = path.read_bytes()
    except OSError as e:
        if isinstance(e, ProductError):
            raise
        raise ProductError(f"cannot be read ({e.strerror})", where=path) from None
    if b"\0" in raw:
        raise ProductError("is no text", where=path, fix="save the table as CSV")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _floats(row: list[str], columns: int, line: int, path: Path) -> list[float]:
    # A decimal comma can only stand where the comma does not separate the cells.
    cells = [cell.strip().replace(",", ".") for cell in row]
    try:
        if len(cells) != columns or not cells[0]:
            raise ValueError
        return [float(cell) if cell else math.nan for cell in cells]
    except ValueError:
        raise ProductError(
            f"row {line} is not {columns} numbers: {' '.join(row)[:60]!r}", where=path
        ) from None


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", "."))
    except ValueError:
        return False
    return True


def _to_nm(wavelength: np.ndarray, labels: Iterable[str], path: Path) -> float:
    """Factor to nm: as stated, else by size; optical sensors see 300–15 000 nm."""
    largest = float(np.nanmax(wavelength))
    words = [w for label in labels for w in re.split(r"[^a-zµμ]+", label.lower())]
    stated = next((_UNITS[w.rstrip("s")] for w in words if w.rstrip("s") in _UNITS), None)
    factor = stated or (1e3 if largest < 100 else 1.0)
    if not 100 < largest * factor < 1e5:
        raise MetadataError(
            f"wavelengths up to {largest:g} {'µm' if factor > 1 else 'nm'} cannot be",
            where=path,
            fix="state the unit in the header, as wavelength_nm or wavelength_um",
        )
    return factor
