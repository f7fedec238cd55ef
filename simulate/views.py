"""A spectral scene as Sentinel-2 and Sentinel-3 would see it.

Source: Cristille et al. 2024, doi:10.3390/rs16163107: the response functions of both sensors
integrated over EnMAP, then the Sentinel-3 view blurred and decimated to its own cells.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

from trifuse.core import PSF, BandError, BandSet, Cube, CubeSource, MetadataError, Window, degrade
from trifuse.simulate.spectral import band_product, plain_meta
from trifuse.srf_data import S2_L2A, Overlap, SensorSRF, SpectralOperator, integrate, load

Bands: TypeAlias = Literal["auto", "all"] | Sequence[str]


def scene_views(
    source: CubeSource,
    *,
    ratio: int = 10,
    psf: PSF | Mapping[str, PSF] | None = None,
    s2: str = "S2A_MSI",
    s3: str = "S3A_SYN",
    bands: Bands = "auto",
    overlap: Overlap = "vnir",
    min_coverage: float = 0.95,
    window: Window | None = None,
) -> tuple[Cube, Cube, Cube]:
    """The triplet of a whole scene: what the two sensors see, and what fusion should return.

    The low-resolution view is the degradation of the high-resolution one, cells nested in its
    pixels from the upper left corner. Pixels that are not valid are left out of its averages.

    Args:
        source: spectral reflectance; ``meta["usable"]`` and ``meta["detectors"]``, one value per
            band, are heeded where they are given.
        ratio: fine pixels per Sentinel-3 cell.
        psf: of Sentinel-3 in its cells, one for all bands or one by band name; default: MTF 0.3
            at Nyquist.
        s2: response table of the sharp sensor.
        s3: response table of the sensor with many bands.
        bands: ``auto`` takes what the source covers; ``all`` requires every band; names choose
            (a sensor of which none is named stays ``auto``).
        overlap: which detector counts where two overlap.
        min_coverage: share of a response that the source must cover.
        window: part of the source (default: all).

    Returns:
        (hrmsi, lrhsi, hrhsi): (l, y, x), (L, y // ratio, x // ratio) and (L, y, x) float32
        reflectance, on the source's grid and on that of ``ratio`` times larger cells.

    Raises:
        BandError: if a band that is asked for cannot be made, or a PSF is missing.
        GridError: if the scene is smaller than a cell.
    """
    hrmsi, hrhsi = fine_views(
        source, s2=s2, s3=s3, bands=bands, overlap=overlap, min_coverage=min_coverage, window=window
    )
    coarse = hrhsi.grid.zoom_out(ratio)
    widths = band_psfs(psf, hrhsi.bands)
    cells = degrade(hrhsi.masked(), ratio, widths)
    about = {**hrhsi.meta, "ratio": ratio, "psf_sigma_cells": [p.sigma for p in widths]}
    lrhsi = Cube(cells, np.isfinite(cells).any(axis=0), hrhsi.bands, coarse, about)
    return hrmsi, lrhsi, hrhsi


def fine_views(
    source: CubeSource,
    *,
    s2: str = "S2A_MSI",
    s3: str = "S3A_SYN",
    bands: Bands = "auto",
    overlap: Overlap = "vnir",
    min_coverage: float = 0.95,
    window: Window | None = None,
) -> tuple[Cube, Cube]:
    """The two sharp views alone, (hrmsi, hrhsi); arguments as of :func:`scene_views`."""
    to_s2, to_s3 = view_operators(
        source.bands,
        source.meta,
        s2=s2,
        s3=s3,
        bands=bands,
        overlap=overlap,
        min_coverage=min_coverage,
        where=source.name,
    )
    window = source.grid.whole if window is None else window
    grid = source.grid.window(window)
    data, valid = band_product(source, np.concatenate([to_s2.matrix, to_s3.matrix]), window)
    count = len(to_s2.bands)
    meta = {**plain_meta(source.meta), "source": source.name}

    def view(planes: np.ndarray, operator: SpectralOperator, name: str) -> Cube:
        there = valid & np.isfinite(planes).any(axis=0)
        about = {**meta, "sensor": name, "coverage": dict(operator.coverage)}
        return Cube(planes, there, operator.bands, grid, about)

    return view(data[:count], to_s2, s2), view(data[count:], to_s3, s3)


def view_operators(
    source: BandSet,
    meta: Mapping[str, Any],
    *,
    s2: str = "S2A_MSI",
    s3: str = "S3A_SYN",
    bands: Bands = "auto",
    overlap: Overlap = "vnir",
    min_coverage: float = 0.95,
    where: str | None = None,
) -> tuple[SpectralOperator, SpectralOperator]:
    """The spectral integration of both sensors over the bands of a source.

    Args:
        source: bands of the spectral cube.
        meta: of the spectral cube: ``usable`` and ``detectors`` count, where they are given.
        s2: response table of the sharp sensor.
        s3: response table of the sensor with many bands.
        bands: see :func:`scene_views`.
        overlap: which detector counts where two overlap.
        min_coverage: share of a response that the source must cover.
        where: the product's name, for messages.

    Returns:
        Operators for ``s2`` and ``s3``.

    Raises:
        BandError: as :func:`trifuse.srf_data.integrate`; or if a name belongs to no sensor.
        MetadataError: if ``usable`` or ``detectors`` do not have one value per band, or the
            product holds no reflectance.
    """
    if (quantity := meta.get("quantity", "reflectance")) != "reflectance":
        raise MetadataError(f"holds {quantity}", where=where, fix="give level 2A reflectance")
    usable, detectors = (
        _per_band(meta, key, len(source), where) for key in ("usable", "detectors")
    )
    tables = sensor_table(s2), sensor_table(s3)

    def operator(table: SensorSRF, wanted: Bands) -> SpectralOperator:
        try:
            made = integrate(
                table,
                source,
                usable=usable,
                detectors=detectors,
                overlap=overlap,
                bands=wanted,
                min_coverage=min_coverage,
            )
        except BandError as e:
            raise BandError(e.what, where=e.where or where, fix=e.fix) from None
        if not len(made.bands):
            raise BandError(
                f"covers no band of {table.name}", where=where, fix="give a cube that does"
            )
        return made

    of_s2, of_s3 = _bands_of_each(bands, *tables)
    return operator(tables[0], of_s2), operator(tables[1], of_s3)


def _bands_of_each(bands: Bands, s2: SensorSRF, s3: SensorSRF) -> tuple[Bands, Bands]:
    """What is asked of each sensor; one of which no band is named stays ``auto``.

    Raises:
        BandError: if a name belongs to neither.
    """
    if isinstance(bands, str):
        return bands, bands
    known = [*s2.bands.names, *s3.bands.names]
    if unknown := [n for n in bands if n not in known]:
        raise BandError(
            f"bands {', '.join(unknown)} are neither {s2.name}'s nor {s3.name}'s: "
            f"{', '.join(known)}",
            fix="ask for some of these",
        )
    of_s2, of_s3 = ([n for n in bands if n in table.bands.names] for table in (s2, s3))
    return of_s2 or "auto", of_s3 or "auto"


def sensor_table(name: str) -> SensorSRF:
    """Response table of a sensor's surface reflectance product.

    Sentinel-2 goes without B10: level 2A has no such band, even where a cube could make it.
    """
    table = load(name)
    return table.select(S2_L2A) if set(S2_L2A) < set(table.bands.names) else table


def band_psfs(psf: PSF | Mapping[str, PSF] | None, bands: BandSet) -> list[PSF]:
    """One PSF per band.

    Raises:
        BandError: if a mapping lacks a band.
    """
    if psf is None or isinstance(psf, PSF):
        return [PSF.from_mtf() if psf is None else psf] * len(bands)
    if missing := [n for n in bands.names if n not in psf]:
        raise BandError(f"no PSF for bands {', '.join(missing)}", fix="give one for every band")
    return [psf[n] for n in bands.names]


def _per_band(
    meta: Mapping[str, Any], key: str, count: int, where: str | None
) -> Sequence[Any] | None:
    values: Sequence[Any] | None = meta.get(key)
    if values is not None and len(values) != count:
        raise MetadataError(
            f"{key} has {len(values)} values for {count} bands",
            where=where,
            fix="give one value per band, or none",
        )
    return values
