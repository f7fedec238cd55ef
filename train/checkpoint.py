"""The state of a run on disk: tensors and plain values only, whole or not at all.

``last.pt`` is the newest state and ``previous.pt`` the one before. Both are complete: a new
state is written under another name, then the old one steps back, then the new one takes its
place. Files are read with ``weights_only``, so nothing in them can run code.
"""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import IO, Any, cast
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch

from trifuse.core import ProductError, atomic_file

LAST, PREVIOUS = "last.pt", "previous.pt"
VERSION = 1


def find_state(run: Path) -> Path | None:
    """The newest state of a run; None where there is none."""
    return next((run / n for n in (LAST, PREVIOUS) if (run / n).exists()), None)


def save_state(run: Path, state: dict[str, Any]) -> None:
    """Write a state as ``last.pt``; the one that was there becomes ``previous.pt``."""
    with atomic_file(run / LAST, overwrite=True) as sink:
        torch.save({"version": VERSION, **state}, cast("IO[bytes]", sink))  # it writes, no more
        if (run / LAST).exists():
            (run / LAST).replace(run / PREVIOUS)


def load_state(path: Path) -> dict[str, Any]:
    """Read a state onto the CPU.

    Raises:
        ProductError: if the file is truncated, damaged, or not a state that this version wrote.
    """
    other = path.with_name(PREVIOUS)
    fix = (
        f"remove it, and the run goes on from {PREVIOUS}"
        if path.name == LAST and other.exists()
        else "start the run anew with --overwrite"
    )
    try:
        with ZipFile(path) as archive:
            if (broken := archive.testzip()) is not None:
                raise ProductError(f"damaged state of a run (in {broken})", where=path, fix=fix)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (BadZipFile, RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as e:
        reason = (str(e) or type(e).__name__).splitlines()[0]
        raise ProductError(
            f"truncated or damaged state of a run ({reason})", where=path, fix=fix
        ) from None
    except OSError as e:
        if isinstance(e, ProductError):
            raise
        raise ProductError(f"cannot be read ({e.strerror})", where=path, fix=fix) from None
    if not isinstance(state, dict) or state.get("version") != VERSION:
        raise ProductError(f"is no state of a run of version {VERSION}", where=path, fix=fix)
    return state


def rng_state() -> dict[str, Any]:
    """State of the random generators of torch (CPU and current GPU), numpy and Python."""
    numbers: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = numbers
    version, words, pending = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
        "numpy": [str(kind), keys.tolist(), int(position), int(has_gauss), float(gauss)],
        "python": [version, list(words), pending],
    }


def set_rng_state(state: dict[str, Any]) -> None:
    """Inverse of :func:`rng_state`."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, np.uint32), *rest))  # noqa: NPY002
    version, words, pending = state["python"]
    random.setstate((version, tuple(words), pending))
