"""EnMAP L2A and L1C scenes as cube sources.

L2A pixels are reflectance; L1C pixels are top-of-atmosphere radiance in W m⁻² sr⁻¹ nm⁻¹, and
``meta["quantity"]`` says which; of a scene corrected for water it says
``water_leaving_reflectance``, which what needs surface reflectance refuses. METADATA states a
background value of 0 for both levels: that is true for L1C and false for L2A, whose fill is
−32768.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import (
    BandSet,
    Cube,
    CubeSource,
    DataError,
    Grid,
    MetadataError,
    ProductError,
    Window,
)
from trifuse.products.enmap.delivery import (
    Scene,
    choose_image,
    find_scenes,
    looks_like_enmap,
    undelivered,
)
from trifuse.products.enmap.images import Images, image_grid
from trifuse.products.enmap.mask import RULES, layers_of, mask_terms
from trifuse.products.enmap.metadata import EnmapMetadata, parse_metadata
from trifuse.products.files.archive import FileRef
from trifuse.products.files.raster import Header
from trifuse.products.files.xmltree import MAX_XML_BYTES
from trifuse.products.reader import Reader

FILL = {"L2A": -32768.0, "L1C": 0.0}
QUANTITY = {"L2A": ("reflectance", "1"), "L1C": ("radiance", "W m-2 sr-1 nm-1")}
WATER_MODES = {"water_mode": "water_leaving_reflectance", "combined_mode": "reflectance"}
"""Corrections of level 2A that treat water apart, and what their pixels are as a whole."""
_PROBE = 32
_STRIP = 256
_log = logging.getLogger(__name__)


def is_enmap(path: str | Path) -> bool:
    """Whether a path is, by its name or the names in it, an EnMAP delivery; never raises."""
    return looks_like_enmap(Path(path))


def open_enmap(
    path: str | Path,
    *,
    mask: str | Sequence[str] = "default",
    scene: str | None = None,
    verify: bool = True,
) -> EnmapSource:
    """Open one EnMAP scene.

    Args:
        path: delivery folder, zip, order (tar, tar.gz), METADATA.XML or spectral image.
        mask: what is not usable: presets and terms of :mod:`trifuse.products.enmap.mask`, as a
            list or separated by commas.
        scene: a part of the name of the scene to open, where there are several.
        verify: compare the checksums that a zip holds, which takes a second or two a scene.

    Returns:
        A source with bands ``E001…``, read lazily.

    Raises:
        ProductError: if the delivery is missing, incomplete, damaged, holds several scenes, or
            is of level L1B.
        MetadataError: if METADATA.XML lacks what is needed or contradicts the image.
        ConfigError: if the mask is unknown.
    """
    terms = mask_terms(mask)
    scenes = [s for s in find_scenes(Path(path)) if scene is None or scene in s.name]
    if len(scenes) != 1:
        what = f"holds {len(scenes)} scenes" + (f" named like {scene!r}" if scene else "")
        raise ProductError(
            what + (f": {', '.join(s.name for s in scenes)}" if scenes else ""),
            where=path,
            fix="name one of them, or open all",
        )
    return EnmapSource(scenes[0], terms, verify=verify)


def open_enmap_all(
    path: str | Path, *, mask: str | Sequence[str] = "default", verify: bool = True
) -> list[EnmapSource]:
    """Open every scene of a delivery, sorted by name; see :func:`open_enmap`."""
    terms = mask_terms(mask)
    return [EnmapSource(scene, terms, verify=verify) for scene in find_scenes(Path(path))]


@dataclass(frozen=True, slots=True)
class _Opened:
    """What opening a scene finds out; fixed from then on."""

    metadata: EnmapMetadata
    grid: Grid
    fills: tuple[float, ...]
    usable: tuple[bool, ...]
    meta: dict[str, Any]


class EnmapSource(CubeSource):
    """One EnMAP scene, read by window from where it lies.

    ``meta`` holds ``product_id``, ``sensor``, ``level``, ``quantity``, ``units``, ``detectors``
    and ``usable`` (one entry per band), ``calibration`` (gain and offset per band, fill),
    ``mask`` (the terms in force), ``missing_layers`` (that it needs), ``undelivered`` (what
    METADATA.XML lists besides), ``notes``, and times, angles and covers as delivered.

    Args:
        scene: the files.
        terms: mask terms, see :func:`trifuse.products.enmap.mask.mask_terms`.
        verify: compare the checksums of a zip.
    """

    def __init__(self, scene: Scene, terms: Sequence[str], *, verify: bool = True) -> None:
        self._scene = scene
        self._lock = threading.Lock()
        self._images = Images()
        self._terms = tuple(terms)
        self._state = _open(scene, self._images, self._terms, verify)
        state = self._state
        self.name = state.meta["product_id"]
        self.grid: Grid = state.grid
        self.bands: BandSet = state.metadata.bands
        self.meta = state.meta

    def read(self, window: Window | None = None, bands: Iterable[str] | None = None) -> Cube:
        """See :meth:`CubeSource.read`.

        A pixel is valid if no mask term takes it out and every band asked for that is usable at
        all has a value. Bands that are not usable are NaN and leave ``valid`` alone.
        """
        window = self.grid.whole if window is None else window
        if window.clip(*self.grid.shape) != window:
            raise DataError(
                f"{window} leaves an image of {self.grid.height}×{self.grid.width}", where=self.name
            )
        numbers = list(range(len(self.bands))) if bands is None else self.bands.indices(bands)
        chosen = self.bands.select(numbers)
        scene = self._at_hand()
        data = np.full((len(numbers), *window.shape), np.nan, np.float32)
        used = [n for n in numbers if self._state.usable[n]]
        if not window.height or not window.width:
            raise DataError(f"{window} is empty", where=self.name)
        valid = self._unmasked(scene, window, used)
        image = choose_image(scene, self._state.metadata.image_format)
        for first, last in _runs([self._state.usable[n] for n in numbers]):
            self._images.read(image, window, numbers[first:last], data[first:last])
            for plane, number in zip(data[first:last], numbers[first:last], strict=True):
                self._calibrate(plane, number)
                valid &= np.isfinite(plane)
        meta = {
            **self.meta,
            "detectors": [self.meta["detectors"][n] for n in numbers],
            "usable": [self.meta["usable"][n] for n in numbers],
        }
        return Cube(data, valid, chosen, self.grid.window(window), meta)

    def close(self) -> None:
        """Close the files and give up what was unpacked; reading again restores both."""
        self._images.close()
        with self._lock:
            if self._scene.unpacked is not None:
                self._scene = replace(self._scene, unpacked=None)

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        # The copy does not own the unpacked files; it unpacks its own if they are gone.
        state["_scene"] = replace(self._scene, unpacked=None)
        del state["_lock"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def _at_hand(self) -> Scene:
        """The scene's files, unpacked again if they have gone."""
        with self._lock:
            scene = self._scene
            if scene.inside and scene.unpacked is None and not scene.metadata.path.exists():
                found = [s for s in find_scenes(scene.origin, scene.inside) if s.name == scene.name]
                if len(found) != 1:
                    raise ProductError(f"no longer holds {scene.name}", where=scene.origin)
                self._scene = scene = found[0]
            return scene

    def _calibrate(self, plane: np.ndarray, number: int) -> None:
        """DN → value in place, fill → NaN."""
        missing = ~np.isfinite(plane)
        for fill in self._state.fills:
            missing |= plane == np.float32(fill)
        plane *= np.float32(self._state.metadata.gain[number])
        plane += np.float32(self._state.metadata.offset[number])
        plane[missing] = np.nan

    def _unmasked(self, scene: Scene, window: Window, used: Sequence[int]) -> np.ndarray:
        """Where no mask term takes the pixel out: (y, x) bool."""
        detectors = {self._state.metadata.detectors[n] for n in used}
        valid = np.full(window.shape, bool(used))
        for layer in layers_of(self._terms):
            for file in _layer_files(scene, layer):
                bands = used if layer == "PIXELMASK" else [0]
                values = np.empty((len(bands), *window.shape), np.uint8)
                self._images.read(file, window, bands, values)
                for term in self._terms:
                    if RULES[term].layer == layer:
                        valid &= ~RULES[term].flagged(values, detectors).any(axis=0)
        return valid


def _layer_files(scene: Scene, layer: str) -> list[FileRef]:
    """The files of a quality layer: one, or one per detector."""
    names = [layer] if layer in scene.layers else [f"{layer}_VNIR", f"{layer}_SWIR"]
    return [scene.layers[n] for n in names if n in scene.layers]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """Start and stop of the stretches of True."""
    edges = np.flatnonzero(np.diff(np.array([False, *flags, False], np.int8)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _open(scene: Scene, images: Images, terms: Sequence[str], verify: bool) -> _Opened:
    where = scene.metadata.where
    metadata = parse_metadata(scene.metadata.read(MAX_XML_BYTES), where)
    if metadata.level not in FILL:
        raise ProductError(
            f"is of level {metadata.level}, in sensor geometry",
            where=scene.origin,
            fix="order level L2A: L1C opens too, but is radiance, which only inspect takes",
        )
    image = choose_image(scene, metadata.image_format)
    layers = {t: _layer_files(scene, t) for t in layers_of(terms)}
    if verify:
        for file in (image, *(f for files in layers.values() for f in files)):
            file.verify()
    header = images.get(image).header
    if header.count != len(metadata.bands):
        raise MetadataError(
            f"image has {header.count} bands, METADATA.XML characterises {len(metadata.bands)}",
            where=image.where,
        )
    grid = image_grid(images.get(image), metadata.crs)
    notes = list(metadata.notes)
    if metadata.shape is not None and metadata.shape != grid.shape:
        notes.append(
            f"image is {grid.height}×{grid.width}, METADATA.XML states "
            f"{metadata.shape[0]}×{metadata.shape[1]}"
        )
    missing = [t for t, files in layers.items() if not files]
    if missing:
        gone = [t for t in terms if RULES[t].layer in missing]
        notes.append(
            f"quality layers {', '.join(f'QL_{m}' for m in missing)} are missing, "
            f"so nothing is masked for {', '.join(gone)}"
        )
    mode = str(metadata.facts.get("correction_type") or "").lower()
    if metadata.level == "L2A" and mode in WATER_MODES:
        notes.append(
            f"corrected in {metadata.facts['correction_type']}: over water the values are "
            "normalised water-leaving reflectance, not surface reflectance"
        )
    for note in notes:
        _log.warning("%s: %s", scene.name, note)
    for layer, files in layers.items():
        for file in files:
            _check_layer(images.get(file).header, file, grid, len(metadata.bands), layer)
    # A header may repeat METADATA's 0 for L2A, where 0 is a reflectance.
    stated = header.nodata[0]
    fills = {FILL[metadata.level]}
    if stated is not None and not (metadata.level == "L2A" and stated == 0):
        fills.add(float(stated))
    usable = _usable(images, image, grid, metadata.dead, sorted(fills))
    quantity, units = QUANTITY[metadata.level]
    if metadata.level == "L2A":
        quantity = WATER_MODES.get(mode, quantity)
    product_id = metadata.product_id or scene.name
    meta = {
        "product_id": product_id,
        "sensor": "ENMAP",
        "level": metadata.level,
        "quantity": quantity,
        "units": units,
        "detectors": list(metadata.detectors),
        "usable": list(usable),
        "calibration": {
            "gain": list(metadata.gain),
            "offset": list(metadata.offset),
            "fill": [f for f in sorted(fills) if np.isfinite(f)],
        },
        "mask": list(terms),
        "missing_layers": missing,
        "undelivered": undelivered(scene, metadata.files),
        "notes": notes,
        **metadata.facts,
    }
    return _Opened(metadata, grid, tuple(sorted(fills)), usable, meta)


def _check_layer(header: Header, file: FileRef, grid: Grid, bands: int, layer: str) -> None:
    if (header.height, header.width) != grid.shape:
        raise ProductError(
            f"is {header.height}×{header.width}, the image {grid.height}×{grid.width}",
            where=file.where,
            fix="fetch the product again, or choose a mask without it",
        )
    if layer == "PIXELMASK" and header.count != bands:
        raise ProductError(f"has {header.count} bands, the image {bands}", where=file.where)
    if header.dtype != "uint8":
        raise ProductError(f"has pixels of {header.dtype}, not uint8", where=file.where)


def _usable(
    images: Images, image: FileRef, grid: Grid, dead: Sequence[bool], fills: Sequence[float]
) -> tuple[bool, ...]:
    """Bands that hold any value: not reported dead, and not fill everywhere.

    A look at the middle acquits nearly all bands; only those that are empty there are searched.
    """
    suspects = [n for n, gone in enumerate(dead) if not gone]
    usable = [False] * len(dead)
    top, left = max(0, (grid.height - _PROBE) // 2), max(0, (grid.width - _PROBE) // 2)
    windows = [Window(top, left, min(_PROBE, grid.height), min(_PROBE, grid.width))]
    windows += [
        Window(row, 0, min(_STRIP, grid.height - row), grid.width)
        for row in range(0, grid.height, _STRIP)
    ]
    for window in windows:
        if not suspects:
            break
        values = np.empty((len(suspects), *window.shape), np.float32)
        images.read(image, window, suspects, values)
        filled = ~np.isfinite(values)
        for fill in fills:
            filled |= values == np.float32(fill)
        alive = ~filled.all(axis=(1, 2))
        for n in np.array(suspects)[alive]:
            usable[int(n)] = True
        suspects = [n for n in suspects if not usable[n]]
    if not any(usable):
        raise ProductError(
            "holds no value in any band", where=image.where, fix="fetch the product again"
        )
    return tuple(usable)


def _scenes(path: Path, mask: str) -> list[EnmapSource]:
    return open_enmap_all(path, mask=mask)


READER = Reader("enmap", is_enmap, open_enmap, ("mask", "scene"), scenes=_scenes)
