"""Two dense 3 × 3 convolutions: few operations per weight on processors, finite reach, exact tiles.

Dense kernels reach several times the arithmetic of depth-wise ones on a CPU, so for equal time
this is the largest network.

Source: Lim et al. 2017, arXiv:1707.02921 (residual block without normalisation).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class ConvMixer(Mixer):
    """Convolution, rectifier, convolution."""

    reach = 2

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        self.first = nn.Conv2d(config.width, config.width, 3, padding=1)
        self.second = nn.Conv2d(config.width, config.width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        # Channels last in memory: no copy in either direction.
        image = F.relu(self.first(x.permute(0, 3, 1, 2)))
        out: Tensor = self.second(image).permute(0, 2, 3, 1)
        return out
