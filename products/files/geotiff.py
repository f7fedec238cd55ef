"""GeoTIFF: one file, or several tiles as one mosaic, calibrated and named by their tags."""

from __future__ import annotations

import json
import logging
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import Band, BandError, BandSet, CubeSource, Window
from trifuse.core.band_names import band_of_file, wavelength_in
from trifuse.products.files.naming import given_centres, gsd_of, standard_bands
from trifuse.products.files.raster import Header, Raster, driver_if_known, plain_file
from trifuse.products.files.source import MosaicSource, RasterSource, calibration
from trifuse.products.files.stack import StackSource, band_files, one_a_band
from trifuse.products.reader import Reader

HYPERSPECTRAL = 100
"""From this many bands with wavelengths on, unnamed bands are E001, E002, …"""

OPTIONS = ("bands", "scale", "offset", "nodata", "wavelengths")
"""What opening an image takes of which its file may know nothing."""

_log = logging.getLogger(__name__)


def is_geotiff(path: Path) -> bool:
    """Whether a path is a GeoTIFF or JPEG 2000, or a folder with such; never raises."""
    try:
        if path.is_dir():
            return bool(_images(path))
    except OSError:
        return False
    return driver_if_known(path) in ("GTiff", "JP2OpenJPEG")


def open_geotiff(
    path: Path | str | Sequence[Path | str],
    *,
    bands: Sequence[str] | None = None,
    scale: float | Sequence[float] | None = None,
    offset: float | Sequence[float] | None = None,
    nodata: float | None = None,
    wavelengths: Sequence[float] | None = None,
) -> CubeSource:
    """A GeoTIFF or COG as a source; several tiles become one mosaic, files of one band a stack.

    Band names come from ``bands``, else the tag ``name``, else E001… for hyperspectral files,
    else the descriptions or the tag ``long_name``; wavelengths and FWHM from the band tags
    (``wavelength``, ``wavelength_units``, ``fwhm``, or GDAL's ``CENTRAL_WAVELENGTH_UM``,
    ``FWHM_UM``). What Sentinel-2 and Landsat call their bands elsewhere
    (:mod:`trifuse.core.band_names`) becomes ``B2`` … ``B12``; ``meta["named"]`` keeps the file's
    own names. Files of one band each, named after it, are bands of one image: see
    :mod:`trifuse.products.files.stack`.

    ``meta`` holds the ``calibration`` used; ``usable`` (bool per band) where the file marks bad
    bands or, for hyperspectral files, bands without any value; ``detectors`` where the wavelengths
    fall back once (EnMAP's VNIR and SWIR cameras overlap).

    Args:
        path: file, or files of one mosaic.
        bands: names for all bands, in the order of the file.
        scale: value = stored · scale + offset; default: the file's.
        offset: likewise, in calibrated units.
        nodata: fill value; default: the file's.
        wavelengths: centre of each band in nm, in the order of the file; default: the file's.

    Raises:
        ProductError: if a file is missing, damaged or no GeoTIFF.
        GridError: if an image is rotated, or tiles or bands do not lie on one lattice.
        BandError: if tiles have different bands, or names or wavelengths do not fit.
        MetadataError: if an image has control points but no grid.
    """
    if isinstance(path, (str, Path)):
        return _open_one(path, bands, scale, offset, nodata, wavelengths)
    if not path:
        raise BandError("no files were given", fix="give at least one")
    if files := band_files([Path(p) for p in path]):
        return _open_stack(files, bands, scale, offset, nodata, wavelengths)
    tiles = [_open_one(p, bands, scale, offset, nodata, wavelengths) for p in path]
    if len(tiles) == 1:
        return tiles[0]
    meta = dict(tiles[0].meta)
    if "usable" in meta:
        several = [t.meta["usable"] for t in tiles]
        meta["usable"] = [any(flags) for flags in zip(*several, strict=True)]
    common = os.path.commonprefix([t.name for t in tiles]).rstrip(" _-.")  # noqa: RUF071
    name = common or tiles[0].raster.path.parent.name
    return MosaicSource(tiles, f"{name} ({len(tiles)} tiles)", meta)


def _open_one(
    path: Path | str,
    names: Sequence[str] | None,
    scale: float | Sequence[float] | None,
    offset: float | Sequence[float] | None,
    nodata: float | None,
    wavelengths: Sequence[float] | None,
) -> RasterSource:
    return source_of(Raster(path), names, scale, offset, nodata, wavelengths)


def source_of(
    raster: Raster,
    names: Sequence[str] | None = None,
    scale: float | Sequence[float] | None = None,
    offset: float | Sequence[float] | None = None,
    nodata: float | None = None,
    wavelengths: Sequence[float] | None = None,
) -> RasterSource:
    """A raster file that is open as a source; arguments and errors as of :func:`open_geotiff`."""
    h = raster.header
    numbers = [n for n in range(1, h.count + 1) if n != h.alpha]
    if not numbers:
        raise BandError("holds an alpha band only", where=raster.name)
    own = own_bands(h, numbers, names, wavelengths, raster.name)
    bands, named = standard_bands(own, gsd_of(raster), raster.name)
    how = calibration(raster, numbers, scale, offset, nodata)
    meta = {**_own_meta(h), "kind": "geotiff", "layout": h.layout or "GeoTIFF", **named}
    source = RasterSource(raster, bands, how, numbers, meta)
    source.meta = {**source.meta, **spectral_meta(source, [h.band_tags[n - 1] for n in numbers])}
    return source


def _open_stack(
    files: Mapping[Path, str],
    names: Sequence[str] | None,
    scale: float | Sequence[float] | None,
    offset: float | Sequence[float] | None,
    nodata: float | None,
    wavelengths: Sequence[float] | None,
) -> CubeSource:
    """Files of one band each as the bands of one image; options are in the order of the files."""
    paths = list(files)
    count = len(paths)
    if names is not None and len(names) != count:
        raise BandError(f"{len(names)} names for {count} files", where=paths[0].parent)
    scales, offsets = (one_a_band(v, count, paths[0].parent) for v in (scale, offset))
    parts = [
        _open_one(path, [label], one, by, nodata, None)
        for path, label, one, by in zip(paths, files.values(), scales, offsets, strict=True)
    ]
    folder = str(paths[0].parent)
    own = [part.bands[0] for part in parts]
    centres = given_centres(wavelengths, [b.centre for b in own], folder)
    finest = min(parts, key=lambda p: p.grid.gsd)
    said = list(files.values()) if names is None else list(names)
    told = BandSet.of([f"{i}" for i in range(count)], centres, [b.fwhm for b in own])
    bands, named = standard_bands(told, gsd_of(finest.raster), folder, said)
    meta = {**parts[0].meta, "kind": "geotiff", "layout": "one file a band", **named}
    common = os.path.commonprefix([p.stem for p in paths])  # noqa: RUF071
    common = re.sub(r"(?:^|[\s_.\-]+)(?:SR_?)?B?\d{0,2}$", "", common)
    return StackSource(parts, bands, common or paths[0].parent.name, meta)


def own_bands(
    h: Header,
    numbers: Sequence[int],
    names: Sequence[str] | None,
    wavelengths: Sequence[float] | None,
    where: str,
) -> BandSet:
    """Names, centres and widths of the bands by option, tags or description.

    Raises:
        BandError: if the count of names or wavelengths is not the count of bands.
    """
    tags = [h.band_tags[n - 1] for n in numbers]
    centres, fwhms = zip(*(_wavelength(t) for t in tags), strict=True)
    if doubt := unit_doubt(tags[0].get("wavelength_units", ""), _number(tags[0].get("wavelength"))):
        _log.warning("%s: %s", where, doubt)
    centres = given_centres(wavelengths, centres, where)
    count = len(numbers)
    if names is not None:
        if len(names) != count:
            raise BandError(f"{len(names)} names for {count} bands", where=where)
        return BandSet(tuple(map(Band, names, centres, fwhms)))
    own = [t.get("name", "").strip() for t in tags]
    described = [h.descriptions[n - 1] for n in numbers]
    longs = [t.get("long_name", "").strip() for t in tags]
    if count == 1:  # what is said of the file is said of its band
        longs = [longs[0] or h.tags.get("long_name", "").strip()]
    if not any(map(math.isfinite, centres)):
        centres = tuple(wavelength_in(text) for text in described)
    names = [f"band{i}" for i in range(1, count + 1)]
    for candidate in (own, described, longs):
        if all(candidate) and len(set(candidate)) == count:
            names = candidate
            break
    if is_hyperspectral(centres) and names is not own:
        names = [f"E{i:03d}" for i in range(1, count + 1)]
    return BandSet(tuple(map(Band, names, centres, fwhms)))


def is_hyperspectral(centres: Sequence[float]) -> bool:
    """Whether bands are so many, with wavelengths, that they are numbered, not named."""
    return len(centres) >= HYPERSPECTRAL and all(map(math.isfinite, centres))


def spectral_meta(source: RasterSource, tags: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """``usable`` and ``detectors`` of a source, as far as they can be told.

    Bad bands are those marked (``bbl`` of 0); of a hyperspectral file also those without a value
    anywhere, which is looked up block by block and ends at the first value.
    """
    out: dict[str, Any] = {}
    count = len(source.bands)
    for key in ("usable", "detectors"):
        if len(source.meta.get(key) or ()) == count:
            out[key] = list(source.meta[key])
    hyperspectral = is_hyperspectral(source.bands.centres)
    if "usable" not in out and (hyperspectral or any("bbl" in t for t in tags)):
        usable = [t.get("bbl", "1").strip() not in ("0", "0.0") for t in tags]
        if hyperspectral:
            empty = _empty_bands(source, [i for i in range(count) if usable[i]])
            usable = [flag and i not in empty for i, flag in enumerate(usable)]
        out["usable"] = usable
    if "detectors" not in out and hyperspectral:
        steps = np.diff(source.bands.centres)
        falls = np.flatnonzero(steps <= 0)
        if len(falls) == 1:
            first = int(falls[0]) + 1
            out["detectors"] = ["VNIR"] * first + ["SWIR"] * (count - first)
    return out


def _empty_bands(source: RasterSource, candidates: Sequence[int]) -> set[int]:
    height, width = source.grid.shape
    rows, cols = (min(max(b, 64), 256) for b in source.raster.header.block)
    windows = [
        Window(r, c, min(rows, height - r), min(cols, width - c))
        for r in range(0, height, rows)
        for c in range(0, width, cols)
    ]
    windows.insert(0, windows.pop(len(windows) // 2))  # the middle is the least likely background
    left = list(candidates)
    for window in windows:
        if not left:
            break
        cube = source.read(window, [source.bands[i].name for i in left])
        seen = np.isfinite(cube.data).any(axis=(1, 2))
        left = [i for i, found in zip(left, seen, strict=True) if not found]
    return set(left)


def _wavelength(tags: Mapping[str, str]) -> tuple[float, float]:
    """Centre and FWHM in nm of one band; NaN where the tags do not say."""
    centre, width = _number(tags.get("wavelength")), _number(tags.get("fwhm"))
    units = tags.get("wavelength_units", "")
    if math.isnan(centre):
        centre, width = (_number(tags.get(k)) for k in ("central_wavelength_um", "fwhm_um"))
        units = "um"
    if not is_wavelength(units):
        return math.nan, math.nan
    micrometres = in_micrometres(centre)
    return nanometres(centre, micrometres), nanometres(width, micrometres)


def in_micrometres(centre: float) -> bool:
    """Whether a wavelength of reflected light is in µm: its size tells, whatever the unit says."""
    return centre < 100


def unit_doubt(units: str, centre: float) -> str:
    """What to say of the unit of wavelengths, of which one is given; empty if it fits."""
    text = units.strip().lower()
    if not is_wavelength(units):
        return f"{units.strip()!r} is no unit of wavelengths: the bands have none"
    small = in_micrometres(centre)
    stated = None if text in ("", "unknown") else not text.startswith("n")
    if stated is None or math.isnan(centre) or stated == small:
        return ""
    return f"a wavelength of {centre:g} {units.strip()} is taken for {'µm' if small else 'nm'}"


def is_wavelength(units: str) -> bool:
    """Whether a unit is one of wavelengths, or none is given: there are years and frequencies."""
    text = units.strip().lower()
    return text in ("", "unknown") or text.startswith(("nm", "nanomet", "um", "µm", "μm", "micro"))


def nanometres(value: float, micrometres: bool) -> float:
    """A wavelength in nm; what is in nm already stays as it is, to the bit."""
    return round(value * 1000.0, 6) if micrometres else value


def _number(text: str | None) -> float:
    match = re.match(r"\s*[-+]?[\d.]+(?:[eE][-+]?\d+)?", text or "")
    try:
        return float(match[0]) if match else math.nan
    except ValueError:
        return math.nan


def _own_meta(h: Header) -> dict[str, Any]:
    """What TriFuse's writer put into the tags; else the file's plain tags."""
    if "TRIFUSE_META" in h.tags:
        try:
            value = json.loads(h.tags["TRIFUSE_META"])
            if isinstance(value, dict):
                return value
        except (ValueError, RecursionError):
            _log.warning("the tag TRIFUSE_META is damaged and left out")
    tags = {k: v for k, v in h.tags.items() if len(v) <= 500 and k != "AREA_OR_POINT"}
    return {"tags": tags} if tags else {}


def _images(folder: Path) -> list[Path]:
    """The GeoTIFFs in a folder, tiles of one image or its bands; else its JPEG 2000 by band."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    images = [p for p in files if p.suffix.lower() in (".tif", ".tiff")]
    compressed = [p for p in files if p.suffix.lower() == ".jp2"]
    bands = [p for p in compressed if band_of_file(p.name)]
    return images or (compressed if len(bands) > 1 else [])


def _files(path: Path) -> list[Path]:
    return _images(path) if path.is_dir() else [plain_file(path)]


READER = Reader("geotiff", is_geotiff, open_geotiff, OPTIONS, files=_files)
