"""Files of made deliveries: images in the formats of the field, folders, zips and tars.

Equal arguments give equal bytes.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
import tarfile
import uuid
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

import numpy as np
import rasterio
import rasterio.shutil

from trifuse.core import Cube, Grid, MetadataError, refuse_existing
from trifuse.core.atomic import flush_to_disk


def start_of(cube: Cube, given: datetime | None, default: datetime) -> datetime:
    """Start of acquisition in UTC: as given, else ``meta["start_time"]``, else the default.

    Raises:
        MetadataError: if the text in ``meta`` is no ISO date.
    """
    text = cube.meta.get("start_time")
    try:
        start = given or (datetime.fromisoformat(str(text)) if text else default)
    except ValueError:
        raise MetadataError(f"start_time {text!r} is no ISO date") from None
    return start.astimezone(UTC) if start.tzinfo else start.replace(tzinfo=UTC)


def write_image(
    path: Path,
    grid: Grid,
    planes: Iterable[np.ndarray],
    count: int,
    dtype: str,
    fill: int | None,
    form: str,
) -> None:
    """Write planes band by band; COG and JPEG2000 are copied from a GeoTIFF."""
    common = {
        "height": grid.height,
        "width": grid.width,
        "count": count,
        "dtype": dtype,
        "crs": grid.crs,
        "transform": rasterio.Affine(*grid.transform),
        "nodata": fill,
    }
    if form in ("BSQ", "BIL", "BIP"):
        with rasterio.Env(GDAL_PAM_ENABLED="NO"):
            _fill_image(path, planes, driver="ENVI", interleave=form, suffix="REPLACE", **common)
        header = path.with_suffix(".hdr")
        # GDAL notes the path it wrote to, which is another one every time.
        text = re.sub(
            r"description = \{.*?\}",
            f"description = {{{path.name}}}",
            header.read_text(),
            count=1,
            flags=re.S,
        )
        header.unlink()
        path.with_suffix(".HDR").write_text(text)
        return
    tiff = path if form == "GeoTIFF" else path.with_name("temporary.tif")
    predictor = 1 if dtype == "uint8" else 2
    _fill_image(
        tiff,
        planes,
        driver="GTiff",
        tiled=True,
        blockxsize=256,
        blockysize=256,
        compress="deflate",
        zlevel=3,
        predictor=predictor,
        interleave="band",
        bigtiff="IF_SAFER",
        **common,
    )
    if form != "GeoTIFF":
        options: dict[str, Any] = {"driver": "JP2OpenJPEG", "QUALITY": 100, "REVERSIBLE": "YES"}
        if form == "COG":
            resampling = "nearest" if dtype == "uint8" else "average"
            options = {
                "driver": "COG",
                "compress": "deflate",
                "predictor": "YES",
                "blocksize": 256,
                "resampling": resampling,
            }
        with rasterio.Env(GDAL_PAM_ENABLED="NO"):
            rasterio.shutil.copy(tiff, path, **options)
        tiff.unlink()


def _fill_image(path: Path, planes: Iterable[np.ndarray], **profile: Any) -> None:
    with rasterio.open(path, "w", **profile) as dataset:
        for number, plane in enumerate(planes, start=1):
            dataset.write(plane.astype(profile["dtype"]), number)


@contextlib.contextmanager
def new_folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder that appears under its name only when it is complete."""
    refuse_existing(target, overwrite=overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    for stale in target.parent.glob(f".{target.name}.*.partial"):
        shutil.rmtree(stale, ignore_errors=True)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir()
    try:
        yield partial
        if target.exists():
            shutil.rmtree(target)
        partial.replace(target)
        flush_to_disk(target.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def xml_bytes(tag: str, content: Any, attributes: Mapping[str, str] | None = None) -> bytes:
    """A document: nested dicts become elements, lists repeat the tag, a pair has attributes too.

    Args:
        tag: of the root.
        content: dict of content by tag, list of contents, (attributes, content), or a value.
        attributes: of the root.
    """
    root = Element(tag, dict(attributes or {}))
    _fill(root, content)
    indent(root)
    text: bytes = tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _fill(node: Element, content: Any) -> None:
    if isinstance(content, dict):
        for tag, value in content.items():
            for item in value if isinstance(value, list) else [value]:
                attributes, inside = item if isinstance(item, tuple) else ({}, item)
                _fill(SubElement(node, tag, {k: str(v) for k, v in attributes.items()}), inside)
    else:
        node.text = repr(content) if isinstance(content, float) else str(content)


def pack_zip(target: Path, work: Path, prefix: str, drop: str, start: datetime) -> None:
    """All files in a folder under a prefix, ``drop`` taken off their names, with a fixed time."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(p for p in work.rglob("*") if p.is_file()):
            name = path.relative_to(work).as_posix().removeprefix(drop)
            entry = zipfile.ZipInfo(prefix + name, start.timetuple()[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            with path.open("rb") as source, archive.open(entry, "w") as sink:
                shutil.copyfileobj(source, sink, 1 << 20)


def add_member(tar: tarfile.TarFile, name: str, content: IO[bytes]) -> None:
    """Add a member without a time or an owner, so that equal content gives equal bytes."""
    entry = tarfile.TarInfo(name)
    entry.size = content.seek(0, io.SEEK_END)
    content.seek(0)
    tar.addfile(entry, content)
