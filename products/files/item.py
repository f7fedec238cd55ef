"""STAC Items on disk: what they hold, and where the files of their assets are.

An Item is untrusted input. Its addresses are never handed to GDAL as they stand: a file on this
machine must be there and is opened by its first bytes with a known driver, wherever it lies (also
outside the Item's folder, which is said); a file on the web is read by https alone, and only where
that was asked for. Whoever has downloaded the assets of a catalogue need not edit its addresses: a
file of the same name beside the Item counts.

Specification: STAC 1.0 and 1.1, with the extensions alternate-assets and file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from trifuse.core import ProductError
from trifuse.products.files.archive import FileRef
from trifuse.products.files.remote import AnyFile, RemoteRef, checked_url, shown

SUFFIXES = (".json", ".geojson")
MAX_ITEM = 16 << 20
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_FIX = "give one Item as JSON, with its assets"


@dataclass(frozen=True, slots=True)
class Item:
    """A STAC Item that lies in a file.

    Attributes:
        path: of the file.
        value: the JSON value.
    """

    path: Path
    value: Mapping[str, Any]

    @property
    def id(self) -> str:
        """Its identifier, or the file's name."""
        return _text(self.value.get("id")) or self.path.stem

    @property
    def collection(self) -> str:
        """That it belongs to; empty if it does not say."""
        return _text(self.value.get("collection"))

    @property
    def facts(self) -> Mapping[str, Any]:
        """Its properties."""
        return _mapping(self.value.get("properties"))

    @property
    def assets(self) -> dict[str, Mapping[str, Any]]:
        """By key; what is no asset is left out."""
        return {k: v for k, v in _mapping(self.value.get("assets")).items() if _address(v)}


@dataclass(frozen=True, slots=True)
class Absent:
    """Why there is no file of an asset.

    Attributes:
        why: in words.
        web: whether it is on the web, and was not asked for there.
    """

    why: str
    web: bool


def peek_item(path: Path) -> Item | None:
    """The one Item that a file holds, if it is such a file; never raises."""
    try:
        items = list(_items(path))
    except (OSError, ValueError, RecursionError):
        return None
    return items[0] if len(items) == 1 and items[0].assets else None


def is_stac(path: Path) -> bool:
    """Whether a file is JSON of a STAC catalogue: Item, Items, Collection; never raises."""
    try:
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            return False
        value = _json(path)
        features = value.get("features") if isinstance(value, dict) else None
        several = features if isinstance(features, list) and features else [{}]
        return isinstance(value, dict) and (
            isinstance(value.get("assets"), dict)
            or all(isinstance(_mapping(f).get("assets"), dict) for f in several)
            or ("stac_version" in value and value.get("type") in ("Collection", "Catalog"))
        )
    except (OSError, ValueError, RecursionError):
        return False


def read_item(path: Path) -> Item:
    """The one Item that a file holds.

    Raises:
        ProductError: if it is no JSON, or holds none, several, or one without assets.
    """
    try:
        items = list(_items(path))
    except OSError as e:
        if isinstance(e, ProductError):
            raise
        raise ProductError(f"cannot be read ({e.strerror})", where=path) from None
    except (ValueError, RecursionError):
        raise ProductError("is no JSON", where=path, fix="fetch it again") from None
    if len(items) != 1:
        raise ProductError(
            f"holds {len(items)} STAC Items" if items else "is no STAC Item", where=path, fix=_FIX
        )
    if items[0].value.get("type") in ("Collection", "Catalog"):
        raise ProductError(f"is a STAC {items[0].value['type']}", where=path, fix=_FIX)
    if not items[0].assets:
        raise ProductError("is a STAC Item without assets", where=path, fix=_FIX)
    return items[0]


def _items(path: Path) -> Iterator[Item]:
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return
    value = _json(path)
    # An answer of a catalogue, saved as it came, holds its items among features.
    several = value.get("features") if isinstance(value, dict) else None
    for found in several if isinstance(several, list) else [value]:
        if isinstance(found, dict) and ("assets" in found or "stac_version" in found):
            yield Item(path.absolute(), found)


def _json(path: Path) -> Any:
    return json.loads(FileRef.of(path).read(MAX_ITEM))


def locate(item: Item, key: str, *, remote: bool) -> AnyFile | Absent:
    """The file of an asset.

    Args:
        item: the Item.
        key: of the asset.
        remote: whether files may be read from the web, by https.

    Returns:
        The file; or why there is none.

    Raises:
        ProductError: if an address is not to be trusted.
    """
    asset = item.assets[key]
    addresses = [_address(asset), *_alternates(asset)]
    for address in addresses:
        if (path := _local(address, item.path)) is not None:
            there = _is_file(path)
            return FileRef.of(path) if there else Absent(f"{_cut(address)} is not there", False)
    beside = [PurePosixPath(unquote(urlsplit(a).path)).name for a in addresses]
    stated = _text(asset.get("file:local_path"))
    for name in [stated, *beside]:
        if name and (path := _local(name, item.path)) is not None and _is_file(path):
            return FileRef.of(path)
    https = [a for a in addresses if a[:8].lower() == "https://"]
    if remote and https:
        return RemoteRef(checked_url(https[0]))
    where = shown(https[0] if https else addresses[0])
    return Absent(f"{where} is {'on the web' if https else 'no https address'}", bool(https))


def scattered(item: Item, files: Mapping[str, AnyFile]) -> list[str]:
    """A line on files that an Item names outside its own folder; none if there are none."""
    home = item.path.parent.resolve()
    outside = [
        file.name
        for file in files.values()
        if isinstance(file, FileRef) and not file.path.resolve().is_relative_to(home)
    ]
    if not outside:
        return []
    more = ", …" if len(outside) > 3 else ""
    return [f"the Item names files outside its folder: {', '.join(outside[:3])}{more}"]


def _local(address: str, item: Path) -> Path | None:
    """A path on this machine; None if the address is of another place.

    Raises:
        ProductError: if it is of a kind that is never opened.
    """
    if not address.isprintable() or len(address) > 4096 or address.startswith(("/vsi", "\\\\")):
        raise ProductError(f"names {_cut(address)!r}", where=item, fix="do not use it")
    if address[:5].lower() == "file:":
        parts = urlsplit(address)
        if parts.netloc not in ("", "localhost"):
            raise ProductError(f"names {_cut(address)!r}", where=item, fix="do not use it")
        return Path(unquote(parts.path))
    if _SCHEME.match(address):
        return None
    path = item.parent / address
    return path if _is_file(path) else item.parent / unquote(address)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _alternates(asset: Mapping[str, Any]) -> list[str]:
    return [a for v in _mapping(asset.get("alternate")).values() if (a := _address(v))]


def _address(asset: Any) -> str:
    return _text(_mapping(asset).get("href")).strip()


def band_rows(asset: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What an asset says of each of its bands, of both generations of STAC in one.

    Keys without a prefix (``bands`` of 1.1: ``eo:…``, ``raster:…``) and what is said of the asset
    as a whole are the same here: ``name``, ``common_name``, ``center_wavelength``,
    ``full_width_half_max``, ``scale``, ``offset``, ``nodata``, ``spatial_resolution``.
    """
    lists = [
        v for k in ("bands", "eo:bands", "raster:bands") if isinstance(v := asset.get(k), list)
    ]
    count = max((len(rows) for rows in lists), default=0) or 1
    whole = {k.split(":", 1)[-1]: v for k, v in asset.items() if k.startswith(("raster:", "eo:"))}
    whole |= {k: asset[k] for k in ("nodata", "scale", "offset") if k in asset}
    rows: list[dict[str, Any]] = [dict(whole) for _ in range(count)]
    for found in lists:
        if len(found) == count:
            for row, said in zip(rows, found, strict=True):
                row |= {k.split(":", 1)[-1]: v for k, v in _mapping(said).items()}
    return rows


def _cut(text: str) -> str:
    return shown(text)[:120]


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
