"""Dated products of one area: folders of deliveries, series and LS2S2, not yet read."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from trifuse.core import CubeSource, Grid, MetadataError, OverlapError, ProductError, Series
from trifuse.core.units import MANIFEST
from trifuse.products.files.archive import is_tar, is_zip
from trifuse.products.landsat.mask import mask_terms as landsat_terms
from trifuse.products.landsat.reader import is_landsat, open_landsat
from trifuse.products.sentinel2.mask import mask_terms as sentinel2_terms
from trifuse.products.sentinel2.reader import is_sentinel2, open_sentinel2
from trifuse.products.sentinel3.flags import mask_terms as sentinel3_terms
from trifuse.products.sentinel3.reader import open_sentinel3
from trifuse.products.series.folder import INDEX, is_series, open_series
from trifuse.products.series.ls2s2 import SENSORS, is_ls2s2, open_ls2s2
from trifuse.srf_data import S3_SYN_19

_MTL = re.compile(r".*_MTL\.(xml|json|txt)", re.IGNORECASE)
_SYN = re.compile(r"SY_2_SYN", re.IGNORECASE)
_log = logging.getLogger(__name__)
_DAY = re.compile(r"_(\d{4})(\d{2})(\d{2})(?=[T_])")


@dataclass(frozen=True, slots=True)
class Dated:
    """One product.

    Attributes:
        day: of acquisition.
        name: of the product.
        grid: its own.
        open: opens it again.
    """

    day: date
    name: str
    grid: Grid
    open: Callable[[], CubeSource]


def find_sentinel2(folder: Path | str, mask: str | Sequence[str] = "default") -> list[Dated]:
    """The Sentinel-2 L2A products of a folder, or the images of a series.

    Args:
        folder: with products in it, or one product, or a series.
        mask: as of :func:`trifuse.products.open_sentinel2`.

    Raises:
        ProductError: if there is none.
    """
    folder = Path(folder)
    if is_series(folder):
        return from_series(open_series(folder), folder.name)
    sentinel2_terms(mask)  # an unknown one is told before anything is opened
    bands = SENSORS["sentinel2"][1]
    paths = [p for p in _children(folder) if (p.is_dir() or is_zip(p)) and is_sentinel2(p)]
    if not paths and is_sentinel2(folder):
        paths = [folder]
    if not paths:
        raise ProductError(
            "holds no Sentinel-2 L2A product",
            where=folder,
            fix="give a folder with products or with a series",
        )

    def opener(path: Path) -> Callable[[], CubeSource]:
        return lambda: open_sentinel2(path, resolution=10, bands=bands, mask=mask)

    return [_dated(opener(path)) for path in paths]


def find_landsat(folder: Path | str, mask: str | Sequence[str] = "default") -> list[Dated]:
    """The Landsat Collection 2 Level-2 scenes of a folder, or the images of a series.

    Args:
        folder: with scenes in it (folders, tars, or their files side by side), or a series.
        mask: as of :func:`trifuse.products.open_landsat`.

    Raises:
        ProductError: if there is none.
    """
    folder = Path(folder)
    if is_series(folder):
        return from_series(open_series(folder), folder.name)
    landsat_terms(mask)
    children = _children(folder)
    paths = [p for p in children if (p.is_dir() or is_tar(p)) and is_landsat(p)]
    # Of scenes whose files lie side by side, one metadata file stands for each.
    loose = {p.stem.upper(): p for p in children if _MTL.fullmatch(p.name) and is_landsat(p)}
    paths += [loose[stem] for stem in sorted(loose)]
    if not paths and is_landsat(folder):
        paths = [folder]
    if not paths:
        raise ProductError(
            "holds no Landsat Collection 2 Level-2 scene",
            where=folder,
            fix="give a folder with scenes or with a series",
        )

    def opener(path: Path) -> Callable[[], CubeSource]:
        return lambda: open_landsat(path, mask=mask)

    return [_dated(opener(path)) for path in paths]


def from_series(series: Series, name: str) -> list[Dated]:
    """The images of a series."""

    def opener(source: CubeSource) -> Callable[[], CubeSource]:
        return lambda: source

    return [Dated(day, f"{name} {day}", s.grid, opener(s)) for day, s in series]


def find_sentinel3(
    folder: Path | str, grid: Grid, mask: str | Sequence[str] = "default"
) -> list[Dated]:
    """The Sentinel-3 SYN products of a folder on a grid, or the images of a series.

    Swaths that do not reach the grid are left out.

    Args:
        folder: with products in it, or one product, or a series.
        grid: that they are brought onto.
        mask: as of :func:`trifuse.products.open_sentinel3`.

    Raises:
        ProductError: if there is none.
        OverlapError: if none reaches the grid.
    """
    folder = Path(folder)
    if is_series(folder):
        return from_series(open_series(folder), folder.name)
    sentinel3_terms(mask)
    paths = [p for p in _children(folder) if _SYN.search(p.name) and (p.is_dir() or is_zip(p))]
    if not paths and _SYN.search(folder.name):
        paths = [folder]
    if not paths:
        raise ProductError(
            "holds no Sentinel-3 SY_2_SYN product",
            where=folder,
            fix="give a folder with products or with a series",
        )

    def opener(path: Path) -> Callable[[], CubeSource]:
        return lambda: open_sentinel3(path, grid=grid, bands=S3_SYN_19, mask=mask)

    found = []
    for path in paths:
        try:
            found.append(_dated(opener(path)))
        except OverlapError:
            _log.info("%s does not reach the area and is left out", path.name)
    if not found:
        raise OverlapError(
            f"none of {len(paths)} Sentinel-3 products reaches the area",
            where=folder,
            fix="give products of the area",
        )
    return found


def open_sensors(folder: Path | str) -> dict[str, Series]:
    """Open the series of every sensor of an area: one folder each, or LS2S2.

    Args:
        folder: what :func:`trifuse.products.build_series` wrote, or an area of LS2S2.

    Returns:
        Name of the folder (``sentinel2``, ``landsat``, …) → its series.

    Raises:
        ProductError: if there is none, or one is damaged or not finished.
    """
    folder = Path(folder)
    children = [p for p in _children(folder) if p.is_dir()]
    if is_ls2s2(folder):
        return open_ls2s2(folder)
    begun = [p for p in children if (p / MANIFEST).is_file()]
    if unfinished := [p.name for p in begun if not (p / INDEX).is_file()]:
        raise ProductError(
            f"{', '.join(unfinished)} is not finished",
            where=folder,
            fix="run the command that makes it again; it resumes",
        )
    found = {p.name: open_series(p) for p in children if is_series(p)}
    if not found:
        raise ProductError(
            "holds no folder with the series of a sensor",
            where=folder,
            fix="give the folder above it"
            if is_series(folder)
            else "make it with `trifuse series build`",
        )
    return found


def _children(folder: Path) -> list[Path]:
    if not folder.exists():
        raise ProductError("does not exist", where=folder, fix="check the path")
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if not p.name.startswith("."))


def _dated(opener: Callable[[], CubeSource]) -> Dated:
    with opener() as source:  # closed at once: a year of products has more files than may be open
        text = str(source.meta.get("start_time") or "")[:10]
        if not text and (match := _DAY.search(source.name)):
            text = "-".join(match.groups())
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise MetadataError("does not say when it was acquired", where=source.name) from None
        return Dated(day, source.name, source.grid, opener)
