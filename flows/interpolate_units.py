"""The pieces of work of an interpolation: blocks through the method, then images of dates."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import Band, BandSet, Cube, Grid, Unit, Window, atomic_file, fingerprint
from trifuse.core.runtime import Runtime
from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.ndvi import compute_ndvi
from trifuse.products.ndvi_bands import NdviDefinition, define_ndvi
from trifuse.products.series.ls2s2 import SENSORS
from trifuse.products.write.stac import write_stac_item
from trifuse.products.write.writer import cube_writer, write_sidecar
from trifuse.srf_data import load
from trifuse.temporal.area import Area
from trifuse.temporal.block_images import Reading
from trifuse.temporal.calendar import days_since
from trifuse.temporal.config import TamrfConfig
from trifuse.temporal.contract import SeriesMethod
from trifuse.temporal.deviation import block_deviations
from trifuse.temporal.outputs import NDVI, find_channel

ATTENTION = "clear_attention"
"""Name of the band with the share of the attention paid to clear images."""

QUALITY, STD = "quality", "std"
"""Kinds of files beside the image of a date, and the ends of their names."""

UNCERTAINTY = (
    "one standard deviation of each band at each pixel, in its unit; on made series 65 to 89 % of "
    "the errors were within it and 86 to 97 % within 1.96 of it, by days to the nearest clear "
    "image; snow that no image has told of is beyond"
)

WORK = ".work"
"""Folder of the blocks of a run that is not finished."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be predicted.

    Attributes:
        method: by which.
        area: where.
        dates: when.
        bands: what, by name.
        band_set: the same with wavelengths.
        channels: outputs of the method that are needed.
        ndvi: how NDVI is made; None if it is not asked for.
        dtype: of the images.
        features: how features are kept, by methods that have any.
        quality: whether the quality is wanted.
        uncertainty: whether standard deviations are.
    """

    method: SeriesMethod
    area: Area
    dates: tuple[date, ...]
    bands: tuple[str, ...]
    band_set: BandSet
    channels: tuple[int, ...]
    ndvi: NdviDefinition | None
    dtype: Literal["int16", "float32"]
    features: Literal["float32", "float16"]
    quality: bool
    uncertainty: bool = False

    @classmethod
    def of(
        cls,
        method: SeriesMethod,
        area: Area,
        dates: Sequence[date],
        bands: Sequence[str],
        dtype: Literal["int16", "float32"],
        features: Literal["float32", "float16"],
        quality: bool,
        uncertainty: bool = False,
    ) -> Job:
        """Find the channels that some bands need.

        Raises:
            BandError: if the method lacks the bands of an NDVI that is asked for.
        """
        config = method.config
        how = None
        needed = [find_channel(config, b) for b in bands if b != NDVI]
        if NDVI in bands:
            finest = min(config.sensors, key=lambda s: s.ratio)
            how = define_ndvi(wavelengths(config, finest.bands), "s2")
            needed += [find_channel(config, f"{finest.name}:{b}") for b in how.bands]
        band_set = BandSet(tuple(b for n in bands for b in wavelengths(config, [n])))
        return cls(
            method,
            area,
            tuple(dates),
            tuple(bands),
            band_set,
            tuple(dict.fromkeys(needed)),
            how,
            dtype,
            features,
            quality,
            uncertainty,
        )

    @property
    def grid(self) -> Grid:
        """Of the images."""
        return self.area.grid

    @property
    def quality_bands(self) -> tuple[str, ...]:
        """Names of the bands of the quality."""
        days = tuple(f"days_{s.name}" for s in self.area.sensors)
        return (*days, ATTENTION) if self.method.tells_attention else days

    @property
    def identity(self) -> dict[str, Any]:
        """What the series are, so that no other is taken for them."""
        return {
            s.name: fingerprint(
                [
                    [
                        d.isoformat(),
                        source.name,
                        list(source.grid.shape),
                        list(source.grid.transform),
                    ]
                    for d, source in self.area.series[s.name]
                ]
            )
            for s in self.area.sensors
        }

    def only(self, dates: Collection[date]) -> Job:
        """The same for some dates."""
        return replace(self, dates=tuple(sorted(dates)))


def wavelengths(config: TamrfConfig, names: Sequence[str]) -> BandSet:
    """Bands of a method by name, with what is known of their centres and widths."""
    out = []
    for name in names:
        if name == NDVI:
            out.append(Band(NDVI))
            continue
        sensor, band = config.outputs[find_channel(config, name)]
        thermal = band in config.sensor(sensor).thermal
        if thermal or sensor not in SENSORS:
            out.append(Band(name))
            continue
        known = load(SENSORS[sensor][0]).bands
        found = known[known.index(band)]
        out.append(Band(name, found.centre, found.fwhm))
    return BandSet(tuple(out))


def block_unit(
    job: Job, runtime: Runtime, on_disk: bool, unit: Unit, where: Path
) -> dict[str, Any]:
    """Predict all dates of a block: (dates, bands and quality, y, x) float32 into one file."""
    block: Window = unit.payload
    query = days_since(job.area.origin, job.dates)
    job.method.move_to(runtime.torch_device)
    with runtime.computing(), tempfile.TemporaryDirectory(dir=where, prefix=".features-") as folder:
        kept = Path(folder) if on_disk else None
        reading = Reading(dtype=job.features, folder=kept, label="images")
        run = job.method.prepare(job.area, block, reading)
        values, paid = run.predict(query, job.channels, mass=job.quality, label="rows")
        seen = run.images.seen
        gaps = [run.images.gaps(s.name, query) for s in job.area.sensors] if job.quality else []
        doubt = None
        if job.uncertainty:
            doubt = block_deviations(job.method, run.images, query, job.channels)
    planes = _of_bands(job, values, block)
    if doubt is not None:
        planes += _doubt_of_bands(job, values, doubt, planes, block)
    planes += [np.where(seen, g, np.float32(np.nan)) for g in gaps]
    if paid is not None:
        planes.append(paid)
    with atomic_file(where / unit.file, overwrite=True) as sink:
        np.save(sink, np.stack(planes, axis=1))
    return {}


def _of_bands(job: Job, values: np.ndarray, block: Window) -> list[np.ndarray]:
    """The bands that are asked for of the channels that they need: each (dates, y, x)."""
    return [
        _ndvi(job, values, block)
        if name == NDVI
        else values[:, job.channels.index(find_channel(job.method.config, name))]
        for name in job.bands
    ]


def _doubt_of_bands(
    job: Job, values: np.ndarray, doubt: np.ndarray, planes: Sequence[np.ndarray], block: Window
) -> list[np.ndarray]:
    """Standard deviations of the bands that are asked for, missing where these are.

    Those of NDVI are what the deviations of its bands, taken for independent, make of it.
    """
    squares = [np.square(d) for d in _of_bands(job, doubt, block)]
    if NDVI in job.bands:
        at = job.bands.index(NDVI)
        squares[at] = np.zeros_like(planes[at])
        for channel in range(values.shape[1]):
            moved = values.copy()
            moved[:, channel] += doubt[:, channel]
            squares[at] += np.square(_ndvi(job, moved, block) - planes[at])
    return [
        np.where(np.isfinite(plane), np.sqrt(square), np.float32(np.nan))
        for plane, square in zip(planes, squares, strict=True)
    ]


def date_unit(
    job: Job, parts: Sequence[Window], record: Mapping[str, Any], unit: Unit, where: Path
) -> dict[str, Any]:
    """Write the image of a date, its deviations or its quality, from the blocks."""
    day, kind, deviates = unit.payload
    is_quality = kind == QUALITY
    number, count = job.dates.index(day), len(job.bands)
    first = {"": 0, STD: count}.get(kind, count * (1 + job.uncertainty))
    bands = BandSet.of(job.quality_bands) if is_quality else job.band_set
    meta = {
        "date": day.isoformat(),
        "start_time": f"{day}T00:00:00Z",
        "method": job.method.name,
        "quantity": {QUALITY: "quality", STD: "standard deviation"}.get(kind, "reflectance"),
    }
    if is_quality:
        meta["band_units"] = {n: "1" if n == ATTENTION else "d" for n in bands.names}
    counts = [np.zeros(0, np.int64) for _ in job.area.sensors]  # pixels by days, whole ones
    path = where / unit.file
    with cube_writer(
        path, job.grid, bands, dtype="float32" if kind else job.dtype, meta=meta, overwrite=True
    ) as writer:
        for block in parts:
            stored = np.load(where / WORK / f"block_{block.row}_{block.col}.npy", mmap_mode="r")
            last = None if is_quality else first + count
            image = np.array(stored[number, first:last])
            writer.write(block, image)
            if is_quality:
                for i, _ in enumerate(counts):
                    found = np.bincount(image[i][np.isfinite(image[i])].astype(np.int64))
                    size = max(len(found), len(counts[i]))
                    counts[i] = np.pad(counts[i], (0, size - len(counts[i])))
                    counts[i][: len(found)] += found
        saturated = writer.saturated
    about: dict[str, Any] = {"saturated": saturated}
    if is_quality:
        about["median_days"] = {
            s.name: int(np.searchsorted(np.cumsum(c), c.sum() / 2)) if c.sum() else None
            for s, c in zip(job.area.sensors, counts, strict=True)
        }
    elif not kind:
        own = {**record, "date": day.isoformat(), "saturated": saturated}
        beside = path.with_name(f"{day}_{STD}.tif") if deviates else None
        if beside is not None:
            own["uncertainty"] = {"file": beside.name, "what": UNCERTAINTY}
        with open_geotiff(path) as source:
            write_stac_item(path, source, own, deviation=beside)
        write_sidecar(path, own)
    return about


def _ndvi(job: Job, values: np.ndarray, block: Window) -> np.ndarray:
    """NDVI of the predicted bands: (dates, y, x)."""
    assert job.ndvi is not None
    config = job.method.config
    finest = min(config.sensors, key=lambda s: s.ratio)
    at = [job.channels.index(find_channel(config, f"{finest.name}:{b}")) for b in job.ndvi.bands]
    bands = BandSet.of(job.ndvi.bands)
    grid = job.grid.window(block)
    out = []
    for image in values[:, at]:
        valid = np.isfinite(image).all(axis=0)
        out.append(compute_ndvi(Cube(np.ascontiguousarray(image), valid, bands, grid), job.ndvi)[0])
    return np.stack(out)
