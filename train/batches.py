"""Which samples make up which batch: a pure function of the seed and the step.

Nothing is remembered between batches, so the position of the sampler is the number of the step,
and a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from trifuse.core import ConfigError, DataError


@dataclass(frozen=True, slots=True)
class Draw:
    """Key of one sample in one batch; datasets take it where they take a plain index.

    Attributes:
        index: number of the sample.
        epoch: how often the whole set has been drawn before; seeds what varies per sample.
        batch: number of the batch; seeds what all samples of a batch share.
    """

    index: int
    epoch: int
    batch: int


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """An endless sequence of batches, each epoch a new permutation.

    Batches run on over the end of an epoch, so every sample is drawn equally often and a set
    smaller than one batch serves too.

    Attributes:
        size: samples in the set.
        batch: samples per update, over all processes together.
        seed: of the permutations.

    >>> [draw.epoch for draw in BatchPlan(size=3, batch=2, seed=0)[1]]
    [0, 1]
    """

    size: int
    batch: int
    seed: int

    def __post_init__(self) -> None:
        if self.size < 1:
            raise DataError("the training set is empty", fix="give a store with training samples")

    def __getitem__(self, step: int) -> list[Draw]:
        """The draws of batch ``step``, counted from 0."""
        places = range(step * self.batch, (step + 1) * self.batch)
        return [
            Draw(
                int(_permutation(self.seed, p // self.size, self.size)[p % self.size]),
                p // self.size,
                step,
            )
            for p in places
        ]


@dataclass(frozen=True, slots=True)
class RankBatches:
    """One process's share of the updates ``start … stop``: a ``batch_sampler`` for a DataLoader.

    Attributes:
        plan: of the updates.
        start: the first.
        stop: the one after the last.
        rank: number of the process.
        world: how many there are.
        parts: batches of equal size that each update comes in.

    Raises:
        ConfigError: if a batch cannot be shared out equally.
    """

    plan: BatchPlan
    start: int
    stop: int
    rank: int = 0
    world: int = 1
    parts: int = 1

    def __post_init__(self) -> None:
        if self.plan.batch % (self.world * self.parts):
            raise ConfigError(
                f"a batch of {self.plan.batch // self.parts} for {self.world} processes",
                where="optim.batch",
                fix=f"give a multiple of {self.world}",
            )

    def __len__(self) -> int:
        return max(0, self.stop - self.start) * self.parts

    def __iter__(self) -> Iterator[list[Draw]]:
        share = self.plan.batch // (self.world * self.parts)
        for step in range(self.start, self.stop):
            draws = self.plan[step]
            for part in range(self.parts):
                first = (part * self.world + self.rank) * share
                yield draws[first : first + share]


@lru_cache(maxsize=4)
def _permutation(seed: int, epoch: int, size: int) -> np.ndarray:
    return np.random.default_rng([seed, 0, epoch]).permutation(size)
