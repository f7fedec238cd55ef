"""Opening whatever the user has: the kind is told by content, not by name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from trifuse.core import CubeSource, ProductError
from trifuse.core.xarray_read import is_xarray
from trifuse.products.files.archive import is_tar, is_zip, tar_names, zip_members
from trifuse.products.files.geotiff import READER as GEOTIFF
from trifuse.products.files.raster import driver_of, plain_file
from trifuse.products.files.xarray_source import OPTIONS as XARRAY_OPTIONS
from trifuse.products.files.xarray_source import open_xarray
from trifuse.products.reader import Reader
from trifuse.products.registry import READERS
from trifuse.products.series.folder import is_series

if TYPE_CHECKING:
    from trifuse.core.xarray_read import XArray

_UNREAD = {".zarr": "Zarr"}
"""Formats of the field that no reader takes, by their suffix."""
_XARRAY = Reader("xarray", lambda path: False, open_xarray, XARRAY_OPTIONS)


def open_cube(path: Path | str | Sequence[Path | str] | XArray, **options: Any) -> CubeSource:
    """Open a product as a source of calibrated values.

    EnMAP deliveries (folder, zip, order), Sentinel-2 L2A and L1C (SAFE folder or zip, COGs with
    their item), Sentinel-3 SY_2_SYN and OL_1_EFR (.SEN3 folder or zip), Landsat Collection 2
    Level 2 (folder, tar, zip), STAC Items of these and of others (local JSON), GeoTIFF and COG,
    ENVI (header or data), images like CAVE's (folder of 31 PNGs, ``.mat``) and other cubes in
    ``.mat``, and whatever else is among :data:`trifuse.products.READERS`. Several files, or a
    folder with nothing but GeoTIFFs, are the bands of one image where their names tell bands, else
    the tiles of one mosaic. An xarray Dataset or DataArray of one image is read window by window
    (:func:`trifuse.products.open_xarray`).

    Args:
        path: file or folder, the tiles or bands of one image, or what xarray has opened.
        options: ``mask`` and ``scene`` for EnMAP (:func:`trifuse.products.open_enmap`);
            ``resolution``, ``bands``, ``mask`` and ``upsampling`` for Sentinel-2
            (:func:`trifuse.products.open_sentinel2`); ``bands`` and ``mask`` for Landsat
            (:func:`trifuse.products.open_landsat`); ``remote`` for STAC Items, whose files on the
            web are read by https where it is True; ``grid``, ``gsd``, ``crs``, ``bbox``,
            ``mask`` and ``bands`` for Sentinel-3 (:func:`trifuse.products.open_sentinel3`,
            :func:`trifuse.products.open_olci`); ``bands``, ``scale``, ``offset``, ``nodata`` and
            ``wavelengths`` for GeoTIFF and ENVI (:func:`trifuse.products.open_geotiff`);
            ``extend`` for CAVE (:func:`trifuse.products.open_cave`); ``wavelengths`` for other
            cubes in MATLAB files.
            Those that are None count as not given.

    Raises:
        ProductError: if there is no such product, it is damaged or of an unknown kind.
        MetadataError: if its metadata lacks what is needed.
        ConfigError: if an option does not apply to it.
    """
    if is_xarray(path):
        return open_xarray(path, **_XARRAY.taken(options, "xarray"))
    if not isinstance(path, (str, Path)):
        several = list(cast("Sequence[Path | str]", path))
        if len(several) != 1:
            return GEOTIFF.open(several, **GEOTIFF.taken(options, "tiles"))
        path = several[0]
    reader = find_reader(path)
    taken = reader.taken(options, str(path))
    files = reader.files(Path(path))
    return reader.open(files[0] if len(files) == 1 else files, **taken)


def open_scenes(
    scene: Path | str | Sequence[Path | str] | XArray, *, mask: str = "default"
) -> Sequence[CubeSource]:
    """Open every scene that a delivery holds, as sources of spectra to make other bands of.

    An EnMAP order and a folder of images like CAVE's may hold several. Others are opened as by
    :func:`open_cube`.

    Args:
        scene: as of :func:`open_cube`.
        mask: what is not usable, as of :func:`trifuse.products.open_enmap`; for readers that have
            masks of spectra.

    Raises:
        TrifuseError: as :func:`open_cube`.
    """
    if isinstance(scene, (str, Path)):
        reader = find_reader(scene)
        if reader.scenes is not None:
            return reader.scenes(Path(scene), mask)
    return [open_cube(scene)]


def detect(path: Path | str) -> tuple[str, list[Path]]:
    """Kind of a product, as of :data:`trifuse.products.READERS`, and its files.

    Raises:
        ProductError: if it does not exist or is of no kind that is known.
    """
    reader = find_reader(path)
    return reader.kind, list(reader.files(Path(path)))


def find_reader(path: Path | str) -> Reader:
    """The reader of a product: the first of :data:`trifuse.products.READERS` that knows it.

    Raises:
        ProductError: if it does not exist or is of no kind that is known.
    """
    path = Path(path)
    if path.exists() and not is_series(path):
        for reader in READERS:
            if reader.detects(path):
                return reader
    raise _unknown(path)


def _content(path: Path) -> str:
    """What an archive holds, in a few words.

    Raises:
        ProductError: if it is damaged.
    """
    names = [f.member for f in zip_members(path)] if is_zip(path) else tar_names(path)
    bases = [n.rstrip("/").rsplit("/", 1)[-1] for n in names]
    shown = ", ".join(bases[:4]) + (", …" if len(bases) > 4 else "")
    count = f"{len(names)} files" if len(names) != 1 else "one file"
    return f"{count}: {shown}" if names else "nothing"


def _unknown(path: Path) -> ProductError:
    """What is wrong with a path that no reader takes; what names a file says so itself."""
    if known := _UNREAD.get(path.suffix.lower()):
        return ProductError(
            f"is {known}, which has no reader here",
            where=path,
            fix="give its bands as one GeoTIFF on one grid",
        )
    if is_series(path):
        return ProductError(
            "is a series of dates, not one image", where=path, fix="give one of its files"
        )
    if path.is_dir():
        return ProductError(
            "holds neither an EnMAP delivery nor GeoTIFFs", where=path, fix="give a product"
        )
    if path.is_file() and (is_zip(path) or is_tar(path)):
        raise ProductError(
            f"is an archive of {_content(path)}, none of the deliveries that are known",
            where=path,
            fix="give a zip or tar as EnMAP, Sentinel-2, Sentinel-3 or Landsat are delivered, or "
            "unpack it and give the image in it",
        )
    driver = driver_of(plain_file(path))
    return ProductError(f"is {driver} that no reader takes", where=path)
