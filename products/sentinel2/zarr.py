"""Sentinel-2 L2A in the agency's Zarr form (EOPF), of Zarr format 2 or 3.

Images lie at ``measurements/reflectance/r10m/b02`` and so on, with scale and offset in the
attributes of the CF conventions; values may also be reflectance as floats, as in GeoZarr copies.

Not tested on real products: the form is still in flux, and the stores of the tests are made by
:mod:`trifuse.products.sentinel2.factory_zarr` after the published layout.

Source: EOPF product structure format, Sentinel-2 MSI L2A.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    DataError,
    Grid,
    GridError,
    MetadataError,
    MissingExtraError,
    ProductError,
    Window,
    read_json,
)
from trifuse.products.files.raster import MAX_BLOCK, MAX_READ
from trifuse.products.sentinel2.levels import NATIVE
from trifuse.products.sentinel2.metadata import (
    SATURATED,
    Sentinel2Metadata,
    baseline_notes,
    baseline_of,
    iso_time,
    sensor_of,
    tile_of,
)

REFLECTANCE = "measurements/reflectance"
SCL = "conditions/mask/l2a_classification/r20m/scl"
CODECS = {
    "blosc",
    "zstd",
    "gzip",
    "zlib",
    "lz4",
    "bz2",
    "lzma",
    "shuffle",
    "delta",
    "bytes",
    "crc32c",
    "transpose",
    "sharding_indexed",
    "numcodecs.shuffle",
    "numcodecs.delta",
    "numcodecs.blosc",
    "numcodecs.zlib",
    "numcodecs.zstd",
    "fixedscaleoffset",
    "numcodecs.fixedscaleoffset",
}
"""What may decode a chunk. Zarr knows others that run code from the file (pickle)."""
_DTYPES = {
    "uint8": "u1",
    "uint16": "u2",
    "int16": "i2",
    "int32": "i4",
    "int64": "i8",
    "float32": "f4",
    "float64": "f8",
}


def is_zarr(path: Path) -> bool:
    """Whether a folder is a Zarr store with reflectance of Sentinel-2, judged by names only."""
    return path.suffix.lower() == ".zarr" and (path / REFLECTANCE).is_dir()


def array_path(band: str) -> str:
    """Place of a band at its own sampling, ``measurements/reflectance/r10m/b02``."""
    number = band.lower() if band == "B8A" else f"b{int(band[1:]):02d}"
    return f"{REFLECTANCE}/r{NATIVE[band]}m/{number}"


class ZarrImage:
    """One array of a store, read like a one-band raster file.

    Args:
        store: the folder.
        path: of the array in it.
        crs: of the product.

    Attributes:
        doubt: what contradicts where it lies, in words; empty if nothing does.

    Raises:
        ProductError: if it is missing, of another kind, or not to be trusted.
        MetadataError: if it does not say where it lies.
    """

    def __init__(self, store: Path, path: str, crs: str) -> None:
        self.name = f"{store}/{path}"
        self._store, self._path = store, path
        self.attributes, described = _described(store / path)
        shape, self.dtype = _checked(described, self.name, 2)
        transform, self.doubt = _placed(store, path, self.attributes, shape)
        try:
            self.grid = Grid(_crs(self.attributes) or crs, transform, *shape)
        except GridError as e:
            raise GridError(e.what, where=self.name, fix=e.fix) from None
        self._array: Any = None

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Stored values, (1, y, x); ``size`` picks the nearest ones. See ``Raster.read``.

        Raises:
            ProductError: if a chunk is damaged.
            DataError: if the window leaves the image or the read is too large.
        """
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(f"{window} leaves an image of {self.grid.shape}", where=self.name)
        if math.prod(window.shape) * self.dtype.itemsize > MAX_READ:
            raise DataError(
                f"a read of {window.shape} values", where=self.name, fix="read it by windows"
            )
        try:
            if self._array is None:
                self._array = _zarr().open_array(store=str(self._store), path=self._path, mode="r")
            values = np.asarray(self._array[window.slices])
        except (ProductError, MissingExtraError):
            raise
        except Exception as e:  # every codec fails in its own way
            raise _unreadable(self.name, e) from None
        if size is not None:
            at = [
                ((np.arange(n) + 0.5) / n * m).astype(int)
                for n, m in zip(size, values.shape, strict=True)
            ]
            values = values[np.ix_(*at)]
        return values[None]

    def close(self) -> None:
        """Give up the store; reading again reopens it."""
        self._array = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_array": None}


def read_store(
    store: Path, bands: Sequence[str], scl: bool
) -> tuple[Sentinel2Metadata, dict[str, ZarrImage], ZarrImage | None]:
    """Metadata, images and classes of a store.

    Raises:
        MissingExtraError: if the package zarr is not installed.
        ProductError: if arrays are missing (all are named at once), damaged or not to be trusted.
        MetadataError: if the calibration, the place or the platform is not stated.
    """
    _zarr()
    wanted = {b: array_path(b) for b in bands} | ({"SCL": SCL} if scl else {})
    missing = [p for p in wanted.values() if not (store / p).is_dir()]
    if missing:
        raise ProductError(
            f"lacks {', '.join(missing)}",
            where=store,
            fix="fetch the product again, or ask for less",
        )
    root, _ = _described(store)
    crs = _crs(root)
    images = {name: ZarrImage(store, path, crs) for name, path in wanted.items()}
    classes = images.pop("SCL", None)
    if not all(image.grid.crs for image in images.values()):
        raise MetadataError("states no coordinate system", where=store)
    scale, offset, fills = {}, {}, set()
    for band, image in images.items():
        scale[band], offset[band], fill = _calibration(image)
        fills.add(fill)
    if len(fills) > 1:
        raise MetadataError(f"states several fill values {sorted(map(str, fills))}", where=store)
    doubts = [i.doubt for i in [*images.values(), *([classes] if classes else [])] if i.doubt]
    stac = _mapping(_mapping(root, "stac_discovery"), "properties")
    identity = str(_mapping(root, "stac_discovery").get("id") or store.stem)
    baseline = baseline_of(str(stac.get("processing:version") or ""), identity)
    kinds = {image.dtype.kind for image in images.values()}
    metadata = Sentinel2Metadata(
        product_id=identity.removesuffix(".SAFE"),
        sensor=sensor_of(str(stac.get("platform") or ""), identity, str(store)),
        baseline=baseline,
        tile=tile_of(identity),
        scale=scale,
        offset=offset,
        nodata=fills.pop(),
        saturated=SATURATED if kinds == {"u"} else None,
        origin="the array's attributes: stored × scale_factor + add_offset",
        facts={"start_time": iso_time(str(stac.get("datetime") or stac.get("start_datetime")))},
        notes=(*baseline_notes(baseline), *_once(doubts)),
    )
    return metadata, images, classes


def _once(doubts: Sequence[str]) -> list[str]:
    """What is said of the places of all samplings, in one line."""
    several = list(dict.fromkeys(doubts))
    more = f" (likewise {len(several) - 1} other samplings)" if len(several) > 1 else ""
    return [several[0] + more] if several else []


def _zarr() -> Any:
    try:
        import zarr
    except ImportError:
        fix = "pip install 'trifuse[zarr]'"
        raise MissingExtraError("zarr is not installed", fix=fix) from None
    return zarr


def _unreadable(where: str, error: Exception) -> ProductError:
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return ProductError(f"cannot be read ({reason})", where=where, fix="fetch the product again")


def _described(node: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Attributes and description of an array or group, from the JSON files of either format."""
    if (node / "zarr.json").is_file():
        value = read_json(node / "zarr.json")
        return _mapping(value, "attributes"), _dict(value)
    attributes = read_json(node / ".zattrs") if (node / ".zattrs").is_file() else {}
    described = read_json(node / ".zarray") if (node / ".zarray").is_file() else {}
    return _dict(attributes), _dict(described)


def _checked(
    described: Mapping[str, Any], where: str, dimensions: int
) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array whose description is plain."""
    grid = _mapping(_mapping(described, "chunk_grid"), "configuration")
    shape = _sizes(described.get("shape"), dimensions, where)
    chunks = _sizes(described.get("chunks") or grid.get("chunk_shape"), dimensions, where)
    text = str(described.get("data_type") or described.get("dtype"))
    kind = _DTYPES.get(text, text.lstrip("<>|="))
    if kind not in _DTYPES.values():
        raise ProductError(f"holds {text[:40]}, no numbers that are read here", where=where)
    if math.prod(chunks) * np.dtype(kind).itemsize > MAX_BLOCK:
        raise ProductError(f"is stored in chunks of {chunks}", where=where)
    used = {c for k in ("codecs", "filters", "compressor") for c in _codecs(described.get(k))}
    if unknown := used - CODECS:
        raise ProductError(
            f"is packed by {', '.join(sorted(unknown))[:80]}",
            where=where,
            fix="do not use it, or pack it by blosc or zstd",
        )
    return shape, np.dtype(kind)


def _sizes(value: Any, dimensions: int, where: str) -> tuple[int, ...]:
    plain = isinstance(value, list) and all(type(n) is int and 0 < n < 1 << 31 for n in value)
    if not plain or len(value) != dimensions:
        raise ProductError(
            f"is no array of {dimensions} dimensions, but {str(value)[:60]}", where=where
        )
    return tuple(value)


def _codecs(value: Any) -> Iterator[str]:
    """Names of all codecs in a description, nested ones too."""
    if isinstance(value, list):
        for item in value:
            yield from _codecs(item)
    elif isinstance(value, dict):
        if "id" in value or "name" in value:
            yield str(value.get("id") or value.get("name"))
        for key in ("configuration", "codecs", "index_codecs"):
            yield from _codecs(value.get(key))


Affine = tuple[float, float, float, float, float, float]


def _placed(
    store: Path, path: str, attributes: Mapping[str, Any], shape: tuple[int, ...]
) -> tuple[Affine, str]:
    """The transform of an array, and a word if statements contradict each other.

    The arrays of coordinates beside it, which are of pixel centres, belong to the pixels that are
    there; attributes often stay those of the whole tile when a part is cut out. They serve where
    there are no coordinates, if the size they state, if any, is that of the array.
    """
    group = path.rsplit("/", 1)[0]
    beside, _ = _described(store / group)
    stated = None
    for source in (attributes, beside):
        if stated := _stated(source, f"{store}/{path}"):
            size = source.get("spatial:shape") or source.get("proj:shape")
            break
    try:
        seen = _by_coordinates(store / group, shape, f"{store}/{path}")
    except MetadataError:
        if stated is None:
            raise
        if isinstance(size, list) and size != list(shape):
            raise MetadataError(
                f"its transform is of an image of {size}, it is {list(shape)}, and no coordinates "
                "beside it tell which part",
                where=f"{store}/{path}",
                fix="keep the arrays x and y when cutting a part out",
            ) from None
        return stated, ""
    if stated is None:
        return seen, ""
    tolerance = 1e-3 * abs(seen[0])
    off = [abs(x - y) for x, y in zip(stated, seen, strict=True)]
    if max(off) <= tolerance:
        return stated, ""
    return seen, (
        f"the transform of {path.rsplit('/', 2)[-2]} in the attributes starts at {stated[2]:.12g}, "
        f"{stated[5]:.12g}, the coordinates at {seen[2]:.12g}, {seen[5]:.12g}: the coordinates "
        "count"
    )


def _stated(source: Mapping[str, Any], where: str) -> Affine | None:
    for key in ("spatial:transform", "proj:transform"):
        numbers = source.get(key)
        if isinstance(numbers, list) and len(numbers) >= 6:
            a, b, c, d, e, f = (_finite(n, where) for n in numbers[:6])
            return a, b, c, d, e, f
    return None


def _by_coordinates(group: Path, shape: tuple[int, ...], where: str) -> Affine:
    """By the arrays x and y of pixel centres.

    Raises:
        MetadataError: if there are none for this size.
        GridError: if they are not regular.
    """
    centres = []
    for axis, count in (("y", shape[0]), ("x", shape[1])):
        node = group / axis
        _, described = _described(node)
        if described.get("shape") != [count] or count < 2:
            raise MetadataError(f"has no {axis} of {count} coordinates beside it", where=where)
        _checked(described, str(node), 1)
        try:
            values = np.asarray(_zarr().open_array(store=str(node), mode="r")[:], float)
        except Exception as e:  # every codec fails in its own way
            raise _unreadable(str(node), e) from None
        step = (values[-1] - values[0]) / (count - 1)
        if not np.allclose(np.diff(values), step, rtol=1e-6):
            raise GridError(f"{axis} is no regular axis", where=node)
        centres.append((float(values[0] - step / 2), float(step)))
    (north, down), (west, right) = centres
    return right, 0.0, west, 0.0, down, north


def _crs(attributes: Mapping[str, Any]) -> str:
    """``EPSG:n`` from where the forms put it; empty if nowhere."""
    stac = _mapping(_mapping(attributes, "stac_discovery"), "properties")
    other = _mapping(attributes, "other_metadata")
    for value in (
        attributes.get("proj:code"),
        attributes.get("proj:epsg"),
        stac.get("proj:code"),
        stac.get("proj:epsg"),
        other.get("horizontal_CRS_code"),
    ):
        digits = str(value).upper().removeprefix("EPSG:")
        if digits.isascii() and digits.isdigit() and 4 <= len(digits) <= 6:
            return f"EPSG:{digits}"
    return ""


def _calibration(image: ZarrImage) -> tuple[float, float, float | None]:
    """Scale, offset and fill of an array."""
    own = _mapping(image.attributes, "_eopf_attrs") | image.attributes
    scale, offset = own.get("scale_factor"), own.get("add_offset")
    if image.dtype.kind == "f" and scale is None:
        return 1.0, 0.0, math.nan
    if scale is None:
        raise MetadataError(
            "holds integers and states no scale_factor",
            where=image.name,
            fix="fetch the product again",
        )
    numbers = _finite(scale, image.name), _finite(0.0 if offset is None else offset, image.name)
    if not 1e-6 <= numbers[0] <= 1 or abs(numbers[1]) > 1:
        raise MetadataError(f"states scale and offset of {numbers}", where=image.name)
    fill = own.get("_FillValue", own.get("fill_value", 0))
    return (*numbers, _finite(fill, image.name))


def _finite(value: Any, where: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise MetadataError(f"states {str(value)[:40]!r} where a number is needed", where=where)
    return number


def _mapping(value: Any, key: str) -> dict[str, Any]:
    return _dict(_dict(value).get(key))


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
