"""The learning rate over the updates of a run."""

from __future__ import annotations

from typing import Any

from torch.optim import Optimizer

from trifuse.train.settings import OptimConfig


def make_schedule(optimizer: Optimizer, optim: OptimConfig) -> Any:
    """A linear rise, then a cosine to ``min_lr``: one to the end, or cycles that double.

    The schedule published with TAMRF is ``lr=1e-4, min_lr=2e-5, warmup=2018, warmup_from=1/3,
    cycle=40360`` (Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159).

    Args:
        optimizer: its rate is set to that of the first update.
        optim: the rates and lengths.

    Returns:
        A scheduler of timm; ``step_update(n)`` sets the rate of update n, counted from 0.
    """
    from timm.scheduler import CosineLRScheduler

    return CosineLRScheduler(
        optimizer,
        # One update is no cosine, of which timm warns; its first value is the same in two.
        t_initial=optim.cycle or max(2, optim.steps - optim.warmup),
        lr_min=optim.min_lr,
        cycle_mul=2.0 if optim.cycle else 1.0,
        cycle_limit=_ENDLESS if optim.cycle else 1,
        warmup_t=optim.warmup,
        warmup_lr_init=optim.lr * optim.warmup_from,
        warmup_prefix=True,
        t_in_epochs=False,
    )


_ENDLESS = 1 << 20
"""Cycles: more than any run has updates for."""
