"""NDVI maps of anything that opens, and of series with their course at places."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trifuse.core import (
    BandSet,
    Cube,
    CubeSource,
    Manifest,
    Series,
    Unit,
    fingerprint,
    refuse_existing,
    run_units,
    write_bytes,
    writes,
)
from trifuse.flows.inputs import Image, gives_xarray, provenance, result_array
from trifuse.flows.ndvi_places import Footprint, locate, points, read_geojson
from trifuse.flows.reflectance import open_reflectance
from trifuse.products import define_ndvi, open_series, require_plausible, write_ndvi, write_sidecar
from trifuse.products import ndvi as compute_ndvi
from trifuse.products.ndvi import BAND_TAGS, EPS, of_what
from trifuse.products.series.folder import write_index
from trifuse.products.write.companions import write_companions

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, repr=False)
class Mapped:
    """An NDVI map.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the map, one band; None if it was written.
        record: definition, rules, shares and mean.
        files: everything that was written.
    """

    path: Path | None
    cube: Cube | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        toa = " of TOA reflectance" if "(TOA)" in r.get("of", "") else ""
        lines = [f"NDVI{toa} ({r['definition']}): {r.get('formula', '')}".rstrip(": ")]
        if r.get("mean") is not None:
            lines.append(f"mean {r['mean']:.3f} over {100 * r['valid_share']:.1f} % of the pixels")
        return "\n".join([*lines, *(f"wrote {f}" for f in self.files)])

    def to_xarray(self) -> xarray.DataArray:
        """The map with labels, (y, x); a written one is read block by block."""
        array = result_array(self.cube, self.path, self.record).isel(band=0, drop=True)
        return array.rename("ndvi").assign_attrs(BAND_TAGS)

    def __repr__(self) -> str:
        shown = repr(self.cube) if self.path is None else repr(str(self.path))
        return f"Mapped({shown}, {self.record.get('definition')})"


@gives_xarray  # type: ignore[arg-type]  # an image by its name might be one of the options
@writes("image")
def ndvi(
    image: Image,
    out: Path | str | None = None,
    *,
    definition: Literal["s2", "paper", "bands"] = "s2",
    dtype: Literal["float32", "int16"] = "float32",
    overwrite: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> Mapped:
    """NDVI of an image.

    Args:
        image: path, source or cube with the bands of the definition; or what xarray has opened,
            of which a DataArray (y, x) is made.
        out: GeoTIFF to write (cloud-optimised, with a sidecar and, where the image tells its
            time, a STAC Item); None keeps the map in memory.
        definition: ``s2`` (default): red and near infrared as Sentinel-2's B4 and B8A see the
            spectrum; ``paper``: means of Oa17, S3, Oa18 and of S2, Oa08, Oa09; ``bands``: single
            bands by wavelength (``red_nm``, ``nir_nm``).
        dtype: of the file: ``float32`` with NaN, or ``int16`` in counts of 1e-4.
        overwrite: replace an output that exists.
        dry_run: check the input only.
        options: as of :func:`trifuse.products.define_ndvi`.

    Raises:
        BandError: if the bands do not allow the definition.
        OutputExistsError: if the output exists and ``overwrite`` is False.
        ProductError: if the image cannot be read.
        DataError: if the values cannot be reflectance, by an offset taken twice, or no pixel has a
            value (of a file; of a cube the map is empty).
    """
    path = None if out is None else Path(out)
    with open_reflectance(image, ratio=True) as source:
        if path is None:
            cube = compute_ndvi(source.read(), definition, **options)
            return Mapped(None, cube, dict(cube.meta["ndvi"]) | {"definition": definition})
        refuse_existing(path, overwrite=overwrite)
        if dry_run:
            how = define_ndvi(source.bands, definition, **options)
            facts = how.to_json() | of_what(source.meta)
            return Mapped(path, None, facts | {"definition": definition})
        found = require_plausible(source, unless=("unscaled",))
        record = write_ndvi(
            source,
            path,
            definition=definition,
            dtype=dtype,
            overwrite=overwrite,
            empty=False,
            **options,
        )
    record |= {"kind": "ndvi", "definition": definition, "input": provenance(image)}
    record["doubts"] = [doubt.to_json() for doubt in found]
    record["calibration"] = source.meta.get("calibration")
    if source.meta.get("start_time") is None:  # what has no date has no place in a catalogue
        return Mapped(path, None, record, (path, write_sidecar(path, record)))
    return Mapped(path, None, record, (path, *write_companions(path, record, quicklook=False)))


@dataclass(frozen=True, slots=True, repr=False)
class MappedSeries:
    """NDVI maps of a series.

    Attributes:
        folder: of the maps; it is a series of the one band ``NDVI`` itself.
        dates: mapped, in order.
        table: the time series of the places; None if none was asked for.
        record: definition, and per date the valid share and the mean.
        files: everything that was written.
    """

    folder: Path
    dates: tuple[date, ...]
    table: Path | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [
            f"NDVI ({r['definition']}) of {len(self.dates)} dates, {self.dates[0]} to "
            f"{self.dates[-1]}"
        ]
        for day, facts in r.get("images", {}).items():
            mean = "no value" if facts["mean"] is None else f"mean {facts['mean']:.3f}"
            lines.append(f"{day}  {mean} over {100 * facts['valid_share']:.1f} % of the pixels")
        if not self.files:
            lines.append("dry run: nothing was written")
        else:
            lines.append(f"wrote {self.folder}" + (f", {self.table}" if self.table else ""))
        return "\n".join(lines)

    def __repr__(self) -> str:
        days = f"{len(self.dates)} dates {self.dates[0]} … {self.dates[-1]}"
        return f"MappedSeries({str(self.folder)!r}, {days})"


@writes("series", "geojson", folder=True)
def ndvi_series(
    series: Series | Path | str,
    out: Path | str,
    *,
    definition: Literal["s2", "paper", "bands"] = "s2",
    at: Sequence[tuple[float, float]] = (),
    geojson: Path | str | None = None,
    dtype: Literal["float32", "int16"] = "float32",
    overwrite: bool = False,
    dry_run: bool = False,
    **options: Any,
) -> MappedSeries:
    """NDVI of every date of a series, and its course at places.

    Each date becomes ``YYYY-MM-DD.tif``, cloud-optimised. A run that was stopped goes on where it
    stopped; dates added to the series, or replaced in it, are mapped when it is run again.

    With places a table ``timeseries.csv`` has a line per place and date: the NDVI of the pixel at
    a point, or the mean over an area's valid pixels; and the share (0–1) of them that is valid.

    Args:
        series: folder of dated GeoTIFFs with an ``index.json``, or a series.
        out: folder to write; the result is a series again.
        definition: see :func:`ndvi`.
        at: (longitude, latitude) of points, in degrees.
        geojson: file of points and polygons, in longitude and latitude.
        dtype: of the maps, see :func:`ndvi`.
        overwrite: start anew in a folder that holds other work.
        dry_run: check the input only.
        options: as of :func:`trifuse.products.define_ndvi`.

    Raises:
        BandError: if the bands do not allow the definition.
        OverlapError: if a place lies outside the images.
        StoreError: if the folder holds other work and ``overwrite`` is False.
        PartialError: if some dates failed; the others are there.
        ProductError: if the series or the file of places cannot be read.
    """
    folder = Path(out)
    found = series if isinstance(series, Series) else open_series(series)
    places = [*points(at), *(read_geojson(geojson) if geojson is not None else [])]
    footprints = locate(places, found.grid) if places else []
    how = define_ndvi(found.bands, definition, **options)
    config = {
        "kind": "ndvi-series",
        "dtype": dtype,
        "eps": EPS,
        "sensor": found.sensor,
        **how.to_json(),
    }
    record: dict[str, Any] = {**config, "definition": definition}
    if dry_run:
        return MappedSeries(folder, found.dates, None, record)
    units = [Unit(_unit_id(day, source), f"{day}.tif", source) for day, source in found]
    manifest = Manifest.open(folder, config, [u.id for u in units], overwrite=overwrite)

    def work(unit: Unit, folder: Path) -> Mapping[str, Any]:
        done = write_ndvi(
            unit.payload,
            folder / unit.file,
            definition=definition,
            dtype=dtype,
            overwrite=True,
            **options,
        )
        return {k: done[k] for k in ("valid_share", "clipped_share", "mean")}

    run_units(units, work, manifest, label="dates")
    index = write_index(folder, found.sensor, BandSet.of(["NDVI"]), found.dates, overwrite=True)
    shown = ("valid_share", "mean")
    record["images"] = {
        unit.file.removesuffix(".tif"): {k: manifest.done[unit.id][k] for k in shown}
        for unit in units
    }
    table = None
    if footprints:
        table = folder / "timeseries.csv"
        _write_table(table, open_series(folder), footprints)
    files = (*(folder / u.file for u in units), index, *([table] if table else []))
    return MappedSeries(folder, found.dates, table, record, files)


def _unit_id(day: date, source: CubeSource) -> str:
    """The date and, where the image is a file, what tells that it was replaced."""
    path = getattr(getattr(source, "raster", None), "path", None)
    if path is None:
        return day.isoformat()
    status = path.stat()
    return f"{day}-{fingerprint([status.st_size, status.st_mtime_ns])[:12]}"


def _cell(name: str) -> str:
    """A name that no spreadsheet takes for a formula."""
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name


def _write_table(path: Path, maps: Series, footprints: Sequence[Footprint]) -> None:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["place", "kind", "lon", "lat", "date", "ndvi", "valid_share", "pixels"])
    for place in footprints:
        for day, source in maps:
            values = source.read(place.window).masked()[0][place.inside]
            there = values[np.isfinite(values)]
            mean = f"{there.mean(dtype=np.float64):.5f}" if there.size else ""
            rows.writerow(
                [
                    _cell(place.name),
                    place.kind,
                    f"{place.lon:.7g}",
                    f"{place.lat:.7g}",
                    day.isoformat(),
                    mean,
                    f"{there.size / values.size:.4f}",
                    values.size,
                ]
            )
    write_bytes(path, text.getvalue().encode(), overwrite=True)
