"""What training and fusion ask of a network that fuses, whatever it is made of.

A network of another kind is a file with a configuration, a module and their :class:`NetworkKind`,
and a line in :mod:`trifuse.fusformer.networks`.
"""

from __future__ import annotations

from typing import Self

from torch import nn

from trifuse.core.card import NetworkConfig


class FusionConfig(NetworkConfig):
    """Base of the configurations of networks that fuse.

    Attributes:
        hr_bands: bands of the sharp image (HrMSI), l; set by whoever has the images.
        lr_bands: bands of the coarse image (LrHSI) and of the result, L; likewise.
    """

    __slots__ = ()
    hr_bands: int
    lr_bands: int

    @property
    def inputs(self) -> tuple[str, ...]:
        """What the network is called with, in order: float32 images on the sharp pixels.

        ``hrmsi``, the sharp bands (B, l, H, W); and of the coarse bands (B, L, H, W) ``bicubic``,
        upsampled by cubic convolution, or ``prior``, the prediction that the card names. Trainer
        and fusion both know how to make them (``VIEWS`` of :mod:`trifuse.train.prior` and of
        :mod:`trifuse.fusion.methods`).
        """
        return ("hrmsi", "bicubic")

    def normalised(self, mean: float, spread: float, size: float) -> Self:
        """The same network on the scales of its training data, if it has any.

        Args:
            mean: of the reflectance in the images.
            spread: its standard deviation.
            size: root mean square of what is to be added to the last of the coarse inputs.
        """
        return self


class FusionNetwork(nn.Module):
    """Base of networks that fuse; called with :attr:`FusionConfig.inputs`, it returns (B, L, H, W).

    Attributes:
        config: what it was built from.
        halo: pixels that one output pixel sees beyond itself, per side; None if it sees the whole
            image. Tiles with this margin equal the whole image.
        alignment: tiles must start at multiples of this many pixels for that.
    """

    config: FusionConfig
    halo: int | None
    alignment: int
