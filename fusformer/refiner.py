"""A small network that refines Sentinel-2 bands after their restoration.

The closed-form restoration knows of a scene how strongly its bands go together everywhere; this
network has learnt how they go together here. It sees the detail of the restored bands, z less
its Gaussian mean G z, and what restoration changed, x − z, and returns z plus a correction, all in
units of the restoration's own standard deviation s. So a band that was not restored (deviation 0)
is returned as it is, and an untrained network returns z.

    tokens = Conv3×3(unshuffle([asinh((z − G z) / 2 s), asinh((x − z) / s)]))
             + Linear([log s, present])
    tokens = tokens + mixer(tokens)                     blocks times
    result = z + s · shuffle(Conv3×3(tokens))

It never sees how bright a place is: from reflectance a network learns the spectra of the materials
it was trained on, which does not hold on others (``bench/NOTES.md``).

Its target is the sharp Sentinel-2 image in the observed radiometry, so multispectral images alone
can train it, and neither Sentinel-3 bands nor their map matter to it.

Sources: Zhang et al. 2018, doi:10.1109/TIP.2018.2839891 (several pixels in a token, and the noise
level as an input); Lim et al. 2017, arXiv:1707.02921 (residual blocks without normalisation).
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.core import ConfigError, DataError, WeightsError
from trifuse.core.card import Card, NetworkConfig, NetworkKind
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers import Mixer, make_mixer
from trifuse.srf_data import S2_L2A

BANDS: tuple[str, ...] = tuple(S2_L2A)
"""The network's planes, in order; an image may lack some of them."""

DETAIL, DETAIL_REACH = 4.0, 12
"""Standard deviation and reach in pixels of the Gaussian mean that detail is without."""

DEVIATION = 0.003
"""Usual standard deviation of a restored band, reflectance."""

FLOOR = 1e-5
"""Deviations below are as good as none."""

LIMITS = (
    "For Sentinel-2 surface reflectance 0–1 that was restored by the method named in the card.",
    "Trained on synthetic errors: white noise, Gaussian blur by band, gain and offset.",
)
"""What is true of every refiner trained here."""


@dataclass(frozen=True, slots=True)
class RefinerConfig(NetworkConfig):
    """What the network is made of.

    Attributes:
        width: channels of a token.
        blocks: residual blocks, one mixer each.
        mixer: see :data:`trifuse.fusformer.MIXERS`.
        norm: whether tokens are normalised (layer norm) before a mixer.
        shuffle: edge in pixels of what one token stands for.
        kernel: edge in tokens of depth-wise kernels, odd.
        heads: attention heads; must divide ``width``.
        window: edge in tokens of attention windows, even.

    Raises:
        ConfigError: if a value is out of range.
    """

    KIND: ClassVar[str] = "refiner"

    width: int = 40
    blocks: int = 6
    mixer: str = "dwconv"
    norm: bool = True
    shuffle: int = 1
    kernel: int = 7
    heads: int = 4
    window: int = 8

    def __post_init__(self) -> None:
        for name, high in (("width", 1024), ("blocks", 64), ("shuffle", 8)):
            value = getattr(self, name)
            if not 1 <= value <= high:
                raise ConfigError(f"{name} is {value}", fix=f"give 1 to {high}")
        self.shell()

    def shell(self) -> FusformerConfig:
        """The configuration that mixers read."""
        return FusformerConfig(
            width=self.width,
            heads=self.heads,
            kernel=self.kernel,
            window=self.window,
            mixer=self.mixer,
        )


@dataclass(frozen=True, slots=True)
class RefinerCard(Card[RefinerConfig]):
    """Description of a trained refiner.

    Attributes:
        bands: the network's planes.
        restoration: what was done to the bands before: ``local`` or ``stationary``.
        limits: sentences on what it must not be used for.

    Raises:
        WeightsError: if the bands are others.
    """

    FORMAT: ClassVar[int] = 2

    _: KW_ONLY
    bands: tuple[str, ...] = BANDS
    restoration: str = "local"
    limits: tuple[str, ...] = LIMITS

    def __post_init__(self) -> None:
        if self.bands != BANDS:
            raise WeightsError(f"was trained on bands {', '.join(self.bands)}")


class Block(nn.Module):
    """x + mixer(norm(x)) on tokens (B, H, W, C)."""

    def __init__(self, width: int, mixer: Mixer, norm: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width) if norm else nn.Identity()
        self.mixer = mixer

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) → (B, H, W, C)."""
        out: Tensor = x + self.mixer(self.norm(x))
        return out


class Refiner(nn.Module):
    """The network; see the module and :class:`RefinerConfig`.

    Attributes:
        config: what it was built from.
        halo: pixels that one output pixel sees beyond itself, per side; None if it sees the whole
            image.
        alignment: windows must start at multiples of this many pixels to give the pixels of the
            whole image.

    Raises:
        ConfigError: if the mixer is unknown.
    """

    def __init__(self, config: RefinerConfig) -> None:
        super().__init__()
        self.config = config
        count, cell = len(BANDS), config.shuffle**2
        shell = config.shell()
        made = [make_mixer(shell, i) for i in range(config.blocks)]
        mixers = [m for m in made if m is not None]
        self.stem = nn.Conv2d(2 * count * cell, config.width, 3, padding=1)
        self.level = nn.Linear(2 * count, config.width)
        self.body = nn.Sequential(*(Block(config.width, m, config.norm) for m in mixers))
        self.head = nn.Conv2d(config.width, count * cell, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        known = [m.reach for m in mixers if m.reach is not None]
        tokens = sum(known) + 2
        self.halo: int | None = None
        if len(known) == len(mixers):
            self.halo = config.shuffle * (tokens + 1) - 1 + DETAIL_REACH
        self.alignment = config.shuffle * math.lcm(*(m.alignment for m in mixers))

    def forward(self, restored: Tensor, raw: Tensor, deviation: Tensor, present: Tensor) -> Tensor:
        """Refine.

        Args:
            restored: (B, 12, H, W) restored reflectance in the order of :data:`BANDS`, finite.
            raw: (B, 12, H, W) what was restored, on the same pixels, finite.
            deviation: (B, 12) standard deviation of the restored bands, reflectance; 0: exact.
            present: (B, 12) 1 for the bands that the image has, else 0.

        Returns:
            (B, 12, H, W) reflectance; bands without deviation, or not present, as they came.

        Raises:
            DataError: if the shapes do not fit.
        """
        if restored.shape != raw.shape or restored.shape[1] != len(BANDS):
            raise DataError(
                f"restored {tuple(restored.shape)} and raw {tuple(raw.shape)} are no images of "
                f"{len(BANDS)} bands",
                fix="give (B, 12, H, W) twice",
            )
        height, width = restored.shape[2:]
        cell = self.config.shuffle
        unit = (deviation * present)[:, :, None, None]
        parts = torch.cat([(restored - local_mean(restored)) / 2, raw - restored], dim=1)
        known = (unit > FLOOR).repeat(1, 2, 1, 1)
        planes = torch.asinh(parts / unit.clamp(min=FLOOR).repeat(1, 2, 1, 1)) * known
        pad = (0, -width % cell, 0, -height % cell)
        image = F.pixel_unshuffle(F.pad(planes, pad, mode="replicate"), cell)
        level = torch.log((deviation / DEVIATION).clamp(min=0.03)) * present
        features = self.stem(image.contiguous(memory_format=torch.channels_last))
        about = self.level(torch.cat([level, present], dim=1))
        tokens = features.permute(0, 2, 3, 1) + about[:, None, None]
        tokens = self.body(tokens)
        correction = F.pixel_shuffle(self.head(tokens.permute(0, 3, 1, 2)), cell)
        out: Tensor = restored + unit * correction[:, :, :height, :width].float()
        return out


REFINER = NetworkKind("a refiner", RefinerConfig, Refiner, RefinerCard)


def local_mean(image: Tensor) -> Tensor:
    """Gaussian mean of each plane over DETAIL pixels: (B, C, H, W) → the same shape."""
    count, reach = image.shape[1], DETAIL_REACH
    at = torch.arange(-reach, reach + 1, device=image.device, dtype=image.dtype)
    weights = torch.exp(-0.5 * (at / DETAIL) ** 2)
    rows = (weights / weights.sum()).view(1, 1, -1, 1).expand(count, 1, -1, 1)
    padded = F.pad(image, (reach,) * 4, mode="replicate")
    # Half precision would round reflectance to steps as large as its noise.
    with torch.autocast(image.device.type, enabled=False):
        mean = F.conv2d(F.conv2d(padded, rows, groups=count), rows.transpose(2, 3), groups=count)
    return mean
