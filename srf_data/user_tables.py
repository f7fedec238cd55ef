"""Read a response table of one's own: delimited text, or a publisher's workbook."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import BandError, MetadataError, ProductError
from trifuse.srf_data.curves import Curve, make_curve
from trifuse.srf_data.tables import GAUSSIAN, SAMPLED, SensorSRF, parse_table, split_comments
from trifuse.srf_data.workbook import LANDSAT_SHEETS, open_workbook, reading

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
    return SensorSRF.of(path.stem, _curves(header, values, comments, path))


def read_tables(path: Path | str) -> list[SensorSRF]:
    """Read all response tables of a file: that of :func:`read_table`, or those of a workbook.

    Workbooks (``.xlsx``) are read as agencies publish them: a sheet a satellite with a column of
    wavelengths and one a band (Sentinel-2), or a sheet a band (Landsat). Other sheets are passed
    over.

    Raises:
        ProductError: if the file is missing, too large, or holds no table.
        MetadataError: as :func:`read_table`.
        BandError: likewise.
        MissingExtraError: if it is a workbook, and openpyxl is not installed.
    """
    path = Path(path)
    if path.suffix.lower() not in (".xlsx", ".xlsm"):
        return [read_table(path)]
    _require_size(path)
    tables: list[SensorSRF] = []
    bands: dict[str, Curve] = {}
    with reading(path):
        for sheet in open_workbook(path):
            rows = [row for row in sheet.values if row and row[0] is not None]
            first = next((i for i, row in enumerate(rows) if _is_header(row)), None)
            if first is None:
                continue
            header = [str(c).strip() for c in rows[first] if c is not None]
            cells = [row[: len(header)] for row in rows[first + 1 :]]
            values = np.array([[_cell(c) for c in row] for row in cells], np.float64)
            if "rsr" in header[1].lower():  # one band, and its deviation beside it
                band = LANDSAT_SHEETS.get(sheet.title, sheet.title)
                bands |= _curves([header[0], band], values[:, :2], (), path)
            else:
                tables.append(SensorSRF.of(sheet.title, _curves(header, values, (), path)))
    if bands:
        tables.append(SensorSRF.of(path.stem, bands))
    if not tables:
        raise ProductError(
            "no sheet is a response table",
            where=path,
            fix="give one with a column of wavelengths and one column a band",
        )
    return tables


def _is_header(row: Sequence[Any]) -> bool:
    first = str(row[0]).lower()
    named = [c for c in row[1:] if isinstance(c, str)]
    return ("wavelength" in first or first.endswith("_wl")) and len(named) >= 1


def _cell(value: Any) -> float:
    return math.nan if value is None or isinstance(value, str) else float(value)


def _curves(
    header: Sequence[str], values: np.ndarray, comments: Iterable[str], path: Path
) -> dict[str, Curve]:
    """Curves by column of a table: (row, 1 + band), wavelengths first."""
    wavelength = values[:, 0] * _to_nm(values[:, 0], [header[0], *comments], path)
    curves: dict[str, Curve] = {}
    for label, response in zip(header[1:], values[:, 1:].T, strict=True):
        if label in curves:
            raise BandError(f"two columns are named {label!r}", where=path)
        there = np.isfinite(response) & np.isfinite(wavelength)
        curves[label] = make_curve(
            wavelength[there], response[there], where=f"{path}, column {label}"
        )
    return curves


def _require_size(path: Path) -> None:
    try:
        size = path.stat().st_size
    except OSError as e:
        raise ProductError(f"cannot be read ({e.strerror})", where=path) from None
    if size > _LIMIT:
        raise ProductError(f"larger than {_LIMIT >> 20} MiB", where=path)


def _text(path: Path) -> str:
    _require_size(path)
    try:
        raw = path.read_bytes()
    except OSError as e:
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
