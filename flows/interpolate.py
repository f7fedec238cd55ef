"""Cloud-free images of any date from series of several sensors: open, predict, write."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from trifuse.core import (
    ConfigError,
    DataError,
    Grid,
    Manifest,
    Series,
    Unit,
    fingerprint,
    run_units,
    write_json,
    writes,
)
from trifuse.core.runtime import Runtime
from trifuse.core.units import MANIFEST
from trifuse.flows.interpolate_units import QUALITY, STD, WORK, Job, block_unit, date_unit
from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.plausible import require_plausible
from trifuse.products.series.find import open_sensors
from trifuse.products.series.folder import INDEX, write_index
from trifuse.products.write.animation import can_animate, write_animation
from trifuse.products.write.writer import software
from trifuse.temporal.area import Area, blocks, open_area
from trifuse.temporal.blocks import block_side
from trifuse.temporal.calendar import parse_date, parse_dates
from trifuse.temporal.config import PUBLISHED, SENTINEL3
from trifuse.temporal.contract import SeriesMethod
from trifuse.temporal.methods import get_series_method
from trifuse.temporal.outputs import choose_bands
from trifuse.temporal.tamrf import Trained, load_trained

__all__ = ["Interpolated", "Trained", "choose_method", "interpolate", "load_trained", "method_area"]

Clouds = Literal["auto", "show", "withhold"]
TAMRF, PRIOR = "tamrf", "prior"
"""Methods that are chosen by themselves."""

SMALLEST_BLOCK = 192
"""Smaller blocks spend more on their surroundings than on themselves: features go to disk."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A folder of predicted dates.

    Attributes:
        folder: with one GeoTIFF a date, an index that makes it a series, and a record.
        dates: all dates in it.
        bands: names.
        record: what the run record says.
        files: the images.
    """

    folder: Path
    dates: tuple[date, ...]
    bands: tuple[str, ...]
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [
            f"{len(self.dates)} dates, {self.dates[0]} to {self.dates[-1]}; "
            f"{r['height']}×{r['width']} pixels; {' '.join(self.bands)}"
        ]
        for name, s in r["inputs"].items():
            lines.append(f"from {s['dates']} dates of {name}, {s['first']} to {s['last']}")
        if not self.files:
            return "\n".join([*lines, f"in {r['blocks']} blocks; dry run: nothing was written"])
        for day, gaps in r.get("median_days_to_clear", {}).items():
            told = ", ".join(
                f"{n} {'never' if g is None else format(g, 'g')}" for n, g in gaps.items()
            )
            lines.append(f"  {day}: median days to a clear image: {told}")
        return "\n".join([*lines, f"wrote {len(self.files)} images to {self.folder}"])


@writes("series", "weights", folder=True)
def interpolate(
    series: Path | str | Mapping[str, Series],
    out: Path | str,
    *,
    method: str | SeriesMethod | None = None,
    weights: Path | str | Trained | None = None,
    dates: str | Sequence[date],
    bands: str | Sequence[str] = "all",
    days_origin: str | None = None,
    clouds: Clouds = "auto",
    dtype: Literal["int16", "float32"] = "int16",
    quality: bool = True,
    uncertainty: bool = False,
    animation: bool = True,
    device: str = "auto",
    max_memory: float = 4.0,
    features: Literal["float32", "float16"] = "float32",
    jobs: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Interpolated:
    """Predict dates from all images of an area; run it again to resume, or to add dates.

    Each date is a cloud-optimised GeoTIFF on the target grid (10 m), with the run record beside
    it and, if wanted, a second one of its quality: per sensor the days to the nearest clear image
    of each pixel, and the share of its attention that the network paid to clear images. Pixels
    that no image has seen are missing.

    Args:
        series: folder as of :func:`trifuse.products.build_series`, an area of LS2S2, or series by
            sensor.
        out: folder for the images.
        method: one of :data:`trifuse.temporal.SERIES_METHODS`, or as
            :func:`trifuse.temporal.get_series_method` makes it. Default: ``tamrf`` if weights are
            given or the series are a year of Sentinel-2 and Landsat, for which a small network
            comes with TriFuse that adds to the prior; for other series ``prior``, the
            interpolation of clear pixels in which the sensors tell each other what they saw.
        weights: of the network: safetensors of TriFuse, a published checkpoint (``.ckpt``), or
            what :func:`load_trained` returned; default: those that come along. ``prior`` stands
            for that method.
        dates: as of :func:`trifuse.temporal.calendar.parse_dates`, or dates.
        bands: ``all``, or names; ``landsat:B4`` where a bare name means another sensor's; ``NDVI``
            of the predicted Sentinel-2 bands.
        days_origin: the day that is 0 for the network: ``first`` (image of the sensor on the
            target grid), ``january`` (of the year of the first image) or a date; default: as the
            network was trained.
        clouds: whether the network is shown pixels that are not clear; ``auto``: as it was
            trained.
        dtype: of the images: ``int16`` (counts of 1e-4; LST of 0.01 K) or ``float32``.
        quality: also write ``<date>_quality.tif``.
        uncertainty: also write ``<date>_std.tif``, the standard deviation of each band at each
            pixel; ``prior`` and networks that add to it know it.
        animation: also write ``series.gif``, if Pillow is installed.
        device: ``auto``, ``cpu`` or ``cuda``.
        max_memory: GB that the work may take; larger areas are done in blocks.
        features: how features are kept; ``float16`` halves their memory and costs about 1e-3 of a
            deviation.
        jobs: processes, each with ``max_memory``.
        scheduler: address of a running Dask scheduler, in place of ``jobs``; see
            :func:`trifuse.core.run_units`.
        overwrite: start anew where another series lies.
        dry_run: check the inputs and plan only.

    Raises:
        ProductError: if the series cannot be read.
        WeightsError: if the weights are damaged.
        ConfigError: if an option is unknown or a date is none.
        BandError: if a band is unknown, or the series lack bands of the network.
        OverlapError: if the sensors share no ground.
        DataError: if there is no image of a sensor that the network knows, none is clear, or the
            values of one cannot be reflectance.
        StoreError: if ``out`` holds other work.
        MissingExtraError: if a scheduler is given and ``distributed`` is not installed.

    Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
    """
    out = Path(out)
    if clouds not in ("auto", "show", "withhold") or features not in ("float32", "float16"):
        raise ConfigError(
            f"clouds {clouds!r}, features {features!r}",
            fix="give auto, show or withhold; float32 or float16",
        )
    if not max_memory > 0:
        raise ConfigError(f"max_memory of {max_memory} GB", fix="give a positive number")
    days = parse_dates(dates) if isinstance(dates, str) else tuple(sorted(set(dates)))
    if not days:
        raise ConfigError("no dates were asked for", fix="give at least one")
    found = series if isinstance(series, Mapping) else open_sensors(series)
    chosen = choose_method(method, weights, found)
    if uncertainty and not chosen.tells_deviation:
        raise ConfigError(
            f"{chosen.name} does not know its errors",
            where="uncertainty",
            fix="give the method prior, or weights of a network that adds to it",
        )
    area = method_area(chosen, found, days_origin=days_origin, clouds=clouds)
    names = choose_bands(chosen.config, bands)
    runtime = Runtime(device)
    job = Job.of(chosen, area, days, names, dtype, features, quality, uncertainty)
    _tell_limits(area, days)
    side, on_disk = _plan(area, job, max_memory * 1e9)
    parts = blocks(area, side)
    record = _record(area, job, len(parts))
    if chosen.halo is None and len(parts) > 1:
        what = "%s looks at an area as a whole; its %d blocks may differ where they meet"
        _log.warning(what, chosen.name, len(parts))
    if dry_run:
        return Interpolated(out, days, names, record)
    if not area.any_clear():
        raise DataError(
            f"no clear pixel in any of {sum(len(s) for s in area.series.values())} images",
            fix="give other dates or another mask",
        )
    _report_absent(chosen, area)
    manifest, every = _open_manifest(out, job, record, overwrite)
    missing = [u for u in every if u.id not in manifest.done]
    if missing:
        (out / INDEX).unlink(missing_ok=True)  # the series is incomplete until the end
        todo = job.only({u.payload[0] for u in missing})
        kinds = {u.payload[1] for u in missing}
        todo = replace(todo, quality=QUALITY in kinds, uncertainty=STD in kinds)
        todo, work = _open_work(out / WORK, todo, side, manifest.config)
        units = [Unit(f"{b.row} {b.col}", f"block_{b.row}_{b.col}.npy", b) for b in parts]
        by: Any = {"jobs": jobs, "scheduler": scheduler}
        run_units(units, partial(block_unit, todo, runtime, on_disk), work, label="blocks", **by)
        work.require_complete()
        run_units(every, partial(date_unit, todo, parts, record), manifest, label="dates", **by)
        manifest.require_complete()
    if (out / WORK).exists():
        shutil.rmtree(out / WORK)
    return _finish(out, job, manifest, record, animation)


def choose_method(
    method: str | SeriesMethod | None,
    weights: Path | str | Trained | None,
    series: Mapping[str, Series],
) -> SeriesMethod:
    """A method for series; see :func:`interpolate`.

    Args:
        method: as of :func:`interpolate`.
        weights: likewise.
        series: by sensor; methods without weights take what they know of Sentinel-3.

    Raises:
        ConfigError: if the method is unknown, or takes no weights and some are given.
        WeightsError: if the weights cannot be used.
    """
    if isinstance(weights, SeriesMethod) and method in (None, TAMRF):
        return weights
    if isinstance(weights, SeriesMethod) or (weights and isinstance(method, SeriesMethod)):
        raise ConfigError("a method and weights of another", fix="leave out one of them")
    if isinstance(method, SeriesMethod):
        return method
    if method is None and str(weights) == PRIOR:
        method, weights = PRIOR, None
    if method is None:
        method = TAMRF if weights is not None or _as_trained_on(series) else PRIOR
    sensors = PUBLISHED.sensors
    if SENTINEL3.name in series:
        sensors = (*sensors, SENTINEL3)
    return get_series_method(method, sensors=sensors, weights=weights)


def _as_trained_on(series: Mapping[str, Series]) -> bool:
    """Whether the shipped network has seen the like: both of its sensors, in one year."""
    years = {day.year for s in series.values() for day in s.dates}
    return set(series) == {s.name for s in PUBLISHED.sensors} and len(years) == 1


def method_area(
    method: SeriesMethod,
    series: Path | str | Mapping[str, Series],
    *,
    days_origin: str | None = None,
    clouds: Clouds = "auto",
) -> Area:
    """The area of series as a method wants it; see :func:`interpolate`."""
    found = series if isinstance(series, Mapping) else open_sensors(series)
    config = method.config
    known = {s.name: found[s.name] for s in config.sensors if s.name in found}
    if ignored := sorted(set(found) - set(known)):
        _log.warning("%s knows no %s, which is left out", method.name, ", ".join(ignored))
    if not known:
        raise DataError(
            f"series of {', '.join(sorted(found)) or 'no sensor'}, none of which the network knows",
            fix=f"give series of {' or '.join(s.name for s in config.sensors)}",
        )
    for images in known.values():
        for source in images.sources:
            require_plausible(source)
    withhold = method.withhold if clouds == "auto" else clouds == "withhold"
    how = days_origin or method.origin
    origin = None
    if how == "january":
        origin = date(min(s.dates[0] for s in known.values()).year, 1, 1)
    elif how != "first":
        origin = parse_date(how)
    return open_area(config, known, origin=origin, blank=withhold)


def _plan(area: Area, job: Job, budget: float) -> tuple[int, bool]:
    """Edge of the blocks, and whether their features go to disk."""
    counts = (len(job.dates), len(job.bands) + 2)
    side = block_side(area, *counts, budget, dtype=job.features)
    if side >= min(SMALLEST_BLOCK, *area.grid.shape):
        return side, False
    return block_side(area, *counts, budget, on_disk=True, dtype=job.features), True


def _open_manifest(
    out: Path, job: Job, record: Mapping[str, Any], overwrite: bool
) -> tuple[Manifest, list[Unit]]:
    """The record of the folder, with the dates of earlier runs."""
    config = {
        "format": "trifuse-interpolation",
        "crs": job.grid.crs,
        "transform": list(job.grid.transform),
        "shape": list(job.grid.shape),
        "bands": list(job.bands),
        "dtype": job.dtype,
        "features": job.features,
        "origin": record["days_origin"],
        "clouds": record["clouds"],
        "weights": job.method.identity,
        "series": job.identity,
    }
    earlier: set[str] = set()
    if (out / MANIFEST).exists() and not overwrite:
        old = Manifest.load(out)
        earlier = (
            set(old.planned) if fingerprint(dict(old.config)) == fingerprint(config) else set()
        )
    ids = {day.isoformat() for day in job.dates}
    wanted = [k for k, on in ((QUALITY, job.quality), (STD, job.uncertainty)) if on]
    ids |= {f"{day} {kind}" for day in job.dates for kind in wanted}
    manifest = Manifest.open(out, config, sorted(ids | earlier), overwrite=overwrite)
    units = []
    for name in sorted(ids | earlier):
        day, _, kind = name.partition(" ")
        deviates = f"{day} {STD}" in ids | earlier
        if not kind and deviates and f"{day} {STD}" not in manifest.done:
            manifest.done.pop(name, None)  # its record has to name the deviations
        units.append(
            Unit(
                name,
                f"{day}_{kind}.tif" if kind else f"{day}.tif",
                (date.fromisoformat(day), kind, deviates),
            )
        )
    return manifest, units


def _open_work(
    folder: Path, job: Job, side: int, config: Mapping[str, Any]
) -> tuple[Job, Manifest]:
    """The record of the blocks.

    Those of an interrupted run are used if they hold all dates that are missing; so it ends with
    the same bytes. Others are thrown away.
    """
    dates = [d.isoformat() for d in job.dates]
    ids = [f"{b.row} {b.col}" for b in blocks(job.area, side)]
    beside = {"quality": job.quality, "uncertainty": job.uncertainty}
    if (folder / MANIFEST).is_file():
        old = Manifest.load(folder).config
        there = list(old.get("dates", []))
        known = {k: v for k, v in old.items() if k not in ("dates", *beside)}
        has = {k: bool(old.get(k, False)) for k in beside}
        enough = all(has[k] or not wanted for k, wanted in beside.items())
        if known == {**config, "side": side} and set(dates) <= set(there) and enough:
            job = job.only({date.fromisoformat(d) for d in there})
            job = replace(job, quality=has["quality"], uncertainty=has["uncertainty"])
            return job, Manifest.open(folder, old, ids)
        shutil.rmtree(folder)
    return job, Manifest.open(folder, {**config, "side": side, **beside, "dates": dates}, ids)


def _record(area: Area, job: Job, parts: int) -> dict[str, Any]:
    grid: Grid = area.grid
    inputs = {
        s.name: {
            "product": f"{s.name} series",
            "dates": len(area.series[s.name]),
            "first": area.series[s.name].dates[0].isoformat(),
            "last": area.series[s.name].dates[-1].isoformat(),
        }
        for s in area.sensors
    }
    return {
        "kind": "interpolated",
        "method": job.method.name,
        "bands": list(job.bands),
        "height": grid.height,
        "width": grid.width,
        "crs": grid.crs,
        "blocks": parts,
        "days_origin": area.origin.isoformat(),
        "clouds": "withheld" if area.blank else "shown",
        "features": job.features,
        "inputs": inputs,
        "model": dict(job.method.record),
    }


def _tell_limits(area: Area, days: Sequence[date]) -> None:
    first = min(s.dates[0] for s in area.series.values())
    last = max(s.dates[-1] for s in area.series.values())
    if outside := [d for d in days if not first <= d <= last]:
        _log.warning(
            "%d of %d dates lie outside the series (%s to %s): they are guesses",
            len(outside),
            len(days),
            first,
            last,
        )
    if (last - first).days > 366:
        _log.warning(
            "the series spans %d days; networks are trained on a year at most", (last - first).days
        )


def _report_absent(method: SeriesMethod, area: Area) -> None:
    for sensor in method.config.sensors:
        if sensor.name not in area.series:
            how = "predicted from the others" if method.fills_absent else "missing"
            _log.warning("there is no series of %s: its bands are %s", sensor.name, how)


def _finish(
    out: Path, job: Job, manifest: Manifest, record: dict[str, Any], animation: bool
) -> Interpolated:
    """Index, moving picture and the record of the folder."""
    days = tuple(sorted(date.fromisoformat(k) for k in manifest.planned if " " not in k))
    files = tuple(manifest.path(k) for k in manifest.planned)
    record["median_days_to_clear"] = {
        d.isoformat(): manifest.done[f"{d} {QUALITY}"]["median_days"]
        for d in days
        if f"{d} {QUALITY}" in manifest.done
    }
    record["dates"] = [d.isoformat() for d in days]
    write_index(out, job.method.name, job.band_set, days, overwrite=True)
    if animation and can_animate():
        frames = [(d.isoformat(), open_geotiff(out / f"{d}.tif")) for d in days]
        write_animation(out / "series.gif", frames, overwrite=True)
    elif animation:
        _log.info("no moving picture: Pillow is not installed (pip install 'trifuse[plot]')")
    write_json(out / "record.json", {"software": software(), **record}, overwrite=True)
    return Interpolated(out, days, job.bands, record, files)
