"""ENVI cubes: the header through ``spectral``, the pixels by windows (BSQ, BIL, BIP)."""

from __future__ import annotations

import contextlib
import gzip
import logging
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trifuse.core import Band, BandError, BandSet, MetadataError, ProductError
from trifuse.core.band_names import wavelength_in
from trifuse.products.files.geotiff import (
    OPTIONS,
    in_micrometres,
    is_hyperspectral,
    is_wavelength,
    nanometres,
    spectral_meta,
    unit_doubt,
)
from trifuse.products.files.naming import given_centres, gsd_of, standard_bands
from trifuse.products.files.raster import Raster, driver_if_known, envi_header, plain_file
from trifuse.products.files.source import RasterSource, calibration
from trifuse.products.reader import Reader

MAX_HEADER = 16 << 20
"""Bytes of a header; real ones have some ten thousand."""

DATA_SUFFIXES = ("", ".bsq", ".bil", ".bip", ".img", ".dat", ".raw", ".sli")
"""Suffixes of the pixels beside ``name.hdr``."""
_log = logging.getLogger(__name__)


def is_envi(path: Path) -> bool:
    """Whether a path is an ENVI header, or raw pixels with one beside them; never raises."""
    if path.suffix.lower() == ".hdr":
        with contextlib.suppress(ProductError):
            return plain_file(path).is_file()
    return driver_if_known(path) == "ENVI"


def open_envi(
    path: Path | str,
    *,
    bands: Sequence[str] | None = None,
    scale: float | Sequence[float] | None = None,
    offset: float | Sequence[float] | None = None,
    nodata: float | None = None,
    wavelengths: Sequence[float] | None = None,
) -> RasterSource:
    """An ENVI cube by its header or its data file.

    Values are ``stored / reflectance scale factor``, or ``stored · data gain + data offset`` where
    the header has these; ``data ignore value`` becomes NaN. Wavelengths may be in nm or µm, or
    stand in the names of the bands with their unit.
    ``meta`` is as of :func:`trifuse.products.open_geotiff`.

    Args:
        path: ``name.hdr``, or the data file beside it.
        bands: names for all bands, in the order of the file.
        scale: value = stored · scale + offset; default: the header's.
        offset: likewise.
        nodata: fill value; default: the header's.
        wavelengths: centre of each band in nm; default: the header's.

    Raises:
        ProductError: if header or pixels are missing, damaged or cut short.
        MetadataError: if the header contradicts itself.
        GridError: if the image is rotated.
        BandError: if names do not fit.
    """
    header_path, data_path = _pair(plain_file(path))
    header = _read_header(header_path)
    if "library" in str(header.get("file type", "")).lower():
        raise ProductError(
            f"is an ENVI spectral library ({header.get('lines', '?')} spectra of "
            f"{header.get('samples', '?')} bands), not an image",
            where=data_path,
            fix="give an image; spectral.envi.open reads libraries",
        )
    _check_size(header, header_path, data_path)
    raster = Raster(data_path)
    count = raster.header.count
    numbers = range(1, count + 1)
    factor = _numbers(header, "reflectance scale factor", 1, header_path)
    if factor and not (math.isfinite(factor[0]) and factor[0] > 0):
        raise MetadataError(f"reflectance scale factor is {factor[0]:g}", where=header_path)
    # Gains and offsets per band reach us through GDAL; of the common factor it knows nothing.
    own = [1 / factor[0]] * count if factor and "data gain values" not in header else None
    how = calibration(raster, numbers, scale, offset, nodata, own)
    theirs = _bands(header, count, bands, wavelengths, header_path)
    standard, named = standard_bands(theirs, gsd_of(raster), str(header_path))
    source = RasterSource(raster, standard, how, numbers, {**_meta(header), **named})
    flags = _numbers(header, "bbl", count, header_path)
    tags = [{"bbl": f"{flag:g}"} for flag in flags or ()] or [{}] * count
    source.meta = {**source.meta, **spectral_meta(source, tags)}
    return source


def _pair(path: Path) -> tuple[Path, Path]:
    """(header, data) from either."""
    if path.suffix.lower() != ".hdr":
        header = envi_header(path)
        if header is None:
            raise ProductError(
                "has no ENVI header beside it", where=path, fix=f"put {path.stem}.hdr there"
            )
        return header, path
    bare = path.with_suffix("")
    candidates = [bare.with_name(bare.name + s) for s in DATA_SUFFIXES]
    candidates += [bare.with_name(bare.name + s.upper()) for s in DATA_SUFFIXES[1:]]
    for data in candidates:
        if data.is_file():
            return path, data
    raise ProductError(
        "has no image beside it", where=path, fix=f"put {bare.name} or {bare.name}.bsq there"
    )


def _read_header(path: Path) -> dict[str, Any]:
    from spectral.io import envi

    plain_file(path)
    if path.stat().st_size > MAX_HEADER:
        raise ProductError(f"is larger than {MAX_HEADER >> 20} MiB", where=path)
    try:
        header = envi.read_envi_header(str(path))
        return {str(key).strip().lower(): value for key, value in header.items()}
    except (envi.EnviException, OSError, ValueError, KeyError, IndexError) as e:
        reason = str(e).splitlines()[0] if str(e) else type(e).__name__
        raise ProductError(f"is no ENVI header ({reason})", where=path) from None


def _check_size(header: Mapping[str, Any], path: Path, data: Path) -> None:
    """GDAL reads zeros beyond the end of a raw file, so the length is checked first."""
    sizes = {"1": 1, "2": 2, "3": 4, "4": 4, "5": 8, "12": 2, "13": 4, "14": 8, "15": 8}
    try:
        lines, samples, bands = (int(header[k]) for k in ("lines", "samples", "bands"))
        itemsize = sizes[str(header["data type"]).strip()]
        start = int(header.get("header offset", 0))
    except (KeyError, ValueError, TypeError) as e:
        raise MetadataError(
            f"lacks or garbles {e}",
            where=path,
            fix="give lines, samples, bands and a real data type",
        ) from None
    need = start + lines * samples * bands * itemsize
    with data.open("rb") as f:
        packed = f.read(2) == b"\x1f\x8b" and str(header.get("file compression", 0)).strip() == "1"
    have = _unpacked_size(data, need) if packed else data.stat().st_size
    if min(lines, samples, bands) < 1 or have < need:
        raise ProductError(
            f"holds {have} bytes, and {path.name} promises {need}",
            where=data,
            fix="the file is cut short: get it again",
        )


def _unpacked_size(path: Path, limit: int) -> int:
    """Length of a gzip stream, counted up to ``limit`` and never held."""
    total = 0
    try:
        with gzip.open(path) as f:
            while total < limit and (piece := f.read(1 << 20)):
                total += len(piece)
    except (OSError, EOFError, ValueError):
        pass
    return total


def _bands(
    header: Mapping[str, Any],
    count: int,
    names: Sequence[str] | None,
    wavelengths: Sequence[float] | None,
    path: Path,
) -> BandSet:
    centres = _numbers(header, "wavelength", count, path)
    widths = _numbers(header, "fwhm", count, path)
    units = str(header.get("wavelength units", ""))
    doubt = unit_doubt(units, centres[0]) if centres else ""
    if doubt:
        _log.warning("%s: %s", path, doubt)
    if not is_wavelength(units):
        centres = widths = None
    small = in_micrometres(centres[0]) if centres else False
    unknown = [math.nan] * count
    centres = [nanometres(c, small) for c in centres] if centres else unknown
    narrow = widths[0] < 1 if widths and doubt else small  # what the unit says holds for neither
    widths = [nanometres(w, narrow) for w in widths] if widths else unknown
    own = _names(header)
    if centres is unknown and len(own) == count:
        centres = [wavelength_in(name) for name in own]
    centres = list(given_centres(wavelengths, centres, str(path)))
    if names is not None:
        if len(names) != count:
            raise BandError(f"{len(names)} names for {count} bands", where=path)
    elif is_hyperspectral(centres) and (not own or all(_is_numbering(n) for n in own)):
        names = [f"E{i:03d}" for i in range(1, count + 1)]
    elif len(own) == count == len(set(own)) and all(own):
        names = own
    else:
        names = [f"band{i}" for i in range(1, count + 1)]
    return BandSet(tuple(map(Band, names, centres, widths)))


def _names(header: Mapping[str, Any]) -> list[str]:
    """Band names of the header; a header of one band holds a text, not a list."""
    value = header.get("band names") or ()
    return [str(n).strip() for n in ([value] if isinstance(value, str) else value)]


def _is_numbering(name: str) -> bool:
    return re.match(r"band\s*\d+\b", name, re.IGNORECASE) is not None


def _numbers(header: Mapping[str, Any], key: str, count: int, path: Path) -> list[float] | None:
    value = header.get(key)
    if value is None:
        return None
    try:
        numbers = [float(v) for v in (value if isinstance(value, list) else [value])]
    except ValueError:
        raise MetadataError(f"{key} holds something else than numbers", where=path) from None
    if len(numbers) != count:
        raise MetadataError(f"{key} has {len(numbers)} entries for {count} bands", where=path)
    return numbers


def _meta(header: Mapping[str, Any]) -> dict[str, Any]:
    meta: dict[str, Any] = {"kind": "envi", "interleave": str(header.get("interleave", "")).lower()}
    for key in ("description", "sensor type", "acquisition time"):
        value = header.get(key)
        if value and str(value).lower() != "unknown":
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
            meta[key.replace(" ", "_")] = text[:500]
    return meta


READER = Reader("envi", is_envi, open_envi, OPTIONS)
