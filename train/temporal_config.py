"""Everything that determines a training run of a TAMRF network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from trifuse.core.settings import require, require_least, to_mapping
from trifuse.temporal.config import Sensor, TamrfConfig
from trifuse.temporal.losses import LossConfig
from trifuse.temporal.perceptual import MaskedPerceptual, light_layers, vgg16_layers
from trifuse.train.settings import EngineConfig, OptimConfig


@dataclass(frozen=True, slots=True)
class TamrfModelConfig:
    """The network; see :class:`trifuse.temporal.config.TamrfConfig`.

    Its sensors come from the data.

    Attributes:
        skip: ``prior``: the network learns what is to be added to the interpolation of the clear
            pixels, which needs far less training; ``none``: as published.
        start: ``nearby``: the cross-attention starts as a kernel of the distance in time, which
            training would otherwise have to find; ``random``: as published.
    """

    features: int = 64
    sensor_token: int = 8
    blocks: int = 1
    growth: int = 32
    layers: int = 3
    heads: int = 4
    hidden: int = 256
    dropout: float = 0.1
    skip: Literal["none", "prior"] = "none"
    start: Literal["random", "nearby"] = "random"

    def build(self, sensors: Sequence[Sensor]) -> TamrfConfig:
        """The network for some sensors."""
        values = {k: v for k, v in to_mapping(self).items() if k != "start"}
        return TamrfConfig(tuple(sensors), **values)


@dataclass(frozen=True, slots=True)
class TamrfDataConfig:
    """What samples are cut from the scenes.

    Attributes:
        crop: edge in pixels of the coarsest sensor (55 of 30 m are 165 of 10 m).
        dates: images of a sample at most, all sensors together.
        per_scene: samples of each scene an epoch.
        flips: turn and mirror.
        blank: share of the samples in which clouds are withheld from the network; see
            :class:`trifuse.train.temporal_data.SampleConfig`.
        hide: ``published``: the six strategies of hiding; ``dates``: random dates and gaps only,
            for networks that will not have to forecast or do without a sensor; ``tasks``: gaps,
            random dates and fusion.
        statistics: mean and deviation of the bands: from the training scenes, or as published.
        val_crop: edge of the validation crops; 0: as in training.
    """

    crop: int = 55
    dates: int = 50
    per_scene: int = 36
    flips: bool = True
    blank: float = 0.5
    hide: Literal["published", "dates", "tasks"] = "published"
    statistics: Literal["scenes", "published"] = "scenes"
    val_crop: int = 0

    def __post_init__(self) -> None:
        require_least(self, 1, "crop", "per_scene", section="data")
        require_least(self, 2, "dates", section="data")
        require_least(self, 0, "val_crop", section="data")
        require(0 <= self.blank <= 1, "data.blank", f"is {self.blank:g}", "give a share, 0 to 1")


@dataclass(frozen=True, slots=True)
class TamrfLossConfig:
    """What is minimised; see :class:`trifuse.temporal.losses.LossConfig`.

    Attributes:
        hidden_weight: of the part on hidden dates.
        visible_weight: of the part on visible dates.
        border: target pixels cropped at each edge.
        contrast: weight of the contrast under clouds; 0 leaves it out.
        structure: weight of the structure term; 0 leaves it out.
        perceptual: yardstick of the structure term: ``light`` needs no weights, ``vgg16`` those
            of timm.
        ndvi_quirk: only for parity with the published training.
    """

    hidden_weight: float = 0.5
    visible_weight: float = 1.0
    border: int = 27
    contrast: float = 1.0
    structure: float = 1.0
    perceptual: Literal["light", "vgg16"] = "light"
    ndvi_quirk: bool = False

    def __post_init__(self) -> None:
        weights = ("hidden_weight", "visible_weight", "contrast", "structure")
        require_least(self, 0, *weights, "border", section="loss")

    def build(self) -> LossConfig:
        """The constants as the loss takes them."""
        values = {k: v for k, v in to_mapping(self).items() if k != "perceptual"}
        return LossConfig(**values)

    def yardstick(self) -> MaskedPerceptual | None:
        """The network of the structure term, if there is one."""
        if not self.structure:
            return None
        layers = light_layers() if self.perceptual == "light" else vgg16_layers()
        return MaskedPerceptual(layers)


@dataclass(frozen=True, slots=True)
class TamrfTrainConfig(EngineConfig):
    """Everything that determines a training run of a TAMRF network."""

    optim: OptimConfig = field(
        default_factory=lambda: OptimConfig(
            steps=20_000,
            batch=1,
            optimizer="adam",
            lr=1e-4,
            min_lr=2e-5,
            warmup=2018,
            warmup_from=1 / 3,
            cycle=40_360,
            weight_decay=0.0,
            clip=0.1,
            ema=0.0,
        )
    )
    model: TamrfModelConfig = field(default_factory=TamrfModelConfig)
    data: TamrfDataConfig = field(default_factory=TamrfDataConfig)
    loss: TamrfLossConfig = field(default_factory=TamrfLossConfig)
