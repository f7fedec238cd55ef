"""Sentinel-2 L2A deliveries as they arrive: which files are where.

A product is a SAFE folder, a zip of one, or a flat folder of COGs as cloud providers serve them:
one file per band, the scene classification (SCL) and the STAC item as JSON.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifuse.core import ProductError, canonical_name
from trifuse.products.files.archive import FileRef, is_zip, zip_members

NATIVE = {
    "B1": 60,
    "B2": 10,
    "B3": 10,
    "B4": 10,
    "B5": 20,
    "B6": 20,
    "B7": 20,
    "B8": 10,
    "B8A": 20,
    "B9": 60,
    "B11": 20,
    "B12": 20,
}
"""Sampling in metres at which each band of a L2A product is measured."""
NAME = re.compile(
    r"S2([A-Z])_(?:MSI|OPER_PRD_MSI|USER_PRD_MSI)L?(1C|2A)_.*?(\d{8}T\d{6})", re.IGNORECASE
)
"""Start of a product's name: platform, level, time. The field N0510 may be absent."""
_BAND = r"(B(?:0?\d|1[0-2]|0?8A)|SCL)"
_IMAGE = re.compile(rf"(?:{_BAND}|.*_{_BAND}_(10|20|60)m)\.(?:jp2|tif|tiff)", re.IGNORECASE)
"""``B02.tif`` or ``…_B02_10m.jp2``; not ``…_B2.TIF``, as others name theirs."""
_MTD = re.compile(r"(MTD_MSIL2A|S2._.*_MTD_.*L2A.*)\.xml", re.IGNORECASE)
_MTD_L1C = re.compile(r"(MTD_MSIL1C|S2._.*_MTD_.*L1C.*)\.xml", re.IGNORECASE)
_MTD_TILE = re.compile(r"(MTD_TL|S2._.*_L2A_TL_.*)\.xml", re.IGNORECASE)
_ITEM = (".json", ".geojson")
_DEPTH = 7
_MAX_FILES = 20_000
_MAX_ITEM = 16 << 20
_MAX_ITEMS = 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """The files of one product.

    Attributes:
        name: of the product, as the folder or zip says.
        origin: the path the user gave.
        images: files by (band, nominal sampling in m); ``SCL`` counts as a band.
        metadata: MTD_MSIL2A.xml, if it is there.
        tile_metadata: MTD_TL.xml, if it is there.
        item: the STAC item and its file, if there is one.
    """

    name: str
    origin: Path
    images: Mapping[tuple[str, int], FileRef]
    metadata: FileRef | None
    tile_metadata: FileRef | None
    item: tuple[FileRef, Mapping[str, Any]] | None

    @property
    def converted(self) -> bool:
        """Whether the images are a provider's and not the agency's JPEG 2000."""
        return any(not f.name.lower().endswith(".jp2") for f in self.images.values())

    def there(
        self, bands: Sequence[str], sampling: Mapping[str, int]
    ) -> tuple[tuple[str, ...], list[str]]:
        """The bands that are there, and a word on those that are not or only coarser.

        Args:
            bands: wanted.
            sampling: metres at which each band is there.
        """
        notes = []
        without = [b for b in bands if b not in sampling]
        if without and len(without) < len(bands):
            notes.append(f"holds no image of {', '.join(without)}")
        finest = min(sampling.values(), default=0)
        coarser = [b for b in bands if b in sampling and sampling[b] > max(NATIVE[b], finest)]
        if coarser:
            told = ", ".join(f"{b} at {sampling[b]} m" for b in coarser)
            notes.append(f"holds only {told}")
        return tuple(b for b in bands if b in sampling) or tuple(bands), notes

    def require(
        self, bands: Sequence[str], sampling: Mapping[str, int], scl: bool
    ) -> tuple[dict[str, FileRef], tuple[FileRef, int] | None]:
        """The files of some bands at the given sampling, and the finest SCL (with its) if wanted.

        Raises:
            ProductError: if any of them, or all metadata, are missing: all are named at once.
        """
        missing = [f"{b} ({NATIVE[b]} m)" for b in bands if b not in sampling]
        classes = [(self.images[key], key[1]) for key in sorted(self.images) if key[0] == "SCL"]
        if scl and not classes:
            missing.append("SCL")
        if self.metadata is None and self.item is None:
            missing.append("MTD_MSIL2A.xml (or, beside COGs, the STAC item as JSON)")
        if missing:
            raise ProductError(
                f"lacks {', '.join(missing)}",
                where=self.origin,
                fix="fetch the product again, or ask for less",
            )
        files = {b: self.images[b, sampling[b]] for b in bands}
        return files, classes[0] if scl else None


def looks_like_sentinel2(path: Path) -> bool:
    """Whether the path is a Sentinel-2 delivery, judged by names only; never raises."""
    try:
        if path.is_dir():
            if path.suffix.upper() == ".SAFE":
                return path.name[:2].upper() == "S2" or _has(path.iterdir(), _MTD, _MTD_L1C)
            entries = list(path.iterdir())
            if any(e.suffix.upper() == ".SAFE" and e.name[:2].upper() == "S2" for e in entries):
                return True
            names = [e.name for e in entries]
            images = [n for n in names if _IMAGE.fullmatch(n)]
            return _has(entries, _MTD, _MTD_L1C) or (
                len(images) > 1 and any(n.lower().endswith(_ITEM) for n in names)
            )
        if is_zip(path):
            return NAME.match(path.name) is not None or any(
                _MTD.fullmatch(f.name) or _MTD_L1C.fullmatch(f.name) for f in zip_members(path)
            )
        return path.is_file() and _MTD.fullmatch(path.name) is not None
    except (OSError, ValueError):
        return False


def find_delivery(path: Path) -> Delivery:
    """The files of a product.

    Args:
        path: SAFE folder, a folder that holds one, its zip, its MTD_MSIL2A.xml, or a folder of
            COGs.

    Raises:
        ProductError: if there is no product, more than one, one of level 1C, or a file twice.
    """
    path = path.absolute()
    if not path.exists():
        raise ProductError("does not exist", where=path, fix="check the path")
    if is_zip(path):
        named = [(f.member, f) for f in zip_members(path)]
    elif path.is_dir() or _MTD.fullmatch(path.name):
        named = _walk(path if path.is_dir() else path.parent)
    else:
        raise ProductError("is no Sentinel-2 product", where=path, fix="give a SAFE folder or zip")
    root, files = _one_product(named, path)
    images: dict[tuple[str, int], FileRef] = {}
    metadata, tiles, items = [], [], []
    for name, file in files:
        base = name.rsplit("/", 1)[-1]
        if _MTD.fullmatch(base):
            metadata.append(file)
        elif _MTD_TILE.fullmatch(base):
            tiles.append(file)
        elif base.lower().endswith(_ITEM) and "/" not in name:
            items.append(file)
        elif key := _image_key(name, base):
            if key in images:
                raise ProductError(
                    f"holds {images[key].name} and {file.name}",
                    where=path,
                    fix="give a product of one tile, each band once",
                )
            images[key] = file
    if len(metadata) > 1 or len(tiles) > 1:
        twice = metadata if len(metadata) > 1 else tiles
        raise ProductError(
            f"holds {len(twice)} files like {twice[0].name}",
            where=path,
            fix="give a product of one tile",
        )
    if not images and not metadata:
        if any(_MTD_L1C.fullmatch(n.rsplit("/", 1)[-1]) for n, _ in files):
            raise ProductError(
                "is of level 1C, top of atmosphere", where=path, fix="give the L2A product"
            )
        raise ProductError(
            "holds no Sentinel-2 L2A product",
            where=path,
            fix="give a SAFE folder, its zip, or COGs with their item",
        )
    return Delivery(
        name=_name(root, path),
        origin=path,
        images=images,
        metadata=metadata[0] if metadata else None,
        tile_metadata=tiles[0] if tiles else None,
        item=_item(items, path),
    )


def _walk(folder: Path) -> list[tuple[str, FileRef]]:
    """Files of a folder and what is below it, with their names relative to it."""
    found: list[tuple[str, FileRef]] = []
    level = [("", folder)]
    for _ in range(_DEPTH):
        below = []
        for prefix, place in level:
            try:
                entries = sorted(os.scandir(place), key=lambda e: e.name)
            except OSError as e:
                raise ProductError(f"cannot be read ({e.strerror})", where=place) from None
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    below.append((f"{prefix}{entry.name}/", Path(entry.path)))
                elif entry.is_file():
                    found.append((prefix + entry.name, FileRef.of(Path(entry.path))))
            if len(found) > _MAX_FILES:
                raise ProductError(f"holds more than {_MAX_FILES} files", where=folder)
        level = below
    return found


def _one_product(
    named: Sequence[tuple[str, FileRef]], path: Path
) -> tuple[str, list[tuple[str, FileRef]]]:
    """Folder of the one product, and its files with names relative to it."""
    roots = set()
    for name, _ in named:
        *folders, base = name.split("/")
        safe = [i for i, part in enumerate(folders) if part.upper().endswith(".SAFE")]
        if safe:
            roots.add("/".join(folders[: safe[0] + 1]))
        elif _MTD.fullmatch(base) or _MTD_L1C.fullmatch(base):
            roots.add("/".join(folders))
    if len(roots) > 1:
        raise ProductError(
            f"holds {len(roots)} products: {', '.join(sorted(roots))}",
            where=path,
            fix="give one of them",
        )
    root = next(iter(roots), "")
    start = f"{root}/" if root else ""
    return root, [(n.removeprefix(start), f) for n, f in named if n.startswith(start)]


def _image_key(name: str, base: str) -> tuple[str, int] | None:
    match = _IMAGE.fullmatch(base)
    if match is None or "QI_DATA" in name.upper().split("/"):
        return None
    band = canonical_name(match[1] or match[2])
    if band == "SCL":
        return band, int(match[3] or 20)
    return (band, int(match[3] or NATIVE[band])) if band in NATIVE else None


def _item(files: Sequence[FileRef], path: Path) -> tuple[FileRef, Mapping[str, Any]] | None:
    """The one JSON that is a STAC item of images; others (tile info, …) may lie beside."""
    found = []
    for file in files[:_MAX_ITEMS]:
        try:
            value = json.loads(file.read(_MAX_ITEM))
        except (ValueError, RecursionError):
            raise ProductError("is no JSON", where=file.where, fix="fetch it again") from None
        # An answer of a catalogue, saved as it came, holds its one item among features.
        several = value.get("features") if isinstance(value, dict) else None
        if isinstance(several, list) and len(several) == 1:
            (value,) = several
        if isinstance(value, dict) and isinstance(value.get("assets"), dict):
            found.append((file, value))
    if len(found) > 1:
        raise ProductError(
            f"holds the items {', '.join(f.name for f, _ in found)}",
            where=path,
            fix="keep the one that the images belong to",
        )
    return found[0] if found else None


def _has(entries: Iterable[Path], *patterns: re.Pattern[str]) -> bool:
    return any(p.fullmatch(e.name) for e in entries for p in patterns)


def _name(root: str, path: Path) -> str:
    last = root.rsplit("/", 1)[-1] or (path.name if path.suffix.lower() != ".xml" else "")
    last = last or path.parent.name
    return re.sub(r"(\.SAFE)?(\.zip)?$", "", last, flags=re.IGNORECASE)
