"""Perceptual distance that leaves out masked pixels.

Source: Zhang et al. 2018, "LPIPS", arXiv:1801.03924; masked by NaN as in Michel and Inglada 2025.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MaskedPerceptual(nn.Module):
    """Distance between features of two images.

    Each layer's features are scaled to unit length over channels; squared differences are weighted
    per channel and averaged over the positions whose receptive field holds no NaN. The sum over
    channels and layers, averaged over images, is multiplied by (all features / valid features).

    Args:
        layers: modules to be run one after the other; the output of each is compared.
        weights: per layer (channels,), or None for equal weights that sum to 1.
    """

    def __init__(
        self, layers: Sequence[nn.Module], weights: Sequence[Tensor] | None = None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers).eval().requires_grad_(False)
        self._weights = None if weights is None else [w.flatten() for w in weights]

    def train(self, mode: bool = True) -> MaskedPerceptual:
        """Always evaluate: the features are a fixed yardstick."""
        return super().train(False)

    def forward(self, image: Tensor, reference: Tensor) -> Tensor:
        """Compare.

        Args:
            image: (M, 3, h, w).
            reference: (M, 3, h, w), NaN at masked pixels; no gradient flows through it.

        Returns:
            Scalar; NaN if no position of any layer is valid.
        """
        reference = reference.detach()
        total: Tensor = image.new_zeros(len(image))
        valid = every = 0
        for i, layer in enumerate(self.layers):
            image, reference = layer(image), layer(reference)
            weight = self._weight(i, image)
            mine, yours = _unit(image), _unit(reference)
            there = torch.isfinite(yours)
            # NaN is taken out before the difference: zero times NaN is a NaN gradient.
            difference = (mine - yours.where(there, mine)).square() * weight[:, None, None]
            count = there.sum((2, 3))
            total = total + (difference.sum((2, 3)) / count.clamp(min=1)).sum(1)
            valid += int(count.sum())
            every += there.numel()
        if valid == 0:
            return image.new_tensor(float("nan"))
        return total.mean() * (every / valid)

    def _weight(self, i: int, feature: Tensor) -> Tensor:
        if self._weights is None:
            channels = feature.shape[1]
            return feature.new_full((channels,), 1 / (channels * len(self.layers)))
        return self._weights[i].to(feature)


def _unit(x: Tensor) -> Tensor:
    # The root of exactly zero has no gradient.
    return x / ((x.square().sum(1, keepdim=True) + 1e-24).sqrt() + 1e-10)


def light_layers(seed: int = 0) -> list[nn.Module]:
    """A fixed bank of random filters at three scales: needs no trained weights.

    Random convolutional features are a usable perceptual yardstick (Ulyanov et al. 2018,
    arXiv:1711.10925, for why untrained convolutions carry an image prior).
    """
    generator = torch.Generator().manual_seed(seed)
    layers: list[nn.Module] = []
    channels = 3
    for out in (16, 32, 64):
        conv = nn.Conv2d(channels, out, 3, padding=1)
        with torch.no_grad():
            filters = torch.randn(conv.weight.shape, generator=generator)
            # Zero-mean filters answer to structure, not to brightness.
            filters -= filters.mean((1, 2, 3), keepdim=True)
            conv.weight.copy_(filters / filters.flatten(1).norm(dim=1)[:, None, None, None])
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        pool = [nn.MaxPool2d(2)] if layers else []
        layers.append(nn.Sequential(*pool, conv, nn.ReLU()))
        channels = out
    return layers


def vgg16_layers(pretrained: bool = True) -> list[nn.Module]:
    """The five stages of VGG16 that LPIPS compares (relu1_2 … relu5_3), from timm.

    With ``pretrained`` its weights are fetched once by timm; without network give them in timm's
    cache beforehand.
    """
    import timm

    features = timm.create_model("vgg16", pretrained=pretrained).features
    stages: list[nn.Module] = []
    stage: list[nn.Module] = []
    for module in features:
        if isinstance(module, nn.MaxPool2d):
            stages.append(nn.Sequential(*stage))
            stage = [module]
        else:
            stage.append(nn.ReLU() if isinstance(module, nn.ReLU) else module)
    return stages
