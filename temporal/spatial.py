"""Convolutional stages of TAMRF: what one date shows around each pixel, and back.

Source: RRDB of Wang et al. 2018, "ESRGAN", arXiv:1809.00219, as TAMRF varies it: no normalisation,
and an activation after every convolution of a dense block, the last included.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SLOPE = 0.2
"""Of every leaky ReLU."""

RESIDUAL = 0.2
"""Scale of the residual branches; the published checkpoints store it as frozen scalars."""


class DenseBlock(nn.Module):
    """Five convolutions, each of the input and all earlier outputs; (B, C, H, W) → the same."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        outputs = (growth, growth, growth, growth, width)
        self.convs = nn.ModuleList(
            nn.Conv2d(width + i * growth, out, 3, padding=1) for i, out in enumerate(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Input + 0.2 · the fifth output."""
        seen = x
        for conv in self.convs[:-1]:
            seen = torch.cat([seen, F.leaky_relu(conv(seen), SLOPE)], dim=1)
        return x + RESIDUAL * F.leaky_relu(self.convs[-1](seen), SLOPE)


class RRDB(nn.Module):
    """Residual in residual dense block; (B, C, H, W) → the same."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.dense = nn.Sequential(*(DenseBlock(width, growth) for _ in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        """Input + 0.2 · three dense blocks."""
        out: Tensor = x + RESIDUAL * self.dense(x)
        return out


class SpatialEncoder(nn.Module):
    """Features of one date on the target grid.

    Args:
        bands: bands of the sensor.
        width: features.
        growth: of the dense blocks.
        blocks: RRDBs.
        ratio: target pixels per pixel of the sensor.
    """

    def __init__(self, bands: int, width: int, growth: int, blocks: int, ratio: int) -> None:
        super().__init__()
        self.ratio = ratio
        self.first = nn.Conv2d(bands, width, 3, padding=1)
        self.blocks = nn.Sequential(*(RRDB(width, growth) for _ in range(blocks)))
        self.last = nn.Conv2d(width, width, 3, padding=1)
        self.upsampling = nn.Conv2d(width, width, 3, padding=1) if ratio > 1 else None

    @property
    def halo(self) -> int:
        """Reach in pixels of the sensor: 2 + 15 per RRDB, and what the upsampling adds."""
        return 2 + 15 * len(self.blocks) + (3 if self.upsampling is not None else 0)

    def forward(self, x: Tensor) -> Tensor:
        """(B, bands, h, w) standardised → (B, width, h·ratio, w·ratio)."""
        a = self.first(x)
        a = a + self.last(self.blocks(a))
        if self.upsampling is None:
            features: Tensor = a
            return features
        size = (a.shape[-2] * self.ratio, a.shape[-1] * self.ratio)
        a = F.interpolate(a, size=size, mode="bicubic", align_corners=False)
        out: Tensor = F.leaky_relu(self.upsampling(a), SLOPE)
        return out


class SpatialDecoder(nn.Module):
    """Bands of one date from its tokens: two convolutions; reach 2 pixels."""

    halo = 2

    def __init__(self, width: int, bands: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.last = nn.Conv2d(width, bands, 3, padding=1)

    def forward(self, x: Tensor, channels: Tensor | None = None) -> Tensor:
        """(B, width, H, W) → (B, bands, H, W) standardised; only ``channels`` of them if given."""
        x = F.leaky_relu(self.first(x), SLOPE)
        if channels is None:
            out: Tensor = self.last(x)
            return out
        bias = None if self.last.bias is None else self.last.bias[channels]
        some: Tensor = F.conv2d(x, self.last.weight[channels], bias, padding=1)
        return some
