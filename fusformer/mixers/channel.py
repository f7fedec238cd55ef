"""Attention between channels, with a depth-wise convolution beside it.

Linear in pixels. The C × C statistics are taken over the whole tile, so the result depends on the
tile's extent and tiles are blended. The convolution gives back the locality that an attention of
low rank lacks.

Source: El-Nouby et al. 2021, arXiv:2106.09681 (cross-covariance attention); Zamir et al. 2022,
arXiv:2111.09881 (with depth-wise convolution, for restoration).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class ChannelMixer(Mixer):
    """Softmax over channels of l2-normalised queries and keys, a temperature per head."""

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        width = config.width
        self.heads = config.heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.temperature = nn.Parameter(torch.ones(config.heads, 1, 1))
        self.local = nn.Conv2d(
            width, width, config.kernel, padding=config.kernel // 2, groups=width
        )
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        b, h, w, c = x.shape
        qkv = self.qkv(x).reshape(b, h * w, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 4, 1)  # each (B, heads, C / heads, HW)
        scores = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        mixed = (scores * self.temperature).softmax(dim=-1) @ v
        image = v.reshape(b, c, h, w)
        y = mixed.reshape(b, c, h, w) + self.local(image)
        out: Tensor = self.out(y.permute(0, 2, 3, 1))
        return out
