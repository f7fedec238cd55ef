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
from trifuse.products.files.clutter import is_clutter, is_unfinished
from trifuse.products.files.item import SUFFIXES
from trifuse.products.reader import OtherSensorError
from trifuse.products.series.folder import INDEX, is_series, open_series
from trifuse.products.series.ls2s2 import is_ls2s2, open_ls2s2
from trifuse.products.series.processing import Acquisition, Rank, newest, processing_of
from trifuse.products.series.sensors import SeriesSensor

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
        processing: what was acquired and how new its processing is.
        baseline: of the processing; empty where there is none.
        bands: that it has.
    """

    day: date
    name: str
    grid: Grid
    open: Callable[[], CubeSource]
    processing: tuple[Acquisition, Rank] = ((), ())
    baseline: str = ""
    bands: tuple[str, ...] = ()


def find_products(
    sensor: SeriesSensor,
    folder: Path | str,
    mask: str | Sequence[str] = "default",
    grid: Grid | None = None,
    resolution: int | None = None,
    *,
    remote: bool = False,
) -> list[Dated]:
    """The products of a sensor in a folder, or the images of a series.

    Swaths that do not reach the grid are left out, and so are, with a word, products of satellites
    that are not read and older processings of acquisitions that are there in a newer one.

    Args:
        sensor: of the products.
        folder: with products in it, packed or not, or one product, or a series.
        mask: as of the sensor's reader.
        grid: that swaths are brought onto.
        remote: whether files that Items name on the web are read there.
        resolution: in metres at which products of several are opened; default: the sensor's.

    Raises:
        ProductError: if there is none.
        OverlapError: if none reaches the grid.
        ConfigError: if the mask is unknown.
    """
    folder = Path(folder)
    if is_series(folder):
        return from_series(open_series(folder), folder.name)
    sensor.terms(mask)  # an unknown one is told before anything is opened
    paths = _paths(sensor, folder)
    if not paths:
        raise ProductError(
            f"holds no {sensor.product}", where=folder, fix="give a folder with them or a series"
        )

    def opener(path: Path) -> Callable[[], CubeSource]:
        return lambda: sensor.open(path, mask, grid, resolution, remote=remote)

    found, others = [], []
    last: OtherSensorError | None = None
    for path in paths:
        try:
            found.append(_dated(opener(path)))
        except OverlapError:
            _log.info("%s does not reach the area and is left out", path.name)
        except OtherSensorError as e:
            others.append(path.name)
            last = e
    if others:
        _log.warning(
            "%d products of other satellites or levels are left out: %s",
            len(others),
            ", ".join(others[:5]) + (", …" if len(others) > 5 else ""),
        )
    if last is not None and len(others) == len(paths):
        raise last
    if not found:
        raise OverlapError(
            f"none of {len(paths)} {sensor.product}s reaches the area",
            where=folder,
            fix="give products of the area",
        )
    return newest(found, [p.processing for p in found], [p.name for p in found], sensor.product)


def from_series(series: Series, name: str) -> list[Dated]:
    """The images of a series."""

    def opener(source: CubeSource) -> Callable[[], CubeSource]:
        return lambda: source

    return [
        Dated(day, f"{name} {day}", s.grid, opener(s), bands=s.bands.names) for day, s in series
    ]


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


def _paths(sensor: SeriesSensor, folder: Path) -> list[Path]:
    """Where the products are: in the folder, or the folder itself is one."""
    children = _children(folder)
    packed = [p for p in children if p.is_dir() or is_zip(p) or is_tar(p)]
    paths = [p for p in packed if sensor.detects(p)]
    if sensor.loose is not None:
        loose = [p for p in children if sensor.loose.fullmatch(p.name) and sensor.detects(p)]
        # one form of the metadata stands for each scene
        paths += [path for _, path in sorted({p.stem.upper(): p for p in loose}.items())]
    if paths:
        return paths
    items = [p for p in children if p.suffix.lower() in SUFFIXES and sensor.detects(p)]
    # A flat folder of one product's images with its Item is that product.
    if len(items) > 1 or not sensor.detects(folder):
        return items
    return [folder]


def _children(folder: Path) -> list[Path]:
    if not folder.exists():
        raise ProductError("does not exist", where=folder, fix="check the path")
    if not folder.is_dir():
        return []
    there = sorted(
        p for p in folder.iterdir() if not p.name.startswith(".") and not is_clutter(p.name)
    )
    if cut := [p.name for p in there if is_unfinished(p.name)]:
        _log.warning("%s: downloads that did not end are left out: %s", folder, ", ".join(cut))
    return [p for p in there if p.name not in cut]


def _dated(opener: Callable[[], CubeSource]) -> Dated:
    with opener() as source:  # closed at once: a year of products has more files than may be open
        text = str(source.meta.get("start_time") or "")[:10]
        if not text and (match := _DAY.search(source.name)):
            text = "-".join(match.groups())
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise MetadataError("does not say when it was acquired", where=source.name) from None
        told = processing_of(source.name, source.meta)
        baseline = str(source.meta.get("baseline") or "")
        return Dated(day, source.name, source.grid, opener, told, baseline, source.bands.names)
