"""Writing cubes as GeoTIFF: by windows in any order, whole or not at all, then cloud-optimised.

Windows go to an uncompressed tiled file beside the result, which a second pass compresses into
the final form. So the order of windows leaves no trace, blocks are compressed once, and a killed
run leaves nothing under the final name.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import threading
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import rasterio
import rasterio.shutil
from rasterio.errors import NotGeoreferencedWarning, RasterioError

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    Grid,
    TilePlan,
    Window,
    atomic_path,
    not_as_meant,
    sha256,
    spare,
    write_json,
)
from trifuse.products.files.raster import CACHE, gdal_reason, parse_crs
from trifuse.products.write.readback import Meant

SCALE = 1e-4
"""Reflectance of one count of an int16 file, as in EnMAP and Sentinel-2 products."""

NODATA = -32768
"""Fill of an int16 file, as in EnMAP L2A."""

STORED_LIMIT = 32767
"""Largest count either way; −32768 stays for nodata alone."""

KELVIN = (0.01, 273.15)
"""Scale and offset of a temperature in an int16 file: −54 °C … 600 K, to 5 mK."""

THERMAL = "LST"
"""Name of a band of surface temperature in kelvin."""

_BLOCK_BYTES = 16 << 20
_DERIVED = {"kind", "layout", "dtype", "calibration", "tiles", "interleave"}
_log = logging.getLogger(__name__)

DType = Literal["int16", "float32"]


class CubeWriter:
    """Takes windows of a cube; made by :func:`cube_writer`.

    Attributes:
        grid: of the whole image.
        bands: of the whole image.
        saturated: values so far that int16 could not hold and that were set to its limit.
        meant: what the file has to hold when it is finished.
    """

    def __init__(
        self, dataset: Any, grid: Grid, bands: BandSet, dtype: DType, mask: bool, keep: bool
    ) -> None:
        self.grid, self.bands = grid, bands
        self.saturated = 0
        self._dataset, self._dtype, self._mask, self._keep = dataset, dtype, mask, keep
        self._coding = encoding(bands)
        self._lock = threading.Lock()
        self.meant = Meant(mask=mask)

    def write(self, window: Window, data: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Write a window; a later one replaces an earlier one.

        Args:
            window: inside the grid.
            data: (band, y, x) floats, reflectance 0–1 and kelvin; NaN becomes nodata.
            valid: (y, x) bool; False becomes nodata in every band, or goes to the mask alone
                with ``keep_invalid``. Default: all valid.

        Raises:
            DataError: if shapes disagree or the window leaves the grid.
            ProductError: if the disk is full or fails.
        """
        expected = (len(self.bands), *window.shape)
        if data.shape != expected or (valid is not None and valid.shape != window.shape):
            raise DataError(f"data of {data.shape} for a window of {expected}")
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(f"{window} leaves an image of {self.grid.height}×{self.grid.width}")
        missing = ~np.isfinite(data)
        seen = ~missing.all(axis=0)
        if valid is not None:
            seen &= valid
            if not self._keep:
                missing |= ~valid
        if self._dtype == "int16":
            stored, cut = to_int16(data, missing, *self._coding)
        else:
            stored, cut = np.where(missing, np.float32(np.nan), data).astype(np.float32), 0
        box = rasterio.windows.Window(window.col, window.row, window.width, window.height)
        with self._lock:  # GDAL handles serve one thread at a time
            self.saturated += cut
            self._dataset.write(stored, window=box)
            if self._mask:
                self._dataset.write_mask(seen, window=box)
            for torn in self.meant.note(window, stored, seen):
                box = rasterio.windows.Window(torn.col, torn.row, torn.width, torn.height)
                left = self._dataset.read(window=box)
                seen = self._dataset.read_masks(1, window=box) > 0 if self._mask else seen
                self.meant.amend(torn, left, seen)


@contextlib.contextmanager
def cube_writer(
    path: Path | str,
    grid: Grid,
    bands: BandSet,
    *,
    dtype: DType = "int16",
    meta: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    cog: bool = True,
    mask: bool = False,
    keep_invalid: bool = False,
    tags: Mapping[str, str] | None = None,
    band_tags: Mapping[str, str] | None = None,
) -> Iterator[CubeWriter]:
    """A GeoTIFF that appears under its name when the block ends well, and not otherwise.

    Pixels that are never written are nodata. Band names, centres, widths, scale and offset are in
    the tags, and :func:`trifuse.products.open_geotiff` gives back what was written: float32 to the
    bit, int16 to half a count (5e-5; 5 mK in a band ``LST``).

    Args:
        path: the file.
        grid: of the whole image.
        bands: of the whole image.
        dtype: ``int16``: counts of 1e-4 (a band ``LST``: of 0.01 K from 273.15 K), nodata −32768,
            values beyond ±32767 counts saturate; ``float32``: nodata NaN.
        meta: plain JSON values, kept in a tag.
        overwrite: replace an existing file.
        cog: cloud-optimised with overviews (means); else a plain tiled GeoTIFF.
        mask: also write an internal 1-bit mask of the pixels with a value.
        keep_invalid: keep the values of pixels that are not valid (a cloud as it was seen); which
            are valid is then in the internal mask, and comes back with the values.
        tags: further tags of the file.
        band_tags: further tags of every band.

    Raises:
        OutputExistsError: if the file exists and ``overwrite`` is False.
        ProductError: if it cannot be written.
        ConfigError: if the dtype is none of the two.
    """
    if dtype not in ("int16", "float32"):
        raise ConfigError(f"dtype {dtype!r}", fix="give int16 or float32")
    with atomic_path(path, overwrite=overwrite) as temporary:
        # Its name starts with the temporary one, so that it is cleaned up with it.
        stage = temporary.with_name(temporary.name + ".stage.tif")
        try:
            with _gdal(), _create(stage, _stage_profile(grid, bands, dtype)) as d:
                _describe(d, grid, bands, dtype, meta or {}, tags or {}, band_tags or {})
                writer = CubeWriter(d, grid, bands, dtype, mask or keep_invalid, keep_invalid)
                yield writer
            with _gdal():
                _finish(stage, temporary, len(bands), dtype, cog)
                writer.meant.check(temporary, Path(path))
        except (RasterioError, SystemError) as e:
            raise not_as_meant(path, gdal_reason(e)) from None
    if writer.saturated:
        _log.warning(
            "%s: %d values beyond ±%d counts (±%.4f) were set to that limit; write "
            "float32 to keep them",
            path,
            writer.saturated,
            STORED_LIMIT,
            STORED_LIMIT * SCALE,
        )


def write_cube(path: Path | str, cube: Cube, **options: Any) -> None:
    """Write a cube in memory; options as of :func:`cube_writer` (``meta``: the cube's own)."""
    options.setdefault("meta", cube.sampling.described(cube.meta, cube.bands.names))
    with cube_writer(path, cube.grid, cube.bands, **options) as out:
        for tile in TilePlan(*cube.grid.shape, tile=512):
            rows, cols = tile.write.slices
            out.write(tile.write, cube.data[:, rows, cols], cube.valid[rows, cols])


def copy_source(path: Path | str, source: CubeSource, **options: Any) -> None:
    """Write a source window by window; options as of :func:`cube_writer`."""
    spare([Path(path)], [source])
    options.setdefault("meta", source.sampling.described(source.meta, source.bands.names))
    with cube_writer(path, source.grid, source.bands, **options) as out:
        for tile in TilePlan(*source.grid.shape, tile=512):
            part = source.read(tile.write)
            out.write(tile.write, part.data, part.valid)


def write_sidecar(path: Path | str, record: Mapping[str, Any], beside: Iterable[Path] = ()) -> Path:
    """Write the run record ``<path>.json`` beside a product: last, as the mark of completion.

    Args:
        path: the product.
        record: plain JSON values; ``software`` is added, and as ``written`` the size and SHA-256
            of each file, by which :func:`trifuse.verify` knows them.
        beside: other files in the same folder that go with the product.

    Returns:
        Path of the sidecar; an older one is replaced.
    """
    path = Path(path)
    sidecar = path.with_name(path.name + ".json")
    files = [p for p in (path, *beside) if p.is_file()]
    written = {p.name: {"bytes": p.stat().st_size, "sha256": sha256(p)} for p in files}
    marks = {"software": software(), **({"written": written} if written else {})}
    write_json(sidecar, {**marks, **record}, overwrite=True)
    return sidecar


def software() -> str:
    """Name and version for provenance, e.g. ``TriFuse 0.1.0``."""
    try:
        return f"TriFuse {version('trifuse')}"
    except PackageNotFoundError:
        return "TriFuse"


def encoding(bands: BandSet) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of each band of an int16 file, each (band, 1, 1) float64."""
    scale, offset = np.array(_codes(bands), np.float64).T[:, :, None, None]
    return scale, offset


def _codes(bands: BandSet) -> list[tuple[float, float]]:
    return [KELVIN if b.name == THERMAL else (SCALE, 0.0) for b in bands]


def to_int16(
    data: np.ndarray,
    missing: np.ndarray,
    scale: np.ndarray | float = SCALE,
    offset: np.ndarray | float = 0.0,
) -> tuple[np.ndarray, int]:
    """Counts, rounded and saturated: (counts, number of saturated values).

    Args:
        data: values, any shape.
        missing: where the count is nodata; same shape.
        scale: of a count; default: that of reflectance.
        offset: value of count 0.
    """
    # In float64, because float32 products are off by up to 0.002 counts at the rounding edge.
    counts = np.rint((np.where(missing, offset, data).astype(np.float64) - offset) / scale)
    cut = int(np.count_nonzero(np.abs(counts) > STORED_LIMIT))
    stored = np.clip(counts, -STORED_LIMIT, STORED_LIMIT).astype(np.int16)
    stored[missing] = NODATA
    return stored, cut


def _gdal() -> Any:
    return rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, GDAL_NUM_THREADS="ALL_CPUS", **CACHE)


def _create(path: Path, profile: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings():
        # An image without a place on the ground is the caller's choice.
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        return rasterio.open(path, "w+", **profile)  # parts that are overwritten are read again


def _stage_profile(grid: Grid, bands: BandSet, dtype: DType) -> dict[str, Any]:
    return {
        "driver": "GTiff",
        "height": grid.height,
        "width": grid.width,
        "count": len(bands),
        "dtype": dtype,
        "nodata": NODATA if dtype == "int16" else math.nan,
        "crs": parse_crs(grid.crs),
        "transform": rasterio.Affine(*grid.transform),
        "tiled": True,
        "blockxsize": 256,
        "blockysize": 256,
        "interleave": "band",
        "sparse_ok": True,  # what is never written takes no space and reads as nodata
        "bigtiff": "IF_SAFER",
    }


def _describe(
    d: Any,
    grid: Grid,
    bands: BandSet,
    dtype: DType,
    meta: Mapping[str, Any],
    tags: Mapping[str, str],
    band_tags: Mapping[str, str],
) -> None:
    coding = _codes(bands) if dtype == "int16" else [(1.0, 0.0)] * len(bands)
    kept = {k: v for k, v in meta.items() if k not in _DERIVED}
    own = {"TIFFTAG_SOFTWARE": software(), **tags}
    if kept:
        own["TRIFUSE_META"] = json.dumps(kept, sort_keys=True, ensure_ascii=False)
    if grid.crs and not grid.crs.startswith("EPSG:"):
        own["TRIFUSE_CRS"] = grid.crs
    d.update_tags(**own)
    d.scales, d.offsets = [s for s, _ in coding], [o for _, o in coding]
    d.descriptions = list(bands.names)
    told: Mapping[str, str] = meta.get("band_units", {})
    d.units = [told.get(b.name, "K" if b.name == THERMAL else "1") for b in bands]
    for i, (band, (scale, offset)) in enumerate(zip(bands, coding, strict=True), start=1):
        text = {"name": band.name, "scale": repr(scale), "offset": repr(offset), **band_tags}
        imagery = {}
        if math.isfinite(band.centre):
            text |= {"wavelength": repr(band.centre), "wavelength_units": "Nanometers"}
            imagery["CENTRAL_WAVELENGTH_UM"] = f"{band.centre / 1000:.7g}"
        if math.isfinite(band.fwhm):
            text["fwhm"] = repr(band.fwhm)
            imagery["FWHM_UM"] = f"{band.fwhm / 1000:.7g}"
        d.update_tags(i, **text)
        if imagery:
            d.update_tags(i, ns="IMAGERY", **imagery)


def _finish(stage: Path, final: Path, count: int, dtype: DType, cog: bool) -> None:
    """Compress the stage into the final file."""
    # The last bits of floats are noise: level 6 takes half as long again and saves nothing.
    common = {
        "compress": "DEFLATE",
        "level" if cog else "zlevel": 1 if dtype == "float32" else 6,
        "bigtiff": "IF_SAFER",
        "num_threads": "ALL_CPUS",
    }
    if cog:
        # Older GDALs interleave COG bands by pixel: a block holds all of them.
        side = _block_side(count * np.dtype(dtype).itemsize)
        rasterio.shutil.copy(
            stage,
            final,
            driver="COG",
            predictor="YES",
            blocksize=side,
            overview_resampling="average",
            **common,
        )
    else:
        rasterio.shutil.copy(
            stage,
            final,
            driver="GTiff",
            predictor=2 if dtype == "int16" else 3,
            tiled=True,
            blockxsize=256,
            blockysize=256,
            interleave="band",
            **common,
        )


def _block_side(pixel_bytes: int, sides: Sequence[int] = (512, 256, 128)) -> int:
    """The largest block that stays within the budget."""
    return next((s for s in sides if s * s * pixel_bytes <= _BLOCK_BYTES), sides[-1])
