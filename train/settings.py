"""The settings every training run has, whatever its network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trifuse.core.settings import require, require_least


@dataclass(frozen=True, slots=True)
class OptimConfig:
    """How the weights are optimised.

    Attributes:
        steps: updates of the weights in the whole run.
        batch: samples at once, over all processes together.
        accumulate: batches whose gradients make one update; memory is that of one batch, the
            update that of ``batch × accumulate`` samples, to rounding.
        optimizer: ``adamw`` (no decay on biases and norms) or ``adam``.
        lr: learning rate after the warm-up; attention mixers are unstable above 5e-4.
        min_lr: learning rate at the end of the cosine.
        warmup: updates over which the rate rises linearly; counted in ``steps``.
        warmup_from: share of lr that the rise starts from.
        cycle: updates of the first cosine after the warm-up; it then starts again at lr, each
            time twice as long. 0: one cosine to the last step.
        weight_decay: decoupled decay (adamw) or L2 term (adam).
        clip: largest norm of the whole gradient; 0: gradients are not clipped.
        ema: decay of the moving average of the weights that is validated and saved; 0: none. The
            decay rises to this value over the first updates.
        precision: arithmetic of the network; the inputs, the loss and the weights stay float32.
    """

    steps: int = 2000
    batch: int = 4
    accumulate: int = 1
    optimizer: Literal["adamw", "adam"] = "adamw"
    lr: float = 5e-4
    min_lr: float = 1e-6
    warmup: int = 100
    warmup_from: float = 0.01
    cycle: int = 0
    weight_decay: float = 1e-4
    clip: float = 1.0
    ema: float = 0.999
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"

    def __post_init__(self) -> None:
        require_least(self, 1, "steps", "batch", "accumulate", section="optim")
        require_least(self, 0, "weight_decay", "clip", "min_lr", "cycle", section="optim")
        require(self.lr > 0, "optim.lr", f"is {self.lr:g}", "give a positive number")
        require(
            self.min_lr <= self.lr,
            "optim.min_lr",
            f"is {self.min_lr:g}, above optim.lr",
            "give a smaller one",
        )
        require(
            0 <= self.warmup <= self.steps,
            "optim.warmup",
            f"is {self.warmup} of {self.steps} steps",
            "give 0 to optim.steps",
        )
        require(
            0 < self.warmup_from <= 1,
            "optim.warmup_from",
            f"is {self.warmup_from:g}",
            "give a share above 0, at most 1",
        )
        require(0 <= self.ema < 1, "optim.ema", f"is {self.ema:g}", "give 0 to below 1")


@dataclass(frozen=True, slots=True)
class ValidationConfig:
    """When the network is validated, and when training ends early.

    Attributes:
        every: updates between validations; the last update is always followed by one.
        patience: validations without improvement after which training ends; 0: never.
        min_delta: what counts as an improvement, in the units of the task's metric.
    """

    every: int = 200
    patience: int = 0
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        require_least(self, 1, "every", section="validation")
        require_least(self, 0, "patience", "min_delta", section="validation")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """How the run goes about it; may change from one start to the next.

    Attributes:
        device: ``auto`` is the GPU where there is one.
        workers: processes that load samples ahead; 0: load in the training process. Samples do
            not depend on it. A script that asks for workers needs the usual
            ``if __name__ == "__main__"``.
        log_every: updates between lines of the record.
        save_every: updates between saved states; validations save one too.
        tensorboard: also write events for TensorBoard.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: int = 0
    log_every: int = 20
    save_every: int = 200
    tensorboard: bool = False

    def __post_init__(self) -> None:
        require_least(self, 0, "workers", section="run")
        require_least(self, 1, "log_every", "save_every", section="run")


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """What the engine needs to know; the configuration of a task inherits it.

    Attributes:
        seed: of the weights, the order of the samples and the augmentation.
    """

    seed: int = 0
    optim: OptimConfig = field(default_factory=OptimConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, "seed", f"is {self.seed}", "give 0 to 4294967295")
