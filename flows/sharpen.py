"""Bring the 20 m and 60 m bands of Sentinel-2 to 10 m: open, learn, restore, write."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from trifuse.core import (
    Box,
    Cube,
    CubeSource,
    DataError,
    MetadataError,
    TilePlan,
    Window,
    progress,
    refuse_existing,
    writes,
)
from trifuse.flows.area import window_of
from trifuse.flows.inputs import Image, gives_xarray, provenance, result_array
from trifuse.flows.reflectance import open_reflectance
from trifuse.products import cube_writer, require_plausible
from trifuse.products.write.companions import write_companions
from trifuse.restore import RestoredView, Sharpness, get_sharpener
from trifuse.restore.agreed import agreed
from trifuse.restore.scene_sampling import SceneSampling, by_names, scene_sampling
from trifuse.restore.sharpness_check import native_class

TILE = 512


if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True, slots=True, repr=False)
class Sharpened:
    """An image with all bands on, and as sharp as, its finest pixels.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the image; None if it was written.
        record: what the sidecar says: sharpness told and found, method, expected errors.
        files: everything that was written.
    """

    path: Path | None
    cube: Cube | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        done = [n for n, s in r["sharpness"].items() if s["ratio"] > 1]
        lines = [
            f"{r['method']}: {r['height']}×{r['width']} pixels, {len(r['bands'])} bands; "
            f"sharpened {', '.join(done) or 'none'}"
        ]
        lines += r["sampling"]["lines"]
        lines += [f"warning: {w}" for w in r["warnings"]]
        if expected := r.get("expected_error"):
            worst = max(expected, key=expected.__getitem__)
            mean = sum(expected.values()) / len(expected)
            lines.append(f"error expected: {mean:.4f} on average, {expected[worst]:.4f} in {worst}")
        if "timings" not in r:
            return "\n".join([*lines, "dry run: nothing was written"])
        return "\n".join(
            [*lines, f"took {r['timings']['total']:.1f} s", *(f"wrote {f}" for f in self.files)]
        )

    def to_xarray(self) -> xarray.DataArray:
        """The image with labels, (band, y, x); a written one is read block by block."""
        return result_array(self.cube, self.path, self.record)

    def __repr__(self) -> str:
        shown = repr(self.cube) if self.path is None else repr(str(self.path))
        return f"Sharpened({shown}, {self.record['method']})"


@gives_xarray
@writes("image")
def sharpen(
    image: Image,
    out: Path | str | None = None,
    *,
    method: str = "restore",
    sharpness: str = "auto",
    bands: Sequence[str] | None = None,
    bbox: Box | None = None,
    noise: float | None = None,
    mtf: float | None = None,
    denoise: bool = False,
    force: bool = False,
    device: str = "auto",
    dtype: Literal["int16", "float32"] = "int16",
    quicklook: bool = True,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Sharpened:
    """Bring all bands of an image to the sharpness of its pixels.

    Args:
        image: a Sentinel-2 product, or an image of bands named like Sentinel-2's on pixels of
            10 m. Bands that are left out cannot help the others. Of what xarray has opened, a
            DataArray (band, y, x) is made.
        out: GeoTIFF to write (cloud-optimised, with a quicklook and a sidecar); None keeps the
            result in memory.
        method: ``restore`` (multi-band restoration), ``injection`` (of the sharp bands' detail),
            ``bicubic`` (interpolation alone), or another of
            :data:`trifuse.restore.SHARPENERS`.
        sharpness: how its bands were sampled: ``auto`` goes by what its reader tells, and looks
            for it in the pixels where nothing is told; ``1:2:6@3,0:nearest`` gives it, and
            ``blur:1.2`` that 20 m and 60 m bands were never sampled coarser but blurred, see
            :func:`trifuse.restore.scene_sampling.parse_sampling`.
        bands: to write (default: all); the others help all the same.
        bbox: area to write, (west, south, east, north) in degrees; what is learned is learned
            from the whole image.
        noise: standard deviation of the noise (reflectance); default: what is found in the
            pixels, or where nothing is found the metadata's, or 0.003.
        mtf: modulation transfer of the 20 m and 60 m bands at their Nyquist frequency; default:
            what is found in the pixels, or where nothing is found the metadata's, or 0.3.
        denoise: also write the restored form of the sharp bands, else they stay as they are.
        force: sharpen even bands that are, by their pixels, sharp already.
        device: ``auto``, ``cpu`` or ``cuda``.
        dtype: of the file: ``int16`` in counts of 1e-4, or ``float32``.
        quicklook: also write ``<out>.png``.
        overwrite: replace an output that exists.
        dry_run: check the input only.

    Returns:
        The image or its path. Pixels that are not valid (clouds) are sharpened like all others
        and stay not valid.

    Raises:
        OutputExistsError: if the output exists and ``overwrite`` is False.
        MetadataError: if it is not known how the bands were sampled.
        DataError: if all bands are as sharp as their pixels, too few pixels are there, or the
            values cannot be reflectance.
        BandError: if a band is missing.
        ProductError: if the image cannot be read.
        ConfigError: if an option is out of range.
    """
    sharpener = get_sharpener(method)
    path = None if out is None else Path(out)
    if path is not None:
        picture = [path.with_suffix(".png")] if quicklook else []
        refuse_existing(path, *picture, overwrite=overwrite)
    start = time.perf_counter()
    with ExitStack() as opened:
        source = opened.enter_context(open_reflectance(image))
        doubts = require_plausible(source)
        sampled = scene_sampling(source, sharpness, mtf=mtf, noise=noise)
        if force and sampled.sharpness is None:
            sampled = scene_sampling(source, by_names(source), mtf=mtf, noise=noise)
        told = _require_sampling(source, sampled)
        names = source.bands.select(source.bands.indices(bands or source.bands.names)).names
        window = source.grid.whole if bbox is None else window_of(source, bbox)
        grid, made = source.grid.window(window), source.bands.select(names)
        record: dict[str, Any] = {
            "kind": "sharpened",
            "method": method,
            "height": grid.height,
            "width": grid.width,
            "crs": grid.crs,
            "bands": made.to_json(),
            "warnings": [],
            "sharpness": told.to_json(source.bands.names),
            "sampling": sampled.to_json(source.bands.names),
            "input": provenance(image, content=not dry_run),
            "doubts": [doubt.to_json() for doubt in doubts],
            "calibration": source.meta.get("calibration"),
        }
        if dry_run:
            return Sharpened(path, None, record)
        known = agreed(source, sampled, mtf=mtf, noise=noise, force=force)
        believed, statistics, check = known.sharpness, known.statistics, known.check
        record["sampling"] = known.sampled.to_json(source.bands.names)
        _require_blurred(believed, source.name)
        view = sharpener(source, believed, statistics, device=device)
        record["check"], record["warnings"] = check.to_json(), check.warnings()
        record["sharpness"] = believed.to_json(source.bands.names)
        if view.deviation is not None:
            blurred = {n for n, s in record["sharpness"].items() if s["ratio"] > 1}
            record["expected_error"] = {
                n: round(view.deviation[n], 5) for n in names if n in blurred or denoise
            }
        learned = time.perf_counter() - start
        there = False
        keep = [n for n in names if believed.ratio[source.bands.index(n)] == 1 and not denoise]
        meta = {**_plain(source), **{k: record[k] for k in ("method", "sharpness")}}
        tiles = TilePlan(grid.height, grid.width, TILE)
        files: tuple[Path, ...] = ()
        if path is None:
            data = np.empty((len(made), *grid.shape), np.float32)
            valid = np.empty(grid.shape, np.bool_)
            for tile in tiles:
                rows, cols = tile.write.slices
                part = _read(source, view, tile.write.shift(window.row, window.col), names, keep)
                data[:, rows, cols], valid[rows, cols] = part.data, part.valid
                there = there or bool(np.isfinite(part.data).any())
            cube = Cube(data, valid, made, grid, meta)
        else:
            with cube_writer(
                path,
                grid,
                made,
                dtype=dtype,
                meta=meta,
                overwrite=overwrite,
                mask=True,
                keep_invalid=True,
            ) as writer:
                for tile in progress(tiles, "sharpen", len(tiles)):
                    at = tile.write.shift(window.row, window.col)
                    part = _read(source, view, at, names, keep)
                    writer.write(tile.write, part.data, part.valid)
                    there = there or bool(np.isfinite(part.data).any())
                if not there:  # before the file gets its name
                    raise _nothing(source.name)
            cube = None
        if not there:
            raise _nothing(source.name)
    total = time.perf_counter() - start
    record["timings"] = {"learn": learned, "total": total}
    if path is not None:
        files = (path, *write_companions(path, record, quicklook=quicklook))
    return Sharpened(path, cube, record, files)


def _nothing(where: str) -> DataError:
    return DataError("no pixel has a value", where=where, fix="give another area or image")


def _require_sampling(source: CubeSource, sampled: SceneSampling) -> Sharpness:
    """What is to be undone.

    Raises:
        MetadataError: if nothing tells how the bands were sampled, neither names nor pixels.
        DataError: if nothing is to be undone.
    """
    if sampled.sharpness is not None:
        return sampled.sharpness
    told = any(gsd is not None for gsd in source.sampling.values("gsd"))
    if not told and all(native_class(n) is None for n in source.bands.names):
        raise MetadataError(
            "does not tell at how many metres its bands were sampled",
            where=source.name,
            fix="give a Sentinel-2 product, or name its bands B1 … B12",
        )
    if sampled.lines and all(f.sure for f in sampled.found):
        raise _spoilt(source.name)
    raise DataError(
        "; ".join(sampled.lines)
        or "no band was sampled coarser than the image's pixels, there is nothing to sharpen",
        where=source.name,
        fix="give a product of 10, 20 and 60 m bands at 10 m, or tell by --sharpness how its "
        "bands were sampled",
    )


def _require_blurred(sharpness: Sharpness, where: str) -> None:
    """Stop where the pixels say that there is nothing to sharpen."""
    if not sharpness.blurred:
        raise _spoilt(where)


def _spoilt(where: str) -> DataError:
    return DataError(
        "all bands are as sharp as their pixels already: to sharpen them would spoil them",
        where=where,
        fix="use it as it is, or force it",
    )


def _read(
    source: CubeSource,
    view: RestoredView,
    window: Window,
    names: Sequence[str],
    keep: Sequence[str],
) -> Cube:
    """A window of the result, with some bands as they were."""
    cube = view.source.read(window, names)
    if keep and view.restored:
        cube.data[cube.bands.indices(keep)] = source.read(window, keep).data
    return cube


def _plain(source: CubeSource) -> dict[str, Any]:
    known = ("start_time", "sensor", "product_id", "level", "tile", "quantity", "baseline")
    return {k: source.meta[k] for k in known if source.meta.get(k) is not None}
