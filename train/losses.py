"""What training minimises, per sample, over the valid pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def per_sample_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid pixels of each sample: (B, 1, H, W), twice → (B,).

    Every sample counts the same whatever its valid share, so the mean of a batch is the mean of
    its parts on several processes. A sample without valid pixels is 0.
    """
    return (values * valid).sum(dim=(1, 2, 3)) / valid.sum(dim=(1, 2, 3)).clamp(min=1)


def spectral_angle(truth: Tensor, estimate: Tensor) -> Tensor:
    """Angle between spectra in radians: (B, L, H, W), twice → (B, 1, H, W).

    By the arc tangent, whose gradient is finite where the angle is 0, unlike the arc cosine's.

    Source: Yuhas et al. 1992 (the measure); Kahan 2006 (the form: 2·atan2(‖u−v‖, ‖u+v‖)).
    """
    u, v = (nn.functional.normalize(x, dim=1, eps=1e-6) for x in (truth, estimate))
    apart = ((u - v).square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
    along = ((u + v).square().sum(dim=1, keepdim=True) + 1e-12).sqrt()
    return 2 * torch.atan2(apart, along)
