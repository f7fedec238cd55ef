"""Whether the weights that an update has left are still those of a network.

The loss of an update is that of the weights before it: what the last one does, no loss of the run
tells.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from torch import nn

from trifuse.train.task import Task

BLOWN = 1e3
"""Weights whose loss is so many times that of the first update are no network."""


def newest_loss(task: Task, models: Collection[nn.Module], batch: Any) -> float:
    """The largest loss of models on a batch, as they will be used; infinite if it is not finite.

    Nothing is left of it in models or generators: a run is the same with it and without.

    Args:
        task: whose loss.
        models: that are in training, or averages of them.
        batch: on their device.
    """
    worst = 0.0
    gpus = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    for model in models:
        training = model.training
        model.eval()
        with torch.no_grad(), torch.random.fork_rng(gpus):
            value = float(task.loss(model, batch)["loss"])
        model.train(training)
        worst = max(worst, value if math.isfinite(value) else math.inf)
    return worst


def is_blown(loss: float, first: float) -> bool:
    """Whether a loss is infinite, or out of all proportion to the first (0: unknown)."""
    return not math.isfinite(loss) or (first > 0 and loss > BLOWN * first)
