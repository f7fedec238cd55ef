"""Pictures of what a network makes of its validation data: kept by a run, shown by its report."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trifuse.core import ProductError, write_bytes

EXAMPLES = "examples.npz"


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One sample.

    Attributes:
        title: what is shown.
        planes: name → (3, y, x) red, green and blue, or (1, y, x); reflectance, NaN where missing.
            The first is the truth.
    """

    title: str
    planes: Mapping[str, np.ndarray]


def save_examples(path: Path, examples: Sequence[Example]) -> None:
    """Write examples as one file of arrays, replacing what is there."""
    buffer = io.BytesIO()
    arrays = {
        f"{i}/{name}": np.asarray(plane, np.float32)
        for i, example in enumerate(examples)
        for name, plane in example.planes.items()
    }
    np.savez(buffer, titles=np.array(json.dumps([e.title for e in examples])), **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue(), overwrite=True)


def load_examples(path: Path) -> list[Example]:
    """Inverse of :func:`save_examples`; empty if there is no file.

    Raises:
        ProductError: if the file is damaged.
    """
    if not path.is_file():
        return []
    try:
        with np.load(path, allow_pickle=False) as found:
            titles = json.loads(str(found["titles"]))
            arrays = {k: found[k] for k in found.files if k != "titles"}
        out = [
            Example(
                str(title),
                {
                    key.partition("/")[2]: array
                    for key, array in arrays.items()
                    if key.partition("/")[0] == str(i)
                },
            )
            for i, title in enumerate(titles)
        ]
    except (OSError, ValueError, KeyError, EOFError, TypeError) as e:
        raise ProductError(
            f"is damaged ({e})", where=path, fix="remove it; the report goes without pictures"
        ) from None
    if any(a.ndim != 3 or len(a) not in (1, 3) for a in arrays.values()):
        raise ProductError("holds no pictures", where=path, fix="remove it")
    return out
