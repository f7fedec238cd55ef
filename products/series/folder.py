"""A series on disk: a folder of dated GeoTIFFs and an ``index.json``, which is written last."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

from trifuse.core import (
    BandSet,
    MetadataError,
    ProductError,
    Series,
    progress,
    read_json,
    refuse_existing,
    sha256,
    spare,
    write_json,
)
from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.write.writer import DType, copy_source, software

INDEX = "index.json"
FORMAT = "trifuse-series"


def write_series(
    folder: Path | str,
    series: Series,
    *,
    dtype: DType = "int16",
    overwrite: bool = False,
    cog: bool = True,
    keep_invalid: bool = True,
) -> Path:
    """Write every date as ``YYYY-MM-DD.tif`` and then the index.

    What comes back is what was given: values of pixels that are not valid (clouds as they were
    seen) are kept, and their validity is in the mask of each file.

    Args:
        folder: made if it is not there.
        series: read window by window.
        dtype: as of :func:`trifuse.products.cube_writer`.
        overwrite: replace files of the same names.
        cog: as of :func:`trifuse.products.cube_writer`.
        keep_invalid: as of :func:`trifuse.products.cube_writer`.

    Returns:
        Path of the index.

    Raises:
        OutputExistsError: if a file is in the way and ``overwrite`` is False; nothing is written.
        ProductError: if a source cannot be read or a file not be written.
    """
    folder = Path(folder)
    index = folder / INDEX
    files = [folder / f"{day.isoformat()}.tif" for day in series.dates]
    refuse_existing(index, *files, overwrite=overwrite)
    spare([folder, index, *files], [series])
    index.unlink(missing_ok=True)  # from here on the folder is incomplete until the end
    for (day, source), path in progress(zip(series, files, strict=True), "dates", len(series)):
        meta = {**source.meta, "date": day.isoformat(), "sensor": series.sensor}
        copy_source(
            path,
            source,
            dtype=dtype,
            meta=meta,
            overwrite=overwrite,
            cog=cog,
            keep_invalid=keep_invalid,
        )
    return write_index(
        folder, series.sensor, series.bands, series.dates, overwrite=overwrite, digests=True
    )


def write_index(
    folder: Path,
    sensor: str,
    bands: BandSet,
    dates: Iterable[date],
    *,
    overwrite: bool = False,
    digests: bool = False,
    **more: Any,
) -> Path:
    """Write the index of a folder whose files ``YYYY-MM-DD.tif`` are there.

    Args:
        folder: of the series.
        sensor: its name.
        bands: of every file.
        dates: of the files.
        overwrite: replace an index.
        digests: also record the size and SHA-256 of each file, where no manifest has them.
        more: further plain values for the index.
    """
    record = {
        "format": FORMAT,
        "version": 1,
        "software": software(),
        "sensor": sensor,
        "bands": bands.to_json(),
        "images": [_entry(folder, f"{d.isoformat()}.tif", d, digests) for d in dates],
        **more,
    }
    write_json(folder / INDEX, record, overwrite=overwrite)
    return folder / INDEX


def _entry(folder: Path, name: str, day: date, digests: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"date": day.isoformat(), "file": name}
    if digests:
        path = folder / name
        entry |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    return entry


def open_series(folder: Path | str) -> Series:
    """Open what :func:`write_series` wrote, or a folder with an index made by hand.

    The index needs ``sensor`` and ``images`` (``date``, ``file``); files lie in the folder.
    ``bands`` names the bands where the files do not.

    Raises:
        ProductError: if the folder has no index, or a file is missing or damaged.
        MetadataError: if the index is not of this form.
        DataError: if a date occurs twice.
        GridError: if the images lie on different grids.
    """
    folder = Path(folder)
    index = folder / INDEX
    if not index.is_file():
        raise ProductError(
            f"holds no {INDEX}", where=folder, fix="write it anew: it may be cut off"
        )
    record = read_json(index)
    try:
        images = [
            (date.fromisoformat(i["date"]), _file_in(folder, i["file"])) for i in record["images"]
        ]
        sensor = str(record["sensor"])
        bands = BandSet.from_json(record["bands"]) if "bands" in record else None
    except (KeyError, TypeError, ValueError) as e:
        if isinstance(e, MetadataError):
            raise
        raise MetadataError(f"is no index of a series ({e!r})", where=index) from None
    if missing := [p.name for _, p in images if not p.is_file()]:
        raise ProductError(f"lacks {', '.join(missing)}", where=folder, fix="get these files")
    names = bands.names if bands else None
    return Series.of(sensor, [(day, open_geotiff(path, bands=names)) for day, path in images])


def is_series(path: Path | str) -> bool:
    """Whether a folder holds an index of a series.

    Raises:
        ProductError: if there is an index that cannot be read: without it nobody knows whether
            the folder is a series.
    """
    try:
        index = Path(path) / INDEX
        there = index.is_file()
    except OSError:
        return False
    record = read_json(index) if there else None
    return isinstance(record, dict) and ("images" in record or record.get("format") == FORMAT)


def _file_in(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or Path(name).name != name:
        raise MetadataError(f"names {name!r} outside its folder", where=folder / INDEX)
    return folder / name
