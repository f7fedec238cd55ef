"""Mixers by the name that the configuration gives them."""

from __future__ import annotations

from trifuse.core import ConfigError
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.mixers.base import Mixer
from trifuse.fusformer.mixers.channel import ChannelMixer
from trifuse.fusformer.mixers.conv import ConvMixer
from trifuse.fusformer.mixers.dwconv import DepthwiseMixer
from trifuse.fusformer.mixers.global_attention import GlobalMixer
from trifuse.fusformer.mixers.spectral import SpectralMixer
from trifuse.fusformer.mixers.window import WindowMixer

MIXERS: dict[str, type[Mixer] | None] = {
    "conv": ConvMixer,
    "dwconv": DepthwiseMixer,
    "spectral": SpectralMixer,
    "window": WindowMixer,
    "channel": ChannelMixer,
    "global": GlobalMixer,
    "none": None,
}
"""Name → class; None leaves the mixers out, the shell is then a pixel-wise MLP with its head."""


def make_mixer(config: FusformerConfig, index: int) -> Mixer | None:
    """The ``index``-th mixer of a network, or None if it has none.

    Raises:
        ConfigError: if the name is unknown.
    """
    if config.mixer not in MIXERS:
        raise ConfigError(f"unknown mixer {config.mixer!r}", fix=f"give one of {', '.join(MIXERS)}")
    kind = MIXERS[config.mixer]
    return None if kind is None else kind(config, index)
