"""Results on disk: one line per method and draw, appended as they come, never rewritten.

A record counts while the code that made it is the code that is there; records of other code are
left in the file and only read on request.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import trifuse.core

ROOMS = (
    "core",
    "srf_data",
    "metrics",
    "align",
    "simulate",
    "fusformer",
    "restore",
    "fusion",
    "flows",
    "api",
)
"""Whose code results depend on."""

Key = tuple[str, int, str, int, str]


@dataclass(frozen=True, slots=True)
class Record:
    """What one method scored on one draw.

    Attributes:
        scene: its name.
        ratio: sharp pixels per coarse cell.
        protocol: name of the errors.
        seed: of the draw.
        method: as it was asked for.
        code: digest of the code that made it.
        psnr: mean over bands, dB.
        sam: mean over pixels, degrees.
        bands: names.
        psnr_bands: dB each.
        seconds: the method took.
        shift_error: cells between the shift that was drawn and the one that was heeded.
        finite: share of the pixels that count which the method gave a value.
    """

    scene: str
    ratio: int
    protocol: str
    seed: int
    method: str
    code: str
    psnr: float
    sam: float
    bands: tuple[str, ...]
    psnr_bands: tuple[float, ...]
    seconds: float
    shift_error: float
    finite: float

    @property
    def key(self) -> Key:
        return self.scene, self.ratio, self.protocol, self.seed, self.method


def append(path: Path, records: Iterable[Record]) -> None:
    """Add records; each line is written whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(asdict(r)) + "\n" for r in records)
    torn = path.is_file() and path.stat().st_size and not path.read_bytes().endswith(b"\n")
    with path.open("a", encoding="utf-8") as f:
        f.write("\n" * bool(torn) + text)


def read(path: Path, code: str | None) -> dict[Key, Record]:
    """The latest record of each key; those of one code, or of any."""
    found = {}
    for values in _lines(path):
        if code is None or values.get("code") == code:
            record = Record(**{f.name: _value(values[f.name]) for f in fields(Record)})
            found[record.key] = record
    return found


def digest() -> str:
    """Of the code and tables that results depend on."""
    root = Path(trifuse.core.__file__).resolve().parents[1]
    total = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                total.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()[:12]


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as f:
        for line in f:
            try:
                yield json.loads(line)
            except ValueError:  # a run was killed while it wrote
                continue


def _value(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
