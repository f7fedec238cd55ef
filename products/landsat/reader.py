"""Landsat 8 and 9 Collection 2 Level-2 scenes as cube sources: folders, tar and zip files.

Surface reflectance of OLI bands 1 to 7, and surface temperature in kelvin as the band ``LST``
where the scene has it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from trifuse.core import (
    Band,
    BandError,
    BandSet,
    Cube,
    CubeSource,
    DataError,
    MetadataError,
    ProductError,
    Window,
)
from trifuse.products.files.archive import (
    FileRef,
    is_tar,
    is_zip,
    tar_members,
    tar_names,
    zip_members,
)
from trifuse.products.files.raster import Raster
from trifuse.products.files.remote import AnyFile, open_raster
from trifuse.products.files.source import Calibration
from trifuse.products.files.xmltree import MAX_XML_BYTES
from trifuse.products.landsat.catalogue import find_item_parts, is_landsat_item, parse_landsat_item
from trifuse.products.landsat.mask import mask_terms, usable
from trifuse.products.landsat.metadata import LST, SR_BANDS, LandsatMetadata, parse_mtl
from trifuse.products.reader import Reader
from trifuse.srf_data import load

NAME = re.compile(r"L[COTEM]\d\d_L2S[PR]_\d{6}_\d{8}_\d{8}_02_(?:T1|T2|RT|A1|A2)", re.IGNORECASE)
"""Name of a scene: satellite, level, path and row, day, day of processing, collection, tier."""
FILL = 0
_FILE = re.compile(
    rf"(?P<scene>{NAME.pattern})_(?P<part>SR_B[1-7]|ST_B10|ST_B6|QA_PIXEL|MTL)\.(?P<kind>tiff?|xml|json|txt)",
    re.IGNORECASE,
)
_DEPTH = 3
_MTL_ORDER = ("XML", "JSON", "TXT")
_log = logging.getLogger(__name__)


def is_landsat(path: str | Path) -> bool:
    """Whether a path is, by its name or the names in it, a Landsat Level-2 scene; never raises."""
    path = Path(path)
    try:
        if path.is_dir():
            return any(_FILE.fullmatch(p.name) for p in _scene_folder(path).iterdir())
        if path.is_file() and (is_tar(path) or is_zip(path)):
            if NAME.match(path.name):
                return True
            names = tar_names(path) if is_tar(path) else [f.member for f in zip_members(path)]
            return any(_FILE.fullmatch(name.rsplit("/", 1)[-1]) for name in names)
        match = _FILE.fullmatch(path.name)
        if match is not None:
            return match["part"].upper() == "MTL" and path.is_file()
        return is_landsat_item(path)
    except (OSError, ValueError):
        return False


def open_landsat(
    path: str | Path,
    *,
    bands: Sequence[str] | None = None,
    mask: str | Sequence[str] = "default",
    remote: bool = False,
) -> LandsatSource:
    """Open one Landsat 8 or 9 Collection 2 Level-2 scene.

    Args:
        path: folder, tar or zip (read in place), MTL file, or STAC Item.
        bands: which to open; default ``B1`` … ``B7``, and ``LST`` if its file is there.
        mask: flags that are not usable, see :mod:`trifuse.products.landsat.mask`.
        remote: whether files that an Item names on the web are read there, by https.

    Returns:
        A source of reflectance (and kelvin in ``LST``), read lazily.

    Raises:
        ProductError: if the scene is damaged, or files are missing: all are named at once.
        MetadataError: if the MTL file lacks what calibration needs.
        BandError: if a band is unknown.
        ConfigError: if the mask is unknown.
    """
    terms = mask_terms(mask)
    path = Path(path)
    by_item = path.is_file() and is_landsat_item(path)
    scene = _of_item(path, remote) if by_item else _find(path)
    known = BandSet.of((*SR_BANDS, LST))
    there = "ST_B10" in scene.images
    fetched = [b for b in SR_BANDS if f"SR_{b}" not in scene.left_out]
    wanted = (*fetched, *((LST,) if there else ())) if bands is None else tuple(bands)
    if not wanted:
        raise BandError("no bands were asked for", fix="leave bands out to get all")
    wanted = known.select(known.indices(wanted)).names
    parts = {b: "ST_B10" if b == LST else f"SR_{b}" for b in wanted}
    masked = bool(terms) and "QA_PIXEL" not in scene.left_out
    needed = [*parts.values(), *(["QA_PIXEL"] if masked else [])]
    missing = [scene.absent.get(p, f"{p}.TIF") for p in needed if p not in scene.images]
    unstated = not scene.metadata and scene.stated is None
    missing += ["MTL.xml, .json or .txt"] if unstated else []
    if missing:
        raise ProductError(
            f"lacks {', '.join(missing)}", where=path, fix="fetch the scene again, or ask for less"
        )
    notes = list(scene.notes)
    if scene.metadata:
        metadata = _metadata(scene.metadata, notes)
    else:
        assert scene.stated is not None
        metadata = scene.stated
    if bands is None and LST in metadata.scale and not there and not by_item:
        notes.append("the MTL lists ST_B10, whose file is not there: no surface temperature")
    if LST in wanted and LST not in metadata.scale:
        raise ProductError(
            "holds ST_B10, which its MTL does not list", where=path, fix="ask for the other bands"
        )
    images = {b: _open(scene.images[part]) for b, part in parts.items()}
    qa = _open(scene.images["QA_PIXEL"]) if masked else None
    notes += _place([*images.values(), *([qa] if qa else [])], metadata)
    for note in notes:
        _log.warning("%s: %s", scene.name, note)
    return LandsatSource(scene.name, metadata, images, qa, terms, notes)


class LandsatSource(CubeSource):
    """One Landsat scene, read by window; made by :func:`open_landsat`."""

    def __init__(
        self,
        name: str,
        metadata: LandsatMetadata,
        images: Mapping[str, Raster],
        qa: Raster | None,
        terms: Sequence[str],
        notes: Sequence[str],
    ) -> None:
        self._images, self._qa, self._terms = tuple(images.values()), qa, tuple(terms)
        self._calibration = Calibration(
            scale=tuple(metadata.scale[b] for b in images),
            offset=tuple(metadata.offset[b] for b in images),
            nodata=(FILL,) * len(images),
            origin=metadata.origin,
        )
        self.name = metadata.product_id or name
        self.grid = self._images[0].grid
        for raster in (*self._images[1:], *([qa] if qa else [])):
            if raster.grid != self.grid:
                raise ProductError(
                    f"lies on another grid than {Path(self._images[0].name).name}",
                    where=raster.name,
                    fix="fetch the scene again",
                )
        oli = load(metadata.sensor).bands
        # A temperature has no place among wavelengths of reflectance: nothing may pick it by them.
        self.bands = BandSet(tuple(Band(b) if b == LST else oli[oli.index(b)] for b in images))
        self.meta = {
            "kind": "Landsat Collection 2 Level 2",
            "product_id": self.name,
            "sensor": metadata.sensor,
            "level": "L2",
            "quantity": "reflectance",
            "units": "1",
            "band_units": {LST: "K"} if LST in images else {},
            "calibration": self._calibration.to_json(),
            "mask": list(terms),
            "notes": list(notes),
            **metadata.facts,
        }

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`.

        A pixel is valid if QA_PIXEL does not rule it out and every band of reflectance asked for
        has a value. Temperature has gaps of its own, which are NaN and leave ``valid`` alone
        unless nothing else is asked for.
        """
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window or 0 in window.shape:
            raise DataError(
                f"{window} leaves an image of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        chosen = self.bands.select(numbers)
        data = np.empty((len(numbers), *window.shape), np.float32)
        valid = np.ones(window.shape, bool)
        if self._qa is not None:
            valid = usable(self._qa.read([1], window)[0], self._terms)
        for plane, number, name in zip(data, numbers, chosen.names, strict=True):
            stored = self._images[number].read([1], window)
            plane[:] = self._calibration.apply(stored, [number])[0]
            if name != LST or len(numbers) == 1:
                valid &= np.isfinite(plane)
        return Cube(data, valid, chosen, self.grid.window(window), self.meta)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        for raster in (*self._images, *([self._qa] if self._qa else [])):
            raster.close()


@dataclass(frozen=True, slots=True)
class _Scene:
    """Files of one scene.

    Attributes:
        name: of the scene.
        images: by part (``SR_B1``).
        metadata: the forms of the MTL file that are there.
        stated: what an Item says in place of it.
        absent: why there is no file, by part, of those that an Item names.
        left_out: parts that an Item names and that are simply not downloaded.
        notes: what a user should know.
    """

    name: str
    images: Mapping[str, AnyFile]
    metadata: Sequence[AnyFile]
    stated: LandsatMetadata | None = None
    absent: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def _of_item(path: Path, remote: bool) -> _Scene:
    item, parts, absent, mtl, notes = find_item_parts(path, remote=remote)
    left_out = tuple(p for p, a in absent.items() if a.web)
    if named := [p for p in left_out if p.startswith("SR_")]:
        notes.append(f"the assets of {', '.join(named)} are on the web and not fetched: left out")
    if "QA_PIXEL" in left_out:
        notes.append("without QA_PIXEL no clouds are masked")
    stated = None if mtl is not None else parse_landsat_item(item, parts)
    told = {p: f"{p} ({a.why})" for p, a in absent.items()}
    forms = [] if mtl is None else [mtl]
    return _Scene(item.id, parts, forms, stated, told, left_out, tuple(notes))


def _scene_folder(folder: Path) -> Path:
    """The folder with the files: itself, or one in it that has a scene's name (``X/X``)."""
    for _ in range(_DEPTH):
        if any(_FILE.fullmatch(p.name) for p in folder.iterdir()):
            break
        inner = [p for p in folder.iterdir() if NAME.fullmatch(p.name) and p.is_dir()]
        if len(inner) != 1:
            break
        folder = inner[0]
    return folder


def _find(path: Path) -> _Scene:
    if not path.exists():
        raise ProductError("does not exist", where=path, fix="check the path")
    wanted = ""
    if is_tar(path):
        files = tar_members(path)
    elif is_zip(path):
        files = zip_members(path)
    elif path.is_dir():
        files = [FileRef.of(p) for p in sorted(_scene_folder(path).iterdir()) if p.is_file()]
    elif match := _FILE.fullmatch(path.name):
        wanted = match["scene"].upper()
        files = [FileRef.of(p) for p in sorted(path.parent.iterdir()) if p.is_file()]
    else:
        raise ProductError("is no Landsat Level-2 scene", where=path, fix="give its folder or tar")
    scenes: dict[str, dict[str, FileRef]] = {}
    for file in files:
        match = _FILE.fullmatch(file.name)
        if match is None or (wanted and match["scene"].upper() != wanted):
            continue
        part, kind = match["part"].upper(), match["kind"].upper()
        if (part == "MTL") == kind.startswith("TIF"):
            continue
        key = f"MTL.{kind}" if part == "MTL" else part
        parts = scenes.setdefault(match["scene"].upper(), {})
        if key in parts:
            raise ProductError(
                f"holds {parts[key].name} and {file.name}", where=path, fix="keep one of them"
            )
        parts[key] = file
    if len(scenes) != 1:
        names = f": {', '.join(sorted(scenes))}" if scenes else ""
        raise ProductError(
            f"holds {len(scenes)} Landsat Level-2 scenes{names}",
            where=path,
            fix="give one scene, with its files named as delivered",
        )
    ((name, parts),) = scenes.items()
    metadata = [parts[f"MTL.{kind}"] for kind in _MTL_ORDER if f"MTL.{kind}" in parts]
    return _Scene(name, parts, metadata)


def _metadata(forms: Sequence[AnyFile], notes: list[str]) -> LandsatMetadata:
    """The first form of the MTL file that is whole; damaged ones are noted."""
    for form in forms[:-1]:
        try:
            return parse_mtl(form.read(MAX_XML_BYTES), form.where)
        except ProductError as e:
            if "DOCTYPE" in e.what:
                raise
            notes.append(f"{form.name} {e.what}: passed over")
    return parse_mtl(forms[-1].read(MAX_XML_BYTES), forms[-1].where)


def _place(rasters: Sequence[Raster], metadata: LandsatMetadata) -> list[str]:
    """Give images without a coordinate system the one that the MTL states; what to say of it.

    Raises:
        MetadataError: if it states none either.
    """
    bare = [r for r in rasters if not r.header.crs]
    if bare and not metadata.crs:
        raise MetadataError(
            "has no coordinate system, and the MTL states none",
            where=bare[0].name,
            fix="fetch the scene again, or assign the files theirs",
        )
    for raster in bare:
        raster.header = replace(raster.header, crs=metadata.crs)
    names = ", ".join(Path(r.name).name for r in bare)
    said = [f"no coordinate system in {names}: {metadata.crs} by the MTL"] if bare else []
    others = {r.header.crs for r in rasters} - {metadata.crs}
    if metadata.crs and others and all(re.fullmatch(r"EPSG:326\d\d", c) for c in others):
        said.append(f"the MTL states {metadata.crs}, the images {', '.join(sorted(others))}")
    return said


def _open(file: AnyFile) -> Raster:
    raster = open_raster(file, sidecars=False)
    if raster.header.count != 1 or raster.header.dtype != "uint16":
        raise ProductError(
            f"holds {raster.header.count} bands of {raster.header.dtype}, not one of uint16",
            where=file.where,
            fix="fetch the scene again",
        )
    return raster


READER = Reader("landsat", is_landsat, open_landsat, ("bands", "mask", "remote"))
