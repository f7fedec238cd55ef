"""Whether what was written is still there as it was: by the records that are kept of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trifuse.core import (
    IntegrityError,
    Manifest,
    ProductError,
    TilePlan,
    TrifuseError,
    read_json,
    sha256,
)
from trifuse.core.units import MANIFEST

INDEX = "index.json"
WEIGHTS = ".safetensors"
STATES = ("last.pt", "previous.pt")
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found of one path.

    Attributes:
        path: that was asked for.
        kind: what it is, in words.
        checked: files that are as they were recorded.
        decoded: files of which no digest is recorded, and that can be read to their end.
        wrong: file → what is wrong with it.
    """

    path: Path
    kind: str
    checked: tuple[str, ...] = ()
    decoded: tuple[str, ...] = ()
    wrong: Mapping[str, str] | None = None

    @property
    def whole(self) -> bool:
        """Whether nothing is missing, cut short or changed."""
        return not self.wrong

    @property
    def text(self) -> str:
        """A line for a terminal."""
        told = [f"{len(self.checked)} files as recorded"] if self.checked else []
        if self.decoded:
            told.append(f"{len(self.decoded)} files without a record that can be read")
        if self.wrong:
            first = [f"{name} {what}" for name, what in sorted(self.wrong.items())]
            more = f" and {len(first) - _SHOWN} more" if len(first) > _SHOWN else ""
            told.append(f"NOT whole: {'; '.join(first[:_SHOWN])}{more}")
        return f"{self.path}: {self.kind}: {', '.join(told)}"

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "whole": self.whole,
            "checked": list(self.checked),
            "decoded": list(self.decoded),
            "wrong": dict(self.wrong or {}),
        }


def verify(path: Path | str) -> Verified:
    """Compare a product, store, series, run or weights with what was recorded of it.

    Files whose size and SHA-256 are recorded are read and compared; of others it is told whether
    they decode. A folder of none of these is what lies in it.

    In use::

        verify("FUSED.tif").whole

    Args:
        path: GeoTIFF, its sidecar, weights, or a folder.

    Returns:
        What was found; damage is a result, not an error.

    Raises:
        ProductError: if there is nothing, or nothing that TriFuse wrote.
    """
    path = Path(path)
    if not path.exists():
        raise ProductError("no such file or folder", where=path)
    found = _Found(path)
    if path.is_dir():
        kind = _folder(path, found)
    else:
        kind = _file(path, found)
    if kind is None:
        raise ProductError(
            "is nothing that is recorded by TriFuse",
            where=path,
            fix="give a product with its sidecar, a store, a series, weights or a run",
        )
    return Verified(path, kind, tuple(found.checked), tuple(found.decoded), found.wrong)


def require_whole(found: Sequence[Verified]) -> None:
    """Stop where something is not whole.

    Raises:
        IntegrityError: naming the files.
    """
    if broken := [f for f in found if not f.whole]:
        wrong = [f"{name} {what}" for f in broken for name, what in sorted((f.wrong or {}).items())]
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise IntegrityError(
            f"is not whole: {'; '.join(wrong[:_SHOWN])}{more}",
            where=", ".join(str(f.path) for f in broken),
            fix="get it again, or run the command that makes it again",
        )


class _Found:
    """What was found so far, by names relative to one path."""

    def __init__(self, base: Path) -> None:
        self._base = base if base.is_dir() else base.parent
        self.checked: list[str] = []
        self.decoded: list[str] = []
        self.wrong: dict[str, str] = {}

    def name(self, path: Path) -> str:
        return path.relative_to(self._base).as_posix()

    def compare(self, path: Path, record: Mapping[str, Any]) -> None:
        """A file with its recorded size and digest."""
        if not path.is_file():
            self.wrong[self.name(path)] = "is missing"
        elif path.stat().st_size != record["bytes"]:
            self.wrong[self.name(path)] = (
                f"has {path.stat().st_size} bytes instead of {record['bytes']}"
            )
        elif sha256(path) != record["sha256"]:
            self.wrong[self.name(path)] = "was changed: its digest differs from the record"
        else:
            self.checked.append(self.name(path))

    def decode(self, path: Path, read: Callable[[Path], None]) -> None:
        """A file without a recorded digest."""
        try:
            read(path)
        except TrifuseError as e:
            self.wrong[self.name(path)] = e.what
        else:
            self.decoded.append(self.name(path))


def _file(path: Path, found: _Found) -> str | None:
    if path.suffix == WEIGHTS:
        found.decode(path, _read_weights)
        return "weights"
    beside = path if path.suffix == ".json" else path.with_name(path.name + ".json")
    if beside.is_file() and _by_record(beside, found):
        return "product"
    if path.suffix.lower() in (".tif", ".tiff"):
        found.decode(path, _read_image)
        return "image without a sidecar"
    return None


def _by_record(sidecar: Path, found: _Found) -> bool:
    """Compare what a sidecar records; False if it records no files."""
    record = read_json(sidecar)
    written = record.get("written") if isinstance(record, dict) else None
    if not isinstance(written, dict):
        return False
    for name, entry in sorted(written.items()):
        if Path(name).name != name or not _is_entry(entry):
            found.wrong[found.name(sidecar)] = f"is damaged (it names {name!r})"
            continue
        found.compare(sidecar.with_name(name), entry)
    return True


def _is_entry(value: Any) -> bool:
    return isinstance(value, dict) and {"bytes", "sha256"} <= set(value)


def _folder(folder: Path, found: _Found) -> str | None:
    """What a folder is; None if there is nothing in it that is known."""
    if (folder / MANIFEST).is_file():
        return _manifest(folder, found)
    if (folder / INDEX).is_file():
        return _index(folder, found)
    if any((folder / name).is_file() for name in STATES) or (folder / "config.yaml").is_file():
        return _run(folder, found)
    kinds = set()
    for child in sorted(p for p in folder.iterdir() if not p.name.startswith(".")):
        if child.is_dir():
            kinds.add(_folder(child, found))
        elif child.suffix == WEIGHTS:
            kinds.add(_file(child, found))
        elif child.suffix == ".json" and _is_sidecar(child) and _by_record(child, found):
            kinds.add("product")
    told = sorted(k for k in kinds if k)
    return f"folder of {', '.join(told)}" if told else None


def _is_sidecar(path: Path) -> bool:
    return path.with_suffix("").suffix.lower() in (".tif", ".tiff")


def _manifest(folder: Path, found: _Found) -> str:
    """A folder of units: a store, or a series that was built, predicted or mapped."""
    name = found.name(folder / MANIFEST)
    try:
        manifest = Manifest.load(folder)
    except TrifuseError as e:
        found.wrong[name] = e.what
        return "unfinished or damaged work"
    kind = str(manifest.config.get("format") or manifest.config.get("kind") or "work in units")
    for unit in manifest.planned:
        if unit not in manifest.done:
            found.wrong[f"{name} {unit}"] = "is not done yet"
    for entry in manifest.done.values():
        found.compare(folder / str(entry["file"]), entry)
    if "simulate" in manifest.config:
        found.decode(folder / MANIFEST, _read_store)
        return "store of triplets"
    if (folder / INDEX).is_file():
        found.decode(folder / INDEX, _read_series)
    else:
        found.wrong[found.name(folder / INDEX)] = "is missing: the series is not finished"
    return kind


def _index(folder: Path, found: _Found) -> str:
    """A series with digests in its index, or without."""
    try:
        record = read_json(folder / INDEX)
        images = record["images"]
        names = [(str(i["file"]), i) for i in images]
    except (TrifuseError, KeyError, TypeError) as e:
        found.wrong[found.name(folder / INDEX)] = getattr(e, "what", f"is damaged ({e!r})")
        return "series"
    for name, entry in names:
        path = folder / name
        if Path(name).name != name:
            found.wrong[found.name(folder / INDEX)] = f"names {name!r} outside its folder"
        elif _is_entry(entry):
            found.compare(path, entry)
        elif not path.is_file():
            found.wrong[found.name(path)] = "is missing"
        else:
            found.decode(path, _read_image)
    found.decode(folder / INDEX, _read_series)
    return "series"


def _run(folder: Path, found: _Found) -> str:
    """The folder of a training: its states carry checksums, its weights a card."""
    for path in sorted(folder.iterdir()):
        if path.name in STATES:
            found.decode(path, _read_state)
        elif path.suffix == WEIGHTS:
            found.decode(path, _read_weights)
        elif path.is_dir() and not path.name.startswith("."):
            _folder(path, found)
    return "run"


def _read_image(path: Path) -> None:
    from trifuse.products.files.geotiff import open_geotiff

    with open_geotiff(path) as source:
        for tile in TilePlan(*source.grid.shape, tile=1024):
            source.read(tile.write)


def _read_store(manifest: Path) -> None:
    from trifuse.simulate import TripletStore

    TripletStore.open(manifest.parent).close()


def _read_series(index: Path) -> None:
    from trifuse.products import open_series

    for _, source in open_series(index.parent):
        source.close()


def _read_state(path: Path) -> None:
    from trifuse.train.checkpoint import load_state

    load_state(path)


def _read_weights(path: Path) -> None:
    from trifuse.core.weights import check_weights

    check_weights(path)


def recorded(paths: Iterable[Path]) -> Iterator[Path]:
    """Of some paths those that have a record to be verified by."""
    for path in paths:
        if path.is_dir() and any((path / n).is_file() for n in (MANIFEST, INDEX, *STATES)):
            yield path
        elif path.is_dir() and any(path.glob(f"*/{INDEX}")):
            yield path
        elif path.suffix == WEIGHTS or path.with_name(path.name + ".json").is_file():
            yield path
