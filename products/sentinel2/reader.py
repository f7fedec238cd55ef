"""Sentinel-2 L2A products as cube sources: SAFE folders and zips, and COGs of cloud providers.

Bands are measured at 10, 20 and 60 m; a source has one grid, and brings the others to it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from trifuse.core import (
    BandError,
    BandSampling,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    Grid,
    GridError,
    ProductError,
    Sampling,
    Window,
    upsample,
)
from trifuse.products.files.archive import FileRef
from trifuse.products.files.raster import Raster
from trifuse.products.files.source import Calibration
from trifuse.products.files.xmltree import MAX_XML_BYTES
from trifuse.products.reader import Reader
from trifuse.products.sentinel2.delivery import (
    NATIVE,
    Delivery,
    find_delivery,
    looks_like_sentinel2,
)
from trifuse.products.sentinel2.item import parse_item
from trifuse.products.sentinel2.mask import mask_terms, usable
from trifuse.products.sentinel2.metadata import Sentinel2Metadata, parse_mtd, parse_tile, time_of
from trifuse.products.sentinel2.place import native_of, place_images
from trifuse.products.sentinel2.witness import WRAPPED, settle_offset
from trifuse.products.sentinel2.zarr import is_zarr, read_store
from trifuse.srf_data import S2_L2A, load

Resolution = Literal[10, 20, 60]
Upsampling = Literal["bicubic", "nearest"]
_MARGIN = 8
"""Coarse cells read around a window: two for the cubic kernel, the rest for bridging gaps."""
_log = logging.getLogger(__name__)


def is_sentinel2(path: str | Path) -> bool:
    """Whether a path is, by its name or the names in it, a Sentinel-2 delivery; never raises."""
    return is_zarr(Path(path)) or looks_like_sentinel2(Path(path))


def open_sentinel2(
    path: str | Path,
    *,
    resolution: int | None = 10,
    bands: Sequence[str] | None = None,
    mask: str | Sequence[str] = "default",
    upsampling: Upsampling = "bicubic",
) -> Sentinel2Source:
    """Open one Sentinel-2 L2A product.

    Args:
        path: SAFE folder or a folder that holds one, its zip (read in place), its MTD_MSIL2A.xml,
            a folder of COGs with their STAC item as JSON beside them, or a store of the agency's
            Zarr form (needs the extra ``zarr``).
        resolution: sampling of the grid in metres, 10, 20 or 60; None for the finest at which one
            of the bands is measured. Bands measured coarser are interpolated; those measured
            finer are averaged over whole cells.
        bands: which to open, and all of them must be there; default: those of the twelve of a L2A
            product that are there, with a word on the others. Files of others are not needed.
        mask: classes that are not usable, see :mod:`trifuse.products.sentinel2.mask`.
        upsampling: ``bicubic`` (cubic convolution, negative lobes at sharp edges) or ``nearest``.

    Returns:
        A source of reflectance, read lazily. Its ``sampling`` has each band's own, in map units,
        ``meta["sensor"]`` the name of its response tables.

    Raises:
        ProductError: if the product is damaged, or files that are needed are missing: all are
            named at once.
        MetadataError: if the metadata lack what calibration needs.
        GridError: if the images do not cover the same ground.
        BandError: if a band is none of a L2A product.
        ConfigError: if an option is unknown.
    """
    if resolution not in (10, 20, 60, None) or upsampling not in ("bicubic", "nearest"):
        raise ConfigError(
            f"resolution {resolution}, upsampling {upsampling!r}",
            fix="give 10, 20, 60 or None, and bicubic or nearest",
        )
    terms = mask_terms(mask)
    known = BandSet.of(S2_L2A)
    wanted = known.select(known.indices(S2_L2A if bands is None else bands)).names
    if not wanted:
        raise BandError("no bands were asked for", fix="leave bands out to get all")
    path = Path(path)
    if is_zarr(path):
        kind, name = "Zarr", path.stem
        target = resolution or min(NATIVE[b] for b in wanted)
        metadata, arrays, classification = read_store(path, wanted, bool(terms))
        metadata = settle_offset(metadata, arrays)
        images = {b: _image(array, NATIVE[b], target) for b, array in arrays.items()}
        classes = None if classification is None else _image(classification, 20, target)
    else:
        delivery = find_delivery(path)
        kind, name = "COGs" if delivery.converted else "SAFE", delivery.name
        sampling = native_of(delivery.images)
        wanted, notes = delivery.there(wanted, sampling) if bands is None else (wanted, [])
        if mask == "default" and not any(band == "SCL" for band, _ in delivery.images):
            terms = ()
            notes.append("holds no SCL: clouds, shadows and snow are not masked")
        files, scl = delivery.require(wanted, sampling, scl=bool(terms))
        finest = min(sampling[b] for b in wanted)
        target = max(resolution or finest, finest)
        if resolution is not None and target > resolution:
            notes.append(f"holds no image finer than {target} m: opened at that")
        tile = _tile(delivery, notes)
        metadata = _metadata(delivery, files, tile)
        rasters = {b: _raster(f, "uint16", "int16") for b, f in files.items()}
        mask_raster = None if scl is None else _raster(scl[0], "uint8")
        everything = {**rasters, **({"SCL": mask_raster} if mask_raster else {})}
        notes += place_images(everything, delivery, metadata.tile, tile, sampling)
        metadata = replace(metadata, notes=(*metadata.notes, *notes))
        if delivery.converted:
            metadata = settle_offset(metadata, rasters)
        images = {b: _image(r, sampling[b], target) for b, r in rasters.items()}
        classes = None
        if scl is not None and mask_raster is not None:
            classes = _image(mask_raster, scl[1], target)
    if not metadata.facts.get("start_time"):
        when = time_of(metadata.product_id) or time_of(name)
        metadata = replace(metadata, facts={**metadata.facts, "start_time": when})
    for note in metadata.notes:
        _log.warning("%s: %s", name, note)
    return Sentinel2Source(
        metadata.product_id or name, kind, metadata, images, classes, target, terms, upsampling
    )


class _Reads(Protocol):
    """What is used of a raster file or an array of a store."""

    name: str

    @property
    def grid(self) -> Grid: ...

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class _Image:
    """One file and how its cells lie to the pixels of the source.

    Attributes:
        raster: the file.
        coarser: pixels along a cell, 1 if they are alike or cells are smaller.
        finer: cells along a pixel.
    """

    raster: _Reads
    coarser: int
    finer: int

    @property
    def grid(self) -> Grid:
        """The grid of pixels that the file's own grid implies."""
        own = self.raster.grid
        return own.zoom_in(self.coarser) if self.coarser > 1 else own.zoom_out(self.finer)


class Sentinel2Source(CubeSource):
    """One Sentinel-2 product on one grid, read by window; made by :func:`open_sentinel2`."""

    def __init__(
        self,
        name: str,
        kind: str,
        metadata: Sentinel2Metadata,
        images: Mapping[str, _Image],
        classes: _Image | None,
        resolution: int,
        terms: Sequence[str],
        upsampling: Upsampling,
    ) -> None:
        self._images, self._classes = tuple(images.values()), classes
        self._terms, self._upsampling = tuple(terms), upsampling
        self._saturated = metadata.saturated
        self._told = False
        self._calibration = Calibration(
            scale=tuple(metadata.scale[b] for b in images),
            offset=tuple(metadata.offset[b] for b in images),
            nodata=(metadata.nodata,) * len(images),
            origin=metadata.origin,
        )
        self.name = name
        self.grid = _common_grid([*self._images, *([classes] if classes else [])])
        self.bands = load(metadata.sensor).select(tuple(images)).bands
        self._sampled = Sampling(tuple(_sampled(i, upsampling) for i in self._images))
        self.meta = {
            "kind": f"Sentinel-2 L2A ({kind})",
            "product_id": metadata.product_id,
            "sensor": metadata.sensor,
            "level": "L2A",
            "quantity": "reflectance",
            "units": "1",
            "baseline": metadata.baseline,
            "tile": metadata.tile,
            "resolution": resolution,
            "upsampling": upsampling,
            "native_gsd": self._native(self.bands),
            "calibration": self._calibration.to_json() | {"saturated": metadata.saturated},
            "mask": list(terms),
            "notes": list(metadata.notes),
            **metadata.facts,
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`.

        A pixel is valid if its class (nearest cell of the SCL) is usable and every band asked for
        has a value.
        """
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(
                f"{window} leaves an image of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = self._numbers(bands)
        data = np.empty((len(numbers), *window.shape), np.float32)
        valid = self._unmasked(window)
        for plane, number in zip(data, numbers, strict=True):
            plane[:] = self._plane(number, window)
            valid &= np.isfinite(plane)
        sampled = self._sampled_part(window, numbers)
        return self._cube(numbers, data, valid, self.grid.window(window), sampled)

    def read_small(self, max_size: int, bands: Iterable[str] | None = None) -> Cube:
        """The whole image averaged to at most ``max_size`` pixels a side, by overviews.

        For pictures and shares: counts are averaged before special values are told apart, so
        pixels at the very edge of the swath are too dark.
        """
        step = max(1, math.ceil(max(self.grid.shape) / max_size))
        if step == 1:
            return self.read(None, bands)
        shape = tuple(math.ceil(n / step) for n in self.grid.shape)
        a, _, c, _, e, f = self.grid.transform
        wide, high = a * self.grid.width / shape[1], e * self.grid.height / shape[0]
        small = Grid(self.grid.crs, (wide, 0.0, c, 0.0, high, f), *shape)
        numbers = self._numbers(bands)
        data = np.stack([self._calibrated(n, None, small.shape) for n in numbers])
        valid = np.isfinite(data).all(axis=0)
        if self._classes is not None:
            scl = self._classes.raster.read([1])[0]
            at = [(np.arange(n) + 0.5) / n for n in shape]
            rows, cols = ((p * n).astype(int) for p, n in zip(at, scl.shape, strict=True))
            valid &= usable(scl[np.ix_(rows, cols)], self._terms)
        return self._cube(numbers, data, valid, small, None)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        for image in (*self._images, *([self._classes] if self._classes else [])):
            image.raster.close()

    def _numbers(self, bands: Iterable[str] | None) -> list[int]:
        return list(range(len(self.bands))) if bands is None else self.bands.indices(bands)

    def _cube(
        self,
        numbers: Sequence[int],
        data: np.ndarray,
        valid: np.ndarray,
        grid: Grid,
        sampled: Sampling | None,
    ) -> Cube:
        bands = self.bands.select(numbers)
        meta = {**self.meta, "native_gsd": self._native(bands)}
        return Cube(data, valid, bands, grid, meta, sampled)

    def _native(self, bands: BandSet) -> dict[str, float]:
        """Side of a native pixel by band, for the metadata."""
        gsd = dict(zip(self.bands.names, self.sampling.values("gsd"), strict=True))
        return {b: gsd[b] for b in bands.names}

    def _calibrated(
        self, number: int, window: Window | None, size: tuple[int, int] | None = None
    ) -> np.ndarray:
        """Reflectance of a file's own cells: (y, x) float32; NaN for the special values."""
        stored = self._images[number].raster.read([1], window, size)
        values = self._calibration.apply(stored, [number])
        if self._saturated is not None:
            values[stored == self._saturated] = np.nan
        if stored.dtype == np.uint16:
            wrapped = (stored >= WRAPPED) & (stored != self._saturated)
            if count := int(wrapped.sum()):
                values[wrapped] = np.nan
                self._tell_wrapped(number, count)
        plane: np.ndarray = values[0]
        return plane

    def _tell_wrapped(self, number: int, count: int) -> None:
        """Say once that counts below zero were met."""
        if not self._told:
            _log.warning(
                "%s: %d counts of %s are %d or more, so below zero gone round: they are no value, "
                "nor are others of that size",
                self.name,
                count,
                self.bands.names[number],
                WRAPPED,
            )
        self._told = True

    def _plane(self, number: int, window: Window) -> np.ndarray:
        """Reflectance of a window of the source's pixels."""
        image = self._images[number]
        if image.finer > 1:
            k = image.finer
            cells = self._calibrated(number, _times(window, k))
            blocks = cells.reshape(window.height, k, window.width, k)
            mean: np.ndarray = blocks.mean(axis=(1, 3), dtype=np.float64)
            return mean
        if image.coarser == 1:
            return self._calibrated(number, window)
        k = image.coarser
        around = _cells(window, k)
        if self._upsampling == "nearest":
            near: np.ndarray = self._calibrated(number, around)[_nearest(window, around, k)]
            return near
        padded = around.pad(_MARGIN).clip(*image.raster.grid.shape)
        inside = window.shift(-padded.row * k, -padded.col * k)
        return upsample(self._calibrated(number, padded), k, inside)

    def _unmasked(self, window: Window) -> np.ndarray:
        """Where the class is usable: (y, x) bool."""
        if self._classes is None:
            return np.ones(window.shape, bool)
        image = self._classes
        if image.finer > 1:
            k = image.finer
            scl = image.raster.read([1], _times(window, k))[0, k // 2 :: k, k // 2 :: k]
        else:
            around = _cells(window, image.coarser)
            scl = image.raster.read([1], around)[0][_nearest(window, around, image.coarser)]
        return usable(scl, self._terms)


def _sampled(image: _Image, upsampling: Upsampling) -> BandSampling:
    """How a band comes onto the pixels of the source, none of which is a fraction of a cell."""
    kernel = "average" if image.finer > 1 else upsampling if image.coarser > 1 else None
    return BandSampling(gsd=image.raster.grid.gsd[1], origin=(0, 0), kernel=kernel)


def _times(window: Window, k: int) -> Window:
    return Window(window.row * k, window.col * k, window.height * k, window.width * k)


def _cells(window: Window, k: int) -> Window:
    """The cells of ``k`` × ``k`` pixels that hold the pixels of a window."""
    row, col = window.row // k, window.col // k
    bottom, right = -(-(window.row + window.height) // k), -(-(window.col + window.width) // k)
    return Window(row, col, bottom - row, right - col)


def _nearest(window: Window, cells: Window, k: int) -> tuple[np.ndarray, ...]:
    """Index into the cells read of the one that each pixel of the window lies in."""
    rows = np.arange(window.row, window.row + window.height) // k - cells.row
    cols = np.arange(window.col, window.col + window.width) // k - cells.col
    return np.ix_(rows, cols)


def _metadata(
    delivery: Delivery, files: Mapping[str, FileRef], tile: Mapping[str, Any]
) -> Sentinel2Metadata:
    mtd = delivery.metadata
    if mtd is None or (delivery.item is not None and delivery.converted):
        # The item tells what the provider did to the counts; MTD_MSIL2A.xml does not know it.
        assert delivery.item is not None
        return parse_item(delivery.item[1], delivery.item[0].where, files)
    return parse_mtd(mtd.read(MAX_XML_BYTES), mtd.where, tile, delivery.name)


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


def _raster(file: FileRef, *dtypes: str) -> Raster:
    raster = Raster(file.path, member=file.member)
    if raster.header.count != 1 or raster.header.dtype not in dtypes:
        raise ProductError(
            f"holds {raster.header.count} bands of {raster.header.dtype}, not one of "
            f"{' or '.join(dtypes)}",
            where=file.where,
            fix="give the band's file as it was delivered",
        )
    return raster


def _image(raster: _Reads, native: int, target: int) -> _Image:
    ratio = native / target
    return _Image(raster, max(1, round(ratio)), max(1, round(1 / ratio)))


def _common_grid(images: Sequence[_Image]) -> Grid:
    """The one grid that all images imply.

    Raises:
        GridError: if they do not lie on one, or cover different ground.
    """
    first = images[0].grid
    for image in images[1:]:
        grid = image.grid
        same = grid.shape == first.shape and grid.is_nested(first)
        if not same or first.locate(grid) != first.whole:
            raise GridError(
                f"covers other ground than {Path(images[0].raster.name).name}: "
                f"{grid.height}×{grid.width} pixels from {grid.bounds[0]:g}, {grid.bounds[3]:g} "
                f"against {first.height}×{first.width} from {first.bounds[0]:g}, "
                f"{first.bounds[3]:g}",
                where=image.raster.name,
                fix="fetch the product again",
            )
    return first


READER = Reader(
    "sentinel2", is_sentinel2, open_sentinel2, ("resolution", "bands", "mask", "upsampling")
)
