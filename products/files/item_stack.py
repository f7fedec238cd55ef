"""Any STAC Item whose assets are images: its bands as one stack.

For Items of collections that no other reader knows. One image of several bands is opened as it is;
images of one band each are put together, on the grid of the finest: coarser ones whose pixels it
divides are interpolated, what lies otherwise is left out with a word. Names, wavelengths, scale and
offset are the file's where it states them, else the Item's.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import Band, BandError, BandSet, CubeSource, Grid, GridError, ProductError
from trifuse.products.files.geotiff import source_of
from trifuse.products.files.item import (
    Absent,
    Item,
    band_rows,
    is_stac,
    locate,
    read_item,
    scattered,
)
from trifuse.products.files.layers import ClassMask, Layer, LayeredSource, Upsampling
from trifuse.products.files.raster import Raster
from trifuse.products.files.remote import AnyFile, open_raster
from trifuse.products.files.source import Calibration
from trifuse.products.files.xmltree import finite_number
from trifuse.products.reader import Reader
from trifuse.srf_data import load

_IMAGES = (".tif", ".tiff", ".jp2")
_PICTURES = {"thumbnail", "overview", "visual", "preview", "rendered_preview", "browse"}
_NO_DATA = {"thumbnail", "overview", "visual", "metadata", "data-mask", "cloud", "cloud-shadow"}
_AUSTRALIAN = 1e-4, 0.0, -999.0
"""Scale, offset and fill of Geoscience Australia's analysis ready data, which its Items omit."""
_FMASK = "oa_fmask"
_CLEAR = (1, 4, 5)
_OLI = {
    "nbart_coastal_aerosol": "B1",
    "nbart_blue": "B2",
    "nbart_green": "B3",
    "nbart_red": "B4",
    "nbart_nir": "B5",
    "nbart_swir_1": "B6",
    "nbart_swir_2": "B7",
}
_OLI_TABLES = {"landsat-8": "L8_OLI", "landsat-9": "L9_OLI"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Image:
    """One asset: its key, what the Item says of its bands, the file."""

    key: str
    rows: Sequence[Mapping[str, Any]]
    file: AnyFile


def open_item(
    path: str | Path,
    *,
    bands: Sequence[str] | None = None,
    upsampling: Upsampling = "bicubic",
    remote: bool = False,
) -> CubeSource:
    """Open the images of a STAC Item as one source.

    Args:
        path: of the Item, as JSON.
        bands: which, by their names or the keys of their assets; default: all images that are
            bands (of roles and keys that pictures and masks have, none is).
        upsampling: of bands that are coarser than the finest: ``bicubic`` or ``nearest``.
        remote: whether files may be read from the web, by https.

    Raises:
        ProductError: if it is no such Item, an asset's file is not there, or is no image.
        BandError: if a band is not there.
        GridError: if bands that are asked for lie on grids that do not nest.
    """
    item = read_item(Path(path))
    keys = _chosen(item, bands)
    found = {key: locate(item, key, remote=remote) for key in keys}
    if absent := {k: f for k, f in found.items() if isinstance(f, Absent)}:
        told = "; ".join(f"{k}: {a.why}" for k, a in absent.items())
        web = any(a.web for a in absent.values())
        fetch = "let it be fetched (--remote, remote=True), or " if web else ""
        raise ProductError(
            f"has no file of {told}"[:600],
            where=path,
            fix=f"{fetch}put the files beside the Item, under their names",
        )
    images = [
        _Image(k, band_rows(item.assets[k]), f)
        for k, f in found.items()
        if not isinstance(f, Absent)
    ]
    notes = scattered(item, {i.key: i.file for i in images})
    rasters = [open_raster(i.file) for i in images]
    meta: dict[str, Any] = {
        "kind": "STAC Item",
        "product_id": item.id,
        "collection": item.collection,
        "start_time": item.facts.get("datetime") or item.facts.get("start_datetime"),
        "platform": item.facts.get("platform"),
        "notes": notes,
    }
    meta = {k: v for k, v in meta.items() if v not in (None, "")}
    if len(images) == 1:
        source, said = _single(images[0], rasters[0], meta, path)
        wanted = set(bands or ())
        kept = [n for n, s in zip(source.bands.names, said, strict=True) if wanted & {n, s}]
        return source.select(kept) if kept else source
    return _stack(item, images, rasters, meta, upsampling, named=bands is not None, remote=remote)


def _chosen(item: Item, bands: Sequence[str] | None) -> list[str]:
    """Keys of the assets to open."""
    images = {k: a for k, a in item.assets.items() if _is_image(a)}
    if bands is None:
        keys = [k for k, a in images.items() if _is_band(k, a)]
        if not keys:
            raise ProductError(
                f"names no image among its assets {', '.join(list(item.assets)[:8])}",
                where=item.path,
                fix="give one with GeoTIFFs",
            )
        return keys
    named = {str(r["name"]): k for k, a in images.items() for r in band_rows(a) if r.get("name")}
    known = {**named, **{k: k for k in images}}
    if unknown := [b for b in bands if b not in known]:
        raise BandError(
            f"has no band {', '.join(unknown)}",
            where=item.path,
            fix=f"choose from {', '.join(list(images)[:30])}",
        )
    return list(dict.fromkeys(known[b] for b in bands))


def _is_image(asset: Mapping[str, Any]) -> bool:
    told = str(asset.get("type") or "").lower()
    address = str(asset.get("href")).split("?", 1)[0].lower()
    return address.endswith(_IMAGES) or "tiff" in told or "jp2" in told


def _is_band(key: str, asset: Mapping[str, Any]) -> bool:
    """Whether an image is of bands, not a picture, a mask or an angle."""
    stated = asset.get("roles")
    roles = {str(r).lower() for r in stated} if isinstance(stated, list) else set()
    return key.lower() not in _PICTURES and not key.startswith("oa_") and not roles & _NO_DATA


def _single(
    image: _Image, raster: Raster, meta: dict[str, Any], path: str | Path
) -> tuple[CubeSource, Sequence[str]]:
    """One image: what its file says counts, what it does not say is the Item's.

    Returns:
        The image, and how the Item calls its bands.
    """
    h = raster.header
    numbers = [n for n in range(1, h.count + 1) if n != h.alpha]
    rows = image.rows if len(image.rows) == len(numbers) else [{}] * len(numbers)
    own = all(h.band_tags[n - 1].get("name") or h.descriptions[n - 1] for n in numbers)
    stated = [str(r.get("name") or "") for r in rows]
    if len(numbers) == 1:
        stated = [stated[0] or image.key]
    names = None if own or not all(stated) or len(set(stated)) < len(stated) else stated
    scale, offset, nodata, origin = _calibration(raster, rows, numbers, (None, None, None))
    source = source_of(raster, names, scale, offset, nodata)
    if names is not None:
        bands = [_band(r, b.name) for r, b in zip(rows, source.bands, strict=True)]
        source.bands = BandSet(tuple(bands))
    if origin:
        source.meta["calibration"]["from"] = origin
    source.meta = {**meta, **source.meta, "notes": _told(meta["notes"], path)}
    return source, stated


def _stack(
    item: Item,
    images: Sequence[_Image],
    rasters: Sequence[Raster],
    meta: dict[str, Any],
    upsampling: Upsampling,
    *,
    named: bool,
    remote: bool,
) -> LayeredSource:
    """Images of one band each on the grid of the finest."""
    notes = list(meta["notes"])
    several = [i.key for i, r in zip(images, rasters, strict=True) if r.header.count != 1]
    pairs = [(i, r) for i, r in zip(images, rasters, strict=True) if r.header.count == 1]
    if several and (named or not pairs):
        raise ProductError(
            f"holds images of several bands ({', '.join(several[:8])})",
            where=item.path,
            fix="ask for one of them by bands=, or give its file",
        )
    if several:
        notes.append(f"images of several bands are left out: {', '.join(several)}")
    base = _base(pairs)
    nested = [(i, r, ratio) for i, r in pairs if (ratio := _ratio(r.grid, base))]
    if len(nested) < len(pairs):
        others = ", ".join(i.key for i, r in pairs if not _ratio(r.grid, base))
        if named:
            raise GridError(f"{others} lies on another grid than the other bands", where=item.path)
        notes.append(f"what lies on another grid is left out: {others}")
    australian = str(item.facts.get("odc:product") or "").startswith("ga_")
    known = _AUSTRALIAN if australian else (None, None, None)
    table = _OLI_TABLES.get(str(item.facts.get("platform")).lower()) if australian else None
    scales, offsets, fills, origins, bands = [], [], [], [], []
    for image, raster, _ in nested:
        scale, offset, nodata, origin = _calibration(raster, image.rows, [1], known)
        h = raster.header
        scales.append(h.scales[0] if scale is None else scale)
        offsets.append(h.offsets[0] if offset is None else offset)
        fills.append(h.nodata[0] if nodata is None else nodata)
        origins.append(origin or ("the files" if h.scales[0] != 1 else ""))
        row = image.rows[0]
        name = _OLI.get(image.key, "") if table else ""
        bands.append(_band(row, name or _name(image, raster)))
    if table:
        names = [b.name for b in bands]
        responses = load(table).bands
        bands = [
            responses[responses.index(n)] if n in responses.names else b
            for n, b in zip(names, bands, strict=True)
        ]
        meta |= {"sensor": table, "quantity": "reflectance", "units": "1"}
    counts = [r.header.dtype for _, r, _ in nested]
    unscaled = not any(origins) and all(np.issubdtype(np.dtype(d), np.integer) for d in counts)
    if unscaled:
        notes.append(
            "integers, and neither Item nor files state a scale: they are taken as they are"
        )
    told = "; ".join(dict.fromkeys(o for o in origins if o))
    calibration = Calibration(
        tuple(scales), tuple(offsets), tuple(fills), told or "no scale stated: values as stored"
    )
    layers = [Layer(r, coarser=k) for _, r, k in nested]
    mask = None
    if australian and _FMASK in item.assets:
        mask, more = _fmask(item, base, remote=remote)
        notes += more
    return LayeredSource(
        item.id,
        BandSet(tuple(bands)),
        layers,
        calibration,
        {**meta, "notes": _told(notes, item.path)},
        mask=mask,
        upsampling=upsampling,
    )


def _base(pairs: Sequence[tuple[_Image, Raster]]) -> Grid:
    """The grid that the most bands nest in; of several, the finest."""
    grids = [r.grid for _, r in pairs]
    fits = Counter({g: sum(bool(_ratio(o, g)) for o in grids) for g in grids})
    return max(fits, key=lambda g: (fits[g], -g.gsd[1]))


def _ratio(grid: Grid, base: Grid) -> int:
    """Pixels of the base along a pixel of a grid over the same ground; 0 if they do not nest."""
    ratio = round(grid.gsd[1] / base.gsd[1])
    if ratio < 1 or grid.crs != base.crs:
        return 0
    try:
        finer = grid.zoom_in(ratio) if ratio > 1 else grid
        same = finer.shape == base.shape and finer.is_nested(base)
        return ratio if same and base.locate(finer) == base.whole else 0
    except GridError:
        return 0


def _fmask(item: Item, base: Grid, *, remote: bool) -> tuple[ClassMask | None, list[str]]:
    file = locate(item, _FMASK, remote=remote)
    if isinstance(file, Absent):
        return None, [f"no clouds are masked: {file.why}"]
    raster = open_raster(file)
    if not (ratio := _ratio(raster.grid, base)) or raster.header.dtype != "uint8":
        return None, [f"no clouds are masked: {_FMASK} lies on another grid"]
    table = np.zeros((1, 256), bool)
    table[0, list(_CLEAR)] = True
    return ClassMask(Layer(raster, coarser=ratio), (1,), table), []


def _calibration(
    raster: Raster,
    rows: Sequence[Mapping[str, Any]],
    numbers: Sequence[int],
    known: tuple[float | None, float | None, float | None],
) -> tuple[Any, Any, float | None, str]:
    """Scale, offset and fill to take in place of the file's; None where the file states its own."""
    h = raster.header
    own = any(h.scales[n - 1] != 1 or h.offsets[n - 1] != 0 for n in numbers)
    fills = [_number(r.get("nodata")) for r in rows]
    fill = fills[0] if fills and len(set(fills)) == 1 else None
    nodata = None if h.nodata[numbers[0] - 1] is not None else (known[2] if fill is None else fill)
    scales = [_number(r.get("scale")) for r in rows]
    offsets = [_number(r.get("offset")) for r in rows]
    if all(s in (None, 1) for s in scales) and not any(offsets):
        scales = [None] * len(rows)
    if own or (np.issubdtype(np.dtype(h.dtype), np.floating) and not any(scales)):
        return None, None, nodata, ""
    if not any(s is not None and s != 0 for s in scales) and not any(offsets):
        return known[0], known[1], nodata, "known of this collection" if known[0] else ""
    scale = [1.0 if s is None else s for s in scales]
    offset = [0.0 if o is None else o for o in offsets]
    if len(numbers) == 1:
        return scale[0], offset[0], nodata, "the Item"
    return scale, offset, nodata, "the Item"


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return math.nan if value.lower() == "nan" else finite_number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < 1e300 else None


def _name(image: _Image, raster: Raster) -> str:
    """The file's own name for its band, else the Item's, else the key."""
    own = raster.header.band_tags[0].get("name") or ""
    return str(own or image.rows[0].get("name") or image.key)


def _band(row: Mapping[str, Any], name: str) -> Band:
    """A band with the wavelengths that a row states, in µm."""
    centre, width = (_number(row.get(k)) for k in ("center_wavelength", "full_width_half_max"))
    plain = centre is not None and 0.2 < centre < 20
    return Band(
        name,
        round(centre * 1000, 4) if plain and centre is not None else math.nan,
        round(width * 1000, 4) if plain and width is not None and 0 < width < 5 else math.nan,
    )


def _told(notes: Sequence[str], path: str | Path) -> list[str]:
    for note in notes:
        _log.warning("%s: %s", Path(path).name, note)
    return list(notes)


def _is_other_item(path: Path) -> bool:
    from trifuse.products.landsat.catalogue import is_landsat_item
    from trifuse.products.sentinel2.catalogue import is_sentinel2_item

    return is_stac(path) and not is_sentinel2_item(path) and not is_landsat_item(path)


READER = Reader("stac", _is_other_item, open_item, ("bands", "upsampling", "remote"))
