"""Fuse a Sentinel-2 and a Sentinel-3 image into a product: open, compute, check, write."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trifuse.align import register
from trifuse.core import (
    PSF,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    MetadataError,
    refuse_existing,
    sha256,
)
from trifuse.core.resample import NO_SHIFT
from trifuse.fusformer import (
    Method,
    Network,
    SelfCheck,
    fuse_cube,
    fuse_target,
    get_method,
)
from trifuse.fusformer import fuse as fuse_stream
from trifuse.fusformer.ranks import on_ranks
from trifuse.fusformer.scene import SelectedBands
from trifuse.fusing_units import identity_of, place_of_work
from trifuse.inputs import Image, provenance
from trifuse.matching import Box, Match, match, other_instrument
from trifuse.products import (
    cube_writer,
    open_cube,
    write_quicklook,
    write_sidecar,
    write_stac_item,
)
from trifuse.srf_data import load, names

MAX_GIVEN = 5
"""Sentinel-3 cells that a shift given by hand may have."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Fused:
    """A fused image.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the image; None if it was written.
        selfcheck: its agreement with the Sentinel-3 input; None for a dry run.
        record: what the sidecar says: inputs, pairing, shift found, method, self-check, timings.
        files: everything that was written.
        pairing: how the two images go together, in words.
    """

    path: Path | None
    cube: Cube | None
    selfcheck: SelfCheck | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    pairing: str = ""

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [
            f"{r['method']}: {r['height']}×{r['width']} pixels, {len(r['bands'])} bands, "
            f"ratio {r['ratio']}",
            self.pairing,
            registration_text(r["registration"]),
        ]
        if self.selfcheck is None:
            return "\n".join([*lines, "dry run: nothing was written"])
        lines += [selfcheck_text(self.selfcheck), f"took {r['timings']['total']:.1f} s"]
        return "\n".join([*lines, *(f"wrote {f}" for f in self.files)])


@on_ranks
def fuse(
    s2: Image,
    s3: Image,
    out: Path | str | None = None,
    *,
    method: Method | str | None = None,
    weights: Path | str | None = None,
    mtf: float = 0.3,
    coregister: Literal["auto", "off"] | tuple[float, float] = "auto",
    bbox: Box | None = None,
    like: Image | None = None,
    bands: Sequence[str] | None = None,
    tile: int | None = None,
    overlap: int | None = None,
    preset: Literal["paper"] | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    dtype: Literal["int16", "float32"] = "int16",
    quicklook: bool = True,
    compile: bool = False,
    jobs: int = 1,
    scheduler: str | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Fused:
    """Give a Sentinel-3 image the pixels of a Sentinel-2 image.

    Args:
        s2: sharp bands (HrMSI): path (also of a .SAFE product), source or cube.
        s3: coarse bands (LrHSI): a .SEN3 product, which is brought onto cells nested in S2's
            pixels, or an image on such a grid, at any integer ratio.
        out: GeoTIFF to write (cloud-optimised, with a sidecar and a quicklook); None keeps the
            result in memory.
        method: ``bicubic``, ``regression``, ``network`` or a method of :mod:`trifuse.fusformer`;
            default: ``network`` if weights are given, else ``regression``.
        weights: safetensors of a trained network.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency.
        coregister: ``auto`` looks for a shift of S3 against S2 and heeds it if it is reliable,
            at least 0.05 S3 cells and at least three times its standard error, and else changes
            nothing; ``off`` does not look; (east, north) in metres by which S3 has to be moved.
        bbox: area to fuse, (west, south, east, north) in degrees; default: what both show.
        like: an image whose ground is fused, in place of ``bbox``.
        bands: of S3 to make; default: all it has, or those of the network.
        tile: edge of a tile in pixels.
        overlap: blended pixels between tiles.
        preset: ``paper`` is tiles of 150 pixels blended over 20.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16`` or ``16``.
        dtype: of the file: ``int16`` in counts of 1e-4, or ``float32``.
        quicklook: also write ``<out>.png``.
        compile: send networks through ``torch.compile``.
        jobs: processes that compute the tiles.
        scheduler: address of a running Dask scheduler whose workers compute them, in place of
            ``jobs``; they see inputs and output under the same paths.
        overwrite: replace an output that exists.
        dry_run: open and check the inputs only.

    A written product is a cloud-optimised GeoTIFF with a quicklook, a STAC Item (if the products
    tell their time) and a sidecar.

    Wherever the tiles are computed, the product is the same. Started by ``torchrun``, every
    process computes its share of them on a GPU of its own, and the first one writes.

    Returns:
        The image or its path, with the paper's self-check: degraded to the coarse cells and
        compared with the Sentinel-3 input.

    Raises:
        OutputExistsError, GridError, OverlapError, WeightsError, DataError, ProductError:
            see :func:`trifuse.matching.match`, :func:`trifuse.fusformer.fuse` and
            :func:`trifuse.products.cube_writer`.
        MetadataError: if an image holds something else than surface reflectance.
        BandError: if S3 lacks one of the bands asked for.
        ConfigError: if ``coregister``, an area or an option of the fusion is out of range.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107.
    """
    how = choose_method(method, weights)
    path = None if out is None else Path(out)
    if path is not None:
        picture = [path.with_suffix(".png")] if quicklook else []
        refuse_existing(path, *picture, overwrite=overwrite)
    options: dict[str, Any] = {
        "method": how, "tile": tile, "overlap": overlap, "preset": preset, "device": device,
        "precision": precision, "compile": compile,
    }  # fmt: skip
    with match(s2, s3, bbox=bbox, like=like) as matched:
        sharp, coarse = matched.s2, matched.s3
        _require_reflectance(sharp, coarse)
        if bands is not None:
            coarse = SelectedBands(coarse, bands)
        grid, made, ratio = fuse_target(sharp, coarse, method=how)
        psf = matched.psf(mtf)
        pairing = _pairing(matched, how)
        record: dict[str, Any] = {
            "kind": "fused", "method": how.name, "ratio": ratio, "mtf_at_nyquist": mtf,
            "psf_sigma_cells": psf.sigma, "pair": pairing,
            "height": grid.height, "width": grid.width, "crs": grid.crs, "bands": made.to_json(),
            "inputs": {"s2": {**provenance(s2, content=not dry_run), **_about(sharp)},
                       "s3": {**provenance(s3, content=not dry_run), **_about(coarse)}},
            "model": _model(how, weights), "registration": {"mode": "not run"},
        }  # fmt: skip
        text = "\n".join([matched.text, *(f"warning: {w}" for w in pairing["instrument"])])
        if dry_run:
            return Fused(path, None, None, record, pairing=text)
        start = time.perf_counter()
        shift, record["registration"] = _register(matched, how, psf, coregister)
        registered = time.perf_counter() - start
        options |= {"psf": psf, "shift": shift}
        identity = identity_of(s2, s3, method, grid, record, options)
        meta = {
            "method": how.name, "ratio": ratio, "s2": sharp.name, "s3": coarse.name,
            "registration": record["registration"], "psf_sigma_cells": psf.sigma,
        }  # fmt: skip
        if when := sharp.meta.get("start_time"):
            meta["start_time"] = when
        cube = None
        with place_of_work(path, identity, jobs=jobs, scheduler=scheduler) as place:
            options |= place
            if path is None:
                cube, result = fuse_cube(sharp, coarse, **options)
            else:
                with cube_writer(
                    path, grid, made, dtype=dtype, meta=meta, overwrite=overwrite
                ) as writer:
                    result = fuse_stream(sharp, coarse, writer.write, **options)
    timings = {"registration": registered, **result.timings}
    timings["total"] += registered
    record |= {"selfcheck": result.selfcheck.to_json(), "timings": timings}
    files: tuple[Path, ...] = ()
    if path is not None:
        files = (path, *_companions(path, record, quicklook))
    return Fused(path, cube, result.selfcheck, record, files, text)


def _require_reflectance(*sources: CubeSource) -> None:
    """Radiance, and reflectance at the top of the atmosphere, are not what the methods expect."""
    for source in sources:
        if (quantity := source.meta.get("quantity", "reflectance")) != "reflectance":
            raise MetadataError(
                f"holds {quantity}", where=source.name, fix="give level 2 surface reflectance"
            )


def choose_method(method: Method | str | None, weights: Path | str | None) -> Method:
    """The method that the arguments of :func:`fuse` stand for."""
    if method is None:
        method = "network" if weights is not None else "regression"
    if isinstance(method, str):
        return get_method(method, weights)
    if weights is not None:
        raise DataError("both a method and weights are given", fix="leave out one of them")
    return method


def selfcheck_text(check: SelfCheck) -> str:
    """The self-check in one line."""
    ssim = "" if math.isnan(check.ssim) else f", SSIM {check.ssim:.4f}"
    return (
        f"seen by Sentinel-3 again: RMSE {check.rmse:.5f}, Euclidean {check.euclidean:.5f}, "
        f"cosine {check.cosine:.6f}{ssim} over {check.cells} of {check.of} cells"
    )


def registration_text(record: Mapping[str, Any]) -> str:
    """What was done about a shift of Sentinel-3, in one line."""
    if record["mode"] in ("off", "not run"):
        return f"co-registration: {record['mode']}"
    east, north = (record["shift_metres"][k] or 0.0 for k in ("east", "north"))
    if record["mode"] == "given":
        return f"co-registration: as given, Sentinel-3 moved {east:g} m east, {north:g} m north"
    if not record["reliable"]:
        return f"co-registration: none found to rely on ({record['reason']}); nothing moved"
    found = f"{east:.0f} m east, {north:.0f} m north ({record['shift_cells']:.3f} cells)"
    if not record["significant"]:
        return f"co-registration: {found} is no significant shift; nothing moved"
    return f"co-registration: Sentinel-3 moved {found}"


def _register(
    matched: Match, how: Method, psf: PSF, coregister: str | tuple[float, float]
) -> tuple[tuple[float, float], dict[str, Any]]:
    """The shift (rows, columns) to fuse with, and what to say of it."""
    if coregister == "off":
        return NO_SHIFT, {"mode": "off", "shift_pixels": [0.0, 0.0]}
    (high, wide), ratio = matched.s2.grid.gsd, matched.pair.ratio
    if not isinstance(coregister, str):
        east, north = map(float, coregister)
        shift = (-north / high, east / wide)
        if not math.hypot(*shift) <= MAX_GIVEN * ratio:  # also refuses NaN
            raise ConfigError(f"a shift of {east:g} m east and {north:g} m north",
                              fix=f"give at most {MAX_GIVEN} Sentinel-3 cells")  # fmt: skip
        return shift, {
            "mode": "given", "shift_metres": {"east": east, "north": north},
            "shift_pixels": list(shift),
        }  # fmt: skip
    if coregister != "auto":
        raise ConfigError(f"coregister {coregister!r}", fix="give auto, off or east,north metres")
    hr, lr = how.bands(matched.s2.bands, matched.s3.bands)
    found = register(SelectedBands(matched.s2, hr), SelectedBands(matched.s3, lr), psf=psf)
    found_json = found.to_json()
    applied = found.applied
    return applied, {
        "mode": "auto", **found_json, "found_pixels": found_json["shift_pixels"],
        "shift_pixels": list(applied),
    }  # fmt: skip


def _pairing(matched: Match, how: Method) -> dict[str, Any]:
    """What is known of the pair, with bands that are not those the network was made for."""
    instrument = []
    if isinstance(how, Network):
        for image, source, bands in (("Sentinel-2", matched.s2, how.card.hr_bands),
                                     ("Sentinel-3", matched.s3, how.card.lr_bands)):  # fmt: skip
            if text := other_instrument(source.bands, bands, f"{image}: the network expects"):
                instrument.append(text)
                _log.warning("%s", text)
    return {**matched.to_json(), "instrument": instrument}


def _about(source: CubeSource) -> dict[str, Any]:
    """What a record says of an opened input."""
    sensor = str(source.meta.get("sensor", ""))
    facts = {k: source.meta.get(k) for k in ("start_time", "baseline", "calibration", "mask")}
    return {
        "product": source.name, "sensor": sensor or None,
        "srf_issue": load(sensor).issue if sensor in names() else None,
        **{k: v for k, v in facts.items() if v is not None},
    }  # fmt: skip


def _model(how: Method, weights: Path | str | None) -> dict[str, Any] | None:
    if not isinstance(how, Network):
        return None
    digest = {"sha256": sha256(weights)} if weights is not None else {}
    return {**how.card.to_json(), **digest}


def _companions(path: Path, record: Mapping[str, Any], quicklook: bool) -> list[Path]:
    """Quicklook, STAC Item and, last of all, the sidecar that marks the product as complete."""
    picture = path.with_suffix(".png") if quicklook else None
    with open_cube(path) as source:
        if picture is not None:
            write_quicklook(picture, source, overwrite=True)
        item = write_stac_item(path, source, record, quicklook=picture)
    files = [f for f in (picture, item) if f is not None]
    return [*files, write_sidecar(path, record)]
