"""NDVI = (NIR − red) / (NIR + red) of a cube in memory, or of a source to a map.

Source: Rouse et al. 1974, NASA SP-351. Red and NIR: :mod:`trifuse.products.ndvi_bands`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import BandSet, Cube, CubeSource, DataError, TilePlan, ahead, progress, spare
from trifuse.core.streaming import THREADS
from trifuse.products.ndvi_bands import DefinitionName, NdviDefinition, define_ndvi
from trifuse.products.write.writer import DType, cube_writer

EPS = 1e-4
"""Least sum of NIR and red that has a ratio: one count of an int16 product."""

_CLIP = "values beyond -1 and 1 are set to them, after masking"
BAND_TAGS = {
    "standard_name": "normalized_difference_vegetation_index",
    "long_name": "normalised difference vegetation index",
    "units": "1",
}
"""What a map of NDVI says of itself, by the CF conventions."""


def of_what(meta: Mapping[str, Any]) -> dict[str, str]:
    """What tags and records say of the reflectance that an NDVI is of; nothing if it is unknown.

    At the top of the atmosphere NDVI is lower than at the surface, so maps of both are no series.
    """
    words = {
        "reflectance": "surface reflectance",
        "toa_reflectance": "reflectance at the top of the atmosphere (TOA)",
    }
    told = words.get(str(meta.get("quantity")))
    return {"of": told} if told else {}


def compute_ndvi(cube: Cube, how: NdviDefinition, eps: float = EPS) -> tuple[np.ndarray, int]:
    """NDVI of a cube and how many values were clipped.

    A pixel has no NDVI where it is invalid, a band is missing, or NIR + red ≤ ``eps``.

    Args:
        cube: reflectance.
        how: red and NIR.
        eps: least sum, in reflectance.

    Returns:
        ((y, x) float32 within −1…1, NaN where there is none; count of clipped pixels).
    """
    red, nir = (_mix(cube, part) for part in (how.red, how.nir))
    total = nir + red
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = cube.valid & np.isfinite(total) & (total > eps)
        ratio = np.where(usable, (nir - red) / total, np.float32(np.nan))
        clipped = int(np.count_nonzero(np.abs(ratio) > 1))
    return np.clip(ratio, -1, 1).astype(np.float32), clipped


def ndvi(
    cube: Cube, definition: DefinitionName = "s2", *, eps: float = EPS, **options: Any
) -> Cube:
    """NDVI of a cube in memory.

    Args:
        cube: reflectance, with the bands of the definition.
        definition: ``s2``, ``paper`` or ``bands``; see :func:`define_ndvi`.
        eps: least NIR + red that has an NDVI.
        options: as of :func:`define_ndvi`.

    Returns:
        A cube of the one band ``NDVI``: −1…1, NaN and invalid where there is none.

    Raises:
        BandError: if the bands do not allow the definition.
    """
    how = _define(cube.bands, cube.meta, definition, options)
    values, _ = compute_ndvi(cube, how, eps)
    meta = {**_plain_meta(cube.meta), "ndvi": {**how.to_json(), **of_what(cube.meta)}}
    return Cube(values[None], np.isfinite(values), BandSet.of(["NDVI"]), cube.grid, meta)


def write_ndvi(
    source: CubeSource,
    path: Path | str,
    *,
    definition: DefinitionName = "s2",
    dtype: DType = "float32",
    overwrite: bool = False,
    cog: bool = True,
    eps: float = EPS,
    empty: bool = True,
    **options: Any,
) -> dict[str, Any]:
    """Write the NDVI of a source, window by window.

    The file has one band, ``NDVI``. Which pixels are valid is told twice: by the nodata value
    (NaN, or −32768 in int16) and by an internal mask. Formula, weights, clipping and validity
    rules are in the tags.

    Args:
        source: reflectance, with the bands of the definition.
        path: the GeoTIFF.
        definition: ``s2``, ``paper`` or ``bands``; see :func:`define_ndvi`.
        dtype: ``float32`` with NaN, or ``int16`` in counts of 1e-4.
        overwrite: replace an existing file.
        cog: cloud-optimised, with overviews.
        eps: least NIR + red that has an NDVI.
        empty: whether a map without a value may be written, as of a date of clouds.
        options: as of :func:`define_ndvi`.

    Returns:
        A record of plain JSON values: definition, weights, rules, shares and mean.

    Raises:
        BandError: if the bands do not allow the definition.
        OutputExistsError: if the file exists and ``overwrite`` is False.
        ProductError: if the source cannot be read or the file not be written.
        DataError: if no pixel has a value and ``empty`` is False.
    """
    spare([Path(path)], [source])
    how = _define(source.bands, source.meta, definition, options)
    rules = {
        "formula": how.formula,
        "clipping": _CLIP,
        "valid_rule": f"valid in the source, red and NIR present, NIR + red > {eps:g}",
        **of_what(source.meta),
    }
    facts = how.to_json()
    tags = {"definition": how.name, "SOURCE": source.name, "PROCESSING_LEVEL": "L3 NDVI", **rules}
    band_tags = {
        **BAND_TAGS,
        **rules,
        "definition": how.name,
        "definition_text": how.how,
        **{k: str(facts[k]) for k in ("wavelength_red_nm", "wavelength_nir_nm") if facts[k]},
    }
    meta = {**_plain_meta(source.meta), "ndvi": {**facts, **rules}}
    valid, clipped, total = 0, 0, 0.0
    plan, band = TilePlan(*source.grid.shape, tile=512), BandSet.of(["NDVI"])
    with cube_writer(
        path,
        source.grid,
        band,
        dtype=dtype,
        meta=meta,
        overwrite=overwrite,
        cog=cog,
        mask=True,
        tags=tags,
        band_tags=band_tags,
    ) as out:
        cubes = ahead(plan, lambda t: source.read(t.write, how.bands), threads=THREADS)
        for tile, cube in progress(cubes, "NDVI", len(plan)):
            values, cut = compute_ndvi(cube, how, eps)
            there = np.isfinite(values)
            valid += int(there.sum())
            total += float(values[there].sum(dtype=np.float64))
            clipped += cut
            out.write(tile.write, values[None], there)
        if not valid and not empty:  # before the file gets its name
            raise DataError(
                "no pixel has a value in red and near infrared",
                where=source.name,
                fix="give another image",
            )
    pixels = source.grid.height * source.grid.width
    return {
        **facts,
        **rules,
        "dtype": dtype,
        "source": source.name,
        "valid_share": valid / pixels,
        "clipped_share": clipped / pixels,
        "mean": total / valid if valid else None,
    }


def _define(
    bands: BandSet, meta: Mapping[str, Any], definition: DefinitionName, options: Mapping[str, Any]
) -> NdviDefinition:
    known = {k: v for k in ("usable", "detectors") if len(v := meta.get(k) or ()) == len(bands)}
    return define_ndvi(bands, definition, **{**known, **options})


def _plain_meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What still holds of one band."""
    return {k: v for k, v in meta.items() if k not in ("usable", "detectors", "calibration")}


def _mix(cube: Cube, part: Sequence[tuple[str, float]]) -> np.ndarray:
    """Weighted mean of bands: (y, x) float32; NaN where one of them is missing."""
    # Band by band, so that a pixel's value does not depend on the window it is read in.
    total = np.zeros(cube.grid.shape, np.float32)
    for i, (_, weight) in zip(cube.bands.indices(n for n, _ in part), part, strict=True):
        total += np.float32(weight) * cube.data[i]
    return total
