"""Sentinel-2 products as cube sources: SAFE folders and zips, and COGs of cloud providers.

Bands are measured at 10, 20 and 60 m; a source has one grid, and brings the others to it. Level 2A
is reflectance of the surface, level 1C at the top of the atmosphere.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from trifuse.core import BandError, BandSet, ConfigError, ProductError
from trifuse.products.files.layers import ClassMask, Layer, LayeredSource, Specials, Upsampling
from trifuse.products.files.raster import Raster
from trifuse.products.files.remote import AnyFile, open_raster
from trifuse.products.files.source import Calibration
from trifuse.products.files.xmltree import MAX_XML_BYTES
from trifuse.products.reader import Reader
from trifuse.products.sentinel2 import l1c
from trifuse.products.sentinel2.catalogue import find_item_files, is_sentinel2_item
from trifuse.products.sentinel2.delivery import Delivery, find_delivery, looks_like_sentinel2
from trifuse.products.sentinel2.item import parse_item
from trifuse.products.sentinel2.levels import L1C, L2A, NATIVE, Level
from trifuse.products.sentinel2.mask import CLASSES, FMASK, class_mask, mask_terms
from trifuse.products.sentinel2.metadata import Sentinel2Metadata, parse_mtd, parse_tile, time_of
from trifuse.products.sentinel2.place import native_of, place_images
from trifuse.products.sentinel2.witness import WRAPPED, averages_wrapped, settle_offset
from trifuse.products.sentinel2.zarr import is_zarr, read_store
from trifuse.srf_data import load

Resolution = Literal[10, 20, 60]
_TOA = ", TOA reflectance"
_log = logging.getLogger(__name__)


def is_sentinel2(path: str | Path) -> bool:
    """Whether a path is, by its name or the names in it, a Sentinel-2 delivery; never raises."""
    path = Path(path)
    return is_zarr(path) or looks_like_sentinel2(path) or is_sentinel2_item(path)


def open_sentinel2(
    path: str | Path,
    *,
    resolution: int | None = 10,
    bands: Sequence[str] | None = None,
    mask: str | Sequence[str] = "default",
    upsampling: Upsampling = "bicubic",
    remote: bool = False,
) -> Sentinel2Source:
    """Open one Sentinel-2 product of level 2A or 1C.

    Args:
        path: SAFE folder or a folder that holds one, its zip (read in place), its MTD_MSIL2A.xml
            or MTD_MSIL1C.xml, a folder of COGs with their STAC item as JSON beside them, the
            item itself, or a store of the agency's Zarr form (needs the extra ``zarr``).
        resolution: sampling of the grid in metres, 10, 20 or 60; None for the finest at which one
            of the bands is measured. Bands measured coarser are interpolated; those measured
            finer are averaged over whole cells.
        bands: which to open, and all of them must be there; default: those of the twelve of a L2A
            product, or of the thirteen of L1C, that are there, with a word on the others. Files of
            others are not needed.
        mask: what is not usable: classes of L2A, see :mod:`trifuse.products.sentinel2.mask`, or
            flags of L1C, see :mod:`trifuse.products.sentinel2.l1c`.
        upsampling: ``bicubic`` (cubic convolution, negative lobes at sharp edges) or ``nearest``.
        remote: whether files that an item names on the web are read there, by https; see
            :mod:`trifuse.products.files.remote`.

    Returns:
        A source of reflectance, read lazily: of the surface, or of L1C at the top of the
        atmosphere, by ``meta["quantity"]``. Its ``sampling`` has each band's own, in map units,
        ``meta["sensor"]`` the name of its response tables.

    Raises:
        ProductError: if the product is damaged, or files that are needed are missing: all are
            named at once.
        MetadataError: if the metadata lack what calibration needs.
        GridError: if the images do not cover the same ground.
        BandError: if a band is none of the product's level.
        ConfigError: if an option is unknown.
    """
    if resolution not in (10, 20, 60, None) or upsampling not in ("bicubic", "nearest"):
        raise ConfigError(
            f"resolution {resolution}, upsampling {upsampling!r}",
            fix="give 10, 20, 60 or None, and bicubic or nearest",
        )
    path = Path(path)
    if is_zarr(path):
        return _open_store(path, resolution, bands, mask, upsampling)
    by_item = is_sentinel2_item(path)
    delivery = find_item_files(path, remote=remote) if by_item else find_delivery(path)
    return _open_delivery(delivery, resolution, bands, mask, upsampling)


def _wanted(level: Level, bands: Sequence[str] | None) -> tuple[str, ...]:
    known = BandSet.of(level.bands)
    wanted = known.select(known.indices(level.bands if bands is None else bands)).names
    if not wanted:
        raise BandError("no bands were asked for", fix="leave bands out to get all")
    return wanted


def _open_store(
    path: Path,
    resolution: int | None,
    bands: Sequence[str] | None,
    mask: str | Sequence[str],
    upsampling: Upsampling,
) -> Sentinel2Source:
    terms, wanted = mask_terms(mask), _wanted(L2A, bands)
    target = resolution or min(NATIVE[b] for b in wanted)
    metadata, arrays, classes = read_store(path, wanted, bool(terms))
    metadata = _said(settle_offset(metadata, arrays), path.stem)
    layers = {b: Layer.of(array, NATIVE[b], target) for b, array in arrays.items()}
    scl = None if classes is None else class_mask(Layer.of(classes, 20, target), terms)
    name = metadata.product_id or path.stem
    return Sentinel2Source(name, "Zarr", L2A, metadata, layers, scl, target, terms, upsampling)


def _open_delivery(
    delivery: Delivery,
    resolution: int | None,
    bands: Sequence[str] | None,
    mask: str | Sequence[str],
    upsampling: Upsampling,
) -> Sentinel2Source:
    level = delivery.level
    terms = l1c.mask_terms(mask) if level is L1C else mask_terms(mask)
    sampling = native_of(delivery.images, level)
    wanted, notes = _wanted(level, bands), list(delivery.notes)
    if bands is None:
        wanted, lacking = delivery.there(wanted, sampling)
        notes += lacking
    masked = level is L2A and bool(terms) and "SCL" not in delivery.left_out
    known = {band for band, _ in delivery.images} | set(delivery.absent)
    if masked and mask == "default" and known.isdisjoint(("SCL", "FMASK")):
        masked = False
        notes.append("holds no SCL: clouds, shadows and snow are not masked")
    files, scl = delivery.require(wanted, sampling, scl=masked)
    finest = min(sampling[b] for b in wanted)
    target = max(resolution or finest, finest)
    if resolution is not None and target > resolution:
        notes.append(f"holds no image finer than {target} m: opened at that")
    tile = _tile(delivery, notes)
    metadata = _metadata(delivery, files, tile)
    rasters = {b: _raster(f, "uint16", "int16") for b, f in files.items()}
    classes = None if scl is None else _raster(scl[0], "uint8")
    everything = {**rasters, **({"SCL": classes} if classes else {})}
    notes += place_images(everything, delivery, metadata.tile, tile, sampling)
    layers = {b: Layer.of(r, sampling[b], target) for b, r in rasters.items()}
    flaws: dict[int, ClassMask] = {}
    hidden = None
    if scl is not None and classes is not None:
        told = FMASK if ("FMASK", scl[1]) in delivery.images else CLASSES
        hidden = class_mask(Layer.of(classes, scl[1], target), terms, told)
    elif level is L1C and delivery.item is not None and not delivery.quality:
        notes.append("the Item has no masks: clouds are not masked")
    elif level is L1C:
        pixels = next(iter(layers.values())).grid
        hidden, more = l1c.class_mask(delivery.quality, terms, pixels, str(delivery.origin))
        flaws, flawed = l1c.quality_masks(delivery.quality, terms, rasters)
        notes += [*more, *flawed]
    metadata = replace(metadata, notes=(*metadata.notes, *notes))
    if delivery.converted or delivery.metadata is None:
        metadata = settle_offset(metadata, rasters)
    metadata = _said(metadata, delivery.name)
    kind = "COGs" if delivery.converted else "SAFE"
    name = metadata.product_id or delivery.name
    return Sentinel2Source(
        name, kind, level, metadata, layers, hidden, target, terms, upsampling, flaws
    )


def _said(metadata: Sentinel2Metadata, name: str) -> Sentinel2Metadata:
    """The metadata with a time, by a name if need be; what a user should know is said."""
    if not metadata.facts.get("start_time"):
        when = time_of(metadata.product_id) or time_of(name)
        metadata = replace(metadata, facts={**metadata.facts, "start_time": when})
    for note in metadata.notes:
        _log.warning("%s: %s", name, note)
    return metadata


class Sentinel2Source(LayeredSource):
    """One Sentinel-2 product on one grid, read by window; made by :func:`open_sentinel2`."""

    def __init__(
        self,
        name: str,
        kind: str,
        level: Level,
        metadata: Sentinel2Metadata,
        layers: Mapping[str, Layer],
        mask: ClassMask | None,
        resolution: int,
        terms: Sequence[str],
        upsampling: Upsampling,
        flaws: Mapping[int, ClassMask] | None = None,
    ) -> None:
        calibration = Calibration(
            scale=tuple(metadata.scale[b] for b in layers),
            offset=tuple(metadata.offset[b] for b in layers),
            nodata=(metadata.nodata,) * len(layers),
            origin=metadata.origin,
        )
        super().__init__(
            name,
            load(metadata.sensor).select(tuple(layers)).bands,
            tuple(layers.values()),
            calibration,
            {
                "kind": f"Sentinel-2 {level.name}{_TOA if level is L1C else ''} ({kind})",
                "product_id": metadata.product_id,
                "sensor": metadata.sensor,
                "level": level.name,
                "quantity": level.quantity,
                "units": "1",
                "baseline": metadata.baseline,
                "tile": metadata.tile,
                "resolution": resolution,
                "upsampling": upsampling,
                "mask": list(terms),
                "notes": list(metadata.notes),
                **metadata.facts,
            },
            mask=mask,
            specials=Specials(metadata.saturated, WRAPPED, flaws, averages_wrapped),
            upsampling=upsampling,
        )


def _metadata(
    delivery: Delivery, files: Mapping[str, AnyFile], tile: Mapping[str, Any]
) -> Sentinel2Metadata:
    mtd = delivery.metadata
    if mtd is None or (delivery.item is not None and delivery.converted):
        # The item tells what the provider did to the counts; MTD_MSIL2A.xml does not know it.
        assert delivery.item is not None
        return parse_item(delivery.item[1], delivery.item[0].where, files)
    return parse_mtd(mtd.read(MAX_XML_BYTES), mtd.where, tile, delivery.name, delivery.level)


def _tile(delivery: Delivery, notes: list[str]) -> dict[str, Any]:
    """What MTD_TL.xml says; empty if there is none, or none that can be read, which is noted."""
    tl = delivery.tile_metadata
    if tl is None:
        return {}
    try:
        return parse_tile(tl.read(MAX_XML_BYTES), tl.where)
    except ProductError as e:
        if "DOCTYPE" in e.what:
            raise
        notes.append(f"{tl.name} {e.what}: passed over")
        return {}


def _raster(file: AnyFile, *dtypes: str) -> Raster:
    raster = open_raster(file, sidecars=False)
    if raster.header.count != 1 or raster.header.dtype not in dtypes:
        raise ProductError(
            f"holds {raster.header.count} bands of {raster.header.dtype}, not one of "
            f"{' or '.join(dtypes)}",
            where=file.where,
            fix="give the band's file as it was delivered",
        )
    return raster


READER = Reader(
    "sentinel2",
    is_sentinel2,
    open_sentinel2,
    ("resolution", "bands", "mask", "upsampling", "remote"),
)
