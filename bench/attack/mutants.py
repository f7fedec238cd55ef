"""Damage to files: what disks, transfers, editors and other programs do to them."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path

TEXT = (".json", ".xml", ".geojson", ".yaml")
ODD: tuple[object, ...] = (
    *(None, "", "x", -1, 0, 1e308, 10**30, [], {}, True, "\u0000", "../../x", "=1+1"),
    *([[]], "NaN", float("nan")),
)


def mutate(path: Path, rng: random.Random) -> str:
    """Replace a file by a damaged one, and say what was done to it.

    The file is written anew, so that others that are linked to it stay.
    """
    content = path.read_bytes()
    kinds = [*BINARY, *(TEXTUAL if path.suffix.lower() in TEXT else {})]
    how = rng.choice(kinds)
    made = {**BINARY, **TEXTUAL}[how](content, rng)
    path.unlink()
    path.write_bytes(made)
    return how


def _cut(content: bytes, rng: random.Random) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _flip(content: bytes, rng: random.Random) -> bytes:
    made = bytearray(content)
    for _ in range(rng.choice((1, 1, 8, 64))):
        if made:
            made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def _head(content: bytes, rng: random.Random) -> bytes:
    """A bit of the header, where formats keep their sizes and offsets."""
    made = bytearray(content)
    if made:
        made[rng.randrange(min(len(made), 1024))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
    return bytes(made)


def _zeros(content: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(content) + 1)
    return content[:start] + bytes(min(4096, len(content) - start)) + content[start + 4096 :]


def _swap(content: bytes, rng: random.Random) -> bytes:
    half = len(content) // 2
    return content[half:] + content[:half]


def _other(content: bytes, rng: random.Random) -> bytes:
    return rng.choice(
        (b"", b"\x00" * 100, b"<html>404</html>", b"PK\x03\x04", b"{}", b"[]", b"\xff\xfe")
    )


def _longer(content: bytes, rng: random.Random) -> bytes:
    return content + rng.randbytes(1000)


def _value(content: bytes, rng: random.Random) -> bytes:
    """Another value somewhere in JSON; of other text a number."""
    try:
        value = json.loads(content)
    except ValueError:
        return _number(content, rng)
    places: list[tuple[object, object]] = []

    def walk(node: object) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)  # type: ignore[call-overload]
        for key, child in list(items):
            places.append((node, key))
            if isinstance(child, dict | list):
                walk(child)

    if isinstance(value, dict | list):
        walk(value)
    if not places:
        return b"3"
    node, key = rng.choice(places)
    if rng.random() < 0.3:
        del node[key]  # type: ignore[attr-defined]
    else:
        node[key] = rng.choice(ODD)  # type: ignore[index]
    return json.dumps(value).encode()


def _number(content: bytes, rng: random.Random) -> bytes:
    numbers = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not numbers:
        return content
    at = rng.choice(numbers)
    odd = rng.choice((b"", b"NaN", b"-1", b"0", b"1e999", b"99999999999999999999", b"x"))
    return content[: at.start()] + odd + content[at.end() :]


def _word(content: bytes, rng: random.Random) -> bytes:
    words = list(re.finditer(rb"[A-Za-z_]{3,}", content))
    if not words:
        return content
    at = rng.choice(words)
    return (
        content[: at.start()] + rng.choice((b"", b"\xff", b"Other", b"<a>")) + content[at.end() :]
    )


def _lines(content: bytes, rng: random.Random) -> bytes:
    lines = content.splitlines(keepends=True)
    if lines:
        del lines[rng.randrange(len(lines))]
    return b"".join(lines)


Change = Callable[[bytes, random.Random], bytes]

BINARY: dict[str, Change] = {
    "cut": _cut,
    "bits flipped": _flip,
    "header changed": _head,
    "zeros": _zeros,
    "halves swapped": _swap,
    "another file": _other,
    "longer": _longer,
}
TEXTUAL: dict[str, Change] = {
    "another value": _value,
    "another number": _number,
    "another word": _word,
    "a line less": _lines,
}
