"""Bands of coarse pixels or soft optics at the resolution of the target grid.

What is finer than a band can see is taken from sharper bands of the same moment: how much of each,
a regression tells that looks at the finest details that both can see, around each pixel. Then the
image is corrected until the sensor would see of it what it should. What was seen positive stays so
(:mod:`trifuse.temporal.positive`).

Sources: Aiazzi et al. 2007, doi:10.1109/TGRS.2007.901007 (regression of details in windows); Irani
and Peleg 1991, doi:10.1016/1049-9652(91)90045-L (back-projection).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trifuse.temporal.config import Sensor
from trifuse.temporal.observation import blur, observe, upsample
from trifuse.temporal.positive import kept_positive_tensor

WINDOW = 6
"""Pixels of a sensor on each side of one, that tell how its details go with the guide's."""

RIDGE = 1e-6
"""Variance of details that are not trusted to tell anything, in squared reflectance."""

ROUNDS = 2
"""Corrections by what the sensor would see."""


def sharpen_soft(images: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Take the PSF of soft bands off, with the sharp bands of the sensor as guides.

    Args:
        images: (Q, band, H, W), as seen by a sensor on the target grid; finite.
        sensor: the sensor; bands with an MTF of 1 are sharp.

    Returns:
        (Q, band, H, W) float32, what it would have seen so.
    """
    soft = [i for i, m in enumerate(sensor.mtf) if m < 1]
    sharp = [i for i, m in enumerate(sensor.mtf) if m == 1]
    out = np.array(images, np.float32)
    if not soft:
        return out
    seen = torch.from_numpy(out[:, soft])
    own = _part(sensor, soft)
    estimate = seen
    if sharp:
        guide = torch.from_numpy(out[:, sharp])
        same = _like(own, len(sharp), 1)
        blurred = blur(guide, same)
        gain = _gains(blurred, seen, _scale(own))
        estimate = seen + torch.einsum("qghw,qgshw->qshw", guide - blurred, gain)
    estimate = kept_positive_tensor(estimate, seen)
    for _ in range(ROUNDS):
        estimate = kept_positive_tensor(estimate + seen - blur(estimate, own), seen)
    out[:, soft] = estimate.numpy()
    return out


def sharpen_coarse(images: np.ndarray, sensor: Sensor, guide: np.ndarray | None) -> np.ndarray:
    """A coarser sensor's images on the target grid.

    Args:
        images: (Q, band, h, w), on the sensor's own grid; finite.
        sensor: the sensor, of a ratio above 1.
        guide: (Q, guides, H, W) sharp reflectance of the same days, finite; None: there is none.

    Returns:
        (Q, band, H, W) float32.
    """
    seen = torch.from_numpy(np.ascontiguousarray(images, np.float32))
    smooth = estimate = upsample(seen, sensor.ratio)
    # Cubic convolution overshoots: what a cell has seen is positive in all of its pixels.
    wide = seen.repeat_interleave(sensor.ratio, -1).repeat_interleave(sensor.ratio, -2)
    smooth = torch.where(smooth > 0, smooth, wide)
    if guide is not None:
        fine = torch.from_numpy(np.ascontiguousarray(guide, np.float32))
        coarse = observe(fine, _like(sensor, fine.shape[1], sensor.ratio))
        gain = _gains(coarse, seen, _scale(sensor))
        gain = gain.repeat_interleave(sensor.ratio, -1).repeat_interleave(sensor.ratio, -2)
        detail = fine - upsample(coarse, sensor.ratio)
        estimate = estimate + torch.einsum("qghw,qgshw->qshw", detail, gain)
    estimate = kept_positive_tensor(estimate, smooth)
    for _ in range(ROUNDS):
        more = upsample(seen - observe(estimate, sensor), sensor.ratio)
        estimate = kept_positive_tensor(estimate + more, smooth)
    return estimate.numpy()


def _gains(guide: Tensor, images: Tensor, scale: Sequence[float]) -> Tensor:
    """How the details of images go with those of guides, around each pixel.

    Args:
        guide: (Q, g, h, w), on the grid of the images and as blurred as they are.
        images: (Q, s, h, w).
        scale: of each band, so that one ridge serves all.

    Returns:
        (Q, g, s, h, w).
    """
    unit = torch.tensor(scale)[:, None, None]
    a, b = _details(guide), _details(images / unit)
    count = a.shape[1]
    rows = [
        torch.cat([_around(a[:, i : i + 1] * a), _around(a[:, i : i + 1] * b)], dim=1)
        for i in range(count)
    ]
    system = torch.stack(rows, dim=1).permute(0, 3, 4, 1, 2).double()  # (Q, h, w, g, g + s)
    left = system[..., :count] + RIDGE * torch.eye(count, dtype=torch.float64)
    found: Tensor = torch.linalg.solve(left, system[..., count:])
    gains: Tensor = found.float().permute(0, 3, 4, 1, 2) * unit
    return gains


def _details(x: Tensor) -> Tensor:
    """What a 3×3 binomial takes away."""
    line = torch.tensor([0.25, 0.5, 0.25])
    kernel = (line[:, None] * line).expand(x.shape[1], 1, 3, 3)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    smooth: Tensor = F.conv2d(padded, kernel, groups=x.shape[1])
    return x - smooth


def _around(x: Tensor) -> Tensor:
    """Mean over the window around each pixel, or what of it lies in the image."""
    size = 2 * WINDOW + 1
    mean: Tensor = F.avg_pool2d(x, size, stride=1, padding=WINDOW, count_include_pad=False)
    return mean


def _part(sensor: Sensor, bands: Sequence[int]) -> Sensor:
    """Some bands of a sensor."""

    def some(values: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(values[i] for i in bands)

    return Sensor(
        sensor.name,
        some(sensor.bands),
        some(sensor.resolution),
        some(sensor.mtf),
        sensor.ratio,
        some(sensor.mean),
        some(sensor.std),
    )


def _like(sensor: Sensor, count: int, ratio: int) -> Sensor:
    """So many bands that are as soft as the sharpest soft band of a sensor."""
    at = min(
        (i for i, m in enumerate(sensor.mtf) if m < 1),
        key=lambda i: sensor.resolution[i],
        default=0,
    )
    return replace(
        sensor,
        bands=tuple(map(str, range(count))),
        resolution=(sensor.resolution[at],) * count,
        mtf=(sensor.mtf[at],) * count,
        ratio=ratio,
        mean=(0.0,) * count,
        std=(1.0,) * count,
        thermal=(),
    )


def _scale(sensor: Sensor) -> list[float]:
    """1 for reflectance; for temperatures (kelvin / 1000) what makes their details alike."""
    return [0.1 if b in sensor.thermal else 1.0 for b in sensor.bands]
