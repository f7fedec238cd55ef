"""Is what EnMAP says Sentinel would see what Sentinel saw: the paper's check of synthetic data.

EnMAP is integrated over the response functions of the observed product's own satellite, and both
images are brought to the coarser of the two grids: observed Sentinel-2 to EnMAP's pixels of 30 m,
synthetic Sentinel-3 to the cells of the observed one. A pixel of the result is the average of the
finer image under a Gaussian centred where the pixel lies, so the grids need not be nested and
nothing shifts. Pixels of which more than a hundredth saw clouds or nothing are left out.

Source: Cristille et al. 2024, doi:10.3390/rs16163107.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from trifuse.core import (
    PSF,
    ConfigError,
    Cube,
    CubeSource,
    Grid,
    GridError,
    MemorySource,
    OverlapError,
    Window,
    canonical_name,
)
from trifuse.core.resample import apply_separable, blur_matrix
from trifuse.flows.cells import cell_psf, open_on_cells
from trifuse.flows.inputs import Image, provenance
from trifuse.flows.match import minutes_apart, other_instrument, require_one_level
from trifuse.flows.reflectance import open_reflectance
from trifuse.products import require_plausible
from trifuse.simulate import FidelityReport, convolve, fidelity
from trifuse.simulate.fidelity import MAX_SAM
from trifuse.simulate.views import sensor_table, view_operators
from trifuse.srf_data import names

MIN_SHARE = 0.99
"""Share of what a pixel averages that must be there for the pixel to count."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Checked:
    """Synthetic against observed.

    Attributes:
        report: angles, structural similarities and flags.
        record: the same with inputs, table and grid; plain JSON values.
    """

    report: FidelityReport
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """A table of bands and the flags, for a terminal."""
        report, r = self.report, self.record
        lines = [
            f"synthetic {r['table']} of {r['enmap']} against {r['observed']}",
            f"{report.pixels} of {report.of} pixels of {r['gsd']:g} m compared"
            + ("" if r["minutes_apart"] is None else f", {_apart(r['minutes_apart'])} apart"),
            f"spectral angle {report.sam:.2f}°, above {MAX_SAM:.1f}° in "
            f"{100 * report.sam_share:.1f} % of the pixels",
            "band     SSIM",
        ]
        for band, value in zip(report.bands, report.ssim, strict=True):
            lines.append(f"{band:<6} {value:6.3f}{'  low' if value < 0.8 else ''}")
        if report.left_out:
            lines.append(f"not in both: {', '.join(report.left_out)}")
        lines += [f"warning: {w}" for w in r["warnings"]]
        flags = [f"flag: {f}" for f in report.flags] or ["no flags"]
        return "\n".join([*lines, *flags])


def check_fidelity(
    enmap: Image,
    *,
    s2: Image | None = None,
    s3: Image | None = None,
    table: str | None = None,
    mtf: float = 0.3,
) -> Checked:
    """Compare what EnMAP says Sentinel-2 or Sentinel-3 would see with what it saw.

    Args:
        enmap: spectral cube of reflectance: path, source or cube.
        s2: observed Sentinel-2 image, or
        s3: observed Sentinel-3 image; a swath is brought onto cells of 300 m nested in EnMAP's
            pixels.
        table: response table; default: that of the observed product's satellite, or of
            Sentinel-2A and 3A where it does not tell.
        mtf: modulation transfer at Nyquist of the sensor with the coarser pixels.

    Raises:
        ConfigError: if not exactly one observed image is given.
        GridError: if coordinate systems differ, or the observed Sentinel-2 pixels are larger
            than EnMAP's.
        OverlapError: if the images share no ground.
        BandError: if they share no bands.
        MetadataError: if one is reflectance of the surface, the other at the top of the
            atmosphere.
        DataError: if no pixel is valid in both, or the values of one cannot be reflectance.
    """
    if (s2 is None) == (s3 is None):
        raise ConfigError("one observed image is needed", fix="give either s2 or s3")
    coarse = s3 is not None
    image = s3 if s3 is not None else s2
    assert image is not None
    with open_reflectance(enmap) as spectral, _opened(image, spectral, coarse=coarse) as observed:
        doubts = {"enmap": require_plausible(spectral), "observed": require_plausible(observed)}
        chosen = _table(observed, table, "S3A_SYN" if coarse else "S2A_MSI")
        unsure = require_one_level(spectral, observed)
        warnings = [*unsure, *_warnings(observed, chosen, spectral)]
        psf = cell_psf(observed, mtf)
        compare = _on_cells_of_s3 if coarse else _on_pixels_of_enmap
        synthetic, seen = compare(spectral, observed, chosen, psf)
        report = fidelity(synthetic, seen)
        record = {
            "kind": "fidelity",
            "table": chosen,
            "enmap": spectral.name,
            "observed": observed.name,
            "gsd": (observed if coarse else spectral).grid.gsd[1],
            "psf_sigma_cells": psf.sigma,
            "minutes_apart": minutes_apart(spectral, observed),
            "warnings": warnings,
            "doubts": {k: [d.to_json() for d in found] for k, found in doubts.items() if found},
            "inputs": {
                "enmap": provenance(enmap, content=False),
                "observed": provenance(image, content=False),
            },
            **report.to_json(),
        }
    return Checked(report, record)


def _opened(image: Image, spectral: CubeSource, *, coarse: bool) -> CubeSource:
    return open_on_cells(image, spectral) if coarse else open_reflectance(image)


def _table(observed: CubeSource, given: str | None, default: str) -> str:
    """Response table of the observed bands: the one given, the product's own, or the default."""
    chosen = given or str(observed.meta.get("sensor", ""))
    return chosen if chosen in names() else given or default


def _on_cells_of_s3(
    spectral: CubeSource, observed: CubeSource, table: str, psf: PSF
) -> tuple[Cube, Cube]:
    """Synthetic and observed Sentinel-3 on the observed cells that both show."""
    _, operator = view_operators(
        spectral.bands, spectral.meta, s2="S2A_MSI", s3=table, where=spectral.name
    )
    ground = _shared(spectral.grid, observed.grid)
    target = observed.grid.window(ground)
    made = MemorySource(convolve(spectral, operator, _around(spectral.grid, target)))
    return _averaged(made, operator.bands.names, target, psf), observed.read(ground)


def _on_pixels_of_enmap(
    spectral: CubeSource, observed: CubeSource, table: str, psf: PSF
) -> tuple[Cube, Cube]:
    """Synthetic and observed Sentinel-2 on EnMAP's pixels that both show."""
    operator, _ = view_operators(
        spectral.bands, spectral.meta, s2=table, s3="S3A_SYN", where=spectral.name
    )
    ground = _shared(observed.grid, spectral.grid)
    target = spectral.grid.window(ground)
    synthetic = convolve(spectral, operator, ground)
    known = {canonical_name(n) for n in operator.bands.names}
    bands = [n for n in observed.bands.names if canonical_name(n) in known]
    return synthetic, _averaged(observed, bands, target, psf)


def _warnings(observed: CubeSource, chosen: str, spectral: CubeSource) -> list[str]:
    text = other_instrument(
        observed.bands, sensor_table(chosen).bands, f"{observed.name}: table {chosen} holds"
    )
    found = [text] if text else []
    apart = minutes_apart(spectral, observed)
    if apart is not None and apart > 24 * 60:
        found.append(f"the images were taken {_apart(apart)} apart: the ground may have changed")
    for line in found:
        _log.warning("%s", line)
    return found


def _ratio(fine: Grid, coarse: Grid) -> tuple[float, float]:
    """Fine pixels per coarse pixel (y, x)."""
    if fine.crs != coarse.crs:
        raise GridError(
            f"coordinate systems differ: {fine.crs[:40]} against {coarse.crs[:40]}",
            fix="warp the observed image into EnMAP's",
        )
    ratio = coarse.gsd[0] / fine.gsd[0], coarse.gsd[1] / fine.gsd[1]
    if min(ratio) < 0.999:
        raise GridError(
            f"pixels of {fine.gsd[1]:g} are to be averaged to {coarse.gsd[1]:g}",
            fix="give the observed image at its own resolution",
        )
    return ratio


def _span(fine: Grid, coarse: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Centres of the coarse rows and columns, in fine pixel numbers."""
    (ry, rx), (a, e) = _ratio(fine, coarse), (fine.transform[0], fine.transform[4])
    top = (coarse.transform[5] - fine.transform[5]) / e
    left = (coarse.transform[2] - fine.transform[2]) / a
    rows, cols = np.arange(coarse.height) + 0.5, np.arange(coarse.width) + 0.5
    return top + rows * ry - 0.5, left + cols * rx - 0.5


def _shared(fine: Grid, coarse: Grid) -> Window:
    """The coarse pixels that lie wholly on the fine image."""
    inside = []
    for centres, ratio, n in zip(
        _span(fine, coarse), _ratio(fine, coarse), fine.shape, strict=True
    ):
        edge = ratio / 2 - 0.01
        there = np.flatnonzero((centres + 0.5 - edge >= 0) & (centres + 0.5 + edge <= n))
        if not there.size:
            raise OverlapError("the images share no ground", fix="give images of the same area")
        inside.append((int(there[0]), int(there[-1] - there[0]) + 1))
    (row, height), (col, width) = inside
    return Window(row, col, height, width)


def _around(fine: Grid, coarse: Grid) -> Window:
    """The fine pixels that the coarse ones average, with a margin for the PSF's skirt."""
    spans = []
    for centres, ratio in zip(_span(fine, coarse), _ratio(fine, coarse), strict=True):
        reach = math.ceil(2.5 * ratio)
        spans.append((math.floor(centres[0]) - reach, math.ceil(centres[-1]) + reach + 1))
    (top, bottom), (left, right) = spans
    return Window(top, left, bottom - top, right - left).clip(*fine.shape)


def _averaged(source: CubeSource, bands: Iterable[str], grid: Grid, psf: PSF) -> Cube:
    """An image as larger pixels anywhere on it see it: Gaussian averages, band by band."""
    window = _around(source.grid, grid)
    fine = source.grid.window(window)
    if _ratio(fine, grid) == (1.0, 1.0) and fine.is_nested(grid):
        place = source.grid.locate(grid)  # the very pixels
        return source.read(place, list(bands))
    ratio = _ratio(fine, grid)
    rows, cols = _span(fine, grid)
    along_y = blur_matrix(fine.height, psf.pixels(ratio[0]), rows)
    along_x = blur_matrix(fine.width, psf.pixels(ratio[1]), cols)
    planes, valid = [], np.ones(grid.shape, bool)
    wanted = source.bands.select(list(bands))
    for name in wanted.names:
        pixels = source.read(window, [name]).masked()
        there = np.isfinite(pixels)
        share = apply_separable(there.astype(np.float64), along_y, along_x)
        total = apply_separable(np.where(there, pixels, 0).astype(np.float64), along_y, along_x)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(share >= MIN_SHARE - 1e-9, total / share, np.nan)
        planes.append(mean[0].astype(np.float32))
        valid &= np.isfinite(planes[-1])
    return Cube(np.stack(planes), valid, wanted, grid, source.meta)


def _apart(minutes: float) -> str:
    if minutes < 120:
        return f"{minutes:.0f} minutes"
    return f"{minutes / 60:.0f} hours" if minutes < 48 * 60 else f"{minutes / 1440:.0f} days"
