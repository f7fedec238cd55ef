"""The response tables: which there are, and how one is loaded.

A table is a CSV file beside this module, made by ``trifuse.srf_data.build``. Comment lines name
sensor, source, issue, date and unit; then follows one line a sample (``band,wavelength,response``)
or, where the published figures are Gaussian, one line a band (``band,centre,fwhm``).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

import numpy as np

from trifuse.core import Band, BandError, BandSet, ConfigError, ProductError
from trifuse.core.shown import named
from trifuse.srf_data.curves import Curve, centroid, fwhm, gaussian, make_curve

SAMPLED = ("band", "wavelength", "response")
GAUSSIAN = ("band", "centre", "fwhm")

S2_L2A = ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B9", "B11", "B12")
"""The bands of Sentinel-2 level 2A in order; B10 sees no ground."""

S3_SYN = (
    "Oa01",
    "Oa02",
    "Oa03",
    "Oa04",
    "Oa05",
    "S1",
    "Oa06",
    "Oa07",
    "S2",
    "Oa08",
    "Oa09",
    "Oa10",
    "Oa11",
    "Oa12",
    "Oa16",
    "Oa17",
    "S3",
    "Oa18",
    "Oa21",
    "S5",
    "S6",
)
"""The reflectance bands of SY_2_SYN in order of wavelength."""

S3_SYN_19 = S3_SYN[2:]
"""Those that EnMAP covers; Oa01 and Oa02 lie below its first band."""

_FILES = (
    "S2A_MSI",
    "S2B_MSI",
    "S2C_MSI",
    "S3A_OLCI",
    "S3B_OLCI",
    "S3A_SLSTR",
    "S3B_SLSTR",
    "ENMAP",
    "L8_OLI",
    "L9_OLI",
)
_COMPOSED = {"S3A_SYN": ("S3A_OLCI", "S3A_SLSTR"), "S3B_SYN": ("S3B_OLCI", "S3B_SLSTR")}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SensorSRF:
    """The spectral response functions of one sensor.

    Attributes:
        name: e.g. ``S2A_MSI``.
        bands: names, with centroid and FWHM (nm) of the tabulated curves.
        curves: per band (wavelength, response): nm, and response from 0 to 1.
        source: who published the figures, and where.
        issue: the publisher's version.
        date: of that version, ISO 8601.
    """

    name: str
    bands: BandSet
    curves: tuple[Curve, ...]
    source: str = ""
    issue: str = ""
    date: str = ""

    @classmethod
    def of(cls, name: str, curves: Mapping[str, Curve], **provenance: str) -> SensorSRF:
        """Make a table; centres and widths are computed from the curves."""
        bands = BandSet(tuple(Band(k, centroid(c), fwhm(c)) for k, c in curves.items()))
        return cls(name, bands, tuple(curves.values()), **provenance)

    def __repr__(self) -> str:
        centres = self.bands.centres
        where = f"{min(centres):.0f}–{max(centres):.0f} nm, " if centres else ""
        issue = f"issue {self.issue}" if self.issue else "no issue stated"
        return (
            f"SensorSRF({self.name}, {len(self.bands)} bands {named(self.bands)}, {where}{issue})"
        )

    def curve(self, band: str) -> Curve:
        """Wavelengths in nm (n,) and responses (n,) of a band, read-only.

        Raises:
            BandError: if there is no such band.
        """
        return self.curves[self.bands.index(band)]

    def select(self, names: Iterable[str]) -> SensorSRF:
        """The named bands, in the order asked for.

        Raises:
            BandError: if some are missing; names all of them.
        """
        numbers = self.bands.indices(names)
        curves = tuple(self.curves[i] for i in numbers)
        return replace(self, bands=self.bands.select(numbers), curves=curves)


def names() -> list[str]:
    """Names of all tables, as ``load`` takes them."""
    return [*_FILES[:7], *_COMPOSED, *_FILES[7:]]


@cache
def load(name: str) -> SensorSRF:
    """Load a table by name, e.g. ``S2A_MSI``; ``S3A_SYN`` is the 21 bands of SY_2_SYN.

    >>> load("S3A_OLCI").bands.index("Oa17")
    16

    Raises:
        ConfigError: if there is no such table; the message lists those that are there.
    """
    if name in _COMPOSED:
        return _compose(name, *(load(part) for part in _COMPOSED[name]))
    if name not in _FILES:
        raise ConfigError(f"no response table {name!r}", fix=f"ask for one of {', '.join(names())}")
    file = files("trifuse.srf_data").joinpath(f"{name}.csv")
    return parse_table(file.read_text(encoding="utf-8"), where=f"{name}.csv")


def _compose(name: str, olci: SensorSRF, slstr: SensorSRF) -> SensorSRF:
    """The bands of the synergy product, from its two instruments."""
    parts = [(p, p.select(n for n in S3_SYN if n in p.bands.names)) for p in (olci, slstr)]
    curves = {b: part.curve(b) for _, part in parts for b in part.bands.names}
    return SensorSRF.of(
        name,
        {b: curves[b] for b in S3_SYN},
        source=f"OLCI: {olci.source}; SLSTR: {slstr.source}",
        issue=f"OLCI: {olci.issue}; SLSTR: {slstr.issue}",
        date=f"OLCI: {olci.date}; SLSTR: {slstr.date}",
    )


def parse_table(text: str, *, where: str) -> SensorSRF:
    """Read a table in TriFuse's own format.

    Args:
        text: content of the file.
        where: its name, for messages.

    Raises:
        ProductError: if a line is not as the header says.
        BandError: if a band's samples make no curve.
    """
    comments, body = split_comments(text)
    meta = dict(c.split(":", 1) for c in comments if ":" in c)
    meta = {k.strip(): v.strip() for k, v in meta.items()}
    rows = csv.reader(io.StringIO("\n".join(body)))
    header = tuple(next(rows, ()))
    if header not in (SAMPLED, GAUSSIAN) or meta.get("unit", "nm") != "nm":
        raise ProductError(
            f"columns {','.join(header)} in {meta.get('unit', 'nm')}",
            where=where,
            fix=f"give {','.join(SAMPLED)} or {','.join(GAUSSIAN)} in nm",
        )
    values: dict[str, list[tuple[float, float]]] = {}
    for number, row in enumerate(rows, start=1):
        try:
            band, x, y = row
            values.setdefault(band, []).append((float(x), float(y)))
        except ValueError:
            raise ProductError(f"sample {number} reads {','.join(row)!r}", where=where) from None
    if not values:
        raise ProductError("holds no samples", where=where)
    name = meta.get("sensor", where.removesuffix(".csv"))
    provenance = {k: meta.get(k, "") for k in ("source", "issue", "date")}
    if header == SAMPLED:
        curves = {
            band: make_curve(*np.array(v).T, where=f"{where}, {band}") for band, v in values.items()
        }
        return SensorSRF.of(name, curves, **provenance)
    for band, v in values.items():
        if len(v) != 1 or not (0 < v[0][1] < v[0][0] < np.inf):
            raise BandError(f"centre and FWHM read {v}", where=f"{where}, {band}")
    bands = BandSet(tuple(Band(band, *v[0]) for band, v in values.items()))
    return SensorSRF(name, bands, tuple(gaussian(b.centre, b.fwhm) for b in bands), **provenance)


def format_table(table: SensorSRF, *, as_gaussian: bool = False) -> str:
    """Write a table in TriFuse's own format; inverse of :func:`parse_table`.

    Args:
        table: what to write; wavelengths keep four decimals, responses five.
        as_gaussian: write centre and FWHM of each band in place of its samples.
    """
    lines = ["# Spectral response functions, re-tabulated by TriFuse"]
    head = {"sensor": table.name, "source": table.source, "issue": table.issue, "date": table.date}
    lines += [f"# {k}: {v}" for k, v in head.items()] + ["# unit: nm"]
    if as_gaussian:
        lines.append(",".join(GAUSSIAN))
        lines += [f"{b.name},{_short(b.centre, 4)},{_short(b.fwhm, 4)}" for b in table.bands]
    else:
        lines.append(",".join(SAMPLED))
        for band, (w, r) in zip(table.bands, table.curves, strict=True):
            lines += [
                f"{band.name},{_short(x, 4)},{_short(y, 5)}" for x, y in zip(w, r, strict=True)
            ]
    return "\n".join(lines) + "\n"


def split_comments(text: str) -> tuple[list[str], list[str]]:
    """Comment lines without their ``#``, and all other lines that are not empty."""
    lines = [s for line in text.removeprefix("\ufeff").splitlines() if (s := line.strip())]
    comments = [s.lstrip("# ") for s in lines if s.startswith("#")]
    return comments, [s for s in lines if not s.startswith("#")]


def _short(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}".rstrip("0").rstrip(".")
    return text or "0"
