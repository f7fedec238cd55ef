"""LS2S2: the public data set of Landsat and Sentinel-2 series of one year over small areas.

An area is a folder with ``sentinel2/`` and ``landsat/``, each with an ``index.csv`` (separated by
tabs) of dated bands and masks on nested grids of 10 m and 30 m.

Source: Michel and Inglada 2025, LS2S2, doi:10.5281/zenodo.15471890.
"""

from __future__ import annotations

import csv
import io
import logging
from collections.abc import Iterable
from datetime import date
from pathlib import Path, PurePosixPath, PureWindowsPath

from trifuse.core import (
    Band,
    BandError,
    BandSet,
    Cube,
    CubeSource,
    GridError,
    MetadataError,
    ProductError,
    Series,
    Window,
)
from trifuse.products.files.raster import Raster
from trifuse.products.files.source import Calibration
from trifuse.srf_data import load

INDEX = "index.csv"
SENSORS = {
    "sentinel2": ("S2A_MSI", ("B2", "B3", "B4", "B5", "B6", "B7", "B8", "B8A", "B11", "B12")),
    "landsat": ("L8_OLI", ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "LST")),
}
"""Folder → response table and bands in the order of the files."""

NODATA = -10000.0
LST = "LST"
_MAX_INDEX = 16 << 20
_log = logging.getLogger(__name__)


def is_ls2s2(folder: Path | str) -> bool:
    """Whether a folder is an area of LS2S2: a sensor's folder with an index; never raises."""
    return any((Path(folder) / sensor / INDEX).is_file() for sensor in SENSORS)


def open_ls2s2(folder: Path | str) -> dict[str, Series]:
    """Open an area of LS2S2.

    Images that the index calls not valid (less than a quarter is clear) are left out. A pixel is
    valid where the mask is zero and no band is exactly zero; what lies under the mask is kept.

    Args:
        folder: of the area.

    Returns:
        ``sentinel2`` and ``landsat``, as far as they are there.

    Raises:
        ProductError: if the folder is no such area, or files are missing or damaged.
        MetadataError: if an index lacks what is needed.
        DataError: if a sensor has two images of one date, or none.
    """
    folder = Path(folder)
    if not is_ls2s2(folder):
        raise ProductError(
            f"holds neither sentinel2/{INDEX} nor landsat/{INDEX}",
            where=folder,
            fix="give the folder of one area",
        )
    return {
        sensor: _open_sensor(folder / sensor, sensor)
        for sensor in SENSORS
        if (folder / sensor / INDEX).is_file()
    }


class Ls2s2Image(CubeSource):
    """One date of one sensor: a file of bands and one of a mask; made by :func:`open_ls2s2`."""

    def __init__(self, sensor: str, product: str, bands: Raster, mask: Raster | None) -> None:
        table, names = SENSORS[sensor]
        if bands.header.count != len(names):
            raise BandError(
                f"holds {bands.header.count} bands, not {len(names)}",
                where=bands.name,
                fix="get the area again",
            )
        if mask is not None and mask.grid != bands.grid:
            raise GridError("lies on another grid than its bands", where=mask.name)
        self._bands, self._mask = bands, mask
        known = load(table).bands
        self.bands = BandSet(tuple(Band(n) if n == LST else known[known.index(n)] for n in names))
        # Temperatures are stored in kelvin times ten.
        scale = tuple(0.1 if n == LST else 1e-4 for n in names)
        count = len(names)
        self._calibration = Calibration(scale, (0.0,) * count, (NODATA,) * count, "LS2S2")
        self.name, self.grid = product, bands.grid
        self.meta = {
            "kind": "LS2S2",
            "product_id": product,
            "sensor": table,
            "band_units": {LST: "K"} if LST in names else {},
            "calibration": self._calibration.to_json(),
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`; what is valid does not depend on the bands asked for."""
        window = self.grid.whole if window is None else window
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        stored = self._bands.read(list(range(1, len(self.bands) + 1)), window)
        valid = ~((stored == 0) | (stored == NODATA)).any(axis=0)
        if self._mask is not None:
            valid &= self._mask.read([1], window)[0] == 0
        data = self._calibration.apply(stored[numbers], numbers)
        return Cube(data, valid, self.bands.select(numbers), self.grid.window(window), self.meta)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        for raster in (self._bands, self._mask):
            if raster is not None:
                raster.close()


def _open_sensor(folder: Path, sensor: str) -> Series:
    items = []
    left_out = 0
    for row in _rows(folder / INDEX):
        try:
            day = date.fromisoformat(row["acquisition_date"].strip()[:10])
            bands = _file_in(folder, row["bands"])
            mask = _file_in(folder, row["mask"]) if (row.get("mask") or "").strip() else None
        except (KeyError, ValueError, AttributeError) as e:
            if isinstance(e, MetadataError):
                raise
            raise MetadataError(
                f"a row lacks acquisition_date, bands or mask ({e})", where=folder / INDEX
            ) from None
        if (row.get("valid") or "true").strip().lower() in ("false", "0"):
            left_out += 1
            continue
        product = (row.get("product_id") or bands.stem).strip()
        image = Ls2s2Image(sensor, product, Raster(bands), None if mask is None else Raster(mask))
        items.append((day, image))
    if left_out:
        _log.info("%s: %d images that are hardly clear are left out", folder, left_out)
    if not items:
        raise ProductError("names no valid image", where=folder / INDEX, fix="give another area")
    return Series.of(sensor, items)


def _rows(index: Path) -> list[dict[str, str]]:
    try:
        if index.stat().st_size > _MAX_INDEX:
            raise ProductError(f"larger than {_MAX_INDEX >> 20} MiB", where=index)
        text = index.read_text(encoding="utf-8-sig")
        return list(csv.DictReader(io.StringIO(text), delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as e:
        if isinstance(e, ProductError):
            raise
        raise ProductError(f"cannot be read as a table ({e})", where=index) from None


def _file_in(folder: Path, text: str) -> Path:
    """A path of the index: relative to the folder; of an absolute one the last two parts count."""
    text = text.strip()
    parts = PurePosixPath(text.replace("\\", "/")).parts
    if text.startswith("/") or PureWindowsPath(text).drive:
        parts = parts[-2:]
    if not parts or ".." in parts:
        raise MetadataError(f"names {text!r} outside its folder", where=folder / INDEX)
    return folder.joinpath(*parts)
