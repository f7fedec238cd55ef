"""What a sensor would see of a prediction: PSF per band, then its sampling.

Source: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159 (observation model of the losses).
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

from trifuse.temporal.config import Sensor

GSD = 10.0
"""Target pixel in metres."""


@lru_cache(maxsize=32)
def psf_kernels(sensor: Sensor, gsd: float = GSD) -> Tensor:
    """Gaussian of each band on the target grid.

    The standard deviation is ``√(−ln(MTF)/2) / (π·f)`` metres with f = 0.5 / resolution; an MTF of
    1 is a Dirac. All bands of a sensor share one support, that of the coarsest.

    Args:
        sensor: whose.
        gsd: pixel of the grid in metres.

    Returns:
        (bands, k, k) float32, each summing to 1.
    """
    # Kept for all callers: one that trains must not be handed what one that predicts made.
    with torch.inference_mode(False):
        return _psf_kernels(sensor, gsd)


def _psf_kernels(sensor: Sensor, gsd: float) -> Tensor:
    radius = math.ceil(max(sensor.resolution) / gsd)
    at = torch.arange(-radius, radius + 1, dtype=torch.float64) * gsd
    squared = at[:, None] ** 2 + at[None, :] ** 2
    kernels = []
    for resolution, mtf in zip(sensor.resolution, sensor.mtf, strict=True):
        if mtf >= 1:
            kernel = (squared == 0).to(torch.float64)
        else:
            sigma = math.sqrt(-math.log(mtf) / 2) / (math.pi * 0.5 / resolution)
            kernel = torch.exp(-squared / (2 * sigma**2))
        kernels.append(kernel / kernel.sum())
    return torch.stack(kernels).to(torch.float32)


def blur(x: Tensor, sensor: Sensor) -> Tensor:
    """PSF of each band on (…, bands, H, W), reflected at the borders; no decimation."""
    kernel = psf_kernels(sensor).to(x.device, x.dtype)
    pad = kernel.shape[-1] // 2
    planes = x.flatten(0, -4) if x.dim() > 3 else x[None]
    planes = reflect(planes, pad)
    return F.conv2d(planes, kernel[:, None], groups=len(kernel)).view_as(x)


def reflect(x: Tensor, pad: int) -> Tensor:
    """(…, H, W) padded by reflection without repeating the edge, as often as a pad takes."""
    if x.dim() == 4 and min(x.shape[-2:]) > pad:
        return F.pad(x, (pad, pad, pad, pad), mode="reflect")
    rows, cols = (_mirror(torch.arange(-pad, n + pad, device=x.device), n) for n in x.shape[-2:])
    return x[..., rows, :][..., cols]


def _mirror(index: Tensor, n: int) -> Tensor:
    if n == 1:
        return torch.zeros_like(index)
    index = index.remainder(2 * n - 2)
    return torch.where(index < n, index, 2 * n - 2 - index)


def observe(x: Tensor, sensor: Sensor) -> Tensor:
    """Prediction (…, bands, H, W) as the sensor samples it: (…, bands, H / ratio, W / ratio)."""
    seen = blur(x, sensor)
    if sensor.ratio == 1:
        return seen
    planes = seen.flatten(0, -4) if seen.dim() > 3 else seen[None]
    size = (x.shape[-2] // sensor.ratio, x.shape[-1] // sensor.ratio)
    planes = F.interpolate(planes, size=size, mode="bicubic", align_corners=False)
    return planes.view(*x.shape[:-2], *size)


def upsample(x: Tensor, ratio: int) -> Tensor:
    """Bicubic (…, bands, h, w) → (…, bands, h·ratio, w·ratio)."""
    size = (x.shape[-2] * ratio, x.shape[-1] * ratio)
    planes = F.interpolate(
        x.flatten(0, -4) if x.dim() > 3 else x[None], size=size, mode="bicubic", align_corners=False
    )
    return planes.view(*x.shape[:-2], *size)


def compensate_residual(prediction: Tensor, observed: Tensor, sensor: Sensor) -> Tensor:
    """Make a prediction agree with what was observed on the same day (thermal sharpening).

    ``P + up(L) − PSF ∗ P``; only possible on observed dates.

    Args:
        prediction: (…, bands, H, W), P.
        observed: (…, bands, H / ratio, W / ratio), L.
        sensor: of the observation.

    Returns:
        (…, bands, H, W).
    """
    return prediction + upsample(observed, sensor.ratio) - blur(prediction, sensor)
