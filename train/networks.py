"""Every network that can be trained, by the name that cards and the command line give it.

The rooms of the networks say what is built and read (:data:`trifuse.fusformer.FUSION`,
:data:`trifuse.fusformer.REFINERS`, :data:`trifuse.temporal.networks.SERIES`): fusion and
interpolation use them without any of this. Here each gets what it is trained by, and on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trifuse.core.card import NetworkKind
from trifuse.fusformer.networks import FUSION, REFINERS
from trifuse.temporal.networks import SERIES
from trifuse.train.config import load_config
from trifuse.train.fusion import FusionTask, TrainConfig, score_table
from trifuse.train.refining import RefinerTask, RefinerTrainConfig, refiner_table
from trifuse.train.settings import EngineConfig
from trifuse.train.task import Task
from trifuse.train.temporal import TamrfTask, temporal_table
from trifuse.train.temporal_config import TamrfTrainConfig


@dataclass(frozen=True, slots=True)
class Trainable:
    """A network and how it is trained.

    Attributes:
        kind: its configuration, its builder, and what its weights are read by.
        task: what the engine trains.
        data: what the task is made of: a store of triplets, series, or images.
        settings: of a run.
        table: validation metrics as lines for a terminal.
        base: in place of the defaults of the settings.
    """

    kind: NetworkKind[Any, Any, Any]
    task: Callable[..., Task]
    data: Literal["store", "series", "images"]
    settings: type[EngineConfig]
    table: Callable[[Mapping[str, float]], str]
    base: EngineConfig | None = None

    def load_settings(self, path: Path | None = None, overrides: Sequence[str] = ()) -> Any:
        """The settings of a run; see :func:`trifuse.train.load_config`.

        Raises:
            ConfigError: if they do not fit.
        """
        return load_config(self.settings, path, overrides, base=self.base)


def _fusing(kind: NetworkKind[Any, Any, Any]) -> Trainable:
    usual = TrainConfig(model=kind.config())
    return Trainable(kind, FusionTask, "store", TrainConfig, score_table, usual)


def _refining(kind: NetworkKind[Any, Any, Any]) -> Trainable:
    return Trainable(kind, RefinerTask, "images", RefinerTrainConfig, refiner_table)


def _seeing_series(kind: NetworkKind[Any, Any, Any]) -> Trainable:
    return Trainable(kind, TamrfTask, "series", TamrfTrainConfig, temporal_table)


NETWORKS: dict[str, Trainable] = {
    made.kind.name: made
    for made in (*map(_fusing, FUSION), *map(_refining, REFINERS), *map(_seeing_series, SERIES))
}
"""Name → network."""
