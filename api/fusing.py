"""Fuse a Sentinel-2 and a Sentinel-3 image into a product: open, compute, check, write."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trifuse.core import PSF, Cube, DataError, refuse_existing
from trifuse.fusformer import (
    Method,
    Network,
    SelfCheck,
    fuse_cube,
    fuse_target,
    get_method,
)
from trifuse.fusformer import fuse as fuse_stream
from trifuse.inputs import Image, as_source, provenance
from trifuse.products import cube_writer, open_cube, write_quicklook, write_sidecar


@dataclass(frozen=True, slots=True)
class Fused:
    """A fused image.

    Attributes:
        path: the GeoTIFF; None if it was kept in memory.
        cube: the image; None if it was written.
        selfcheck: its agreement with the Sentinel-3 input; None for a dry run.
        record: what the sidecar says: inputs, method, self-check, timings.
        files: everything that was written.
    """

    path: Path | None
    cube: Cube | None
    selfcheck: SelfCheck | None
    record: Mapping[str, Any] = field(default_factory=dict)
    files: tuple[Path, ...] = ()

    @property
    def text(self) -> str:
        """A few lines for a terminal."""
        r = self.record
        lines = [
            f"{r['method']}: {r['height']}×{r['width']} pixels, {len(r['bands'])} bands, "
            f"ratio {r['ratio']}"
        ]
        if self.selfcheck is None:
            return "\n".join([*lines, "dry run: nothing was written"])
        lines += [selfcheck_text(self.selfcheck), f"took {r['timings']['total']:.1f} s"]
        return "\n".join([*lines, *(f"wrote {f}" for f in self.files)])


def fuse(
    s2: Image,
    s3: Image,
    out: Path | str | None = None,
    *,
    method: Method | str | None = None,
    weights: Path | str | None = None,
    mtf: float = 0.3,
    tile: int | None = None,
    overlap: int | None = None,
    preset: Literal["paper"] | None = None,
    device: str = "auto",
    precision: Literal["32", "bf16", "16"] = "32",
    dtype: Literal["int16", "float32"] = "int16",
    quicklook: bool = True,
    overwrite: bool = False,
    dry_run: bool = False,
) -> Fused:
    """Give a Sentinel-3 image the pixels of a Sentinel-2 image.

    Args:
        s2: sharp bands (HrMSI): path, source or cube.
        s3: coarse bands (LrHSI) on a grid nested to S2's, at any integer ratio.
        out: GeoTIFF to write (cloud-optimised, with a sidecar and a quicklook); None keeps the
            result in memory.
        method: ``bicubic``, ``regression``, ``network`` or a method of :mod:`trifuse.fusformer`;
            default: ``network`` if weights are given, else ``regression``.
        weights: safetensors of a trained network.
        mtf: modulation transfer of the coarse sensor at its Nyquist frequency.
        tile: edge of a tile in pixels.
        overlap: blended pixels between tiles.
        preset: ``paper`` is tiles of 150 pixels blended over 20.
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``32``, ``bf16`` or ``16``.
        dtype: of the file: ``int16`` in counts of 1e-4, or ``float32``.
        quicklook: also write ``<out>.png``.
        overwrite: replace an output that exists.
        dry_run: open and check the inputs only.

    Returns:
        The image or its path, with the paper's self-check: degraded to the coarse cells and
        compared with the Sentinel-3 input.

    Raises:
        OutputExistsError, GridError, OverlapError, WeightsError, DataError, ProductError:
            see :func:`trifuse.fusformer.fuse` and :func:`trifuse.products.cube_writer`.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107.
    """
    how = choose_method(method, weights)
    path = None if out is None else Path(out)
    if path is not None:
        picture = [path.with_suffix(".png")] if quicklook else []
        refuse_existing(path, *picture, overwrite=overwrite)
    options: dict[str, Any] = {
        "method": how, "tile": tile, "overlap": overlap, "preset": preset, "device": device,
        "precision": precision, "psf": PSF.from_mtf(mtf),
    }  # fmt: skip
    with as_source(s2) as sharp, as_source(s3) as coarse:
        grid, bands, ratio = fuse_target(sharp, coarse, method=how)
        record: dict[str, Any] = {
            "kind": "fused", "method": how.name, "ratio": ratio, "mtf_at_nyquist": mtf,
            "height": grid.height, "width": grid.width, "crs": grid.crs, "bands": bands.to_json(),
            "inputs": {"s2": {**provenance(s2), "product": sharp.name},
                       "s3": {**provenance(s3), "product": coarse.name}},
            "model": how.card.to_json() if isinstance(how, Network) else None,
        }  # fmt: skip
        if dry_run:
            return Fused(path, None, None, record)
        if path is None:
            cube, result = fuse_cube(sharp, coarse, **options)
        else:
            meta = {"method": how.name, "ratio": ratio, "s2": sharp.name, "s3": coarse.name}
            with cube_writer(
                path, grid, bands, dtype=dtype, meta=meta, overwrite=overwrite
            ) as writer:
                result = fuse_stream(sharp, coarse, writer.write, **options)
            cube = None
    record |= {"selfcheck": result.selfcheck.to_json(), "timings": dict(result.timings)}
    files: tuple[Path, ...] = ()
    if path is not None:
        files = (path, *_companions(path, record, quicklook))
    return Fused(path, cube, result.selfcheck, record, files)


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


def _companions(path: Path, record: Mapping[str, Any], quicklook: bool) -> list[Path]:
    """Quicklook and, last of all, the sidecar that marks the product as complete."""
    files = []
    if quicklook:
        picture = path.with_suffix(".png")
        with open_cube(path) as source:
            write_quicklook(picture, source, overwrite=True)
        files.append(picture)
    return [*files, write_sidecar(path, record)]
