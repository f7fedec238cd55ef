"""EnMAP deliveries as they arrive: which files are where.

A scene is a METADATA.XML, one spectral image and quality layers that share a prefix. It comes as
a folder, as a zip with or without an inner folder or the prefix, as a zip inside the tar.gz of an
order that may hold several, or as flat COG files with a lower-case extension.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from trifuse.core import ProductError
from trifuse.products.enmap.images import image_driver
from trifuse.products.files.archive import (
    FileRef,
    Unpacked,
    is_tar,
    is_zip,
    tar_names,
    unpack_tar,
    zip_members,
)
from trifuse.products.files.clutter import is_clutter

NAME = re.compile(
    r"ENMAP(\d{2})-____(L1B|L1C|L2A)-DT(.{10})_(\d{8}T\d{6})Z_(\d{3})_V(\d{6})_(\d{8}T\d{6})Z", re.I
)
"""Name of a scene: satellite, level, datatake, start, tile, version, time of processing."""
_FILE = re.compile(
    r"(?P<prefix>|.*-)(?P<part>METADATA|SPECTRAL_IMAGE(?:_VNIR|_SWIR)?|QL_[A-Z0-9_]+?)(?:_COG)?"
    r"\.(?P<kind>[A-Z0-9]+)",
    re.I,
)
_DEPTH = 4
_MAX_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Scene:
    """The files of one scene.

    Attributes:
        name: product name, or the best there is.
        metadata: its METADATA.XML.
        images: its spectral image or images.
        layers: quality files by layer name without ``QL_``, upper case.
        origin: the path the user gave.
        inside: name of the member of the order that the scene was unpacked from; empty otherwise.
        unpacked: keeps the unpacked files alive.
    """

    name: str
    metadata: FileRef
    images: tuple[FileRef, ...]
    layers: Mapping[str, FileRef]
    origin: Path
    inside: str = ""
    unpacked: Unpacked | None = None

    @property
    def files(self) -> tuple[FileRef, ...]:
        """All files of the scene that are read."""
        return (self.metadata, *self.images, *self.layers.values())


def find_scenes(path: Path, inside: str = "") -> list[Scene]:
    """All scenes of a delivery, sorted by name.

    Args:
        path: folder, zip, tar or tar.gz, METADATA.XML or spectral image.
        inside: unpack only this member of an order.

    Raises:
        ProductError: if there is no scene, or one of them is incomplete.
    """
    if not path.exists():
        raise ProductError("does not exist", where=path, fix="check the path")
    prefix = None
    if path.is_dir():
        files = _walk(path)
    elif is_tar(path):
        return _find_in_order(path, inside)
    elif is_zip(path):
        files = zip_members(path)
    elif (match := _FILE.fullmatch(path.name)) and _part(path.name)[:3] in ("MET", "SPE"):
        files = [FileRef.of(p) for p in sorted(path.parent.iterdir()) if p.is_file()]
        prefix = match["prefix"].upper()
    else:
        raise ProductError("is no EnMAP delivery", where=path, fix="give its folder, zip or tar.gz")
    scenes = _group(files, path, prefix)
    if not scenes:
        raise ProductError(
            "holds no METADATA.XML with a SPECTRAL_IMAGE, so no EnMAP scene",
            where=path,
            fix="give an EnMAP L2A delivery",
        )
    return sorted(scenes, key=lambda s: s.name)


def looks_like_enmap(path: Path) -> bool:
    """Whether the path holds or is a part of an EnMAP delivery, judged by names only."""
    try:
        if path.is_dir():
            names = [f.where for f in _walk(path)]
        elif is_tar(path):
            names = tar_names(path)
        elif is_zip(path):
            if NAME.search(path.name):
                return True
            names = [f.member for f in zip_members(path)]
        else:
            return path.is_file() and bool(_enmap_part(path.name))
    except (OSError, ValueError):
        return False
    bases = [name.rsplit("/", 1)[-1] for name in names]
    if any(base.upper().endswith(".ZIP") and NAME.match(base) for base in bases):
        return True
    parts = {_enmap_part(base) for base in bases} - {""}
    return len(parts) == 2 or (len(parts) == 1 and NAME.search(path.name) is not None)


def _enmap_part(name: str) -> str:
    """``METADATA`` or ``SPECTRAL`` of EnMAP; DESIS names its files alike but for the start."""
    part = _part(name).partition("_")[0]
    known = name.upper().startswith(part) or NAME.match(name) is not None
    return part if part in ("METADATA", "SPECTRAL") and known else ""


def _walk(folder: Path) -> list[FileRef]:
    """Files of a folder; of its sub-folders and zips only if no scene lies in it directly."""
    found: list[FileRef] = []
    level = [folder]
    for _ in range(_DEPTH):
        below: list[Path] = []
        for place in level:
            with os.scandir(place) as entries:
                for entry in sorted(entries, key=lambda e: e.name):
                    path = Path(entry.path)
                    if is_clutter(entry.name):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        below.append(path)
                    elif entry.is_file() and not entry.name.startswith("."):
                        if is_zip(path) and NAME.search(entry.name):
                            found.extend(zip_members(path))
                        else:
                            found.append(FileRef.of(path))
            if len(found) > _MAX_FILES:
                raise ProductError(f"holds more than {_MAX_FILES} files", where=folder)
        if any(_part(f.name) == "METADATA" for f in found):
            break
        level = below
    return found


def _find_in_order(path: Path, inside: str) -> list[Scene]:
    def wanted(name: str) -> bool:
        base = name.rsplit("/", 1)[-1]
        if inside:
            return name == inside or (name.startswith(inside) and _part(base) != "")
        return _part(base) != "" or (
            base.upper().endswith(".ZIP") and NAME.search(base) is not None
        )

    unpacked = unpack_tar(path, wanted)
    scenes = []
    for member in sorted(p for p in unpacked.folder.rglob("*") if p.is_file() and is_zip(p)):
        name = member.relative_to(unpacked.folder).as_posix()
        scenes += [replace(s, inside=name) for s in _group(zip_members(member), path, None)]
    loose = [
        FileRef.of(p) for p in sorted(unpacked.folder.rglob("*")) if p.is_file() and not is_zip(p)
    ]
    for scene in _group(loose, path, None):
        name = scene.metadata.path.relative_to(unpacked.folder).as_posix()
        part = _FILE.fullmatch(scene.metadata.name)
        assert part is not None
        scenes.append(replace(scene, inside=name[: len(name) - len(part[0]) + part.end("prefix")]))
    if not scenes:
        raise ProductError("holds no EnMAP scene", where=path, fix="give an EnMAP order")
    return [
        replace(s, origin=path.absolute(), unpacked=unpacked)
        for s in sorted(scenes, key=lambda s: s.name)
    ]


def _group(files: Iterable[FileRef], origin: Path, prefix: str | None) -> list[Scene]:
    """Put together what lies in one place under one prefix (all of them, or the one given)."""
    groups: dict[tuple[str, str], dict[str, list[FileRef]]] = {}
    for file in files:
        match = _FILE.fullmatch(file.name)
        if match is None or not (part := _part(file.name)):
            continue
        if part.startswith("QL_") and not file.size:
            continue  # as good as not there, which is said where the layer is wanted
        key = (file.where.rsplit("/", 1)[0], match["prefix"].upper())
        if prefix is None or key[1] == prefix:
            groups.setdefault(key, {}).setdefault(part, []).append(file)
    scenes = []
    for (place, start), parts in groups.items():
        missing = {"METADATA": "METADATA.XML", "SPECTRAL_IMAGE": "SPECTRAL_IMAGE"}
        for part in parts:
            missing.pop(part.removesuffix("_VNIR").removesuffix("_SWIR"), None)
        if missing:
            if len(missing) == 2 or not (start == "" or NAME.match(start)):
                continue  # quicklooks alone, or files of something else
            raise ProductError(
                f"lacks its {' and '.join(missing.values())}",
                where=f"{place}/{start}",
                fix="fetch the product again",
            )
        images = [f for p, fs in parts.items() if p.startswith("SPECTRAL") for f in fs]
        layers = {p.removeprefix("QL_"): fs for p, fs in parts.items() if p.startswith("QL_")}
        if twice := [fs for fs in (parts["METADATA"], *layers.values()) if len(fs) > 1]:
            raise ProductError(
                f"holds {twice[0][0].name} and {twice[0][1].name}",
                where=place,
                fix="keep one of them",
            )
        scenes.append(
            Scene(
                name=_name(start, place, origin),
                metadata=parts["METADATA"][0],
                images=tuple(images),
                layers={layer: fs[0] for layer, fs in layers.items()},
                origin=origin.absolute(),
            )
        )
    return scenes


def _part(name: str) -> str:
    """``METADATA``, ``SPECTRAL_IMAGE…`` or ``QL_…`` of a file name; empty if it is none."""
    match = _FILE.fullmatch(name)
    if match is None:
        return ""
    part, kind = match["part"].upper(), match["kind"].upper()
    if part == "METADATA":
        return part if kind == "XML" else ""
    # An ENVI header goes with its image; GDAL finds it by itself.
    return part if image_driver(name) else ""


def _name(prefix: str, place: str, origin: Path) -> str:
    for text in (prefix, place.rsplit("/", 1)[-1], origin.name):
        if match := NAME.search(text):
            return match[0]
    return prefix.rstrip("-") or re.sub(
        r"(\.tar\.gz|\.tgz|\.tar|\.zip)$", "", origin.name, flags=re.I
    )


def choose_image(scene: Scene, image_format: str) -> FileRef:
    """The spectral image: the one of the stated format where there are several.

    Raises:
        ProductError: if that does not settle it.
    """
    images: Sequence[FileRef] = scene.images
    if len(images) > 1:
        wanted = {"GEOTIFF": "GTiff", "JPEG2000": "JP2OpenJPEG"}.get(image_format.upper(), "ENVI")
        images = [f for f in images if image_driver(f.name) == wanted]
    if len(images) != 1:
        names = ", ".join(f.name for f in scene.images)
        raise ProductError(
            f"holds {len(scene.images)} spectral images ({names})",
            where=scene.metadata.where.rsplit("/", 1)[0],
            fix="keep one of them",
        )
    return images[0]


def undelivered(scene: Scene, listed: Iterable[str]) -> list[str]:
    """Quality layers that METADATA.XML lists as files of the product and that are not there."""
    parts = {_part(name) for name in listed}
    return sorted(
        p for p in parts if p.startswith("QL_") and p.removeprefix("QL_") not in scene.layers
    )
