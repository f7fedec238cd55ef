"""Attention between groups of channels within each pixel, with a depth-wise convolution before it.

The groups are the tokens, as wavelengths are to a spectrometer; what is attended to is decided in
each pixel, so the reach is that of the convolution: finite, exact tiles, linear in pixels.

Source: Cai et al. 2022, arXiv:2111.07910 (spectra as tokens; there over the whole image).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer


class SpectralMixer(Mixer):
    """Softmax attention of ``heads`` tokens of ``width / heads`` channels, pixel by pixel."""

    def __init__(self, config: FusformerConfig, index: int) -> None:
        super().__init__(config, index)
        width, self.reach = config.width, config.kernel // 2
        self.tokens = config.heads
        self.local = nn.Conv2d(width, width, config.kernel, padding=self.reach, groups=width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """See :class:`Mixer`."""
        seen = self.local(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        shape = *seen.shape[:3], 3, self.tokens, seen.shape[3] // self.tokens
        q, k, v = self.qkv(seen).reshape(shape).unbind(dim=3)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = self.out(mixed.reshape(seen.shape))
        return out
