"""Triplets as tensors: a plain torch data set, useful with any training loop."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from trifuse.core import PSF, Manifest, degrade, fill_nearest, upsample
from trifuse.train.augment import Augmentation, Sample
from trifuse.train.batches import Draw

if TYPE_CHECKING:
    from trifuse.simulate import Triplet, TripletStore


class TripletDataset(Dataset[dict[str, Tensor]]):
    """Samples of a triplet store, augmented on request.

    Each item is a dict of float32 tensors, finite everywhere:

    - ``hrmsi`` (l, H, W): the sharp input, reflectance;
    - ``lrhsi`` (L, h, w): the coarse input, H = ratio·h;
    - ``hrhsi`` (L, H, W): the truth; 0 where it is missing;
    - ``valid`` (1, H, W): 1 where all three have values in all bands, else 0.

    Holes in the inputs are bridged as they are when a scene is fused: coarse cells from their
    neighbours, sharp pixels from what the coarse cells would see of them.

    >>> from trifuse.core import MemorySource
    >>> from trifuse.simulate import SimulateConfig, procedural_scene, simulate_store
    >>> scene = MemorySource(procedural_scene(120, seed=1))
    >>> store = simulate_store(scene, "store", SimulateConfig(patch=60))
    >>> from torch.utils.data import DataLoader
    >>> batch = next(iter(DataLoader(TripletDataset("store"), batch_size=4, shuffle=True)))
    >>> batch["hrmsi"].shape, batch["lrhsi"].shape
    (torch.Size([4, 12, 60, 60]), torch.Size([4, 19, 6, 6]))

    Args:
        store: the folder of a store, or the open store.
        split: ``train``, ``val`` or ``test``.
        augment: what to change in the samples; default: nothing.
        seed: of the augmentation.

    Raises:
        StoreError: if the folder holds no finished store.
        ConfigError: if the augmentation cannot serve the samples, or the split is unknown.
    """

    def __init__(
        self,
        store: TripletStore | Path | str,
        split: str = "train",
        augment: Augmentation | None = None,
        seed: int = 0,
    ) -> None:
        if isinstance(store, str | Path):
            from trifuse.simulate import TripletStore

            store = TripletStore.open(store)
        self.store, self.split, self.augment, self.seed = store, split, augment, seed
        self.epoch = 0
        self._numbers = np.array(store.ids(split), dtype=np.int64)  # type: ignore[arg-type]
        if augment is not None and len(self):
            augment.check(*self.triplet(0).hrhsi.shape[1:])

    def __repr__(self) -> str:
        how = "augmented" if self.augment is not None else "as stored"
        what = f"{len(self)} of {self.split}, {how}"
        return f"TripletDataset({str(self.store.path)!r}, {what}, ratio {self.store.ratio})"

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, key: int | Draw) -> dict[str, Tensor]:
        """A sample by its number in the split.

        With a plain number the augmentation depends on :meth:`set_epoch`, and all samples of an
        epoch share one ratio; a :class:`~trifuse.train.Draw` names epoch and batch itself.

        Raises:
            IndexError: if there is no such sample.
            StoreError: if the store is damaged there.
        """
        draw = self.draw(key)
        return self.tensors(self.triplet(draw.index), draw)

    def draw(self, key: int | Draw) -> Draw:
        """The draw that a key stands for; numbers below zero count from the end."""
        if isinstance(key, Draw):
            return key
        index = int(key)
        return Draw(index + len(self) * (-len(self) <= index < 0), self.epoch, self.epoch)

    def set_epoch(self, epoch: int) -> None:
        """Draw the augmentation anew; a loader's workers must be started after it."""
        self.epoch = epoch

    def units(self) -> list[str]:
        """The scene of each sample, without reading any."""
        # A store numbers its samples through all scenes, in the order of their ids.
        manifest = Manifest.load(self.store.path)
        scenes = [u for u in sorted(manifest.planned) for _ in range(manifest.done[u]["count"])]
        return [scenes[number] for number in self._numbers]

    def triplet(self, index: int) -> Triplet:
        """A sample as it is stored."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self.store.read(int(self._numbers[index]))

    def tensors(self, triplet: Triplet, draw: Draw) -> dict[str, Tensor]:
        """A stored sample augmented for a draw, as tensors."""
        sample = Sample(
            triplet.hrmsi,
            triplet.lrhsi,
            triplet.hrhsi,
            triplet.ratio,
            triplet.psf,
            triplet.hr_bands.names,
        )
        if self.augment is not None:
            sample = self.augment(sample, seed=self.seed, draw=draw)
        return to_tensors(sample)


def to_tensors(sample: Sample) -> dict[str, Tensor]:
    """A sample with its holes bridged and marked; see :class:`TripletDataset`."""
    ratio = sample.ratio
    cells = np.isfinite(sample.lrhsi).all(axis=0).repeat(ratio, axis=0).repeat(ratio, axis=1)
    there = np.isfinite(sample.hrmsi).all(axis=0)
    valid = cells & there & np.isfinite(sample.hrhsi).all(axis=0)
    hrmsi, lrhsi = sample.hrmsi, sample.lrhsi
    if not there.all():
        coarse = degrade(hrmsi, ratio, common_psf(sample.psf), min_share=0.0)
        hrmsi = np.where(np.isfinite(hrmsi), hrmsi, upsample(fill_nearest(coarse), ratio))
    if not cells.all():
        lrhsi = fill_nearest(lrhsi)
    images = {
        "hrmsi": hrmsi,
        "lrhsi": lrhsi,
        "hrhsi": np.nan_to_num(sample.hrhsi, nan=0.0),
        "valid": valid[None],
    }
    return {k: torch.from_numpy(np.ascontiguousarray(v, np.float32)) for k, v in images.items()}


def common_psf(psf: PSF | tuple[PSF, ...]) -> PSF:
    """One PSF for the bands that the coarse sensor does not have: the mean of its widths."""
    return psf if isinstance(psf, PSF) else PSF(sum(p.sigma for p in psf) / len(psf))
