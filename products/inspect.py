"""What a product is, in plain values and in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trifuse.core import CubeSource, Series
from trifuse.products.open import open_cube
from trifuse.products.plausible import doubts
from trifuse.products.scales import look_at_scale
from trifuse.products.series.folder import is_series, open_series
from trifuse.products.write.quicklook import choose_rgb, read_small

if TYPE_CHECKING:
    from trifuse.core.xarray_read import XArray

SAMPLE = 512
"""Longest side, in pixels, of the reduced image from which shares and ranges are told."""


def inspect_product(
    path: Path | str | Sequence[Path | str] | XArray, **options: Any
) -> dict[str, Any]:
    """What a product is: kind, bands, grid, the calibration used, the share of valid pixels.

    Args:
        path: as of :func:`trifuse.products.open_cube`, or a folder with a series.
        options: as of :func:`trifuse.products.open_cube`.

    Returns:
        Plain JSON values. ``valid_share`` and ``range`` come from an image reduced to
        :data:`SAMPLE` pixels where the product is larger (``sampled`` is the reduction); a reduced
        pixel counts as valid if any of its pixels is. ``doubts`` is what a few blocks at full size
        say against what is stated, see :mod:`trifuse.products.plausible`; ``scale`` what numbers
        look like whose scale is not told, see :mod:`trifuse.products.scales`.

    Raises:
        ProductError: if it cannot be read.
    """
    if isinstance(path, (str, Path)) and is_series(path):
        return _inspect_series(open_series(path), Path(path))
    with open_cube(path, **options) as source:
        return inspect_source(source)


def inspect_source(source: CubeSource) -> dict[str, Any]:
    """The same of a source that is open."""
    rgb = choose_rgb(source.bands)
    small = read_small(source, SAMPLE, rgb)
    ranges = {}
    for band, plane in zip(small.bands.names, small.masked(), strict=True):
        seen = plane[np.isfinite(plane)]
        ranges[band] = [float(v) for v in np.percentile(seen, (2, 50, 98))] if seen.size else None
    meta = {k: v for k, v in source.meta.items() if k not in ("usable", "detectors")}
    usable = source.meta.get("usable") or [True] * len(source.bands)
    bad = [band.name for band, ok in zip(source.bands, usable, strict=True) if not ok]
    return {
        "name": source.name,
        "kind": str(meta.pop("kind", type(source).__name__.removesuffix("Source").lower())),
        "bands": _bands(source),
        "bad_bands": bad,
        "grid": _grid(source),
        "calibration": meta.pop("calibration", None),
        "valid_share": float(small.valid.mean()),
        "sampled": max(1, math.ceil(max(source.grid.shape) / SAMPLE)),
        "percentiles_2_50_98": ranges,
        "scale": look_at_scale(source),
        "doubts": [doubt.to_json() for doubt in doubts(source)],
        "meta": meta,
    }


def describe(facts: Mapping[str, Any]) -> str:
    """The same for a person: a few lines of text."""
    lines = [f"{facts['name']}: {facts['kind']}"]
    grid, bands = facts["grid"], facts["bands"]
    crs = grid["crs"] if len(grid["crs"]) <= 40 else grid["crs"][:39] + "…"
    north_south, east_west = grid["gsd"]
    lines.append(
        f"  grid         {grid['height']} × {grid['width']} pixels of {east_west:g} × "
        f"{north_south:g}, {crs or 'no coordinate system'}"
    )
    lines.append("  bounds       " + " ".join(f"{v:.10g}" for v in grid["bounds"]))
    if "dates" in facts:
        dates = facts["dates"]
        lines.append(f"  dates        {len(dates)}, {dates[0]} to {dates[-1]}")
    if facts.get("calibration"):
        lines.append(f"  calibration  {_calibration(facts['calibration'])}")
    if "valid_share" in facts:
        about = f" (of the image reduced {facts['sampled']} times)" if facts["sampled"] > 1 else ""
        lines.append(f"  valid        {100 * facts['valid_share']:.1f} %{about}")
    for band, values in facts.get("percentiles_2_50_98", {}).items():
        text = "no values" if values is None else " … ".join(f"{v:.4g}" for v in values)
        lines.append(f"  {band:<12} {text} (2nd, 50th, 98th percentile)")
    lines += [f"  sampling     {text}" for text in facts.get("sampling", {}).get("lines", ())]
    if facts.get("scale"):
        lines.append(f"  scale        {facts['scale']}")
    named = facts.get("meta", {}).get("named") or {}
    if named:
        lines.append("  called       " + ", ".join(f"{b} {n!r}" for b, n in named.items()))
    doubted = [
        d for d in facts.get("doubts", ()) if not (d["look"] == "unscaled" and facts.get("scale"))
    ]
    lines += [f"  doubt        {doubt['text']}" for doubt in doubted]
    if facts.get("bad_bands"):
        lines.append(f"  bad bands    {', '.join(facts['bad_bands'])}")
    lines.append(f"  bands        {len(bands)}")
    lines += [f"    {_band(b)}" for b in bands]
    return "\n".join(lines)


def _inspect_series(series: Series, folder: Path) -> dict[str, Any]:
    first = series.sources[0]
    return {
        "name": folder.name,
        "kind": f"series of {series.sensor}",
        "dates": [day.isoformat() for day in series.dates],
        "bands": _bands(first),
        "grid": _grid(first),
        "calibration": first.meta.get("calibration"),
    }


def _bands(source: CubeSource) -> list[dict[str, Any]]:
    rows = source.bands.to_json()
    detectors = source.meta.get("detectors")
    if detectors:
        rows = [{**row, "detector": d} for row, d in zip(rows, detectors, strict=True)]
    return rows


def _grid(source: CubeSource) -> dict[str, Any]:
    grid = source.grid
    return {
        "crs": grid.crs,
        "transform": list(grid.transform),
        "height": grid.height,
        "width": grid.width,
        "gsd": list(grid.gsd),
        "bounds": list(grid.bounds),
    }


def _band(row: Mapping[str, Any]) -> str:
    parts = [f"{row['name']:<8}"]
    if row["centre_nm"] is not None:
        parts.append(f"{row['centre_nm']:9.2f} nm")
    if row["fwhm_nm"] is not None:
        parts.append(f"FWHM {row['fwhm_nm']:.2f} nm")
    return "  ".join([*parts, row.get("detector", "")]).rstrip()


def _calibration(facts: Any) -> str:
    if not isinstance(facts, Mapping):
        return str(facts)

    def short(value: Any) -> str:
        if not isinstance(value, list):
            return f"{value}"
        return f"{value[0]}" if len(set(value)) == 1 else f"{len(value)} values"

    return ", ".join(f"{k} {short(v)}" for k, v in facts.items())
