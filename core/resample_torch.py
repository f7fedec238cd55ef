"""The resampling of :mod:`trifuse.core.resample` on tensors (B, C, H, W), on any device.

The degradation uses the very matrices of the numpy form; upsampling is torch's own bicubic, of
which the numpy form is the copy. Tests hold the two forms equal.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from trifuse.core.resample import PSF, blur_matrix, degrade_matrix


@lru_cache(maxsize=32)
def _degrade(n: int, ratio: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    dense = degrade_matrix(n, ratio, sigma).toarray()
    return torch.as_tensor(dense, dtype=dtype, device=device)


@lru_cache(maxsize=32)
def _blur(n: int, sigma: float, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(blur_matrix(n, sigma).toarray(), dtype=dtype, device=device)


def degrade(x: Tensor, ratio: int, psf: PSF | None = None) -> Tensor:
    """(B, C, H, W) → (B, C, H // ratio, W // ratio); differentiable; finite input."""
    sigma = (psf or PSF.from_mtf()).pixels(ratio)
    along_y = _degrade(x.shape[-2], ratio, sigma, x.device, x.dtype)
    along_x = _degrade(x.shape[-1], ratio, sigma, x.device, x.dtype)
    return along_y @ x @ along_x.T


def blur(x: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of (B, C, H, W), ``sigma`` in pixels."""
    along_y = _blur(x.shape[-2], sigma, x.device, x.dtype)
    along_x = _blur(x.shape[-1], sigma, x.device, x.dtype)
    return along_y @ x @ along_x.T


def upsample(x: Tensor, ratio: int) -> Tensor:
    """Bicubic (B, C, h, w) → (B, C, h·ratio, w·ratio)."""
    size = (x.shape[-2] * ratio, x.shape[-1] * ratio)
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False)
