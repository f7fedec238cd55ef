"""All measures of one estimate, and their table for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from trifuse.core import BandSet, DataError
from trifuse.metrics.distributions import jsd, jsd_spectra
from trifuse.metrics.errors import cc, ergas, psnr_bands, rmse, rmse_bands
from trifuse.metrics.inputs import check, mean, planes
from trifuse.metrics.spectra import cosine, euclidean, sam
from trifuse.metrics.structure import ssim_bands, uiqi


@dataclass(frozen=True, slots=True)
class Scores:
    """What :func:`score` measures; NaN where a measure has no value.

    Attributes:
        psnr: mean over bands, dB.
        worst_psnr: PSNR of the worst band, dB.
        worst_band: its name.
        rmse: over all pixels and bands, unit of the data.
        sam: mean over pixels, degrees.
        ergas: see :func:`trifuse.metrics.ergas`.
        ssim: mean over bands.
        uiqi: mean over bands.
        cc: mean over bands.
        jsd: of the histograms, mean over bands, 0…1.
        jsd_spectra: of the mean spectra, 0…1.
        cosine: mean over pixels, −1…1.
        euclidean: mean over pixels, unit of the data.
        pixels: pixels that count in at least one band.
        of: pixels of the image.
        bands: names.
        psnr_bands: dB, one per band.
        rmse_bands: unit of the data, one per band.
        ssim_bands: one per band.
    """

    psnr: float
    worst_psnr: float
    worst_band: str
    rmse: float
    sam: float
    ergas: float
    ssim: float
    uiqi: float
    cc: float
    jsd: float
    jsd_spectra: float
    cosine: float
    euclidean: float
    pixels: int
    of: int
    bands: tuple[str, ...]
    psnr_bands: tuple[float, ...]
    rmse_bands: tuple[float, ...]
    ssim_bands: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain values; null for what is not finite (PSNR of a perfect band is infinite)."""
        return {f.name: _plain(getattr(self, f.name)) for f in fields(self)}


def score(
    truth: np.ndarray,
    estimate: np.ndarray,
    valid: np.ndarray | None = None,
    *,
    ratio: float,
    bands: BandSet | Sequence[str] | None = None,
) -> Scores:
    """Measure an estimate against the truth.

    Values missing in either image do not count: to compare methods, give the same ``valid``.

    Args:
        truth: (band, y, x), NaN where missing.
        estimate: (band, y, x), NaN where missing.
        valid: (y, x) bool, True where a pixel counts; default: all.
        ratio: fine pixels per coarse cell, for ERGAS.
        bands: names; default: numbers from 1.

    Raises:
        DataError: if the shapes disagree or nothing is valid.
    """
    truth, estimate, valid = check(truth, estimate, valid)
    names = (
        [str(i + 1) for i in range(len(truth))]
        if bands is None
        else (list(bands.names) if isinstance(bands, BandSet) else list(bands))
    )
    if len(names) != len(truth):
        raise DataError(f"{len(names)} band names for {len(truth)} bands")
    images = truth, estimate, valid
    by_band, structure = psnr_bands(*images), ssim_bands(*images)
    known = np.where(np.isnan(by_band), np.inf, by_band)
    worst = int(known.argmin())
    counted = np.zeros(valid.shape, bool)
    for _, _, mask in planes(*images):
        counted |= mask
    return Scores(
        psnr=mean(by_band),
        worst_psnr=float(by_band[worst]),
        worst_band=names[worst],
        rmse=rmse(*images),
        sam=sam(*images),
        ergas=ergas(*images, ratio=ratio),
        ssim=mean(structure),
        uiqi=uiqi(*images),
        cc=cc(*images),
        jsd=jsd(*images),
        jsd_spectra=jsd_spectra(*images),
        cosine=cosine(*images),
        euclidean=euclidean(*images),
        pixels=int(counted.sum()),
        of=counted.size,
        bands=tuple(names),
        psnr_bands=tuple(by_band.tolist()),
        rmse_bands=tuple(rmse_bands(*images).tolist()),
        ssim_bands=tuple(structure.tolist()),
    )


def format_table(rows: Mapping[str, Scores]) -> str:
    """One line per method, columns aligned for a terminal (at most 100 wide for short names).

    Args:
        rows: method → scores, in the order to print.
    """
    head = [
        "",
        "PSNR dB",
        "worst dB",
        "band",
        "RMSE",
        "SAM °",
        "ERGAS",
        "SSIM",
        "UIQI",
        "CC",
        "JSD",
    ]
    body = [
        [
            name,
            _fixed(s.psnr, 2),
            _fixed(s.worst_psnr, 2),
            s.worst_band,
            _fixed(s.rmse, 5),
            _fixed(s.sam, 2),
            _fixed(s.ergas, 3),
            _fixed(s.ssim, 4),
            _fixed(s.uiqi, 4),
            _fixed(s.cc, 4),
            _fixed(s.jsd, 4),
        ]
        for name, s in rows.items()
    ]
    return _align([head, *body])


def format_bands(rows: Mapping[str, Scores]) -> str:
    """PSNR in dB per band: one line per band, one column per method.

    Raises:
        DataError: if the methods were scored on different bands.
    """
    sets = {s.bands for s in rows.values()}
    if len(sets) > 1:
        raise DataError("the methods were scored on different bands", fix="make one table each")
    names = next(iter(sets), ())
    body = [[n, *(_fixed(s.psnr_bands[i], 2) for s in rows.values())] for i, n in enumerate(names)]
    return _align([["PSNR dB", *rows], *body])


def _align(lines: list[list[str]]) -> str:
    """First column left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    out = []
    for first, *rest in lines:
        cells = [first.ljust(widths[0])]
        cells += [c.rjust(w) for c, w in zip(rest, widths[1:], strict=True)]
        out.append("  ".join(cells).rstrip())
    return "\n".join(out)


def _fixed(value: float, digits: int) -> str:
    if math.isnan(value):
        return "–"
    return "∞" if math.isinf(value) else f"{value:.{digits}f}"


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
