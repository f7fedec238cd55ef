"""What a file holds, as digests: its bytes, the values in it, and the words about them.

*bytes* is the file as it lies. *values* are decoded pixels, arrays and weights. *words* are tags,
attributes and records, less what no two runs share: seconds, where the run and the code lie, and
digests of other files, which have digests of their own here. A kind that a format does not have,
or whose bytes hold a time, is left out.
"""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

TIMED = ("timings", "seconds", "changed")
"""Keys of seconds, and of the time at which a file was written."""
DURATION = re.compile(r"\b\d+(?:\.\d+)? s\b")
DIGEST = re.compile(r"\b[0-9a-f]{64}\b|(?<=\b\d{4}-\d\d-\d\d-)[0-9a-f]{12}\b")
"""SHA-256, and the state of a file behind its date, by which resumed work knows its units."""

EMBEDDED = re.compile(r"(?<=;base64,)[A-Za-z0-9+/=]+")
"""Pictures in a page."""

RASTER_FACTS = (
    *("driver", "transform", "nodatavals", "block_shapes"),
    *("descriptions", "scales", "offsets", "units"),
)
"""Attributes of an open raster that are told as they are."""

Digests = dict[str, str]
Places = Mapping[str, str]
"""Folder → what stands for it in words."""


def digests_of(path: Path, places: Places) -> Digests:
    """Kind → SHA-256 of a file.

    Args:
        path: the file.
        places: that words may name and no two runs share.
    """
    read = READERS.get(path.suffix.lower())
    return {"bytes": of_bytes(path.read_bytes())} if read is None else read(path, places)


def of_bytes(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def of_words(value: object, places: Places) -> str:
    """Of plain values, without what no two runs share; the order of keys tells nothing."""
    text = json.dumps(plain(value, places), sort_keys=True, ensure_ascii=False)
    return of_bytes(text.encode())


def of_values(arrays: Mapping[str, Any]) -> str:
    """Of arrays by name: their types, shapes and elements."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        array = np.asarray(array)
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def plain(value: object, places: Places) -> object:
    """Plain JSON values in which ``<time>`` and ``<digest>`` stand for times and digests."""
    if isinstance(value, Mapping):
        return {
            str(written(str(key), places)): timeless(item) if key in TIMED else plain(item, places)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | set):
        return [plain(item, places) for item in value]
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist(), places)
    if isinstance(value, bytes):
        return plain(value.decode("utf-8", "backslashreplace"), places)
    if isinstance(value, str):
        return written(value, places)
    return value if isinstance(value, int | float | None) else str(value)


def written(text: str, places: Places) -> object:
    """A text; JSON in it, as tags have it, is read."""
    if text[:1] in ("{", "["):
        try:
            return plain(json.loads(text), places)
        except ValueError:
            pass
    for place, name in places.items():
        text = text.replace(place, name)
    return DURATION.sub("<time>", DIGEST.sub("<digest>", text))


def timeless(value: object) -> object:
    """The same with every value a time; a key that goes is still seen to go."""
    if isinstance(value, Mapping):
        return {str(key): timeless(item) for key, item in value.items()}
    return "<time>"


def raster(path: Path, places: Places) -> Digests:
    """GeoTIFF and JPEG 2000: stored numbers with their masks; georeference and all tags."""
    import rasterio

    with rasterio.open(path) as image:
        values = {f"band {i}": image.read(i) for i in image.indexes}
        values |= {f"mask {i}": image.read_masks(i) for i in image.indexes}
        spaces = {
            str(i): {space: image.tags(i, ns=space) for space in (None, *image.tag_namespaces(i))}
            for i in (0, *image.indexes)
        }
        words: dict[str, Any] = {
            "crs": image.crs and image.crs.to_wkt(),
            "masks": [[flag.name for flag in flags] for flags in image.mask_flag_enums],
            "colours": [c.name for c in image.colorinterp],
            "overviews": [image.overviews(i) for i in image.indexes],
            "tags": spaces,
        }
        words |= {name: getattr(image, name) for name in RASTER_FACTS}
    return {
        "bytes": of_bytes(path.read_bytes()),
        "values": of_values(values),
        "words": of_words(words, places),
    }


def picture(path: Path, places: Places) -> Digests:
    """PNG and GIF: the frames as colours; what the file says beside them."""
    from PIL import Image, ImageSequence

    with Image.open(path) as image:
        frames = [np.asarray(f.convert("RGBA")) for f in ImageSequence.Iterator(image)]
        words = {k: v for k, v in image.info.items() if isinstance(v, str | int | float | bytes)}
    values = {f"{i:04}": frame for i, frame in enumerate(frames)}
    return {
        "bytes": of_bytes(path.read_bytes()),
        "values": of_values(values),
        "words": of_words(words, places),
    }


def hierarchy(path: Path, places: Places) -> Digests:
    """HDF5: data sets; attributes."""
    import h5py

    values: dict[str, Any] = {}
    words: dict[str, Any] = {}

    def note(name: str, node: Any) -> None:
        words[name] = dict(node.attrs)
        if isinstance(node, h5py.Dataset):
            values[name] = node[()]

    with h5py.File(path) as file:
        words["/"] = dict(file.attrs)
        file.visititems(note)
    return {
        "bytes": of_bytes(path.read_bytes()),
        "values": of_values(values),
        "words": of_words(words, places),
    }


def weights(path: Path, places: Places) -> Digests:
    """Safetensors: tensors; the card."""
    from safetensors import safe_open

    with safe_open(path, "np") as file:
        values = {name: file.get_tensor(name) for name in file.keys()}
        words = file.metadata()
    return {
        "bytes": of_bytes(path.read_bytes()),
        "values": of_values(values),
        "words": of_words(words, places),
    }


def checkpoint(path: Path, places: Places) -> Digests:
    """State of a training: tensors; the rest. How it is pickled is torch's affair."""
    import torch

    values: dict[str, Any] = {}

    def part(value: Any, name: str) -> object:
        if isinstance(value, torch.Tensor):
            values[name] = value.numpy(force=True)
            return f"tensor {name}"
        if isinstance(value, Mapping):
            return {str(k): part(v, f"{name}/{k}") for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [part(v, f"{name}/{i}") for i, v in enumerate(value)]
        return value

    words = part(torch.load(path, map_location="cpu", weights_only=True), "")
    return {"values": of_values(values), "words": of_words(words, places)}


def record(path: Path, places: Places) -> Digests:
    """JSON; one value, or one a line."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".jsonl":
        return {"words": of_words([json.loads(line) for line in text.splitlines()], places)}
    return {"words": of_words(json.loads(text), places)}


def page(path: Path, places: Places) -> Digests:
    """HTML: the pictures in it; the text, in which a ``pre`` may hold a record."""
    from PIL import Image

    content = path.read_text(encoding="utf-8")
    values = {}
    for i, packed in enumerate(EMBEDDED.findall(content)):
        with Image.open(io.BytesIO(base64.b64decode(packed))) as image:
            values[f"{i:04}"] = np.asarray(image.convert("RGBA"))
    parts = re.split(r"<pre>(.*?)</pre>", EMBEDDED.sub("", content), flags=re.DOTALL)
    return {
        "values": of_values(values),
        "words": of_words([html.unescape(part) for part in parts], places),
    }


def text(path: Path, places: Places) -> Digests:
    return {"words": of_words(path.read_text(encoding="utf-8"), places)}


READERS: Mapping[str, Callable[[Path, Places], Digests]] = {
    **dict.fromkeys((".tif", ".tiff", ".jp2"), raster),
    **dict.fromkeys((".png", ".gif"), picture),
    **dict.fromkeys((".h5", ".hdf5"), hierarchy),
    ".safetensors": weights,
    ".pt": checkpoint,
    ".html": page,
    **dict.fromkeys((".json", ".jsonl", ".geojson"), record),
    **dict.fromkeys((".xml", ".csv", ".yaml", ".txt", ".out", ".err"), text),
}
"""By suffix; of other files the bytes alone are taken."""
