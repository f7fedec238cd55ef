"""What a fusion network is made of: one frozen value, saved with its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

from trifuse.core import ConfigError
from trifuse.fusformer.base import FusionConfig

Skip = Literal["bicubic", "prior"]


@dataclass(frozen=True, slots=True)
class FusformerConfig(FusionConfig):
    """The shell of Fusformer with a token mixer of choice.

    The defaults are cheap, exact in tiles, and start from the per-scene regression;
    :meth:`original` is the network of the paper.

    Attributes:
        hr_bands: bands of the sharp image (HrMSI), l.
        lr_bands: bands of the coarse image (LrHSI) and of the result, L.
        width: channels of a token.
        heads: attention heads; must divide ``width`` (mixers ``global``, ``channel``, ``window``;
            of ``spectral`` the tokens of a pixel).
        encoder: encoder layers, each one mixer and one feed-forward.
        decoder: decoder layers, each two mixers and one feed-forward.
        mixer: ``conv``, ``dwconv``, ``spectral``, ``window``, ``none`` (finite reach: exact
            tiles), ``global``, ``channel`` (statistics of the whole tile: blended tiles).
        mlp_ratio: hidden width of the feed-forward over ``width``.
        kernel: edge of the depth-wise kernels in pixels, odd.
        window: edge of the attention windows in pixels, even.
        skip: the image that the network adds to: ``bicubic`` is the upsampled LrHSI, input and
            output clamped to 0–1 as in the paper; ``prior`` is any prediction handed in, not
            clamped, and the head starts at zero, so the untrained network returns the prior.
        input_offset: reflectance that becomes 0 in the tokens.
        input_scale: reflectance that becomes 1 above the offset.
        output_scale: factor on the high-pass that the head returns. With tokens and high-pass of
            order one, training is several times faster than in plain reflectance.

    Raises:
        ConfigError: if a value is out of range.

    Source: Hu et al. 2022, doi:10.1109/LGRS.2022.3194257.
    """

    KIND: ClassVar[str] = "fusformer"

    hr_bands: int = 12
    lr_bands: int = 19
    width: int = 48
    heads: int = 3
    encoder: int = 2
    decoder: int = 2
    mixer: str = "dwconv"
    mlp_ratio: float = 1.0
    kernel: int = 7
    window: int = 10
    skip: Skip = "prior"
    input_offset: float = 0.0
    input_scale: float = 0.2
    output_scale: float = 0.1

    def __post_init__(self) -> None:
        limits: dict[str, tuple[float, float]] = {
            "hr_bands": (1, 1024),
            "lr_bands": (1, 1024),
            "width": (1, 2048),
            "heads": (1, 64),
            "encoder": (0, 32),
            "decoder": (0, 32),
            "mlp_ratio": (0.1, 16),
            "kernel": (1, 31),
            "window": (2, 64),
            "input_offset": (-1e3, 1e3),
            "input_scale": (1e-6, 1e6),
            "output_scale": (1e-6, 1e6),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not (math.isfinite(value) and low <= value <= high):
                raise ConfigError(f"{name} is {value}", fix=f"give {low:g} to {high:g}")
        if self.kernel % 2 == 0 or self.window % 2:
            raise ConfigError(
                f"kernel {self.kernel} and window {self.window}",
                fix="give an odd kernel and an even window",
            )
        if self.width % self.heads:
            raise ConfigError(f"{self.heads} heads do not divide a width of {self.width}")
        if self.skip not in ("bicubic", "prior"):
            raise ConfigError(f"skip {self.skip!r}", fix="give 'bicubic' or 'prior'")

    @property
    def inputs(self) -> tuple[str, ...]:
        """The sharp image, and what the network adds to."""
        return ("hrmsi", self.skip)

    def normalised(self, mean: float, spread: float, size: float) -> Self:
        """See :meth:`FusionConfig.normalised`."""
        return replace(self, input_offset=mean, input_scale=spread, output_scale=size)

    @classmethod
    def original(cls, hr_bands: int, lr_bands: int, *, width: int = 48) -> PaperConfig:
        """The network of the paper's release: global attention on plain reflectance."""
        return PaperConfig(hr_bands, lr_bands, width=width)


@dataclass(frozen=True, slots=True)
class PaperConfig(FusformerConfig):
    """The network as the paper describes it; its sizes are free, its design is not.

    Raises:
        ConfigError: if the mixer, the skip or the scales are others.
    """

    KIND: ClassVar[str] = "fusformer-paper"

    mixer: str = "global"
    skip: Skip = "bicubic"
    input_scale: float = 1.0
    output_scale: float = 1.0

    def __post_init__(self) -> None:
        FusformerConfig.__post_init__(self)
        design = (self.mixer, self.skip, self.input_offset, self.input_scale, self.output_scale)
        if design != ("global", "bicubic", 0.0, 1.0, 1.0):
            raise ConfigError(
                "the paper's network has global attention, the bicubic skip and plain reflectance",
                fix=f"take {FusformerConfig.KIND} to change them",
            )

    def normalised(self, mean: float, spread: float, size: float) -> Self:
        """It sees plain reflectance, as published."""
        return self
