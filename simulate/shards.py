"""One scene's triplets as one HDF5 file: written to the same bytes every time, read with care.

Datasets ``hrmsi (n, l, H, W)``, ``lrhsi (n, L, h, w)`` and ``hrhsi (n, L, H, W)`` have one chunk
per sample, shuffled, deflated and checksummed; ``row``, ``col`` and ``valid_share`` say where each
sample lies in the scene. int16 counts are 1e-4 of reflectance, −32768 where there is no value.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from trifuse.core import (
    PSF,
    BandSet,
    Cube,
    Grid,
    GridError,
    StoreError,
    Window,
    degrade,
    write_bytes,
)

FORMAT = "trifuse-triplets-1"
SCALE = 1e-4
NODATA = -32768
LIMIT = 32767
"""Largest count either way; −32768 stays for nodata alone."""

MAX_SAMPLE = 1 << 30
"""Bytes of one stored sample: a header can claim any size."""

IMAGES = ("hrmsi", "lrhsi", "hrhsi")
COLUMNS = {"row": "int32", "col": "int32", "valid_share": "float32"}
"""Where each sample lies in the scene, and its share of valid pixels."""

_FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
_COMPRESSION = {"compression": "gzip", "compression_opts": 1, "shuffle": True, "fletcher32": True}


@dataclass(frozen=True, slots=True)
class Shard:
    """What a shard says of itself.

    Attributes:
        count: samples.
        content: hash of its datasets and of what it says.
        product_id: the scene.
        grid: of the whole scene, fine pixels.
        rows: first fine row of each sample.
        cols: first fine column of each sample.
        shares: share of valid pixels of each sample.
    """

    count: int
    content: str
    product_id: str
    grid: Grid
    rows: tuple[int, ...]
    cols: tuple[int, ...]
    shares: tuple[float, ...]


def write_shard(
    path: Path,
    views: tuple[Cube, Cube],
    corners: Sequence[tuple[int, int]],
    shares: Sequence[float],
    *,
    patch: int,
    ratio: int,
    psfs: Sequence[PSF],
    dtype: str,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """Cut triplets from the views of a scene and write them as one file, whole or not at all.

    The coarse patch is the degradation of the fine one alone, borders reflected: a triplet agrees
    with itself, and a network does not learn to mend outer cells that have seen other ground.

    Args:
        path: the file; an older one is replaced.
        views: hrmsi and hrhsi of the scene.
        corners: (row, column) of each triplet in fine pixels, multiples of ``ratio``.
        shares: valid share of each.
        patch: edge in fine pixels.
        ratio: fine pixels per coarse cell.
        psfs: of the coarse sensor, one per band.
        dtype: ``int16`` or ``float32``.
        about: plain JSON values, kept as attributes of the file.

    Returns:
        ``count``, ``content`` (hash) and ``saturated`` (values that int16 could not hold).
    """
    hrmsi, hrhsi = views
    grid = hrmsi.grid
    attributes = {
        **about,
        "format": FORMAT,
        "ratio": ratio,
        "dtype": dtype,
        "grid_height": grid.height,
        "grid_width": grid.width,
        "crs": grid.crs,
        "transform": list(grid.transform),
    }
    planes = {"hrmsi": (hrmsi, 1), "lrhsi": (hrhsi, ratio), "hrhsi": (hrhsi, 1)}
    bands = [planes[name][0].bands.to_json() for name in IMAGES]
    digest = hashlib.sha256(json.dumps([attributes, bands], sort_keys=True).encode())
    rows, cols = np.array(corners, "<i4").reshape(-1, 2).T
    columns = dict(zip(COLUMNS, (rows, cols, np.array(shares, "<f4")), strict=True))
    saturated = 0
    pixels = {id(view): view.masked() for view in views}
    # Fixed library bounds and no time stamps: equal content is equal bytes. In memory, because the
    # library takes the process down where it cannot write what it holds back until a file closes.
    core = {"driver": "core", "backing_store": False}
    with h5py.File(path, "w", libver=("earliest", "v110"), **core) as f:
        for name, array in columns.items():
            f.create_dataset(name, data=array, track_times=False)
            digest.update(array.tobytes())
        for name in IMAGES:
            view, scale = planes[name]
            edge = patch // scale
            dataset = _create(f, name, (len(corners), len(view.bands), edge, edge), dtype)
            _describe(dataset, view.bands, dtype)
            for i, (row, col) in enumerate(corners):
                image = pixels[id(view)][:, *Window(row, col, patch, patch).slices]
                image = image if scale == 1 else degrade(image, ratio, psfs)
                stored, cut = encode(image, dtype)
                dataset[i] = stored
                digest.update(stored.tobytes())
                saturated += cut
        attributes["content"] = digest.hexdigest()
        attributes["saturated"] = saturated
        for name, value in sorted(attributes.items()):
            f.attrs[name] = _attribute(value)
        f.flush()
        content = f.id.get_file_image()
    write_bytes(path, content, overwrite=True)
    return {"count": len(corners), "content": digest.hexdigest(), "saturated": saturated}


def _create(f: h5py.File, name: str, shape: tuple[int, ...], dtype: str) -> h5py.Dataset:
    """An empty dataset of images (n, band, y, x), one chunk each."""
    return f.create_dataset(
        name,
        shape,
        _stored(dtype),
        chunks=(1, *shape[1:]),
        maxshape=(None, *shape[1:]),
        track_times=False,
        **_COMPRESSION,
    )


def encode(values: np.ndarray, dtype: str) -> tuple[np.ndarray, int]:
    """Reflectance as stored: (array, number of saturated values).

    int16 loses at most half a count (5e-5) of values within ±3.2767; beyond, it saturates.
    """
    if dtype == "float32":
        return values.astype("<f4"), 0
    missing = ~np.isfinite(values)
    counts = np.rint(np.where(missing, 0, values).astype(np.float64) / SCALE)
    saturated = int(np.count_nonzero(np.abs(counts) > LIMIT))
    stored = np.clip(counts, -LIMIT, LIMIT).astype("<i2")
    stored[missing] = NODATA
    return stored, saturated


def decode(stored: np.ndarray) -> np.ndarray:
    """Inverse of :func:`encode`: float32, NaN where there is no value."""
    if stored.dtype == np.float32:
        return stored
    values = stored * np.float32(SCALE)
    values[stored == NODATA] = np.nan
    return values


def open_shard(path: Path) -> h5py.File:
    """Open a shard for reading.

    Raises:
        StoreError: if it is missing, truncated or no HDF5 file.
    """
    try:
        return h5py.File(path, "r")
    except OSError:
        pass
    try:
        return h5py.File(path, "r", locking=False)  # read-only network drives refuse locks
    except OSError as e:
        raise damaged(path, e) from None


def damaged(path: Path, error: BaseException) -> StoreError:
    """The one-line error for a shard that the library cannot read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return StoreError(
        f"is truncated or damaged ({reason})",
        where=path,
        fix="delete it and run the command that makes it again",
    )


def check_shard(
    path: Path, f: h5py.File, hr_bands: BandSet, lr_bands: BandSet, *, ratio: int, patch: int
) -> Shard:
    """Check that a file is a shard of a store and nothing more, before any pixel is read.

    A store may come from anywhere: links, external storage, foreign filters and headers that
    claim absurd sizes are refused.

    Raises:
        StoreError: naming the file and what is wrong.
    """
    try:
        return _checked(path, f, hr_bands, lr_bands, ratio, patch)
    except StoreError:
        raise
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, AttributeError) as e:
        raise damaged(path, e) from None


def _checked(
    path: Path, f: h5py.File, hr_bands: BandSet, lr_bands: BandSet, ratio: int, patch: int
) -> Shard:
    if _text(f.attrs.get("format")) != FORMAT:
        raise _refused(path, f"is no shard of format {FORMAT}")
    _check_links(path, f)
    count = f["hrmsi"].shape[0]
    if count > path.stat().st_size:
        raise _refused(path, f"claims {count} samples")
    _check_images(path, f, count, hr_bands, lr_bands, ratio, patch)
    for name, kind in COLUMNS.items():
        if f[name].shape != (count,) or f[name].dtype != np.dtype(kind):
            found = f"{f[name].dtype} {f[name].shape}"
            raise _refused(path, f"{name!r} is {found}, not {kind} {(count,)}")
    try:
        a, b, c, d, e, g = (float(v) for v in f.attrs["transform"])
        size = int(f.attrs["grid_height"]), int(f.attrs["grid_width"])
        grid = Grid(_text(f.attrs["crs"]), (a, b, c, d, e, g), *size)
    except GridError as error:
        raise _refused(path, f"grid: {error.what}") from None
    return Shard(
        count=count,
        content=_text(f.attrs["content"]),
        product_id=_text(f.attrs["product_id"]),
        grid=grid,
        rows=tuple(f["row"][:].tolist()),
        cols=tuple(f["col"][:].tolist()),
        shares=tuple(f["valid_share"][:].tolist()),
    )


def _check_links(path: Path, f: h5py.File) -> None:
    """Nothing but the datasets of a shard, each of its own and with known filters."""
    for name in f:
        link = f.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise _refused(path, f"{name!r} is a link out of its place")
        if name not in (*IMAGES, *COLUMNS):
            raise _refused(path, f"{name!r} does not belong in a shard")
    if missing := [n for n in (*IMAGES, *COLUMNS) if n not in f]:
        raise _refused(path, f"lacks {', '.join(missing)}")
    for name in (*IMAGES, *COLUMNS):
        dataset = f[name]
        if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
            raise _refused(path, f"{name!r} is no dataset of its own")
        if unknown := _filters(dataset) - _FILTERS:
            raise _refused(path, f"{name!r} needs the unknown filter {min(unknown)}")


def _check_images(
    path: Path,
    f: h5py.File,
    count: int,
    hr_bands: BandSet,
    lr_bands: BandSet,
    ratio: int,
    patch: int,
) -> None:
    """Images of the store's bands and sizes, one chunk each."""
    stored = _stored(_text(f.attrs["dtype"]))
    wanted = {
        "hrmsi": (hr_bands, patch),
        "lrhsi": (lr_bands, patch // ratio),
        "hrhsi": (lr_bands, patch),
    }
    for name, (bands, edge) in wanted.items():
        d, shape = f[name], (len(bands), edge, edge)
        if d.shape != (count, *shape) or d.chunks != (1, *shape) or d.dtype != stored:
            raise _refused(
                path,
                f"{name!r} is {d.dtype} {d.shape} in chunks of {d.chunks}, "
                f"not {stored} {(count, *shape)} in chunks of {(1, *shape)}",
            )
        if math.prod(shape) * stored.itemsize > MAX_SAMPLE:
            raise _refused(path, f"samples of {name!r} exceed {MAX_SAMPLE >> 20} MiB")
        names = [_text(v) for v in d.attrs["band_names"]]
        if names != list(bands.names):
            has = ", ".join(names)
            raise _refused(path, f"{name!r} has bands {has}, not those of the store")


def _refused(path: Path, what: str) -> StoreError:
    return StoreError(what, where=path, fix="give a store that trifuse simulate has written")


def _stored(dtype: str) -> np.dtype:
    if dtype not in ("int16", "float32"):
        raise ValueError(f"stored as {dtype!r}")
    return np.dtype("<i2" if dtype == "int16" else "<f4")


def _describe(dataset: h5py.Dataset, bands: BandSet, dtype: str) -> None:
    """Attributes by which a reader without TriFuse understands a dataset."""
    dataset.attrs["band_names"] = np.array([n.encode() for n in bands.names])
    dataset.attrs["centre_nm"] = np.array(bands.centres)
    dataset.attrs["fwhm_nm"] = np.array(bands.fwhms)
    if dtype == "int16":
        dataset.attrs["scale"] = SCALE
        dataset.attrs["offset"] = 0.0
        dataset.attrs["nodata"] = np.int16(NODATA)


def _attribute(value: Any) -> Any:
    """Fixed-length text and plain arrays, which every HDF5 reader understands."""
    if isinstance(value, str):
        return np.bytes_(value.encode()) if value else h5py.Empty("S1")
    if isinstance(value, list) and value and isinstance(value[0], str):
        return np.array([v.encode() for v in value])
    return np.array(value) if isinstance(value, list) else value


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode()
    return "" if value is None or isinstance(value, h5py.Empty) else str(value)


def _filters(dataset: h5py.Dataset) -> set[int]:
    plist = dataset.id.get_create_plist()
    return {int(plist.get_filter(i)[0]) for i in range(plist.get_nfilters())}
