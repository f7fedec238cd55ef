"""A finished store of triplets, read sample by sample. Needs h5py and nothing of rasterio."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Mapping
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import Any

import h5py

from trifuse.core import (
    PSF,
    BandSet,
    ConfigError,
    DataError,
    Grid,
    Manifest,
    StoreError,
    TrifuseError,
    Window,
    fingerprint,
)
from trifuse.simulate.shards import FORMAT, IMAGES, Shard, check_shard, damaged, decode, open_shard
from trifuse.simulate.triplets import SPLITS, SimulateConfig, Split, Triplet, assign_splits
from trifuse.simulate.views import band_psfs

GROUND = "ground"
"""Key of the manifest: scenes of the same ground, where there are any, and their split."""

OPEN_FILES = 32
"""Shards kept open at a time; the one that was read longest ago is closed."""


class TripletStore:
    """Triplets on disk: a folder of HDF5 shards, one per scene, with a manifest.

    Samples are numbered through all shards, scenes in the order of their ids. The object pickles
    (without file handles) and every process opens the files for itself, so it serves the workers
    of a loader however they are started.

    Attributes:
        path: the folder.
        config: how it was made.
        hr_bands: bands of ``hrmsi``.
        lr_bands: bands of ``lrhsi`` and ``hrhsi``.
        ratio: fine pixels per coarse cell.
        psf: that led from ``hrhsi`` to ``lrhsi``: one for all bands, or one per band.
        groups: units (scenes) of the same ground, which are in one split together.
        splits: unit (scene) → ``train``, ``val`` or ``test``.
        hash: of the content of all shards; independent of when and in how many runs it was made.
        meta: plain JSON values: all of the above and where they come from.
    """

    def __init__(self, path: Path | str) -> None:
        """See :meth:`open`."""
        self.path = Path(path)
        manifest = Manifest.load(self.path)
        about = manifest.config
        if about.get("format") != FORMAT:
            raise StoreError(
                f"is no store of format {FORMAT}",
                where=self.path,
                fix="give a store that trifuse simulate has written",
            )
        manifest.require_complete()
        try:
            self.config = SimulateConfig.from_json(about["simulate"])
            self.hr_bands = BandSet.from_json(about["hr_bands"])
            self.lr_bands = BandSet.from_json(about["lr_bands"])
            psfs = tuple(band_psfs(self.config.psf, self.lr_bands))
            self.groups = tuple(tuple(map(str, g["scenes"])) for g in about.get(GROUND, ()))
        except (KeyError, TypeError, TrifuseError) as e:
            raise StoreError(
                f"manifest.json is damaged ({e})", where=self.path, fix="make the store again"
            ) from None
        self.ratio = self.config.ratio
        self.psf: PSF | tuple[PSF, ...] = psfs[0] if len(set(psfs)) == 1 else psfs
        self._units = tuple(sorted(manifest.planned))
        self.splits: Mapping[str, Split] = assign_splits(
            self._units, self.config.split, self.config.seed, self.groups
        )
        self._files = {unit: manifest.path(unit) for unit in self._units}
        self._handles: OrderedDict[tuple[int, str], h5py.File] = OrderedDict()
        self._lock = threading.Lock()
        self._shards = {unit: self._check(unit, manifest.done[unit]) for unit in self._units}
        self._ends = list(accumulate(self._shards[u].count for u in self._units))
        self.hash = fingerprint({unit: shard.content for unit, shard in self._shards.items()})
        self.meta: Mapping[str, Any] = MappingProxyType(
            {
                **about,
                "hash": self.hash,
                "splits": dict(self.splits),
                "products": {u: s.product_id for u, s in self._shards.items()},
                "counts": {split: len(self.ids(split)) for split in SPLITS},
            }
        )

    @classmethod
    def open(cls, path: Path | str, *, verify: bool = False) -> TripletStore:
        """Open a finished store.

        Args:
            path: the folder.
            verify: also compare every file with its recorded hash (reads all of it).

        Raises:
            StoreError: if units are missing (a killed run), or a file is cut short, damaged or
                no shard of this store.
        """
        store = cls(path)
        if verify:
            manifest = Manifest.load(store.path)
            for unit in store._units:
                if not manifest.intact(unit):
                    raise StoreError(
                        "differs from its recorded hash",
                        where=manifest.path(unit),
                        fix="delete it and run the command that makes it again",
                    )
        return store

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(self.ids(split))} {split}" for split in SPLITS)
        bands = f"{len(self.hr_bands)} + {len(self.lr_bands)} bands, ratio {self.ratio}"
        return f"TripletStore({str(self.path)!r}, {len(self)} triplets ({counts}), {bands})"

    @property
    def grids(self) -> dict[str, Grid]:
        """Unit (scene) → its grid of fine pixels."""
        return {unit: shard.grid for unit, shard in self._shards.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Unit (scene) → its samples."""
        return {unit: shard.count for unit, shard in self._shards.items()}

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def ids(self, split: Split | None = None) -> list[int]:
        """Numbers of the samples of one split (default: of all).

        Raises:
            ConfigError: if there is no such split.
        """
        if split is None:
            return list(range(len(self)))
        if split not in SPLITS:
            raise ConfigError(f"no split {split!r}", fix=f"ask for one of {', '.join(SPLITS)}")
        starts = [0, *self._ends]
        return [
            i
            for unit, start, end in zip(self._units, starts, self._ends, strict=False)
            if self.splits[unit] == split
            for i in range(start, end)
        ]

    def read(self, number: int) -> Triplet:
        """Read one sample.

        Args:
            number: one of :meth:`ids`.

        Raises:
            DataError: if there is no such sample.
            StoreError: if the shard is damaged there.
        """
        unit, index = self._locate(number)
        shard, path = self._shards[unit], self._files[unit]
        try:
            with self._lock:
                f = self._open(unit)
                hrmsi, lrhsi, hrhsi = (decode(f[name][index]) for name in IMAGES)
        except (OSError, RuntimeError, KeyError, ValueError) as e:
            if isinstance(e, TrifuseError):
                raise
            raise damaged(path, e) from None
        row, col, patch = shard.rows[index], shard.cols[index], self.config.patch
        return Triplet(
            id=number,
            hrmsi=hrmsi,
            lrhsi=lrhsi,
            hrhsi=hrhsi,
            hr_bands=self.hr_bands,
            lr_bands=self.lr_bands,
            ratio=self.ratio,
            psf=self.psf,
            grid=shard.grid.window(Window(row, col, patch, patch)),
            provenance={
                "unit": unit,
                "product_id": shard.product_id,
                "row": row,
                "col": col,
                "valid_share": shard.shares[index],
                "split": self.splits[unit],
            },
        )

    def close(self) -> None:
        """Close the files that this process has open; reading again reopens them."""
        with self._lock:
            for key in [k for k in self._handles if k[0] == os.getpid()]:
                self._handles.pop(key).close()

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in self.__dict__.items() if k not in ("_handles", "_lock")}
        return {**state, "meta": dict(self.meta)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.meta = MappingProxyType(state["meta"])
        self._handles = OrderedDict()
        self._lock = threading.Lock()

    def _locate(self, number: int) -> tuple[str, int]:
        if not 0 <= number < len(self):
            raise DataError(f"no sample {number} among {len(self)}", where=self.path)
        which = bisect_right(self._ends, number)
        return self._units[which], number - (self._ends[which - 1] if which else 0)

    def _check(self, unit: str, record: Mapping[str, Any]) -> Shard:
        path = self._files[unit]
        with open_shard(path) as f:
            shard = check_shard(
                path,
                f,
                self.hr_bands,
                self.lr_bands,
                ratio=self.config.ratio,
                patch=self.config.patch,
            )
        if (shard.count, shard.content) != (record.get("count"), record.get("content")):
            raise StoreError(
                "is not the file that the manifest records",
                where=path,
                fix="delete it and run the command that makes it again",
            )
        return shard

    def _open(self, unit: str) -> h5py.File:
        # Handles inherited by a forked worker share a file position with the parent's.
        key = (os.getpid(), unit)
        if key not in self._handles:
            while len(self._handles) >= OPEN_FILES:
                (owner, _), old = self._handles.popitem(last=False)
                if owner == os.getpid():
                    old.close()
            self._handles[key] = open_shard(self._files[unit])
        self._handles.move_to_end(key)
        return self._handles[key]
