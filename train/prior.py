"""The per-scene regression on batches of tensors: what a network with the prior starts from.

The map of a scene is fitted once, on the coarse cells of its triplets, as it is fitted once on a
whole scene when that is fused; a map per triplet would rest on a few cells only. It is applied on
the device, after the augmentation, so the prior sees the turned, noisy inputs the network sees.

The outer cells of a triplet depend on what lies beyond its edge: stores of :mod:`trifuse.simulate`
mirror there, a real coarse image saw other ground. So they are left out of the map, and their
residual is that of their inner neighbours, whichever it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from trifuse.align import fit_map
from trifuse.core import PSF, degrade, progress
from trifuse.core.resample_torch import degrade as degrade_tensor
from trifuse.core.resample_torch import upsample
from trifuse.train.augment import Augmentation
from trifuse.train.batches import Draw
from trifuse.train.data import TripletDataset, common_psf

if TYPE_CHECKING:
    from trifuse.align import SpectralMap
    from trifuse.simulate import TripletStore

MAX_TRIPLETS = 16
"""Triplets per scene that a map is fitted on, evenly spaced; 16 of 15×15 cells are 3600 for 13
coefficients a band."""


def scene_maps(data: TripletDataset) -> dict[str, SpectralMap]:
    """The regression of S3 on S2 of every scene of a data set, ridge by cross-validation.

    Args:
        data: its augmentation is left out.

    Returns:
        Unit (scene) → map.

    Raises:
        DataError: if a scene has too few valid cells.
    """
    members: dict[str, list[int]] = {}
    for index, unit in enumerate(data.units()):
        members.setdefault(unit, []).append(index)
    maps = {}
    for unit, indices in progress(members.items(), "regressions", len(members)):
        count = min(MAX_TRIPLETS, len(indices))
        chosen = np.linspace(0, len(indices) - 1, count).round().astype(int)
        triplets = [data.triplet(indices[i]) for i in chosen]
        psf = common_psf(triplets[0].psf)
        inner = inner_cells(psf, *triplets[0].lrhsi.shape[1:])
        sharp = [degrade(t.hrmsi, t.ratio, psf)[:, *inner] for t in triplets]
        coarse = [t.lrhsi[:, *inner] for t in triplets]
        maps[unit] = fit_map(np.concatenate(sharp, axis=1), np.concatenate(coarse, axis=1))
    return maps


def inner_cells(psf: PSF, height: int, width: int) -> tuple[slice, slice]:
    """The cells that see nothing beyond the triplet, to 0.3 % of their PSF; all if none does."""
    margin = max(0, math.ceil(3 * psf.sigma - 0.5))
    if min(height, width) <= 2 * margin:
        margin = 0
    return slice(margin, height - margin), slice(margin, width - margin)


class PriorDataset(TripletDataset):
    """Triplets with the regression of their scene.

    Items also have ``matrix`` (L, l) and ``offset`` (L,): S3 = matrix · S2 + offset.

    Args:
        store: as in :class:`TripletDataset`, and so the rest.
        maps: unit → regression; default: fitted here.
    """

    def __init__(
        self,
        store: TripletStore | Path | str,
        split: str = "train",
        augment: Augmentation | None = None,
        seed: int = 0,
        maps: Mapping[str, SpectralMap] | None = None,
    ) -> None:
        super().__init__(store, split, augment, seed)
        self.maps = scene_maps(self) if maps is None else dict(maps)

    def __getitem__(self, key: int | Draw) -> dict[str, Tensor]:
        """See :class:`TripletDataset`."""
        draw = self.draw(key)
        triplet = self.triplet(draw.index)
        spectral = self.maps[triplet.provenance["unit"]]
        return {
            **self.tensors(triplet, draw),
            "matrix": torch.from_numpy(np.asarray(spectral.matrix, np.float32)),
            "offset": torch.from_numpy(np.asarray(spectral.offset, np.float32)),
        }


def regression_image(batch: Mapping[str, Tensor], psf: PSF) -> Tensor:
    """Prediction of the regression with the upsampled residual: (B, L, H, W) reflectance.

    Args:
        batch: of :class:`PriorDataset`.
        psf: of the coarse sensor.
    """
    hrmsi, lrhsi = batch["hrmsi"], batch["lrhsi"]
    ratio = hrmsi.shape[-1] // lrhsi.shape[-1]

    def mapped(image: Tensor) -> Tensor:
        planes = torch.einsum("bkl,blyx->bkyx", batch["matrix"], image)
        return planes + batch["offset"][:, :, None, None]

    left = lrhsi - mapped(degrade_tensor(hrmsi, ratio, psf))
    rows, cols = inner_cells(psf, *left.shape[-2:])
    margin = (cols.start, cols.start, rows.start, rows.start)
    left = nn.functional.pad(left[..., rows, cols], margin, mode="replicate")
    return mapped(hrmsi) + upsample(left, ratio)


def bicubic_image(batch: Mapping[str, Tensor]) -> Tensor:
    """The coarse image by cubic convolution: (B, L, H, W) reflectance."""
    lrhsi = batch["lrhsi"]
    return upsample(lrhsi, batch["hrmsi"].shape[-1] // lrhsi.shape[-1])


VIEWS: dict[str, Callable[[Mapping[str, Tensor], PSF], Tensor]] = {
    "hrmsi": lambda batch, _: batch["hrmsi"],
    "bicubic": lambda batch, _: bicubic_image(batch),
    "prior": regression_image,
}
"""What networks can be called with; see :attr:`trifuse.fusformer.FusionConfig.inputs`."""


def shown(inputs: Sequence[str], batch: Mapping[str, Tensor], psf: PSF) -> list[Tensor]:
    """A batch as a network is called with it.

    Args:
        inputs: names of :data:`VIEWS`, in order.
        batch: of :class:`PriorDataset` if the prior is among them.
        psf: of the coarse sensor.
    """
    return [VIEWS[name](batch, psf) for name in inputs]
