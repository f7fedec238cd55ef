"""One training engine for every network here, its data sets and configurations.

This is a room; the function that trains is :func:`train_fusion`, also ``trifuse.train_fusion``::

    import trifuse as tf
    from trifuse.train import TrainConfig, load_config

    config = load_config(TrainConfig, overrides=["optim.steps=2000"])
    weights = tf.train_fusion(config, "store", "run").weights

Samples for a training loop of your own: :class:`TripletDataset`.
"""

from trifuse.core.settings import from_mapping, to_mapping
from trifuse.moved import callable_room, keep_moved_names
from trifuse.train.augment import Augmentation, Chance, Dihedral, Noise, Ratio, Sample, Transform
from trifuse.train.augment_config import AugmentConfig
from trifuse.train.batches import BatchPlan, Draw, RankBatches
from trifuse.train.config import load_config, save_config
from trifuse.train.data import TripletDataset
from trifuse.train.engine import FitResult, fit
from trifuse.train.fusion import (
    DataConfig,
    FusionTask,
    LossConfig,
    TrainConfig,
    score_table,
    train_fusion,
)
from trifuse.train.sensors import Calibration, Clouds, Displacement, NativeSharpness
from trifuse.train.settings import EngineConfig, OptimConfig, RunConfig, ValidationConfig
from trifuse.train.task import Task

__all__ = [
    "train_fusion",
    "TrainConfig",
    "DataConfig",
    "AugmentConfig",
    "LossConfig",
    "FusionTask",
    "score_table",
    "fit",
    "Task",
    "FitResult",
    "EngineConfig",
    "OptimConfig",
    "ValidationConfig",
    "RunConfig",
    "load_config",
    "save_config",
    "from_mapping",
    "to_mapping",
    "TripletDataset",
    "Augmentation",
    "Transform",
    "Chance",
    "Sample",
    "Dihedral",
    "Ratio",
    "Noise",
    "NativeSharpness",
    "Calibration",
    "Displacement",
    "Clouds",
    "BatchPlan",
    "RankBatches",
    "Draw",
]

callable_room(__name__, train_fusion)
keep_moved_names(__name__)
