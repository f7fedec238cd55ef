"""Re-tabulate the published response functions: ``python -m trifuse.srf_data.build SOURCE_DIR``.

SOURCE_DIR holds the publishers' files, in any sub-folders (the README of this folder says where
they are obtained). Each curve is scaled to unit peak and sampled linearly at the longest round step
that is at most a fiftieth of its width and keeps its centroid within 0.01 nm and its width within
0.02 nm. Needs the extra ``tables`` (openpyxl). Equal sources give equal bytes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from trifuse.core import BandError, BandSet, ProductError, TrifuseError, write_bytes
from trifuse.srf_data.curves import Curve, centroid, fwhm, gaussian, make_curve
from trifuse.srf_data.tables import SensorSRF, format_table
from trifuse.srf_data.workbook import LANDSAT_SHEETS, open_workbook, reading

CENTROID_TOLERANCE = 0.01  # nm
FWHM_TOLERANCE = 0.02  # nm
_SAMPLES_PER_NM = (1, 2, 5, 10, 20, 50)
_FLOOR = 1e-4  # of the peak; beyond it the outermost samples are measurement noise


def build(source: Path, target: Path) -> list[Path]:
    """Write every table.

    Args:
        source: folder with the published files.
        target: folder for the CSV files; existing ones are replaced.

    Raises:
        ProductError: if a published file is missing, double or not as expected.
        BandError: if a re-tabulated curve strays from the published one.
        MissingExtraError: if openpyxl is not installed.
    """
    written = []
    for table in (*_msi(source), *_olci(source), *_slstr(source), *_oli(source), _enmap(source)):
        path = target / f"{table.name}.csv"
        text = format_table(table, as_gaussian=table.name == "ENMAP")
        write_bytes(path, text.encode(), overwrite=True)
        written.append(path)
    return written


def retabulate(wavelength: np.ndarray, response: np.ndarray, *, where: str) -> Curve:
    """Sample a published curve at TriFuse's own step, with unit peak.

    Args:
        wavelength: (n,) nm.
        response: (n,) in any unit.
        where: sensor and band, for messages.

    Raises:
        BandError: if at every step the centroid moves by more than 0.01 nm or the FWHM by more
            than 0.02 nm.
    """
    published = make_curve(wavelength, response, where=where)
    w, r = published
    r = r / r.max()
    # The moments that count are of the samples as published, noise below zero included.
    centre, width = centroid((w, np.asarray(response, np.float64))), fwhm(published)
    kept = np.flatnonzero(r > _FLOOR)
    first, last = w[max(kept[0] - 1, 0)], w[min(kept[-1] + 1, len(w) - 1)]
    for per_nm in [n for n in _SAMPLES_PER_NM if n * width >= 50] or _SAMPLES_PER_NM[-1:]:
        at = np.arange(np.ceil(first * per_nm), np.floor(last * per_nm) + 1) / per_nm
        curve = make_curve(at, np.interp(at, w, r).round(5), where=where)
        moved, widened = centroid(curve) - centre, fwhm(curve) - width
        if abs(moved) <= CENTROID_TOLERANCE and abs(widened) <= FWHM_TOLERANCE:
            return curve
    raise BandError(
        f"even at {1 / per_nm:g} nm the centroid moves by {moved:.3f} nm and the FWHM by "
        f"{widened:.3f} nm",
        where=where,
    )


def _msi(source: Path) -> Iterator[SensorSRF]:
    path = _find(source, "*Sentinel-2_Spectral_Response_Functions*.xlsx")
    for sensor in ("S2A", "S2B", "S2C"):
        with reading(path):
            book = open_workbook(path)
            about = {str(row[0]).strip(": "): row[5] for row in book["Overview"].values if row[0]}
            header, *rows = book[f"Spectral Responses ({sensor})"].values
            columns = {str(h): i for i, h in enumerate(header) if h}
            w, *responses = _numbers(rows, [columns.pop("SR_WL"), *columns.values()])
            code, issue = str(about["Code"]).strip(), str(about["Version"])
            date = about["Date"].date().isoformat()
        bands = [label.rsplit("_", 1)[1] for label in columns]
        yield SensorSRF.of(
            f"{sensor}_MSI",
            {
                b: retabulate(w, r, where=f"{sensor} {b}")
                for b, r in zip(bands, responses, strict=True)
            },
            source=f"ESA, Sentinel-2 Spectral Response Functions, {code}",
            issue=issue,
            date=date,
        )


def _olci(source: Path) -> Iterator[SensorSRF]:
    import h5py

    months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
    for sensor in ("S3A", "S3B"):
        path = _find(source, f"{sensor}_OL_SRF_*_mean_rsr.nc4")
        with reading(path), h5py.File(path) as file:
            w = file["mean_spectral_response_function_wavelength"][:]
            r = file["mean_spectral_response_function"][:]
            _, month, day, _, year = file.attrs["created"].decode().split()
            date = f"{year}-{months.index(month) + 1:02d}-{int(day):02d}"
            model = file.attrs["spectral_model_source"].decode()
        yield SensorSRF.of(
            f"{sensor}_OLCI",
            {
                f"Oa{i + 1:02d}": retabulate(w[i], r[i], where=f"{sensor} Oa{i + 1:02d}")
                for i in range(len(w))
            },
            source=f"ESA, OLCI mean spectral response functions, {path.name}",
            issue=model.removesuffix(".nc4"),
            date=date,
        )


def _slstr(source: Path) -> Iterator[SensorSRF]:
    import h5py

    for sensor in ("S3A", "S3B"):
        curves = {}
        for number in range(1, 7):
            path = _find(source, f"sentinel_{sensor[1:].lower()}-slstr-{number}-raw.nc")
            with reading(path), h5py.File(path) as file:
                w, r = file["w"][:], file["srf"][:]
                report, _, link = file.attrs["reference"].decode().partition(", https")
                origin, _, obtained = file.attrs["comment"].decode().partition(" (date accessed: ")
            curves[f"S{number}"] = retabulate(w, r, where=f"{sensor} S{number}")
        yield SensorSRF.of(
            f"{sensor}_SLSTR",
            curves,
            source=f"{report}, https{link.rstrip('.')}",
            issue=origin.rsplit("/", 1)[-1].removesuffix(".zip").removesuffix("_zip"),
            date=f"{obtained.rstrip(')')} (obtained)",
        )


def _oli(source: Path) -> Iterator[SensorSRF]:
    for sensor, pattern, reference in (
        ("L8", "Ball_BA_RSR*.xlsx", "Barsi et al. 2014, doi:10.3390/rs61010232"),
        ("L9", "L9_OLI2_Ball_BA_RSR*.xlsx", "Barsi et al. 2019, doi:10.1117/12.2529776"),
    ):
        path = _find(source, pattern)
        curves = {}
        with reading(path):
            book = open_workbook(path)
            date = book.properties.modified.date().isoformat()
            samples = {
                band: _numbers(list(book[sheet].values)[1:], [0, 1])
                for sheet, band in LANDSAT_SHEETS.items()
            }
        for band, (w, r) in sorted(samples.items()):
            curves[band] = retabulate(w, r, where=f"{sensor} {band}")
        yield SensorSRF.of(
            f"{sensor}_OLI",
            curves,
            source=f"NASA GSFC and Ball Aerospace, band-average relative response; {reference}",
            issue=path.stem.partition(".")[2] or "without a number",
            date=date,
        )


def _enmap(source: Path) -> SensorSRF:
    path = _find(source, "EnMAP_Spectral_Bands*.xlsx")
    with reading(path):
        book = open_workbook(path)
        date = book.properties.modified.date().isoformat()
        rows = [row for sheet in ("VNIR", "SWIR") for row in list(book[sheet].values)[1:]]
        centres, widths = _numbers(rows, [1, 2])
    bands = BandSet.of([f"E{i:03d}" for i in range(1, len(centres) + 1)], centres, widths)
    return SensorSRF(
        "ENMAP",
        bands,
        tuple(gaussian(b.centre, b.fwhm) for b in bands),
        source=f"DLR, EnMAP spectral bands, averages over L1B of March 2023, {path.name}",
        issue="update",
        date=date,
    )


def _find(source: Path, pattern: str) -> Path:
    found = sorted(source.rglob(pattern))
    if len(found) != 1:
        raise ProductError(
            f"{len(found)} files match {pattern}", where=source, fix="give the folder with one"
        )
    return found[0]


def _numbers(rows: list[tuple], columns: list[int]) -> np.ndarray:
    """(column, row) float64 of the rows whose first value is filled in."""
    filled = [[row[c] for c in columns] for row in rows if row[columns[0]] is not None]
    return np.array(filled, dtype=np.float64).T


def main(arguments: list[str] | None = None) -> int:
    """Entry point of ``python -m trifuse.srf_data.build``."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path, help="folder with the published files")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    try:
        for path in build(options.source, options.output):
            print(path)
    except TrifuseError as e:
        print(e, file=sys.stderr)
        return e.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
