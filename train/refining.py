"""Training of the network that refines restored Sentinel-2 bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trifuse.core import CubeSource, writes
from trifuse.core.settings import require, require_least, to_mapping
from trifuse.core.weights import save_weights
from trifuse.fusformer.refiner import BANDS, Refiner, RefinerCard, RefinerConfig
from trifuse.products.plausible import require_plausible
from trifuse.train.engine import FitResult, fit
from trifuse.train.examples import Example
from trifuse.train.refining_data import (
    INPUTS,
    VALIDATION,
    PoolConfig,
    RefiningDataset,
    RefiningPool,
    make_pool,
    to_s3,
)
from trifuse.train.settings import EngineConfig
from trifuse.train.task import Predict

SCENES, HELD_BACK = "scenes", "validation"
"""Folders of a run that hold the pools."""

LEAST = 1e-10
"""Added to mean squares: errors of 1e-5 reflectance are as good as none."""


@dataclass(frozen=True, slots=True)
class RefinerTrainConfig(EngineConfig):
    """Everything that determines a training run.

    Attributes:
        model: the network.
        pool: the scenes.
        crop: edge of the training crops in pixels, even.
        mapped: weight of the error as Sentinel-3 sees it, beside that of the bands.
        val_scenes: procedural scenes to validate on.
    """

    model: RefinerConfig = field(default_factory=RefinerConfig)
    pool: PoolConfig = field(default_factory=PoolConfig)
    crop: int = 48
    mapped: float = 2.0
    val_scenes: int = 10

    def __post_init__(self) -> None:
        EngineConfig.__post_init__(self)
        even = self.crop >= 16 and self.crop % 2 == 0
        require(even, "crop", f"is {self.crop}", "give an even number from 16")
        require(
            self.crop <= self.pool.size,
            "crop",
            f"is {self.crop}, and the scenes are of {self.pool.size} pixels",
            "make it smaller, or pool.size larger",
        )
        require_least(self, 0, "mapped")
        require_least(self, 1, "val_scenes")


@writes("real", out="run", folder=True)
def train_refiner(
    config: RefinerTrainConfig,
    run: Path | str,
    real: Sequence[CubeSource] = (),
    *,
    jobs: int = 1,
    resume: bool = True,
    overwrite: bool = False,
) -> FitResult:
    """Make the scenes, and train a refiner on them; or go on with a run that was stopped.

    Args:
        config: see :class:`RefinerTrainConfig`.
        run: folder of the run; see :func:`trifuse.train.fit` for what it will hold, beside the
            folders of the scenes.
        real: real images to cut scenes from, their bands equally sharp.
        jobs: processes that make scenes.
        resume: go on with the run that the folder holds.
        overwrite: start anew and remove the run and the scenes that are there.

    Raises:
        StoreError: if the folder holds other scenes.
        DataError: if the values of a real image cannot be reflectance.
        TrifuseError: as :func:`trifuse.train.fit`.
    """
    for image in real:
        require_plausible(image)
    run = Path(run)
    held_back = PoolConfig(
        config.val_scenes, 0, 0, 0, 0, config.pool.size, VALIDATION.seed, 1.0, vary=False
    )
    pools = [
        make_pool(run / name, what, images, jobs=jobs, overwrite=overwrite)
        for name, what, images in ((SCENES, config.pool, real), (HELD_BACK, held_back, ()))
    ]
    return fit(RefinerTask(config, *pools), config, run, resume=resume, overwrite=overwrite)


class RefinerTask:
    """The refiner as a task of the engine.

    What is minimised is the mean square error of each band over that of the restoration in the
    same scene, so bands and scenes count alike, whatever their size; and likewise of each band of
    Sentinel-3.

    Args:
        config: see :class:`RefinerTrainConfig`.
        pool: scenes to train on.
        held_back: scenes to validate on.
    """

    monitor = "gain"
    higher_is_better = True

    def __init__(
        self, config: RefinerTrainConfig, pool: RefiningPool, held_back: RefiningPool
    ) -> None:
        self.config, self.pool, self.held_back = config, pool, held_back
        self._to_s3 = torch.from_numpy(to_s3())

    def build_model(self) -> Refiner:
        """A fresh network."""
        return Refiner(self.config.model)

    def dataset(self) -> RefiningDataset:
        """Crops of the pool."""
        return RefiningDataset(self.pool, self.config.crop, self.config.seed)

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Relative mean square errors: ``bands`` and ``mapped``, 1 before training."""
        refined = model(*(batch[k] for k in INPUTS))
        return relative_losses(refined, batch, self._to_s3, self.config.mapped)

    def validate(self, predict: Predict, device: torch.device) -> dict[str, float]:
        """Gains over the restoration in dB: ``gain`` as Sentinel-3 sees it, and by band."""
        gains: list[Tensor] = []
        for index in range(len(self.held_back)):
            sample = self.held_back.tensors(index, self.held_back.planes(index))
            batch = {k: v[None].to(device) for k, v in sample.items()}
            estimates = batch["restored"], predict(*(batch[k] for k in INPUTS))
            before, after = (
                torch.cat(squares(e - batch["sharp"], self._to_s3), dim=1) for e in estimates
            )
            gains.append(10 * torch.log10((before[0] + LEAST) / (after[0] + LEAST)))
        mean = torch.stack(gains).mean(dim=0).tolist()
        by_band = {f"gain_{n}": mean[i] for i, n in enumerate(BANDS)}
        mapped = mean[len(BANDS) :]
        return {"gain": sum(mapped) / len(mapped), **by_band}

    def examples(self, predict: Predict, device: torch.device) -> list[Example]:
        """Pictures of a few scenes that were held back."""
        from trifuse.train.example_images import refiner_examples

        return refiner_examples(self, predict, device)

    def fingerprint(self) -> dict[str, Any]:
        """The scenes' content."""
        return {"scenes": self.pool.hash, "validation": self.held_back.hash}

    def write(self, path: Path, model: nn.Module, metrics: Mapping[str, float], step: int) -> None:
        """Write the weights and their card, replacing what is there."""
        assert isinstance(model, Refiner)
        values = to_mapping(self.config)
        card = RefinerCard(
            config=model.config,
            protocol={
                "scenes": dict(self.pool.config),
                "scenes_hash": self.pool.hash,
                **{k: values[k] for k in ("seed", "crop", "mapped", "optim")},
                "step": step,
            },
            metrics={"validation": {k: round(v, 4) for k, v in metrics.items()}},
        )
        save_weights(path, model, card, overwrite=True)


def relative_losses(
    refined: Tensor, batch: Mapping[str, Tensor], to_s3: Tensor, weight: float
) -> dict[str, Tensor]:
    """Mean square errors over those of the restoration in the same scene.

    Args:
        refined: (B, 12, H, W) what the network returns.
        batch: samples as :meth:`RefiningPool.tensors` gives them.
        to_s3: (L, 12) how bands become Sentinel-3's.
        weight: of the error as Sentinel-3 sees it.

    Returns:
        ``bands`` and ``mapped``, 1 for the restoration, and ``loss``.
    """
    square, mapped = squares(refined - batch["sharp"], to_s3)
    present = batch["present"]
    share = (square / (batch["square"] + LEAST) * present).sum(dim=1) / present.sum(dim=1)
    losses = {"bands": share.mean(), "mapped": (mapped / (batch["mapped"] + LEAST)).mean()}
    return {**losses, "loss": losses["bands"] + weight * losses["mapped"]}


def squares(error: Tensor, to_s3: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squares of an error (B, 12, H, W): (B, 12), and (B, L) as Sentinel-3 sees it."""
    mapped = torch.einsum("kb,nbyx->nkyx", to_s3.to(error.device), error)
    return error.square().mean(dim=(2, 3)), mapped.square().mean(dim=(2, 3))


def refiner_table(metrics: Mapping[str, float]) -> str:
    """Gains over the restoration as lines for a terminal."""
    lines = [f"gain over the restoration, as Sentinel-3 sees it: {metrics['gain']:+.2f} dB"]
    lines += [" ".join(f"{n} {metrics[f'gain_{n}']:+.2f}" for n in BANDS)]
    return "\n".join(lines)
