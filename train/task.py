"""What the engine asks of whatever is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

Predict = Callable[..., Any]
"""A model in evaluation mode, in the arithmetic of the run; results are float32."""


class Task(Protocol):
    """What is trained.

    A task may also have ``examples(predict, device)``, as of :meth:`validate`: what
    :func:`trifuse.train.examples.save_examples` keeps for the report of the run.

    Attributes:
        monitor: name of the validation metric that decides which weights are best.
        higher_is_better: whether that metric grows with quality.
    """

    monitor: str
    higher_is_better: bool

    def build_model(self) -> nn.Module:
        """A fresh model; random parameters come from torch's generator, seeded by the engine."""

    def dataset(self) -> Dataset[Any]:
        """Training samples: has a length, and takes a ``Draw`` as key."""

    def loss(self, model: nn.Module, batch: Any) -> Mapping[str, Tensor]:
        """Scalars of a batch on the model's device; ``"loss"`` is minimised, the rest recorded.

        Each should be a mean over the samples of the batch, so that a batch shared out to several
        processes has the gradient of the whole.
        """

    def validate(self, predict: Predict, device: torch.device) -> Mapping[str, float]:
        """Metrics; empty if there is nothing to validate on.

        Args:
            predict: the model in evaluation mode, called as it is in :meth:`loss`.
            device: where it lives.
        """

    def fingerprint(self) -> Mapping[str, Any]:
        """Plain values that identify the data; a run is only resumed on the same."""

    def write(self, path: Path, model: nn.Module, metrics: Mapping[str, float], step: int) -> None:
        """Write the weights with what a user must know of them, replacing what is there."""
