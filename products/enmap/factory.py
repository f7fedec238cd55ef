"""Small faithful EnMAP deliveries made from any cube, for tests, demos and procedural scenes.

File names, METADATA.XML paths, data types, fill values, quality layers and the ways of packing
are those of real deliveries; METADATA.XML says that the scene is synthetic. Equal arguments give
equal bytes.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import (
    BandError,
    ConfigError,
    Cube,
    DataError,
    MetadataError,
    atomic_path,
    refuse_existing,
)
from trifuse.core.atomic import flush_to_disk
from trifuse.products.enmap.factory_xml import SceneFacts, metadata_xml, projection_name
from trifuse.products.files.factory import add_member, new_folder, pack_zip, start_of, write_image

Nesting = Literal["folder", "zip", "flat-zip", "no-prefix-zip", "order-tar", "cog"]
NESTINGS: tuple[Nesting, ...] = ("folder", "zip", "flat-zip", "no-prefix-zip", "order-tar", "cog")
ImageFormat = Literal["GeoTIFF", "BSQ", "BIL", "BIP", "JPEG2000"]
LAYERS = ("CLASSES", "CLOUD", "CLOUDSHADOW", "HAZE", "CIRRUS", "SNOW", "TESTFLAGS")
"""Quality layers of a delivery, each ``QL_QUALITY_….TIF``; ``PIXELMASK`` comes with them."""
DEAD_STATISTICS = (-1000000.0, 0.0)
_SUFFIX = {"GeoTIFF": "TIF", "JPEG2000": "JP2"}
_DEFAULT_START = datetime(2022, 6, 21, 10, 20, tzinfo=UTC)
_STAMP = "%Y%m%dT%H%M%SZ"


def write_enmap_l2a(folder: str | Path, cube: Cube, **options: Any) -> Path:
    """Write reflectance as an L2A delivery; options as in :func:`write_enmap`."""
    return write_enmap(folder, cube, level="L2A", **options)


def write_enmap(
    folder: str | Path,
    cube: Cube,
    *,
    level: Literal["L2A", "L1C"] = "L2A",
    nesting: Nesting = "folder",
    image_format: ImageFormat = "GeoTIFF",
    cloud: np.ndarray | None = None,
    shadow: np.ndarray | None = None,
    layers: Mapping[str, np.ndarray] | None = None,
    leave_out: Sequence[str] = (),
    dead: Sequence[str] = (),
    start: datetime | None = None,
    tile: int = 1,
    sun: tuple[float, float] = (55.0, 150.0),
    overwrite: bool = False,
) -> Path:
    """Write a cube as an EnMAP delivery.

    Reflectance is stored as int16 × 1e-4 with fill −32768, clipped to ±3.2767; radiance as uint16
    with a gain and offset per band and fill 0. A pixel without any value becomes background; one
    that ``cube.valid`` rules out for no reason given here becomes unclassified.

    Args:
        folder: the delivery is made in here.
        cube: (band, y, x) reflectance, or for ``L1C`` radiance in W m⁻² sr⁻¹ nm⁻¹; bands with
            centre and FWHM. ``meta["detectors"]`` names each band's detector; without it the
            first drop in wavelength, or else 955 nm, parts VNIR from SWIR.
        level: processing level.
        nesting: how it is packed.
        image_format: format of the spectral image (with ``cog`` always GeoTIFF).
        cloud: (y, x) bool.
        shadow: (y, x) bool, shadow of clouds.
        layers: further layers by a name of :data:`LAYERS`, (y, x) uint8, or ``PIXELMASK``,
            (band, y, x) uint8; what is not given is made up from the cube.
        leave_out: layers not to deliver.
        dead: bands not produced; those without any value are so anyway.
        start: start of acquisition; default from ``meta["start_time"]``.
        tile: number of the tile in its datatake.
        sun: (elevation, azimuth) in degrees.
        overwrite: replace a delivery of the same name.

    Returns:
        the folder, zip or tar.gz made.

    Raises:
        OutputExistsError: if it exists and ``overwrite`` is False.
        MetadataError: if a band has no centre or width.
        GridError: if EnMAP is not delivered in the grid's CRS.
        DataError: if a layer does not fit the cube, or no band holds a value.
        ConfigError: if an option is unknown.
    """
    folder = Path(folder)
    _check_options(level, nesting, image_format, [*(layers or {}), *leave_out])
    projection_name(cube.grid.crs)
    start = start_of(cube, start, _DEFAULT_START)
    name = (
        f"ENMAP01-____{level}-DT{start:%y%m%d%H%M}_{start.strftime(_STAMP)}"
        f"_{tile:03d}_V010502_{start.strftime(_STAMP)}"
    )
    scene = _prepare(cube, level, cloud, shadow, layers or {}, leave_out, dead)
    target = folder / {
        "folder": name,
        "cog": f"{name}_COG",
        "order-tar": f"dims_op_oc_oc-en_{start:%y%m%d}{tile:03d}_1.tar.gz",
    }.get(nesting, f"{name}.ZIP")
    refuse_existing(target, overwrite=overwrite)
    if nesting in ("folder", "cog"):
        with new_folder(target, overwrite) as work:
            _write_files(work, name, scene, image_format, start, sun, cog=nesting == "cog")
        return target
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".enmap-", dir=folder) as temporary:
        work = Path(temporary) / name
        work.mkdir()
        _write_files(work, name, scene, image_format, start, sun)
        prefix = {"zip": f"{name}/", "order-tar": f"{name}/"}.get(nesting, "")
        packed = target if nesting != "order-tar" else Path(temporary) / f"{name}.ZIP"
        drop = f"{name}-" if nesting == "no-prefix-zip" else ""
        with atomic_path(packed, overwrite=overwrite) as partial:
            pack_zip(partial, work, prefix, drop, start)
        if nesting == "order-tar":
            write_enmap_order(target, [packed], overwrite=overwrite)
    return target


def write_enmap_order(path: str | Path, zips: Sequence[Path], *, overwrite: bool = False) -> Path:
    """Pack scenes (zips made by :func:`write_enmap`) as one order, a zip inside a tar.gz each.

    Args:
        path: ``dims_op_oc_oc-en_<order>_1.tar.gz``.
        zips: the scenes.
        overwrite: replace an order of the same name.

    Returns:
        the path.
    """
    path = Path(path)
    order = path.name.removesuffix(".tar.gz")
    with (
        atomic_path(path, overwrite=overwrite) as partial,
        partial.open("wb") as raw,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar,
    ):
        add_member(tar, f"{order}/readme.html", io.BytesIO(b"<html><body>Order</body></html>\n"))
        add_member(tar, f"{order}/tools/readme.txt", io.BytesIO(b"none\n"))
        for scene in sorted(zips):
            level = scene.name[12:15]
            place = f"{order}/ENMAP.HSI.{level}/ENMAP-HSI-{scene.stem[16:28]}"
            add_member(tar, f"{place}/iif/{scene.stem}_iif.xml", io.BytesIO(b"<item/>\n"))
            with scene.open("rb") as content:
                add_member(tar, f"{place}/{scene.name}", content)
    return path


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A cube with everything the files need."""

    cube: Cube
    level: str
    detectors: list[str]
    alive: list[bool]
    calibration: list[tuple[float, float]]
    statistics: list[tuple[float, float]]
    layers: dict[str, np.ndarray]
    cover: dict[str, int]


def _check_options(level: str, nesting: str, image_format: str, layers: Sequence[str]) -> None:
    for value, known in (
        (level, ("L2A", "L1C")),
        (nesting, NESTINGS),
        (image_format, ("GeoTIFF", "BSQ", "BIL", "BIP", "JPEG2000")),
        *((layer, (*LAYERS, "PIXELMASK")) for layer in layers),
    ):
        if value not in known:
            raise ConfigError(f"{value!r} is unknown", fix=f"choose from {', '.join(known)}")


def _detectors(cube: Cube) -> list[str]:
    stated = cube.meta.get("detectors")
    if stated is not None:
        if len(stated) != len(cube.bands) or not set(stated) <= {"VNIR", "SWIR"}:
            raise BandError(f"meta detectors do not name VNIR or SWIR for {len(cube.bands)} bands")
        return list(stated)
    centres = np.array(cube.bands.centres)
    drop = np.flatnonzero(np.diff(centres) < 0)
    swir = np.arange(len(centres)) > drop[0] if len(drop) else centres >= 955
    return ["SWIR" if s else "VNIR" for s in swir]


def _prepare(
    cube: Cube,
    level: str,
    cloud: np.ndarray | None,
    shadow: np.ndarray | None,
    given: Mapping[str, np.ndarray],
    leave_out: Sequence[str],
    dead: Sequence[str],
) -> _Prepared:
    if unknown := [b.name for b in cube.bands if not (b.centre > 0 and b.fwhm > 0)]:
        raise MetadataError(f"bands {', '.join(unknown)} have no centre or FWHM in nm")
    gone = set(cube.bands.indices(dead))
    calibration, statistics, alive = [], [], []
    imaged = np.zeros(cube.grid.shape, bool)
    for number, plane in enumerate(cube.data):
        seen = np.isfinite(plane)
        values = plane[seen].astype(np.float64)
        alive.append(number not in gone and values.size > 0)
        statistics.append(
            (float(values.mean()), float(values.std())) if alive[-1] else DEAD_STATISTICS
        )
        calibration.append(_calibration(level, values if alive[-1] else values[:0]))
        if alive[-1]:
            imaged |= seen
    if not any(alive):
        raise DataError("no band of the cube holds a value")
    layers = _layers(cube, imaged, cloud, shadow, given)
    share = {
        "cloudCover": layers["CLOUD"] != 0,
        "cirrusCover": layers["CIRRUS"] != 0,
        "hazeCover": layers["HAZE"] != 0,
        "snowCover": layers["SNOW"] != 0,
        "cloudShadow": layers["CLOUDSHADOW"] != 0,
        "waterCover": layers["CLASSES"] == 2,
    }
    cover = {k: round(100 * float(v[imaged].mean())) for k, v in share.items()}
    kept = {k: v for k, v in layers.items() if k not in leave_out}
    return _Prepared(cube, level, _detectors(cube), alive, calibration, statistics, kept, cover)


def _calibration(level: str, values: np.ndarray) -> tuple[float, float]:
    """(gain, offset): fixed for reflectance, the band's own range for radiance."""
    if level == "L2A":
        return 1e-4, 0.0
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    gain = (high - low or 1.0) / 65534
    return gain, low - gain


def _layers(
    cube: Cube,
    imaged: np.ndarray,
    cloud: np.ndarray | None,
    shadow: np.ndarray | None,
    given: Mapping[str, np.ndarray],
) -> dict[str, np.ndarray]:
    none = np.zeros(cube.grid.shape, np.uint8)
    layers = dict.fromkeys(LAYERS, none) | {"PIXELMASK": np.broadcast_to(none, cube.shape)}
    wanted: dict[str, np.ndarray | None] = {"CLOUD": cloud, "CLOUDSHADOW": shadow, **given}
    for name, values in wanted.items():
        if values is not None:
            if values.shape != layers[name].shape:
                raise DataError(f"layer {name} is {values.shape}, not {layers[name].shape}")
            layers[name] = values.astype(np.uint8)
    if "CLASSES" not in given:
        explained = (layers["CLOUD"] | layers["CLOUDSHADOW"]) != 0
        explained |= (layers["CIRRUS"] >= 2) | (layers["TESTFLAGS"] >= 16)
        known = np.where(cube.valid | explained, 1, 0)
        layers["CLASSES"] = np.where(imaged, known, 3).astype(np.uint8)
    return layers


def _write_files(
    work: Path,
    name: str,
    scene: _Prepared,
    image_format: ImageFormat,
    start: datetime,
    sun: tuple[float, float],
    *,
    cog: bool = False,
) -> None:
    tail, form = ("_COG.tiff", "GeoTIFF") if cog else (".TIF", image_format)
    dtype, fill = ("int16", -32768) if scene.level == "L2A" else ("uint16", 0)
    image_tail = tail if cog else f".{_SUFFIX.get(form, form)}"
    write_image(
        work / f"{name}-SPECTRAL_IMAGE{image_tail}",
        scene.cube.grid,
        _numbers(scene),
        len(scene.alive),
        dtype,
        fill,
        "COG" if cog else form,
    )
    for layer, values in sorted(scene.layers.items()):
        stem = layer if layer == "PIXELMASK" else f"QUALITY_{layer}"
        planes = values if values.ndim == 3 else values[None]
        write_image(
            work / f"{name}-QL_{stem}{tail}",
            scene.cube.grid,
            planes,
            len(planes),
            "uint8",
            None,
            "COG" if cog else "GeoTIFF",
        )
    facts = SceneFacts(
        name,
        scene.level,
        form,
        start,
        scene.cube.bands,
        scene.detectors,
        scene.calibration,
        scene.statistics,
        scene.cube.grid,
        sun,
        scene.cover,
        [(p.name, p.stat().st_size) for p in sorted(work.iterdir())],
    )
    (work / f"{name}-METADATA.{'xml' if cog else 'XML'}").write_bytes(metadata_xml(facts))
    for path in work.iterdir():
        flush_to_disk(path)


def _numbers(scene: _Prepared) -> Iterator[np.ndarray]:
    """Digital numbers band by band, so that the cube is not copied whole."""
    low, high, fill = (-32767, 32767, -32768) if scene.level == "L2A" else (1, 65535, 0)
    for plane, alive, (gain, offset) in zip(
        scene.cube.data, scene.alive, scene.calibration, strict=True
    ):
        missing = ~np.isfinite(plane) if alive else np.ones(plane.shape, bool)
        numbers = np.rint((np.where(missing, 0, plane).astype(np.float64) - offset) / gain)
        yield np.where(missing, fill, np.clip(numbers, low, high))
