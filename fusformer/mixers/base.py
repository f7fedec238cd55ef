"""What the shell asks of a token mixer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from trifuse.fusformer.config import FusformerConfig


class Mixer(nn.Module, ABC):
    """Base of the token mixers.

    Attributes:
        reach: pixels that one output pixel sees beyond itself, per side, after the mixers before
            it; None if it sees the whole image.
        alignment: tiles must start at multiples of this many pixels for equal results.

    Args:
        config: the network's configuration.
        index: number of this mixer in the network, from 0.
    """

    reach: int | None = None
    alignment: int = 1

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
