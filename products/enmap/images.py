"""Images of an EnMAP delivery: which files they are, what they may claim, where they lie."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trifuse.core import Grid, GridError, MetadataError, ProductError, Window
from trifuse.products.files.archive import FileRef
from trifuse.products.files.raster import UNPLACED, Raster

DRIVERS = {
    "tif": "GTiff",
    "tiff": "GTiff",
    "geotiff": "GTiff",
    "bsq": "ENVI",
    "bil": "ENVI",
    "bip": "ENVI",
    "jp2": "JP2OpenJPEG",
    "jpeg2000": "JP2OpenJPEG",
}
"""Driver by extension: nothing else is opened, so no VRT and no network."""

MAX_IMAGE_BYTES = 16 << 30
"""As float32; a whole EnMAP scene takes 1.5 GiB."""


def image_driver(name: str) -> str | None:
    """The driver for a file of this name; None if it is no image that is read here."""
    return DRIVERS.get(name.rsplit(".", 1)[-1].lower())


class Images:
    """The open images of a delivery; a copy in another process starts empty."""

    def __init__(self) -> None:
        self._open: dict[FileRef, Raster] = {}

    def __reduce__(self) -> tuple:
        return Images, ()

    def get(self, file: FileRef) -> Raster:
        """An image, opened after a look at what its header claims.

        Raises:
            ProductError: if it is empty, damaged, of another format, or claims an implausible
                size.
        """
        if file not in self._open:
            self._open[file] = _open(file)
        return self._open[file]

    def read(self, file: FileRef, window: Window, bands: Sequence[int], out: np.ndarray) -> None:
        """Read bands (0-based) of a window into ``out`` (band, y, x), converted to its type.

        Raises:
            ProductError: if the file is damaged there.
        """
        self.get(file).read([b + 1 for b in bands], window, out=out)

    def close(self) -> None:
        """Close what this process has opened."""
        for raster in self._open.values():
            raster.close()


def image_grid(raster: Raster, crs: str) -> Grid:
    """Where an image lies.

    Args:
        raster: the image.
        crs: used if the image states none.

    Raises:
        MetadataError: if there is no georeference.
        GridError: if the image is rotated or not north-up, which no delivery is.
    """
    h = raster.header
    if h.transform == UNPLACED:
        raise MetadataError(
            "has no georeference", where=raster.name, fix="give the image as it was delivered"
        )
    if h.flipped:
        raise GridError(
            "is not north-up", where=raster.name, fix="give the image as it was delivered"
        )
    grid = raster.grid
    if not (grid.crs or crs):
        raise MetadataError("has no CRS", where=raster.name)
    return Grid(grid.crs or crs, grid.transform, h.height, h.width)


def _open(file: FileRef) -> Raster:
    driver = image_driver(file.name)
    if driver is None:
        raise ProductError("is no image of a known kind", where=file.where)
    if not file.size:
        raise ProductError("is empty", where=file.where, fix="get it again")
    # Sidecars are not of the delivery; GDAL must not take a fill value or a place from them.
    raster = Raster(file.path, member=file.member, driver=driver, sidecars=False)
    try:
        _check_claims(raster, file, driver)
    except ProductError:
        raster.close()
        raise
    return raster


def _check_claims(raster: Raster, file: FileRef, driver: str) -> None:
    h = raster.header
    values = h.height * h.width * h.count
    if 4 * values > MAX_IMAGE_BYTES:
        raise ProductError(
            f"claims {h.count} bands of {h.height}×{h.width} pixels "
            f"({4 * values / 2**30:.0f} GiB), more than {MAX_IMAGE_BYTES >> 30} GiB",
            where=file.where,
        )
    # GDAL returns zeros for what a raw file lacks at its end.
    need = values * np.dtype(h.dtype).itemsize
    if driver == "ENVI" and file.size < need:
        raise ProductError(
            f"is cut short: {file.size} of {need} bytes", where=file.where, fix="get it again"
        )
