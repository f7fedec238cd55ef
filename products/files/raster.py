"""Raster files opened safely: known drivers only, bounded reads, one-line errors.

GDAL opens far more than files: virtual rasters that fetch others, web addresses, hundreds of
formats. A product is untrusted input, so a path must be a file that exists, and its first bytes
choose one of three drivers. Rows are handed out north-up, whichever way the file stores them.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import rasterio
from rasterio.crs import CRS
from rasterio.enums import ColorInterp, MaskFlags, Resampling
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError

from trifuse.core import (
    DataError,
    Grid,
    GridError,
    MetadataError,
    ProductError,
    TrifuseError,
    Window,
)
from trifuse.products.files.archive import DAMAGE, FileRef, open_member

T = TypeVar("T")

_MAGIC = {
    b"II*\0": "GTiff",
    b"MM\0*": "GTiff",
    b"II+\0": "GTiff",
    b"MM\0+": "GTiff",
    b"\0\0\0\x0cjP  ": "JP2OpenJPEG",
    b"\xff\x4f\xff\x51": "JP2OpenJPEG",
}

MAX_READ = 8 << 30
"""Bytes that one read may ask for: a header can claim any size."""

MAX_BLOCK = 1 << 30
"""Bytes of one stored block, which GDAL allocates to read any pixel in it."""

UNPLACED = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
"""Transform of an image without a georeference: its own pixels."""

FAILURES = (RasterioError, ValueError, SystemError, OverflowError)
"""What rasterio raises on damaged files; its own errors are OSErrors, tags may not be UTF-8."""

CACHE = {} if "GDAL_CACHEMAX" in os.environ else {"GDAL_CACHEMAX": 512 << 20}
"""Bytes of blocks that GDAL keeps; its own default is a share of the machine's memory. A row of
tiles of a whole Sentinel-2 tile, read and written, takes half of it. The user's own wish counts."""

# Sidecars (.aux.xml) carry users' wavelengths and stay on; what they point to on the web does not.
ENV = {"CPL_VSIL_CURL_ALLOWED_EXTENSIONS": ".none", "GDAL_NUM_THREADS": "1", **CACHE}


@dataclass(frozen=True, slots=True)
class Header:
    """What a raster file says of itself.

    Attributes:
        driver: GDAL's name of the format.
        height: rows.
        width: columns.
        count: bands, an alpha band included.
        dtype: storage type of the bands.
        nodata: fill value per band; None where there is none.
        scales: per band, value = stored · scale + offset.
        offsets: per band.
        descriptions: per band; empty where there is none.
        tags: of the file.
        band_tags: per band, keys in lower case; GDAL's ``IMAGERY`` domain is merged in.
        crs: ``EPSG:n``, WKT or empty.
        transform: as stored, see :data:`trifuse.core.grid.Affine6`.
        block: (rows, columns) of a stored block.
        mask: band number to take the mask from, 0 if the file has none beside nodata.
        alpha: number of the alpha band, 0 if there is none.
        flipped: whether rows are stored south-up.
        layout: ``COG`` where the file says so, else empty.
    """

    driver: str
    height: int
    width: int
    count: int
    dtype: str
    nodata: tuple[float | None, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    descriptions: tuple[str, ...]
    tags: Mapping[str, str]
    band_tags: tuple[Mapping[str, str], ...]
    crs: str
    transform: tuple[float, ...]
    block: tuple[int, int]
    mask: int
    alpha: int
    flipped: bool
    layout: str


class Raster:
    """A raster file: header and windowed reads, from any thread and any process.

    GDAL handles serve one thread each, so every thread and process opens its own at its first
    read. The object pickles without handles.

    Args:
        path: an existing file.
        member: path inside, if the file is a zip or plain tar archive.
        driver: GDAL's name of the format; default: by the first bytes.
        sidecars: whether what others have noted beside the file (``.aux.xml``) counts.

    Raises:
        ProductError: if the file is missing, empty, of another kind or damaged.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        member: str = "",
        driver: str | None = None,
        sidecars: bool = True,
    ) -> None:
        self.path = plain_file(path)
        self.name = f"{self.path}/{member}" if member else str(self.path)
        self._driver = driver_of(self.path, member) if driver is None else driver
        self._address = _address(self.path, member)
        self._env = ENV if sidecars else {**ENV, "GDAL_PAM_ENABLED": "NO"}
        self._load()

    def _load(self) -> None:
        """Read the header."""
        self._handles: dict[tuple[int, int], Any] = {}
        try:
            self.header = self._with(lambda d: _header(d, self.name))
        except TrifuseError:
            raise
        except FAILURES as e:
            raise ProductError(
                f"cannot be opened as {self._driver} ({gdal_reason(e)})",
                where=self.name,
                fix="the file is cut short or damaged: get it again",
            ) from None

    @property
    def grid(self) -> Grid:
        """The north-up grid.

        Raises:
            GridError: if the image is rotated.
        """
        h = self.header
        a, b, c, d, e, f = (float(v) + 0.0 for v in h.transform)
        if h.flipped:
            e, f = -e, f + e * h.height
        try:
            return Grid(h.crs, (a, b, c, d, e, f), h.height, h.width)
        except GridError as error:
            raise GridError(error.what, where=self.name, fix=error.fix) from None

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
        out: np.ndarray | None = None,
    ) -> np.ndarray:
        """Stored values of some bands, north-up.

        Args:
            numbers: band numbers, from 1.
            window: default: the whole image.
            size: (rows, columns) to average the window to; uses overviews where they are.
            out: (band, y, x) array to fill, whose type values are converted to.

        Returns:
            (band, y, x) in the stored type, or ``out``.

        Raises:
            ProductError: if the file is damaged there; names the window.
            DataError: if the window leaves the image or the read exceeds :data:`MAX_READ`.
        """
        h = self.header
        window = Window(0, 0, h.height, h.width) if window is None else window
        shape = (len(numbers), *(window.shape if size is None else size))
        need = int(np.prod(shape, dtype=np.int64)) * np.dtype(h.dtype).itemsize
        if need > MAX_READ:
            raise DataError(
                f"a read of {shape[0]}×{shape[1]}×{shape[2]} values is "
                f"{need / 2**30:.0f} GiB, above the limit of {MAX_READ >> 30} GiB",
                where=self.name,
                fix="read it by windows",
            )
        if not numbers:
            return np.empty(shape, h.dtype) if out is None else out
        how = Resampling.average if size else Resampling.nearest
        target = {"out_shape": shape} if out is None else {"out": out}
        values = self._get("read", window, list(numbers), resampling=how, **target)
        if not h.flipped:
            return values
        if out is None:
            return values[:, ::-1]
        out[:] = values[:, ::-1].copy()
        return out

    def read_mask(
        self, window: Window | None = None, size: tuple[int, int] | None = None
    ) -> np.ndarray | None:
        """The file's own mask, (y, x) bool with True = usable; None if it has but nodata."""
        h = self.header
        if not h.mask:
            return None
        window = Window(0, 0, h.height, h.width) if window is None else window
        shape = window.shape if size is None else size
        mask = self._get("read_masks", window, h.mask, out_shape=shape) > 0
        return mask[::-1] if h.flipped else mask

    def close(self) -> None:
        """Close every handle of this process."""
        for key in [k for k in self._handles if k[0] == os.getpid()]:
            self._handles.pop(key).close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handles": {}}

    def _get(self, method: str, window: Window, bands: Any, **options: Any) -> np.ndarray:
        h = self.header
        if window.clip(h.height, h.width) != window or 0 in window.shape:
            raise DataError(f"{window} leaves an image of {h.height}×{h.width}", where=self.name)
        row = h.height - window.row - window.height if h.flipped else window.row
        box = rasterio.windows.Window(window.col, row, window.width, window.height)
        try:
            values = self._with(lambda d: getattr(d, method)(bands, window=box, **options))
        except FAILURES as e:
            raise ProductError(
                f"rows {row}–{row + window.height - 1}, columns {window.col}–"
                f"{window.col + window.width - 1} cannot be read ({gdal_reason(e)})",
                where=self.name,
                fix="the file is cut short or damaged: get it again",
            ) from None
        return np.asarray(values)

    def _with(self, call: Callable[[Any], T]) -> T:
        """What a call makes of the dataset."""
        with rasterio.Env(**self._env):
            return call(self._dataset())

    def _dataset(self) -> Any:
        key = (os.getpid(), threading.get_ident())
        if key not in self._handles:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                self._handles[key] = rasterio.open(self._address, driver=self._driver)
        return self._handles[key]


def plain_file(path: Path | str) -> Path:
    """An absolute path to a file that exists and is not empty.

    Absolute, because GDAL takes ``scheme:rest`` for something else than a file.

    Raises:
        ProductError: otherwise, also for ``/vsi…`` and web addresses.
    """
    if "://" in str(path) or str(path).startswith("/vsi"):
        raise ProductError("is no file on disk", where=path, fix="download it and give its path")
    path = Path(path).absolute()
    try:
        if not path.is_file():
            raise ProductError(
                "is a folder, not a file" if path.is_dir() else "does not exist", where=path
            )
        if path.stat().st_size == 0:
            raise ProductError("is an empty file", where=path, fix="get it again")
    except OSError as e:
        if isinstance(e, ProductError):
            raise
        raise ProductError(f"cannot be read ({e.strerror})", where=path) from None
    return path


def crs_text(crs: CRS | None) -> str:
    """``EPSG:n`` where there is a code, else WKT, empty for none: as :class:`Grid` holds it."""
    if not crs:
        return ""
    code = crs.to_epsg()
    return f"EPSG:{code}" if code else str(crs.to_wkt())


def parse_crs(text: str) -> CRS | None:
    """Inverse of :func:`crs_text`.

    Raises:
        GridError: if the text names no coordinate system.
    """
    if not text:
        return None
    try:
        # from_user_input would also take file names and addresses
        if re.fullmatch(r"[A-Za-z]\w*:\w+", text):
            return CRS.from_user_input(text)
        return CRS.from_proj4(text) if text.startswith("+") else CRS.from_wkt(text)
    except CRSError:
        raise GridError(f"{text[:60]!r} names no coordinate system", fix="give EPSG:n") from None


def _own_crs(d: Any) -> str:
    """The writer's own words for a system without a code, which GDAL rewords."""
    text = d.tags().get("TRIFUSE_CRS", "")
    with contextlib.suppress(GridError):
        if text and parse_crs(text) == d.crs:
            return str(text)
    return crs_text(d.crs)


def _address(path: Path, member: str) -> str:
    if not member:
        return str(path)
    if "}" in str(path) or member.startswith("/") or ".." in Path(member).parts:
        raise ProductError(f"member {member!r} cannot be opened", where=path)
    return FileRef(path, member, 0).gdal


def driver_of(path: Path, member: str = "") -> str:
    """GDAL driver by the first bytes; raw binary beside an ENVI header is ENVI."""
    try:
        if member:
            with open_member(path, member) as f:
                start = f.read(8)
        else:
            with path.open("rb") as f:
                start = f.read(8)
    except (KeyError, *DAMAGE) as e:
        raise ProductError(f"cannot be read ({e})", where=f"{path} {member}".strip()) from None
    if driver := driver_of_bytes(start):
        return driver
    if not member and envi_header(path):
        return "ENVI"
    raise ProductError(
        "is no GeoTIFF, JPEG 2000 or ENVI image", where=path, fix="convert it to GeoTIFF"
    )


def driver_of_bytes(start: bytes) -> str:
    """GDAL driver by the first eight bytes of a file; empty if they tell none."""
    return next((driver for magic, driver in _MAGIC.items() if start.startswith(magic)), "")


def driver_if_known(path: Path) -> str:
    """The same, or empty for what is no such file; never raises."""
    try:
        return driver_of(plain_file(path))
    except ProductError:
        return ""


def envi_header(path: Path) -> Path | None:
    """The ``.hdr`` beside a raw image: ``image.hdr`` or ``image.bsq.hdr``, in any case."""
    for name in (path.with_suffix(".hdr"), path.with_name(path.name + ".hdr")):
        for candidate in (name, name.with_suffix(".HDR")):
            if candidate != path and candidate.is_file():
                return candidate
    return None


def _header(d: Any, name: str) -> Header:
    transform = tuple(d.transform)[:6]
    unplaced = transform == (1, 0, 0, 0, 1, 0)
    if unplaced and d.gcps[0]:
        raise MetadataError("has control points but no grid", where=name, fix="warp it to a grid")
    if unplaced:
        transform = UNPLACED
    kinds = sorted(set(d.dtypes))
    if len(kinds) > 1 or "complex" in kinds[0]:
        raise ProductError(
            f"has pixels of {', '.join(kinds)}",
            where=name,
            fix="give integers or floats, the same in all bands",
        )
    rows, cols = (max(v) for v in zip(*d.block_shapes, strict=True))
    itemsize = np.dtype(kinds[0]).itemsize
    bands_in_block = d.count if d.profile.get("interleave") == "pixel" else 1
    if rows * cols * itemsize * bands_in_block > MAX_BLOCK:
        raise ProductError(
            f"stores blocks of {rows}×{cols}×{bands_in_block} values",
            where=name,
            fix="rewrite it in tiles of 256×256",
        )
    alpha = [i for i, c in enumerate(d.colorinterp, start=1) if c == ColorInterp.alpha]
    own_mask = MaskFlags.per_dataset in d.mask_flag_enums[0]
    return Header(
        driver=d.driver,
        height=d.height,
        width=d.width,
        count=d.count,
        dtype=d.dtypes[0],
        nodata=tuple(d.nodatavals),
        scales=tuple(d.scales),
        offsets=tuple(d.offsets),
        descriptions=tuple((text or "").strip() for text in d.descriptions),
        tags=dict(d.tags()),
        band_tags=tuple(_band_tags(d, i) for i in d.indexes),
        crs=_own_crs(d),
        transform=transform,
        block=(rows, cols),
        mask=1 if own_mask else 0,
        alpha=alpha[0] if alpha else 0,
        flipped=transform[4] > 0,
        layout=d.tags(ns="IMAGE_STRUCTURE").get("LAYOUT", ""),
    )


def _band_tags(d: Any, number: int) -> dict[str, str]:
    both = {**d.tags(number, ns="IMAGERY"), **d.tags(number)}
    return {key.lower(): value for key, value in both.items()}


def gdal_reason(error: BaseException) -> str:
    """GDAL's own words, which rasterio hides behind *see previous exception*."""
    cause = error.__cause__ or error.__context__
    text = str(cause or error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
