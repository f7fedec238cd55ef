"""Blocks of an area through the network: every date encoded once, then any date asked for.

Source of the network: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch

from trifuse.core import Window, progress
from trifuse.temporal.area import KELVIN, Area, mirrored
from trifuse.temporal.block_images import HALO, BlockImages, read_block
from trifuse.temporal.config import Sensor
from trifuse.temporal.inference import MARGIN, FeatureBank, decode, encode_date, sensor_halo
from trifuse.temporal.model import Tamrf
from trifuse.temporal.prior import in_unit, kept_by_prior, prior_images
from trifuse.temporal.stack import Days

MAX_CHUNK = 8192
"""Pixels at once on a GPU: attention kernels take 65535 heads times pixels at most."""

MIN_SIDE = 96
"""Target pixels along a block at least, whatever the memory: smaller ones are mostly rim."""

OVERHEAD = 1.5e9
"""Bytes for the libraries and for what passes through the spatial encoders at once."""


@dataclass
class Encoded(BlockImages):
    """A block with the features of its dates, ready for any query.

    Attributes:
        bank: the features.
    """

    bank: FeatureBank


def encode_block(
    model: Tamrf,
    area: Area,
    block: Window,
    *,
    visible: Days | None = None,
    dtype: str = "float32",
    folder: Path | None = None,
    tile: int = 256,
    label: str = "",
) -> Encoded:
    """Features of a block for all dates, or for those that may be seen.

    Args:
        model: in eval mode.
        area: as of :func:`trifuse.temporal.area.open_area`, for this network.
        block: as of :func:`trifuse.temporal.area.blocks`.
        visible: sensor → days that the network may see; default: all.
        dtype: of the stored features.
        folder: where to keep them; None: in memory.
        tile: as of :func:`trifuse.temporal.inference.encode_date`.
        label: for the progress bar; empty: none.

    Raises:
        DataError: if no date may be seen.
    """
    bank = FeatureBank(*block.shape, dtype=dtype, folder=folder)

    def take(sensor: Sensor, data: np.ndarray, day: float) -> None:
        encode_date(model, bank, sensor, data, day, tile=tile, around=True)

    images = read_block(
        area,
        block,
        visible=visible,
        halo=HALO if model.config.skip == "prior" else None,
        pad=lambda sensor: sensor_halo(model, sensor),
        take=take,
        label=label,
    )
    return Encoded(**{f.name: getattr(images, f.name) for f in fields(images)}, bank=bank)


def predict_block(
    model: Tamrf,
    encoded: Encoded,
    query: Sequence[float],
    channels: Sequence[int],
    *,
    mass: bool = False,
    label: str = "",
) -> tuple[np.ndarray, np.ndarray | None]:
    """Dates of an encoded block.

    Args:
        model: that encoded it.
        encoded: the block.
        query: days since the origin.
        channels: positions in ``model.config.outputs``.
        mass: also return the attention paid to clear dates.
        label: for the progress bar; empty: none.

    Returns:
        (Q, channels, height, width) float32, reflectance and kelvin, NaN where no date has a
        value; and (Q, height, width) 0–1, or None.
    """
    out = np.empty((len(query), len(channels), *encoded.block.shape), np.float32)
    paid = np.empty((len(query), *encoded.block.shape), np.float32) if mass else None
    height = encoded.block.height
    rows = iter(progress(range(height), label, height) if label else ())

    def take(window: Window, values: np.ndarray) -> None:
        out[:, :, *window.slices] = values
        for _ in range(window.height):
            next(rows, None)

    def take_mass(window: Window, values: np.ndarray) -> None:
        assert paid is not None
        paid[:, *window.slices] = values

    start = None
    if encoded.stacks:
        start = prior_images(model.config.sensors, encoded.stacks, query, context=True)
    decode(
        model,
        encoded.bank,
        query,
        channels,
        take,
        **_pace(model, encoded),
        clear=encoded.clear if mass else None,
        mass=take_mass if mass else None,
        context=None if start is None else _with_margin(start.context, encoded),
    )
    inner = encoded.inner.slices
    if start is not None:
        # The network's own images are a correction in deviations: its mean is no correction.
        mean = np.concatenate([s.mean for s in model.config.sensors])[list(channels)]
        out -= mean.astype(np.float32)[:, None, None]
        out *= start.weight[:, list(channels), *inner]
        prior = in_unit(model.config.sensors, start.images[:, :, *inner], channels)
        out = kept_by_prior(model.config.sensors, out + prior, prior, channels)
    for i, channel in enumerate(channels):
        name, band = model.config.outputs[channel]
        if start is not None and len(encoded.stacks[name].days):
            # Where nobody saw the ground the network would add to the mean of its sensor.
            out[:, i][~start.known[:, channel, *inner]] = np.nan
        if band in model.config.sensor(name).thermal:
            out[:, i] *= KELVIN
    out[:, :, ~encoded.seen] = np.nan
    if paid is not None:
        paid[:, ~encoded.seen] = np.nan
    return out, paid


def _with_margin(context: np.ndarray, encoded: Encoded) -> np.ndarray:
    """What lies around a block is that of the area; beyond the area it is mirrored."""
    block, around = encoded.block, encoded.around
    rows = mirrored(block.row - around.row, block.height, MARGIN, around.height)
    cols = mirrored(block.col - around.col, block.width, MARGIN, around.width)
    return np.ascontiguousarray(context[:, :, rows[:, None], cols])


def block_side(
    area: Area,
    queries: int,
    bands: int,
    budget: float,
    *,
    on_disk: bool = False,
    dtype: str = "float32",
) -> int:
    """Edge of the largest blocks that a budget of memory allows, in target pixels.

    It is not below :data:`MIN_SIDE`, however small the budget.

    Args:
        area: for its size, dates and network.
        queries: dates asked for.
        bands: asked for.
        budget: bytes of memory for everything.
        on_disk: whether features are kept in files.
        dtype: of the features.
    """
    c = area.config
    dates = sum(len(area.series[s.name]) for s in area.sensors)
    stored = 0 if on_disk else dates * c.features * np.dtype(dtype).itemsize
    # Beside the features: masks, one date's features twice, results; then a strip of tokens.
    per_pixel = stored + dates + 2 * c.features * 4 + queries * (bands + 3) * 4
    if c.skip == "prior":
        per_pixel += sum(
            (3 * len(area.series[s.name]) + 2 * queries) * len(s.bands) * 4 for s in area.sensors
        )
        per_pixel += 3 * queries * c.context * 4
    strip = 12 * (3 * dates * c.features * 4 + 4 * queries * c.width * 4)
    side = max(area.grid.shape)
    while side > MIN_SIDE and OVERHEAD + side * side * per_pixel + side * strip > budget:
        side = max(MIN_SIDE, int(side * 0.95))
    return max(area.step, side // area.step * area.step)


def _pace(model: Tamrf, encoded: Encoded) -> dict[str, int]:
    """Rows and pixels at once: small for a processor's cache, large for a GPU."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return {}
    free, _ = torch.cuda.mem_get_info(device)
    token = len(encoded.bank) * (model.config.width * 6 + model.config.hidden * 2) * 4
    chunk = max(256, min(MAX_CHUNK, int(0.3 * free / max(token, 1))))
    return {"strip": max(8, chunk // max(encoded.block.width, 1)), "chunk": chunk}
