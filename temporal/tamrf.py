"""TAMRF networks as a method of prediction: weights, how they want to be used, and their blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from trifuse.core import Window, sha256
from trifuse.core.weights import described
from trifuse.temporal.area import Area
from trifuse.temporal.block_images import EVERYTHING, Reading
from trifuse.temporal.blocks import encode_block, predict_block
from trifuse.temporal.config import Sensor, TamrfConfig
from trifuse.temporal.contract import BlockRun, SeriesMethod, forecast_of, pick
from trifuse.temporal.forecast import forecast_by
from trifuse.temporal.model import Tamrf
from trifuse.temporal.networks import SHIPPED, load_weights
from trifuse.temporal.published import load_published
from trifuse.temporal.stack import Days, Stack


@dataclass(frozen=True, eq=False)
class Trained(SeriesMethod):
    """A network and how it was trained to be used.

    Attributes:
        model: in eval mode.
        origin: ``first`` (image of the sensor on the target grid) or ``january`` (the first of
            that month in the year of the first image): the day that is 0.
        withhold: whether pixels that are not clear are withheld from it.
        card: what is known of it; plain JSON values, ``sha256`` among them.
    """

    model: Tamrf
    origin: Literal["first", "january"] = field()
    withhold: bool = field()
    card: Mapping[str, Any]
    name = "tamrf"
    sampling = "target"
    tells_attention = True
    fills_absent = True

    @property
    def config(self) -> TamrfConfig:
        """The network's."""
        return self.model.config

    @property
    def record(self) -> Mapping[str, Any]:
        """The card."""
        return self.card

    @property
    def identity(self) -> str:
        """The hash of its weights."""
        return str(self.card["sha256"])

    @property
    def tells_deviation(self) -> bool:
        """Networks that add to the prior do; others know nothing of their errors."""
        return self.model.config.skip == "prior"

    def move_to(self, device: Any) -> None:
        """Move the network."""
        self.model.to(device)

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """All days at once, then each sensor's; every image is in memory, and encoded anew."""
        return pick(forecast_by(self.model, blank=self.withhold), seen, asked)

    def over(self, area: Area, block: Window) -> SeriesMethod:
        """The network that reads the area again: it sees farther than the block."""
        return _OverBlock(self.model, self.origin, self.withhold, self.card, area, block)

    def prepare(self, area: Area, block: Window, reading: Reading = EVERYTHING) -> BlockRun:
        """Encode each image once."""
        options = {f.name: getattr(reading, f.name) for f in fields(reading)}
        encoded = encode_block(self.model, area, block, **options)
        return BlockRun(encoded, partial(predict_block, self.model, encoded))


@dataclass(frozen=True, eq=False)
class _OverBlock(Trained):
    area: Area
    block: Window

    def predict(self, seen: Mapping[str, Stack], asked: Days) -> dict[str, np.ndarray]:
        """Of the images that are seen the days matter; the area is read."""
        return pick(forecast_of(self, self.area, self.block), seen, asked)


def load_trained(path: Path | str) -> Trained:
    """Weights of TriFuse, or a published checkpoint (``.ckpt``), and how they want to be used.

    Raises:
        WeightsError: if the file is missing, damaged or of another network.
    """
    path = Path(path)
    if path.suffix.lower() == ".ckpt":
        model = load_published(path)
        card = {"published": path.name}
        return Trained(model.eval(), "first", False, {**card, "sha256": sha256(path)})
    model, found = load_weights(path)
    withhold = float(found.protocol.get("data", {}).get("blank", 0.0) or 0.0) > 0
    return Trained(model.eval(), "january", withhold, described(path, found))


def tamrf(sensors: Sequence[Sensor], weights: Path | str = SHIPPED) -> Trained:
    """The method ``tamrf``.

    Args:
        sensors: of the series; the network has its own, and says so where they do not fit.
        weights: as of :func:`load_trained`; default: those that come along.
    """
    return load_trained(weights)
