"""Opening whatever the user has: the kind is told by content, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trifuse.core import ConfigError, CubeSource, ProductError
from trifuse.products.cave.reader import is_cave, open_cave
from trifuse.products.enmap.reader import is_enmap, open_enmap
from trifuse.products.files.envi import open_envi
from trifuse.products.files.geotiff import open_geotiff
from trifuse.products.files.raster import driver_of, envi_header, plain_file
from trifuse.products.landsat.reader import is_landsat, open_landsat
from trifuse.products.sentinel2.reader import is_sentinel2, open_sentinel2
from trifuse.products.sentinel3.delivery import sentinel3_kind
from trifuse.products.sentinel3.olci import open_olci
from trifuse.products.sentinel3.reader import open_sentinel3
from trifuse.products.series.folder import is_series

_SWATH = {"grid", "gsd", "crs", "bbox", "mask", "bands", "sigma", "radius"}
_OPTIONS = {
    "enmap": {"mask", "scene"},
    "sentinel2": {"resolution", "bands", "mask", "upsampling"},
    "landsat": {"bands", "mask"},
    "sentinel3": _SWATH,
    "olci": _SWATH,
    "geotiff": {"bands", "scale", "offset", "nodata"},
    "envi": {"bands", "scale", "offset", "nodata"},
    "cave": {"extend"},
}
_OTHER_READERS = {".zarr": "Zarr"}


def open_cube(path: Path | str | Sequence[Path | str], **options: Any) -> CubeSource:
    """Open a product as a source of calibrated values.

    EnMAP deliveries (folder, zip, order), Sentinel-2 L2A (SAFE folder or zip, COGs with their
    item), Sentinel-3 SY_2_SYN and OL_1_EFR (.SEN3 folder or zip), Landsat Collection 2 Level 2
    (folder, tar), GeoTIFF and COG, ENVI (header or data), images like CAVE's (folder of 31 PNGs,
    ``.mat``). Several files, or a folder with nothing but GeoTIFFs, are the tiles of one mosaic.

    Args:
        path: file or folder, or the tiles of one mosaic.
        options: ``mask`` and ``scene`` for EnMAP (:func:`trifuse.products.open_enmap`);
            ``resolution``, ``bands``, ``mask`` and ``upsampling`` for Sentinel-2
            (:func:`trifuse.products.open_sentinel2`); ``bands`` and ``mask`` for Landsat
            (:func:`trifuse.products.open_landsat`); ``grid``, ``gsd``, ``crs``, ``bbox``,
            ``mask`` and ``bands`` for Sentinel-3 (:func:`trifuse.products.open_sentinel3`,
            :func:`trifuse.products.open_olci`); ``bands``, ``scale``,
            ``offset`` and ``nodata`` for GeoTIFF and ENVI (:func:`trifuse.products.open_geotiff`);
            ``extend`` for CAVE (:func:`trifuse.products.open_cave`).
            Those that are None count as not given.

    Raises:
        ProductError: if there is no such product, it is damaged or of an unknown kind.
        MetadataError: if its metadata lacks what is needed.
        ConfigError: if an option does not apply to it.
    """
    if not isinstance(path, (str, Path)):
        files = list(path)
        if len(files) != 1:
            return open_geotiff(files, **_taken("geotiff", options, "tiles"))
        path = files[0]
    kind, found = detect(path)
    options = _taken(kind, options, str(path))
    if kind == "enmap":
        return open_enmap(path, **options)
    if kind == "sentinel2":
        return open_sentinel2(path, **options)
    if kind == "landsat":
        return open_landsat(path, **options)
    if kind == "sentinel3":
        return open_sentinel3(path, **options)
    if kind == "olci":
        return open_olci(path, **options)
    if kind == "cave":
        return open_cave(path, **options)
    return open_envi(path, **options) if kind == "envi" else open_geotiff(found, **options)


def detect(path: Path | str) -> tuple[str, list[Path]]:
    """Kind of a product and its files.

    Kinds are ``enmap``, ``sentinel2``, ``sentinel3``, ``olci``, ``landsat``, ``geotiff``,
    ``envi`` and ``cave``.

    Raises:
        ProductError: if it does not exist or is none of these.
    """
    path = Path(path)
    if (reader := _OTHER_READERS.get(path.suffix.lower())) and not is_sentinel2(path):
        raise ProductError(
            f"is {reader}, which has no reader here",
            where=path,
            fix="give its bands as one GeoTIFF on one grid",
        )
    if path.exists() and is_enmap(path):
        return "enmap", [path]
    if path.exists() and is_sentinel2(path):
        return "sentinel2", [path]
    if path.exists() and is_landsat(path):
        return "landsat", [path]
    if product := sentinel3_kind(path):
        # other types go to the reader of SY_2_SYN, which names what it takes
        return "olci" if product == "OL_1_EFR" else "sentinel3", [path]
    if is_cave(path):
        return "cave", [path]
    if path.is_dir():
        return "geotiff", _tiles(path)
    path = plain_file(path)
    if path.suffix.lower() == ".hdr":
        return "envi", [path]
    kind = driver_of(path)
    if kind == "ENVI" and envi_header(path) is not None:
        return "envi", [path]
    return "geotiff", [path]


def _tiles(folder: Path) -> list[Path]:
    if is_series(folder):
        raise ProductError(
            "is a series of dates, not one image", where=folder, fix="give one of its files"
        )
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    tiles = [p for p in files if p.suffix.lower() in (".tif", ".tiff")]
    if not tiles:
        raise ProductError(
            "holds neither an EnMAP delivery nor GeoTIFFs", where=folder, fix="give a product"
        )
    return tiles


def _taken(kind: str, options: dict[str, Any], where: str) -> dict[str, Any]:
    given = {k: v for k, v in options.items() if v is not None}
    if wrong := sorted(set(given) - _OPTIONS[kind]):
        raise ConfigError(
            f"{', '.join(wrong)} does not apply to {kind}",
            where=where,
            fix=f"give {', '.join(sorted(_OPTIONS[kind]))}",
        )
    return given
