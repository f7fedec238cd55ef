"""Sentinel-2 L2A and L1C deliveries as they arrive: which files are where.

A product is a SAFE folder, a zip of one, or a flat folder of COGs as cloud providers serve them:
one file per band, the scene classification (SCL) and the STAC item as JSON. L1C has masks of
clouds and of quality in place of the SCL.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trifuse.core import ProductError, canonical_name
from trifuse.moved import keep_moved_names
from trifuse.products.files.archive import FileRef, is_zip, zip_members
from trifuse.products.files.clutter import is_clutter
from trifuse.products.files.remote import AnyFile
from trifuse.products.sentinel2.levels import L1C, L2A, Level

NAME = re.compile(
    r"S2([A-Z])_(?:MSI|OPER_PRD_MSI|USER_PRD_MSI)L?(1C|2A)_.*?(\d{8}T\d{6})", re.IGNORECASE
)
"""Start of a product's name: platform, level, time. The field N0510 may be absent."""
_BAND = r"(B(?:0?\d|1[0-2]|0?8A)|SCL)"
_IMAGE = re.compile(
    rf"(?:(?:S2[A-Z]_MSIL2A_.*_)?{_BAND}|.*_{_BAND}_(10|20|60)m)\.(?:jp2|tif|tiff)", re.IGNORECASE
)
"""``B02.tif``, ``S2A_MSIL2A_…_B02.tif`` or ``…_B02_10m.jp2``; not ``…_B2.TIF``, as others do."""
_MTD = re.compile(
    r"(MTD_MSIL2A|S2._.*_MTD_.*L2A.*|S2._MSIL2A_.*_product-metadata)\.xml", re.IGNORECASE
)
_MTD_L1C = re.compile(r"(MTD_MSIL1C|S2._.*_MTD_SAFL1C_.*)\.xml", re.IGNORECASE)
_MTD_TILE = re.compile(
    r"(MTD_TL|S2._.*_L(?:2A|1C)_TL_.*|S2._MSIL2A_.*_granule-metadata)\.xml", re.IGNORECASE
)
_IMAGE_L1C = re.compile(rf".*_{_BAND}\.jp2", re.IGNORECASE)
"""``T33UUU_…_B02.jp2``: each band is there at its own sampling alone."""
_QUALITY = re.compile(
    r"(?:.*_)?MSK_(?:CLASSI_(?:.*_)?B00.*\.jp2|CLOUDS_(?:.*_)?B00.*\.gml|"
    r"QUALIT_(?:.*_)?(B\d\d|B8A).*\.jp2)",
    re.IGNORECASE,
)
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
        level: of processing.
        quality: masks of L1C: ``CLASSI`` or ``CLOUDS``, and by band those of its quality.
        notes: what a user should know of how the files were found.
        absent: why there is no file, by band, of those that an item names.
        left_out: of these, the bands that are simply not downloaded.
    """

    name: str
    origin: Path
    images: Mapping[tuple[str, int], AnyFile]
    metadata: FileRef | None
    tile_metadata: FileRef | None
    item: tuple[FileRef, Mapping[str, Any]] | None
    level: Level = L2A
    quality: Mapping[str, FileRef] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    absent: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()

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
        bands = [b for b in bands if b not in self.left_out]
        without = [b for b in bands if b not in sampling and b not in self.absent]
        if without and len(without) < len(bands):
            notes.append(f"holds no image of {', '.join(without)}")
        finest = min(sampling.values(), default=0)
        native = self.level.native
        coarser = [b for b in bands if b in sampling and sampling[b] > max(native[b], finest)]
        if coarser:
            told = ", ".join(f"{b} at {sampling[b]} m" for b in coarser)
            notes.append(f"holds only {told}")
        return tuple(b for b in bands if b not in without) or tuple(bands), notes

    def require(
        self, bands: Sequence[str], sampling: Mapping[str, int], scl: bool
    ) -> tuple[dict[str, AnyFile], tuple[AnyFile, int] | None]:
        """The files of some bands at the given sampling, and the finest SCL (with its) if wanted.

        Raises:
            ProductError: if any of them, or all metadata, are missing: all are named at once.
        """
        names = self.absent
        missing = [
            f"{b} ({names.get(b) or f'{self.level.native[b]} m'})"
            for b in bands
            if b not in sampling
        ]
        classes = [
            (self.images[key], key[1]) for key in sorted(self.images) if key[0] in ("SCL", "FMASK")
        ]
        if scl and not classes:
            missing.append(f"SCL ({names['SCL']})" if "SCL" in names else "SCL")
        if self.metadata is None and self.item is None:
            missing.append(f"{self.level.metadata} (or, beside COGs, the STAC item as JSON)")
        if missing:
            raise ProductError(
                f"lacks {', '.join(missing)}",
                where=self.origin,
                fix="let them be fetched (--remote, remote=True), or put them beside the Item"
                if self.left_out
                else "fetch the product again, or ask for less",
            )
        files = {b: self.images[b, sampling[b]] for b in bands}
        return files, classes[0] if scl else None


def looks_like_sentinel2(path: Path) -> bool:
    """Whether the path is a Sentinel-2 delivery, judged by names only; never raises."""
    try:
        if path.is_dir():
            path = _safe_around(path)
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
        return path.is_file() and _has([path], _MTD, _MTD_L1C)
    except (OSError, ValueError):
        return False


def find_delivery(path: Path) -> Delivery:
    """The files of a product.

    Args:
        path: SAFE folder, a folder that holds one, its zip, its MTD_MSIL2A.xml or MTD_MSIL1C.xml,
            or a folder of COGs.

    Raises:
        ProductError: if there is no product, more than one, or a file twice.
    """
    path = path.absolute()
    if not path.exists():
        raise ProductError("does not exist", where=path, fix="check the path")
    path = _safe_around(path)
    if is_zip(path):
        named = [(f.member, f) for f in zip_members(path)]
    elif path.is_dir() or _has([path], _MTD, _MTD_L1C):
        named = _walk(path if path.is_dir() else path.parent)
    else:
        raise ProductError("is no Sentinel-2 product", where=path, fix="give a SAFE folder or zip")
    root, files = _one_product(named, path)
    images: dict[tuple[str, int], AnyFile] = {}
    metadata, tiles, items = [], [], []
    quality: dict[str, FileRef] = {}
    bases = [name.rsplit("/", 1)[-1] for name, _ in files]
    later = any(map(_MTD.fullmatch, bases))
    level = L1C if not later and any(map(_MTD_L1C.fullmatch, bases)) else L2A
    product = _MTD_L1C if level is L1C else _MTD
    for (name, file), base in zip(files, bases, strict=True):
        if product.fullmatch(base):
            metadata.append(file)
        elif _MTD_TILE.fullmatch(base):
            tiles.append(file)
        elif base.lower().endswith(_ITEM) and "/" not in name:
            items.append(file)
        elif level is L1C and (mask := _QUALITY.fullmatch(base)):
            kind = "CLASSI" if "_CLASSI_" in base.upper() else "CLOUDS"
            quality.setdefault(canonical_name(mask[1]) if mask[1] else kind, file)
        elif key := _image_key(name, base, level):
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
        raise ProductError(
            "holds no Sentinel-2 product",
            where=path,
            fix="give a SAFE folder, its zip, or COGs with their item",
        )
    return Delivery(
        name=_name(root, path),
        origin=path,
        images=images,
        metadata=metadata[0] if metadata else None,
        tile_metadata=tiles[0] if tiles else None,
        item=_item(items, path, without=bool(metadata)),
        level=level,
        quality=quality,
    )


def _safe_around(path: Path) -> Path:
    """The SAFE folder that a folder of its granule lies in; else the path itself."""
    whole = path.absolute()
    for safe in list(whole.parents)[:_DEPTH]:
        if safe.suffix.upper() == ".SAFE" and safe.name[:2].upper() == "S2":
            inside = whole.relative_to(safe).parts[0].upper() == "GRANULE"
            return safe if inside and path.is_dir() else path
    return path


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
                if entry.name.startswith(".") or is_clutter(entry.name):
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


def _image_key(name: str, base: str, level: Level) -> tuple[str, int] | None:
    if "QI_DATA" in name.upper().split("/"):
        return None
    if level is L1C and (own := _IMAGE_L1C.fullmatch(base)):
        band = canonical_name(own[1])
        return (band, level.native[band]) if band in level.native else None
    match = _IMAGE.fullmatch(base)
    if match is None:
        return None
    band = canonical_name(match[1] or match[2])
    if band == "SCL":
        return band, int(match[3] or 20)
    return (band, int(match[3] or level.native[band])) if band in level.native else None


def _item(
    files: Sequence[FileRef], path: Path, *, without: bool
) -> tuple[FileRef, Mapping[str, Any]] | None:
    """The one JSON that is a STAC item of images; others (tile info, …) may lie beside.

    Args:
        files: that may be it.
        path: of the product, for messages.
        without: whether the product can do without one.
    """
    found: list[tuple[FileRef, Mapping[str, Any]]] = []
    broken: list[FileRef] = []
    for file in files[:_MAX_ITEMS]:
        try:
            value = json.loads(file.read(_MAX_ITEM))
        except (ValueError, RecursionError):
            broken.append(file)
            continue
        # An answer of a catalogue, saved as it came, holds its one item among features.
        several = value.get("features") if isinstance(value, dict) else None
        if isinstance(several, list) and len(several) == 1:
            (value,) = several
        if isinstance(value, dict) and isinstance(value.get("assets"), dict):
            found.append((file, value))
    if broken and not found and not without:
        raise ProductError("is no JSON", where=broken[0].where, fix="fetch it again")
    if any(value != found[0][1] for _, value in found):
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


keep_moved_names(__name__)
