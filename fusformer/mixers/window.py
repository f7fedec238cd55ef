"""Softmax attention inside windows that shift by half their edge from mixer to mixer.

Linear in pixels. Windows are counted from the image's corner and not cyclic: what reaches beyond
the border is masked. So the reach is finite, and tiles that start at multiples of the window give
the pixels of the whole image.

Source: Liu et al. 2021, arXiv:2103.14030.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class WindowMixer(Mixer):
    """Multi-head self-attention of the pixels of one window."""

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        self.heads, self.window = config.heads, config.window
        self.shift = self.window // 2 if index % 2 else 0
        # The first mixer sees its window; each further one, shifted by a half, adds a half.
        self.reach = self.window // 2 if index else self.window - 1
        self.alignment = self.window
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        b, h, w, c = x.shape
        n, s, dim = self.window, self.shift, c // self.heads
        pad = (s, -(w + s) % n, s, -(h + s) % n)  # left, right, top, bottom
        inside = F.pad(torch.ones(h, w, dtype=torch.bool, device=x.device), pad)
        rows, cols = inside.shape[0] // n, inside.shape[1] // n
        mask = inside.reshape(rows, n, cols, n).transpose(1, 2).reshape(1, rows * cols, 1, 1, n * n)

        qkv = F.pad(self.qkv(x), (0, 0, *pad))
        qkv = qkv.reshape(b, rows, n, cols, n, 3, self.heads, dim)
        qkv = qkv.permute(5, 0, 1, 3, 6, 2, 4, 7)  # (3, B, rows, cols, heads, n, n, dim)
        q, k, v = qkv.reshape(3, b, rows * cols, self.heads, n * n, dim)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        y = y.reshape(b, rows, cols, self.heads, n, n, dim).permute(0, 1, 4, 2, 5, 3, 6)
        y = y.reshape(b, rows * n, cols * n, c)[:, s : s + h, s : s + w]
        out: Tensor = self.out(y)
        return out
