"""Images of a delivery, opened through rasterio with the suspicion that foreign files deserve."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import rasterio
import rasterio.windows
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from trifuse.core import Grid, GridError, MetadataError, ProductError, Window
from trifuse.products.archive import FileRef

DRIVERS = {
    "tif": "GTiff", "tiff": "GTiff", "geotiff": "GTiff",
    "bsq": "ENVI", "bil": "ENVI", "bip": "ENVI",
    "jp2": "JP2OpenJPEG", "jpeg2000": "JP2OpenJPEG",
}  # fmt: skip
"""Driver by extension: nothing else is opened, so no VRT and no network."""
MAX_IMAGE_BYTES = 16 << 30
"""As float32; a whole EnMAP scene takes 1.5 GiB."""
MAX_BLOCK_BYTES = 2 << 30
_DTYPES = {"int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"}
_PAM_OFF = {"GDAL_PAM_ENABLED": "NO"}


def driver_of(name: str) -> str | None:
    """The driver for a file of this name; None if it is no image that is read here."""
    return DRIVERS.get(name.rsplit(".", 1)[-1].lower())


def open_raster(file: FileRef) -> Any:
    """Open an image, after a look at what its header claims.

    Returns:
        a ``rasterio.DatasetReader``.

    Raises:
        ProductError: if it is empty, damaged, of another format, or claims an implausible size.
    """
    driver = driver_of(file.name)
    if driver is None:
        raise ProductError("is no image of a known kind", where=file.where)
    if not file.size:
        raise ProductError("is empty", where=file.where, fix="fetch the product again")
    # ENVI finds its header by listing the folder; the others need no neighbours.
    neighbours = {} if driver == "ENVI" else {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"}
    try:
        with rasterio.Env(**_PAM_OFF, **neighbours), warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # grid_of says it
            dataset = rasterio.open(file.gdal, driver=driver)
    except (RasterioError, OSError, ValueError, SystemError) as e:
        raise ProductError(
            f"cannot be opened ({_reason(e)})", where=file.where, fix="fetch the product again"
        ) from None
    try:
        _check_claims(dataset, file, driver)
    except BaseException:
        dataset.close()
        raise
    return dataset


def grid_of(dataset: Any, file: FileRef, crs: str) -> Grid:
    """Where the image lies.

    Args:
        dataset: an open image.
        file: its file, for messages.
        crs: used if the image states none.

    Raises:
        MetadataError: if there is no georeference.
        GridError: if the image is rotated or not north-up.
    """
    # ENVI gives −0.0 for what is not rotated.
    a, b, c, d, e, f = (float(v) + 0.0 for v in tuple(dataset.transform)[:6])
    transform = (a, b, c, d, e, f)
    if transform == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0):
        raise MetadataError("has no georeference", where=file.where,
                            fix="give the image as it was delivered")  # fmt: skip
    if dataset.crs:
        try:
            code = dataset.crs.to_epsg()
            crs = f"EPSG:{code}" if code else dataset.crs.to_wkt()
        except RasterioError as error:
            raise MetadataError(
                f"has an unreadable CRS ({_reason(error)})", where=file.where
            ) from None
    if not crs:
        raise MetadataError("has no CRS", where=file.where)
    try:
        return Grid(crs, transform, dataset.height, dataset.width)
    except GridError as error:
        raise GridError(error.what, where=file.where, fix=error.fix) from None


class Handles:
    """Open images, one per file, thread and process; a copy in another process starts empty."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[tuple[int, int, FileRef], Any] = {}

    def __reduce__(self) -> tuple:
        return Handles, ()

    def get(self, file: FileRef) -> Any:
        """The calling thread's handle of a file."""
        key = (os.getpid(), threading.get_ident(), file)
        with self._lock:
            dataset = self._open.get(key)
        if dataset is None:
            dataset = open_raster(file)
            with self._lock:
                self._open[key] = dataset
        return dataset

    def read(self, file: FileRef, window: Window, bands: Sequence[int], out: np.ndarray) -> None:
        """Read bands (0-based) of a window into ``out`` (band, y, x), converted to its dtype.

        Raises:
            ProductError: if the file is damaged there.
        """
        dataset = self.get(file)
        area = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        try:
            dataset.read([b + 1 for b in bands], window=area, out=out)
        except (RasterioError, OSError, ValueError, SystemError) as e:
            raise ProductError(
                f"is damaged in rows {window.row}–{window.row + window.height - 1}, columns "
                f"{window.col}–{window.col + window.width - 1} ({_reason(e)})",
                where=file.where,
                fix="fetch the product again",
            ) from None

    def close(self) -> None:
        """Close what this process has opened."""
        with self._lock:
            handles, self._open = self._open, {}
        for (process, _, _), dataset in handles.items():
            if process == os.getpid():
                dataset.close()


def _check_claims(dataset: Any, file: FileRef, driver: str) -> None:
    pixels = dataset.height * dataset.width
    claim = 4 * pixels * dataset.count
    if claim > MAX_IMAGE_BYTES:
        raise ProductError(
            f"claims {dataset.count} bands of {dataset.height}×{dataset.width} pixels "
            f"({claim / 2**30:.0f} GiB), more than {MAX_IMAGE_BYTES >> 30} GiB",
            where=file.where,
        )
    unknown = {str(d) for d in dataset.dtypes} - _DTYPES
    if unknown or len(set(dataset.dtypes)) != 1:
        raise ProductError(f"has pixels of {', '.join(sorted(set(dataset.dtypes)))}",
                           where=file.where, fix="give integers or floats")  # fmt: skip
    item = np.dtype(dataset.dtypes[0]).itemsize
    height, width = dataset.block_shapes[0]
    if height * width * item * dataset.count > MAX_BLOCK_BYTES:
        raise ProductError(f"is stored in blocks of {height}×{width} pixels", where=file.where)
    # GDAL returns zeros for what a raw file lacks at its end.
    if driver == "ENVI" and file.size < pixels * dataset.count * item:
        raise ProductError(
            f"is cut short: {file.size} of {pixels * dataset.count * item} bytes",
            where=file.where,
            fix="fetch the product again",
        )


def _reason(error: BaseException) -> str:
    """GDAL's own words where rasterio wraps them, on one line and not longer than a line."""
    inner = error.__cause__ or error
    return " ".join(str(inner).split())[:160] or type(error).__name__
