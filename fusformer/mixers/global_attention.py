"""Softmax attention over all pixels, the mixer of the original Fusformer.

Cost grows with the square of the pixels; the scores are never stored, so memory does not. Without
positional embedding the result depends on which pixels share the tile, not on where they lie:
tiles never agree exactly and are blended.

Source: Hu et al. 2022, doi:10.1109/LGRS.2022.3194257; Vaswani et al. 2017, arXiv:1706.03762.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class GlobalMixer(Mixer):
    """Multi-head self-attention of every pixel with every pixel."""

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        self.heads = config.heads
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, heads, HW, C / heads)
        y: Tensor = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(y.transpose(1, 2).reshape(b, h, w, c))
        return out
