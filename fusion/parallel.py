"""Tiles of a scene by several workers: each part of the work is a file, one writer merges them.

A part holds the tiles of a piece of a row as they are before blending. So whoever computed them,
the mosaic sees the same tiles in the same order, and ends with the same bytes.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from trifuse.core import Manifest, StoreError, Tile, Unit, atomic_file, run_units
from trifuse.fusion.inference import Compute
from trifuse.fusion.ranks import Ranks
from trifuse.fusion.tiles import TileWork


def in_parts(
    folder: Path,
    *,
    identity: Mapping[str, Any] | None = None,
    jobs: int = 1,
    scheduler: str | None = None,
    ranks: Ranks | None = None,
) -> Compute:
    """Have tiles computed by processes, a Dask cluster or the ranks of a launcher.

    Args:
        folder: for the parts; all workers see it under the same path. Four bytes a value; whoever
            gave it removes it.
        identity: what determines the pixels, in plain JSON values; parts that a killed run of
            the same left are then used. Default: always start anew.
        jobs: processes of this machine.
        scheduler: address of a running Dask scheduler.
        ranks: of the launcher, this being the first; the others follow.

    Returns:
        What :func:`trifuse.fusion.fuse` takes as ``compute``.
    """
    opened: list[Manifest] = []

    def compute(work: TileWork) -> Iterator[tuple[Tile, np.ndarray]]:
        parts = work.parts()
        units = [Unit(f"{p.start}-{p.stop - 1}", f"part_{p.start:06d}.npy", p) for p in parts]
        if not opened:  # a second pass finds the parts of the first
            opened.append(_open(folder, identity, work, [u.id for u in units]))
        (manifest,) = opened
        deed = partial(write_part, work)
        if ranks is None:
            run_units(units, deed, manifest, jobs=jobs, scheduler=scheduler, label="tiles")
        else:
            ranks.run_units(units, deed, manifest)
        for unit in units:
            yield from read_part(work, unit, folder)

    return compute


def write_part(work: TileWork, unit: Unit, folder: Path) -> dict[str, Any]:
    """Compute the tiles of a part into its file, one after the other, as flat float32."""
    values = [v.ravel() for _, v in work.tiles([unit.payload])]
    with atomic_file(folder / unit.file, overwrite=True) as sink:
        np.save(sink, np.concatenate(values))
    return {}


def read_part(work: TileWork, unit: Unit, folder: Path) -> Iterator[tuple[Tile, np.ndarray]]:
    """The tiles of a part, as :meth:`TileWork.tiles` gives them."""
    stored = np.load(folder / unit.file, mmap_mode="r", allow_pickle=False)
    start = 0
    for tile in (work.plan[n] for n in unit.payload):
        shape = (work.planes, *tile.write.shape)
        stop = start + prod(shape)
        yield tile, np.array(stored[start:stop]).reshape(shape)
        start = stop


def _open(
    folder: Path, identity: Mapping[str, Any] | None, work: TileWork, ids: Sequence[str]
) -> Manifest:
    config = {**(identity or {}), "plan": asdict(work.plan), "planes": work.planes}
    if identity is not None:
        # Parts of other work are parts that nobody waits for any more.
        with contextlib.suppress(StoreError):
            return Manifest.open(folder, config, ids)
    shutil.rmtree(folder, ignore_errors=True)
    return Manifest.open(folder, config, ids)
