"""Fusformer: sharp bands and upsampled coarse bands in, sharp coarse bands out.

    tokens   = Linear([skip, HrMSI])             one token per pixel
    encoder  = 2 × (mixer, feed-forward)         pre-norm residual branches
    decoder  = 2 × (mixer, mixer, feed-forward)
    highpass = Conv3×3, LeakyReLU, Conv3×3
    result   = skip + highpass

The decoder sees only the encoder's output, as in the paper. There is no positional embedding: the
paper's release defines one and never adds it.

Source: Hu, Huang, Deng, Dou, Hong, Vivone 2022, "Fusformer: A Transformer-Based Fusion Network for
Hyperspectral Image Super-Resolution", doi:10.1109/LGRS.2022.3194257.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from trifuse.core import DataError
from trifuse.core.card import NetworkKind
from trifuse.fusformer.base import FusionNetwork
from trifuse.fusformer.card import FusionCard
from trifuse.fusformer.config import FusformerConfig, PaperConfig
from trifuse.fusformer.mixers import Mixer, make_mixer


class Branch(nn.Module):
    """Pre-norm residual branch: x + fn(LayerNorm(x)) on tokens (B, H, W, C)."""

    def __init__(self, width: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = fn

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        out: Tensor = x + self.fn(self.norm(x))
        return out


class FeedForward(nn.Module):
    """Two linear maps with a LeakyReLU between, at each pixel.

    Its parameters have the names and the initial values of ``timm.layers.Mlp``, whose import
    takes longer than the fusion of a small scene.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.act = nn.LeakyReLU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        out: Tensor = self.fc2(self.act(self.fc1(x)))
        return out


class Fusformer(FusionNetwork):
    """The network; see the module, :class:`FusionNetwork` and :class:`FusformerConfig`."""

    config: FusformerConfig

    def __init__(self, config: FusformerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        mixers: list[Mixer] = []

        def layer(count: int) -> list[nn.Module]:
            made = [make_mixer(config, len(mixers) + i) for i in range(count)]
            mixers.extend(m for m in made if m is not None)
            feed_forward = FeedForward(width, round(width * config.mlp_ratio))
            return [Branch(width, m) for m in [*made, feed_forward] if m is not None]

        self.embedding = nn.Linear(config.lr_bands + config.hr_bands, width)
        self.encoder = nn.Sequential(*(b for _ in range(config.encoder) for b in layer(1)))
        self.decoder = nn.Sequential(*(b for _ in range(config.decoder) for b in layer(2)))
        last = nn.Conv2d(width, config.lr_bands, 3, padding=1)
        if config.skip == "prior":
            for parameter in last.parameters():
                nn.init.zeros_(parameter)
        self.head = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(), last)

        reaches = [m.reach for m in mixers]
        known = [r for r in reaches if r is not None]
        self.halo = sum(known) + 2 if len(known) == len(reaches) else None
        self.alignment = math.lcm(*(m.alignment for m in mixers))

    def highpass(self, hrmsi: Tensor, skip: Tensor) -> Tensor:
        """What the network adds to the skip: (B, L, H, W) reflectance."""
        image = torch.cat([skip, hrmsi], dim=1)  # (U, Z), the paper's order
        tokens = (image.permute(0, 2, 3, 1) - self.config.input_offset) / self.config.input_scale
        tokens = self.decoder(self.encoder(self.embedding(tokens)))
        high: Tensor = self.head(tokens.permute(0, 3, 1, 2))
        return high * self.config.output_scale

    def forward(self, hrmsi: Tensor, skip: Tensor) -> Tensor:
        """Fuse.

        Args:
            hrmsi: (B, l, H, W) sharp reflectance 0–1, finite.
            skip: (B, L, H, W) upsampled coarse reflectance, or a prior, finite.

        Returns:
            (B, L, H, W) reflectance; in 0–1 with the ``bicubic`` skip.

        Raises:
            DataError: if the shapes do not fit the configuration.
        """
        expected = (self.config.hr_bands, self.config.lr_bands)
        if (hrmsi.shape[1], skip.shape[1]) != expected or hrmsi.shape[2:] != skip.shape[2:]:
            raise DataError(
                f"HrMSI {tuple(hrmsi.shape)} and skip {tuple(skip.shape)} do not fit a network of "
                f"{expected[0]} and {expected[1]} bands",
                fix="give (B, bands, H, W) of one size",
            )
        if self.config.skip == "prior":
            return skip + self.highpass(hrmsi, skip)
        skip = skip.clamp(0, 1)
        return (skip + self.highpass(hrmsi, skip)).clamp(0, 1)


def build_model(config: FusformerConfig) -> Fusformer:
    """A network with fresh parameters, drawn from torch's global generator.

    Raises:
        ConfigError: if the mixer is unknown.
    """
    return Fusformer(config)


FUSFORMER = NetworkKind("a Fusformer", FusformerConfig, Fusformer, FusionCard)

FUSFORMER_PAPER = NetworkKind("a Fusformer", PaperConfig, Fusformer, FusionCard)
