"""What is known of a date without a network: the start that a network with a skip adds to.

Every sensor is interpolated linearly between its clear dates, and finer sensors take from coarser
ones what these saw beyond it (:func:`trifuse.temporal.baselines.interpolate_with_change`). Only
clear pixels count, so clouds never reach the result unless a mask has missed them. The result is
sharpened by one step of Van Cittert's iteration with the sensor's PSF, ``2P − PSF ∗ P``, so that
it is, seen by the sensor, about what was interpolated.

Source: Van Cittert 1931, doi:10.1007/BF01391351 (iteration).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from trifuse.temporal.baselines import (
    TRUST,
    Stack,
    interpolate_linear,
    interpolate_with_change,
    nearest_index,
    partners,
    upsampled,
)
from trifuse.temporal.config import Sensor
from trifuse.temporal.observation import blur


def prior_images(
    sensors: Sequence[Sensor], seen: Mapping[str, Stack], query: Sequence[float]
) -> np.ndarray:
    """The prior on the target grid, standardised.

    Args:
        sensors: of the network, in the order of its outputs.
        seen: the visible images of each sensor over the same ground, in the network's unit.
        query: (Q,) days.

    Returns:
        (Q, channels, H, W) float32, finite: 0, the mean, where nothing is known.
    """
    parts = []
    for sensor in sensors:
        own = seen[sensor.name]
        coarser = [s for s in sensors if s.ratio > sensor.ratio and len(seen[s.name].doy)]
        if coarser:
            other = min(coarser, key=lambda s: s.ratio)
            pairs = partners(sensor.bands, other.bands)
            ratio = other.ratio // sensor.ratio
            images = interpolate_with_change(own, seen[other.name], query, ratio, pairs)
        else:
            images = interpolate_linear(own, query)
        if sensor.ratio > 1:
            images = upsampled(images, sensor.ratio)
        mean, std = (np.array(v, np.float32)[:, None, None] for v in (sensor.mean, sensor.std))
        standard = torch.from_numpy(np.nan_to_num((images - mean) / std).astype(np.float32))
        # The images are as blurred as the sensor sees; one step towards what it would see so.
        parts.append((2 * standard - blur(standard, sensor)).numpy())
    return np.concatenate(parts, axis=1)


def correction_weight(
    sensors: Sequence[Sensor], seen: Mapping[str, Stack], query: Sequence[float]
) -> np.ndarray:
    """How much of the network's correction is added to the prior, 0–1.

    ``d / (d + 15 days)`` with the distance d of a pixel to the nearest clear image of the sensor:
    where the sensor itself has just looked, there is little to correct. 1 where it never did.

    Args, Returns: as :func:`prior_images`.
    """
    parts = []
    for sensor in sensors:
        own = seen[sensor.name]
        shape = (len(query), *own.valid.shape[1:])
        weight = np.ones(shape, np.float32)
        if len(own.doy):
            days = np.asarray(query, float)[:, None, None]
            away = np.abs(own.doy[nearest_index(own, query)] - days)
            weight = np.where(own.valid.any(axis=0), away / (away + TRUST), 1).astype(np.float32)
        fine = weight.repeat(sensor.ratio, axis=1).repeat(sensor.ratio, axis=2)
        parts.append(np.repeat(fine[:, None], len(sensor.bands), axis=1))
    return np.concatenate(parts, axis=1)
