"""Time encoding of TAMRF: sines and cosines of the day number."""

from __future__ import annotations

import torch
from torch import Tensor

BASE = 365.0
"""Longest period over 2π, in days (language models take 10000)."""


def encode_time(days: Tensor, length: int) -> Tensor:
    """Encode days since the origin of a series; fractions of a day are fine.

    Entry i is the sine (i even) or cosine (i odd) of ``days / 365^(2⌊i/2⌋/length)``.

    Args:
        days: (…) since the origin, any dtype.
        length: entries, even.

    Returns:
        (…, length) float32.
    """
    index = torch.arange(length, device=days.device)
    period = BASE ** (2 * torch.div(index, 2, rounding_mode="floor") / length)
    angle = days.to(torch.float32).unsqueeze(-1) / period
    return torch.where(index % 2 == 0, angle.sin(), angle.cos())
