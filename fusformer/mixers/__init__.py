"""Token mixers: how pixels of the shell learn of each other. One small module a file.

A mixer maps tokens (B, H, W, C) to tokens of the same shape and says how far it looks.
"""

from trifuse.fusformer.mixers.base import Mixer
from trifuse.fusformer.mixers.channel import ChannelMixer
from trifuse.fusformer.mixers.conv import ConvMixer
from trifuse.fusformer.mixers.dwconv import DepthwiseMixer
from trifuse.fusformer.mixers.global_attention import GlobalMixer
from trifuse.fusformer.mixers.registry import MIXERS, make_mixer
from trifuse.fusformer.mixers.spectral import SpectralMixer
from trifuse.fusformer.mixers.window import WindowMixer

__all__ = [
    "Mixer",
    "GlobalMixer",
    "ChannelMixer",
    "WindowMixer",
    "DepthwiseMixer",
    "ConvMixer",
    "SpectralMixer",
    "MIXERS",
    "make_mixer",
]
