"""One training engine for every network here."""

from trifuse.train.batches import BatchPlan, Draw, RankBatches
from trifuse.train.config import from_mapping, load_config, save_config, to_mapping
from trifuse.train.engine import FitResult, fit
from trifuse.train.settings import EngineConfig, OptimConfig, RunConfig, ValidationConfig
from trifuse.train.task import Task

__all__ = [
    "fit", "Task", "FitResult",
    "EngineConfig", "OptimConfig", "ValidationConfig", "RunConfig",
    "load_config", "save_config", "from_mapping", "to_mapping",
    "BatchPlan", "RankBatches", "Draw",
]  # fmt: skip
