"""Gated depth-wise convolution: linear in pixels, finite reach, exact tiles.

Source: Liu et al. 2022, arXiv:2201.03545 (7 × 7 depth-wise mixing in place of attention); Dauphin
et al. 2017, arXiv:1612.08083 (gating by a sigmoid).
"""

from __future__ import annotations

from torch import Tensor, nn

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class DepthwiseMixer(Mixer):
    """Half of the channels is filtered, the other half says where to let it pass."""

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        width, self.reach = config.width, config.kernel // 2
        self.expand = nn.Linear(width, 2 * width)
        self.filter = nn.Conv2d(width, width, config.kernel, padding=self.reach, groups=width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        values, gate = self.expand(x).chunk(2, dim=-1)
        filtered = self.filter(values.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        out: Tensor = self.out(filtered * gate.sigmoid())
        return out
