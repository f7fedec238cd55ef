"""Fuse a Sentinel-2 and a Sentinel-3 image into a product: open, compute, check, write."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import (
    Band,
    BandSet,
    ConfigError,
    Cube,
    CubeSource,
    DataError,
    Grid,
    MetadataError,
    Window,
    refuse_existing,
)
from trifuse.core.runtime import Runtime
from trifuse.core.workers import require_place
from trifuse.flows.adapt import adapt_view, adaptation_text, require_adaptable
from trifuse.flows.coregister import coregister as place_s3
from trifuse.flows.coregister import registration_text
from trifuse.flows.fuse_record import (
    about_record,
    pairing_record,
    restoration_text,
    selfcheck_text,
    settings_record,
)
from trifuse.flows.fuse_units import identity_of, place_of_work
from trifuse.flows.inputs import Image, provenance
from trifuse.flows.match import Box, match
from trifuse.fusion import Method, SelfCheck, fuse_cube, fuse_target, get_method
from trifuse.fusion import fuse as fuse_stream
from trifuse.fusion.ranks import on_ranks
from trifuse.products import cube_writer, open_cube, write_quicklook, write_sidecar, write_stac_item

STRANGE = "strange"
"""Band of the uncertainty file: above 1, a pixel's spectrum is unlike all that is known."""


DEFAULT = "refined"
"""Method where none is given."""


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
        deviation: standard deviations, if asked for and kept in memory; see :func:`fuse`.
    """

    path: Path | None
    cube: Cube | None
    selfcheck: SelfCheck | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    pairing: str = ""
    deviation: Cube | None = None

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [
            f"{r['method']}: {r['height']}×{r['width']} pixels, {len(r['bands'])} bands, "
            f"ratio {r['ratio']}",
            self.pairing,
            registration_text(r["registration"]),
            *restoration_text(r.get("about", {}).get("restoration")),
            *adaptation_text(r.get("adaptation")),
        ]
        if self.selfcheck is None:
            return "\n".join([*lines, "dry run: nothing was written"])
        if r["consistency"]["mode"] == "exact":
            before, after = (r["consistency"][f"rmse_{when}"] for when in ("before", "after"))
            lines.append(f"projected onto Sentinel-3: RMSE {before:.5f} before, {after:.1e} after")
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
    sharpness: str | None = None,
    s2_noise: float | None = None,
    s3_noise: float | None = None,
    adapt: float | None = None,
    consistency: Literal["noise", "exact"] = "noise",
    uncertainty: bool = False,
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
        method: ``bicubic``, ``regression``, ``network`` or a method of :mod:`trifuse.fusion`;
            default: ``network`` if weights are given, else ``refined``.
        weights: safetensors of a trained network; with ``refined``: of the one that refines its
            bands in place of that which comes along, or ``none`` for no network.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency.
        sharpness: of S2's bands, for methods that restore them: ``auto`` (the default) goes by
            the metadata, checked against the pixels; ``sharp`` restores nothing; ``1:2:6`` are
            pixels per native pixel of the 10 m, 20 m and 60 m bands.
        s2_noise: standard deviation of S2's noise (reflectance), for such methods.
        s3_noise: of S3's; default: told by what S2 does not explain.
        adapt: seconds for which the network of ``refined`` is trained on the scene itself, one
            scale down; the better of with and without is kept. Other seconds, or another machine,
            give other pixels.
        consistency: ``noise`` leaves it to the method how far to believe S3; ``exact`` makes the
            result degrade to S3 (keep it exact in the file by ``dtype="float32"``).
        uncertainty: also make the standard deviation of each band at each pixel, and a band
            ``strange`` that exceeds 1 where a spectrum is unlike all that the method knows;
            written as ``<out>_std.tif``.
        coregister: ``auto`` looks for a shift of S3 against S2 and heeds it if it is reliable,
            at least 0.05 S3 cells and at least three times its standard error, and else changes
            nothing; methods that restore S2 heed less, and the width of the PSF too;
            ``off`` does not look; (east, north) in metres by which S3 has to be moved.
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
            see :func:`trifuse.flows.match.match`, :func:`trifuse.fusion.fuse` and
            :func:`trifuse.products.cube_writer`.
        MetadataError: if an image holds something else than surface reflectance.
        BandError: if S3 lacks one of the bands asked for.
        ConfigError: if ``coregister``, an area or an option of the fusion is out of range.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107.
    """
    require_place(jobs, scheduler)
    how = choose_method(method, weights, sharpness=sharpness, s2_noise=s2_noise, s3_noise=s3_noise)
    require_adaptable(how, adapt)
    path = None if out is None else Path(out)
    if path is not None:
        picture = [path.with_suffix(".png")] if quicklook else []
        beside = [std_path(path)] if uncertainty else []
        refuse_existing(path, *picture, *beside, overwrite=overwrite)
    options: dict[str, Any] = {
        "method": how,
        "tile": tile,
        "overlap": overlap,
        "preset": preset,
        "device": device,
        "precision": precision,
        "compile": compile,
        "consistency": consistency,
    }
    with match(s2, s3, bbox=bbox, like=like) as matched:
        sharp, coarse = matched.s2, matched.s3
        _require_reflectance(sharp, coarse)
        if bands is not None:
            coarse = coarse.select(bands)
        grid, made, ratio = fuse_target(sharp, coarse, method=how)
        psf = matched.psf(mtf)
        pairing = pairing_record(matched, how)
        record: dict[str, Any] = {
            "kind": "fused",
            "method": how.name,
            "ratio": ratio,
            "mtf_at_nyquist": mtf,
            "psf_sigma_cells": psf.sigma,
            "pair": pairing,
            "uncertainty": uncertainty,
            "settings": settings_record(how),
            "height": grid.height,
            "width": grid.width,
            "crs": grid.crs,
            "bands": made.to_json(),
            "inputs": {
                "s2": {**provenance(s2, content=not dry_run), **about_record(sharp)},
                "s3": {**provenance(s3, content=not dry_run), **about_record(coarse)},
            },
            "model": how.model_record(weights),
            "registration": {"mode": "not run"},
        }
        text = "\n".join([matched.text, *(f"warning: {w}" for w in pairing["instrument"])])
        if dry_run:
            return Fused(path, None, None, record, pairing=text)
        start = time.perf_counter()
        view = how.view(sharp, Runtime(device, precision))
        record["model"] = how.model_record(weights, view)
        place = place_s3(view.source, coarse, how, psf, coregister)
        record["registration"], record["psf_sigma_cells"] = place.record, place.psf.sigma
        registered = time.perf_counter() - start
        options |= {"psf": place.psf, "shift": place.shift}
        told: dict[str, Any] = {}
        if adapt is not None:
            view, told = adapt_view(how, view, sharp, coarse, place, adapt, device=device)
        adapted = time.perf_counter() - start - registered
        changed = {"weights": told.get("weights_sha256"), **options}
        identity = identity_of(s2, s3, method, grid, record, changed)
        record |= {"adaptation": told} if told else {}
        meta = {
            "method": how.name,
            "ratio": ratio,
            "s2": sharp.name,
            "s3": coarse.name,
            "registration": record["registration"],
            "psf_sigma_cells": place.psf.sigma,
        }
        if when := sharp.meta.get("start_time"):
            meta["start_time"] = when
        cube = deviation = None
        with ExitStack() as stack:
            options |= stack.enter_context(
                place_of_work(path, identity, jobs=jobs, scheduler=scheduler)
            )
            if uncertainty:
                planes = BandSet((*made, Band(STRANGE)))
                if path is None:
                    deviation, options["uncertainty"] = _memory(planes, grid)
                else:
                    options["uncertainty"] = stack.enter_context(
                        cube_writer(
                            std_path(path),
                            grid,
                            planes,
                            dtype="float32",
                            meta={**meta, "quantity": "standard deviation"},
                            overwrite=overwrite,
                        )
                    ).write
            if path is None:
                cube, result = fuse_cube(view, coarse, **options)
                cube = cube.with_meta(meta)
            else:
                writer = stack.enter_context(
                    cube_writer(path, grid, made, dtype=dtype, meta=meta, overwrite=overwrite)
                )
                result = fuse_stream(view, coarse, writer.write, **options)
    timings = {"registration": registered, "adaptation": adapted, **result.timings}
    timings["total"] += registered + adapted
    record |= {
        "selfcheck": result.selfcheck.to_json(),
        "timings": timings,
        "consistency": result.consistency.to_json(),
        "about": dict(result.about),
    }
    files: tuple[Path, ...] = ()
    if path is not None:
        beside = [std_path(path)] if uncertainty else []
        files = (path, *beside, *_companions(path, record, quicklook))
    return Fused(path, cube, result.selfcheck, record, files, text, deviation)


def std_path(path: Path) -> Path:
    """File of the standard deviations beside a fused image."""
    return path.with_name(f"{path.stem}_std{path.suffix}")


def _memory(bands: BandSet, grid: Grid) -> tuple[Cube, Callable[..., None]]:
    """A cube, and what fills it window by window."""
    cube = Cube(
        np.full((len(bands), *grid.shape), np.nan, np.float32),
        np.zeros(grid.shape, np.bool_),
        bands,
        grid,
        {"quantity": "standard deviation"},
    )

    def keep(window: Window, values: np.ndarray, valid: np.ndarray) -> None:
        rows, cols = window.slices
        cube.data[:, rows, cols], cube.valid[rows, cols] = values, valid

    return cube, keep


def _require_reflectance(*sources: CubeSource) -> None:
    """Radiance, and reflectance at the top of the atmosphere, are not what the methods expect."""
    for source in sources:
        if (quantity := source.meta.get("quantity", "reflectance")) != "reflectance":
            raise MetadataError(
                f"holds {quantity}", where=source.name, fix="give level 2 surface reflectance"
            )


def choose_method(
    method: Method | str | None, weights: Path | str | None, **options: Any
) -> Method:
    """The method that the arguments of :func:`fuse` stand for.

    Args:
        method: a name or a method.
        weights: of a network.
        options: fields of the method; those that are None are left as they are.

    Raises:
        ConfigError: if the method has no such field.
    """
    if method is None:
        method = "network" if weights is not None else DEFAULT
    if not isinstance(method, str) and weights is not None:
        raise DataError("both a method and weights are given", fix="leave out one of them")
    how = get_method(method, weights) if isinstance(method, str) else method
    given = {k: v for k, v in options.items() if v is not None}
    known: set[str] = {f.name for f in fields(how) if f.init} if is_dataclass(how) else set()
    if unknown := sorted(set(given) - known):
        raise ConfigError(f"method {how.name} has no {', '.join(unknown)}", fix="take physics")
    return replace(how, **given) if given else how  # type: ignore[type-var]


def _companions(path: Path, record: Mapping[str, Any], quicklook: bool) -> list[Path]:
    """Quicklook, STAC Item and, last of all, the sidecar that marks the product as complete."""
    picture = path.with_suffix(".png") if quicklook else None
    with open_cube(path) as source:
        if picture is not None:
            write_quicklook(picture, source, overwrite=True)
        item = write_stac_item(path, source, record, quicklook=picture)
    files = [f for f in (picture, item) if f is not None]
    return [*files, write_sidecar(path, record)]
