"""Series of Sentinel-2, Landsat and Sentinel-3 over one area from ordinary products, nested.

Sentinel-2 decides the coordinate system and the lattice of 10 m; Landsat is warped to cells of
30 m of the same origin, Sentinel-3 gathered in cells of 300 m. Clouds are kept as they were seen;
what is clear is in the mask.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    Band,
    BandError,
    BandSet,
    Box,
    ConfigError,
    CubeSource,
    DataError,
    Grid,
    Manifest,
    ProductError,
    TilePlan,
    Unit,
    checked_box,
    fingerprint,
    progress,
    run_units,
    writes,
)
from trifuse.products.files.regrid import read_on
from trifuse.products.plausible import Doubt, doubts, require_no_wrong
from trifuse.products.series.find import Dated, find_products, from_series
from trifuse.products.series.folder import INDEX, write_index
from trifuse.products.series.ground import CELL, area_grids
from trifuse.products.series.ls2s2 import open_ls2s2
from trifuse.products.series.sensors import SENSORS
from trifuse.products.write.writer import THERMAL, cube_writer
from trifuse.srf_data import load

_TILE = 1020
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BuiltSensor:
    """What became of one sensor's products.

    Attributes:
        grid: of the series.
        clear: date → share of clear pixels of the images taken.
        skipped: date → share of clear pixels of those left out.
        doubts: product → what its pixels say against what is stated of it, of the images taken.
    """

    grid: Grid
    clear: Mapping[date, float]
    skipped: Mapping[date, float] = field(default_factory=dict)
    doubts: Mapping[str, Sequence[Doubt]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BuiltSeries:
    """A folder with one series a sensor.

    Attributes:
        folder: with one folder a sensor.
        sensors: what each holds.
    """

    folder: Path
    sensors: Mapping[str, BuiltSensor]

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        lines = []
        for name, s in self.sensors.items():
            rows, cols = s.grid.shape
            days = sorted(s.clear)
            span = f", {days[0]} to {days[-1]}" if days else ""
            lines.append(
                f"{name}: {len(days)} dates{span}, {rows}×{cols} pixels of {s.grid.gsd[1]:g} m"
            )
            if s.skipped:
                left_out = ", ".join(f"{d} ({100 * c:.0f} %)" for d, c in s.skipped.items())
                lines.append(f"  hardly clear and left out: {left_out}")
            lines += [f"  doubt: {p}: {d.text}" for p, found in s.doubts.items() for d in found]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain values."""

        def shares(values: Mapping[date, float]) -> dict[str, float]:
            return {d.isoformat(): round(c, 4) for d, c in values.items()}

        return {
            name: {
                "height": s.grid.height,
                "width": s.grid.width,
                "crs": s.grid.crs,
                "clear": shares(s.clear),
                "skipped": shares(s.skipped),
                "doubts": {p: [d.to_json() for d in found] for p, found in s.doubts.items()},
            }
            for name, s in self.sensors.items()
        }


@writes("sentinel2", "landsat", "sentinel3", "ls2s2", folder=True)
def build_series(
    out: Path | str,
    *,
    sentinel2: Path | str | None = None,
    landsat: Path | str | None = None,
    sentinel3: Path | str | None = None,
    ls2s2: Path | str | None = None,
    bbox: Box | None = None,
    first: date | None = None,
    last: date | None = None,
    sentinel2_mask: str | Sequence[str] = "default",
    landsat_mask: str | Sequence[str] = "default",
    sentinel3_mask: str | Sequence[str] = "default",
    resolution: int | None = None,
    min_clear: float = 0.25,
    remote: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
) -> BuiltSeries:
    """Make series of one area; run it again to resume, or to add products that came since.

    Products of one date and sensor are merged: clear pixels first, then in the order of names.

    Args:
        out: folder that gets one folder a sensor.
        sentinel2: folder of L2A products or their STAC Items, or of a series.
        landsat: folder of Collection 2 Level-2 scenes or their STAC Items, or of a series.
        sentinel3: folder of SY_2_SYN products, or of a series; beside one of the others.
        ls2s2: folder of an area of LS2S2, in place of both.
        bbox: west, south, east, north in degrees, west beyond east across the antimeridian;
            default: the ground that the sensors share.
        first: first date to take.
        last: last date to take.
        sentinel2_mask: as of :func:`trifuse.products.open_sentinel2`.
        landsat_mask: as of :func:`trifuse.products.open_landsat`.
        sentinel3_mask: as of :func:`trifuse.products.open_sentinel3`.
        resolution: in metres, 10, 20 or 60, at which Sentinel-2's products are opened; default:
            10, or the finest that is there. The series has pixels of 10 m all the same.
        min_clear: images with a smaller share of clear pixels are left out.
        remote: whether files that Items name on the web are read there, by https.
        overwrite: start anew where another series lies.
        dry_run: look at the products only; nothing is written.

    Raises:
        ConfigError: if there is nothing to build from, or a value is out of range.
        ProductError: if a folder holds no product, or one is damaged.
        OverlapError: if the products and the box share no ground.
        DataError: if no date of a sensor is clear enough.
        StoreError: if ``out`` holds a series of another area or configuration.
        PartialError: if some dates could not be made, as where a product's values cannot be
            reflectance.
    """
    if not 0 <= min_clear <= 1:
        raise ConfigError(f"min_clear of {min_clear}", fix="give a share of 0 to 1")
    if bbox is not None:
        bbox = checked_box(bbox)
    if (ls2s2 is None) == (sentinel2 is None and landsat is None):
        raise ConfigError(
            "no products, or LS2S2 beside others",
            fix="give folders of Sentinel-2 and Landsat, or one of LS2S2",
        )
    if ls2s2 is not None and sentinel3 is not None:
        raise ConfigError(
            "Sentinel-3 beside LS2S2, whose areas are not whole cells of it",
            fix="give folders of Sentinel-2 or Landsat",
        )
    given = {"sentinel2": sentinel2, "landsat": landsat, "sentinel3": sentinel3}
    masks = {"sentinel2": sentinel2_mask, "landsat": landsat_mask, "sentinel3": sentinel3_mask}
    folders = {name: folder for name, folder in given.items() if folder is not None}
    swaths = [name for name in folders if SENSORS[name].reader.swath]
    if ls2s2 is not None:
        found = {k: from_series(v, k) for k, v in open_ls2s2(ls2s2).items()}
    else:
        found = {
            name: find_products(
                SENSORS[name],
                folder,
                masks[name],
                resolution=resolution if name == "sentinel2" else None,
                remote=remote,
            )
            for name, folder in folders.items()
            if name not in swaths
        }
    grids = area_grids(found, bbox, cell=max([CELL, *(SENSORS[name].gsd for name in swaths)]))
    ground = grids[next(iter(found))]
    for name in swaths:
        sensor = SENSORS[name]
        grids[name] = ground.zoom_out(round(sensor.gsd / ground.gsd[1]))
        found[name] = find_products(sensor, folders[name], masks[name], grids[name])
    by_day = {s: _by_day(products, first, last, s) for s, products in found.items()}
    bands = {s: _bands_of(s, by_day[s]) for s in found}
    built = {s: _choose(s, by_day[s], grids[s], min_clear, bands[s]) for s in found}
    if not dry_run:
        for name, plan in built.items():
            config: dict[str, Any] = {"mask": str(masks[name]), "ls2s2": ls2s2 is not None}
            if resolution is not None and name == "sentinel2":
                config["resolution"] = resolution
            if bands[name] != SENSORS[name].bands:
                config["bands"] = list(bands[name])
            _write(Path(out) / name, name, plan, by_day[name], config, overwrite, bands[name])
    return BuiltSeries(Path(out), built)


def _by_day(
    products: Sequence[Dated], first: date | None, last: date | None, sensor: str
) -> dict[date, list[Dated]]:
    """Products of each date within the range, in the order of their names."""
    out: dict[date, list[Dated]] = {}
    for product in sorted(products, key=lambda p: (p.day, p.name)):
        if (first is None or first <= product.day) and (last is None or product.day <= last):
            out.setdefault(product.day, []).append(product)
    for day, images in out.items():
        if len(baselines := sorted({p.baseline for p in images} - {""})) > 1:
            _log.warning(
                "%s of %s is put together of processing baselines %s: values may step where they "
                "meet",
                sensor,
                day,
                " and ".join(baselines),
            )
    if not out:
        raise ProductError(
            f"no {sensor} product from {first or 'the first'} to {last or 'the last'} date",
            fix="ask for other dates",
        )
    return out


def _bands_of(sensor: str, by_day: Mapping[date, Sequence[Dated]]) -> tuple[str, ...]:
    """The sensor's bands that some of its products have; a band that none has is left out.

    Raises:
        BandError: if there is none.
    """
    wanted = SENSORS[sensor].bands
    have = {b for images in by_day.values() for p in images for b in p.bands}
    there = tuple(b for b in wanted if b in have or b == THERMAL)
    if not have & set(wanted):
        raise BandError(
            f"no {sensor} product has one of {', '.join(wanted)}", fix="give products with bands"
        )
    if lacking := [b for b in wanted if b not in there]:
        _log.warning("%s: no product has %s: left out", sensor, ", ".join(lacking))
    return there


def _choose(
    sensor: str,
    by_day: Mapping[date, Sequence[Dated]],
    grid: Grid,
    min_clear: float,
    bands: Sequence[str],
) -> BuiltSensor:
    """Dates that are clear enough."""
    shares: dict[date, float] = {}
    doubted: dict[str, list[Doubt]] = {}
    for day, images in progress(by_day.items(), f"{sensor} masks", len(by_day)):
        with _opened(images) as sources:
            shares[day] = _clear_share(sources, grid, bands)
            if _clear_enough(shares[day], min_clear):
                found = {p.name: doubts(s) for p, s in zip(images, sources, strict=True)}
                doubted |= {name: looks for name, looks in found.items() if looks}
    taken = {d: s for d, s in shares.items() if _clear_enough(s, min_clear)}
    skipped = {d: s for d, s in shares.items() if d not in taken}
    for day, share in skipped.items():
        _log.info("%s of %s is %.0f %% clear and left out", sensor, day, 100 * share)
    if not taken:
        raise DataError(
            f"none of {len(shares)} {sensor} dates is clear over {100 * min_clear:g} % of the area",
            fix="give another area, other dates or a smaller share of clear pixels",
        )
    for name, looks in doubted.items():
        _log.warning("%s: %s", name, "; ".join(d.text for d in looks))
    return BuiltSensor(grid, taken, skipped, doubted)


def _clear_enough(share: float, least: float) -> bool:
    return share > 0 and share >= least


@contextmanager
def _opened(products: Sequence[Dated]) -> Iterator[list[CubeSource]]:
    sources = [p.open() for p in products]
    try:
        yield sources
    finally:
        for source in sources:
            source.close()


def _tiles(
    sources: Sequence[CubeSource], grid: Grid, bands: Sequence[str]
) -> Iterator[tuple[Any, np.ndarray, np.ndarray]]:
    """(window, data, valid) of the merged products of one date, tile by tile."""
    for tile in TilePlan(*grid.shape, tile=_TILE):
        part = grid.window(tile.write)
        data, valid = read_on(sources[0], part, bands)
        for source in sources[1:]:
            other, clear = read_on(source, part, bands)
            seen, found = (np.isfinite(d).any(axis=0) for d in (data, other))
            take = (clear & ~valid) | (found & ~seen)
            np.copyto(data, other, where=take)
            valid |= clear
        yield tile.write, data, valid


def _clear_share(sources: Sequence[CubeSource], grid: Grid, bands: Sequence[str]) -> float:
    """Share of clear pixels of the merged products of one date, from their masks."""
    count = sum(int(valid.sum()) for _, _, valid in _tiles(sources, grid, bands[:2]))
    return count / (grid.height * grid.width)


def _write(
    folder: Path,
    sensor: str,
    built: BuiltSensor,
    by_day: Mapping[date, Sequence[Dated]],
    config: Mapping[str, Any],
    overwrite: bool,
    names: Sequence[str],
) -> None:
    known = load(SENSORS[sensor].table).bands
    bands = BandSet(tuple(Band(n) if n == THERMAL else known[known.index(n)] for n in names))
    grid = built.grid
    config = {
        "format": "trifuse-series-build",
        "sensor": sensor,
        "crs": grid.crs,
        "transform": list(grid.transform),
        "shape": list(grid.shape),
        **config,
    }
    units = [
        # Another set of products makes another unit, so that what came since is taken up.
        Unit(f"{day} {fingerprint([p.name for p in by_day[day]])[:8]}", f"{day}.tif", day)
        for day in sorted(built.clear)
    ]
    manifest = Manifest.open(folder, config, [u.id for u in units], overwrite=overwrite)
    if (folder / INDEX).exists() and len(manifest.done) < len(units):
        (folder / INDEX).unlink()  # the series is incomplete until the end

    def work(unit: Unit, where: Path) -> dict[str, Any]:
        products = by_day[unit.payload]
        told = {p.name: built.doubts[p.name] for p in products if p.name in built.doubts}
        for name, found in told.items():
            require_no_wrong(found, name, fix="take the product out of the folder")
        meta = {
            "date": unit.payload.isoformat(),
            "sensor": sensor,
            "products": [p.name for p in products],
            "band_units": {THERMAL: "K"} if THERMAL in names else {},
        }
        with (
            _opened(products) as sources,
            cube_writer(
                where / unit.file, grid, bands, meta=meta, overwrite=True, keep_invalid=True
            ) as writer,
        ):
            for window, data, valid in _tiles(sources, grid, names):
                writer.write(window, data, valid)
        record: dict[str, Any] = {
            "products": [p.name for p in products],
            "clear": round(built.clear[unit.payload], 4),
        }
        if told:
            record["doubts"] = {n: [d.to_json() for d in found] for n, found in told.items()}
        return record

    run_units(units, work, manifest, label=f"{sensor} dates")
    write_index(
        folder,
        sensor,
        bands,
        sorted(built.clear),
        overwrite=True,
        skipped={d.isoformat(): round(c, 4) for d, c in built.skipped.items()},
    )
