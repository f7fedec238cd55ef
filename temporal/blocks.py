"""Blocks of an area through the network: every date encoded once, then any date asked for.

Source of the network: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trifuse.core import DataError, Window, progress
from trifuse.temporal.area import KELVIN, Area, mirrored
from trifuse.temporal.config import PUBLISHED, Sensor, TamrfConfig
from trifuse.temporal.inference import MARGIN, FeatureBank, decode, encode_date, sensor_halo
from trifuse.temporal.model import Tamrf
from trifuse.temporal.prior import prior_images
from trifuse.temporal.stack import Stack

MAX_CHUNK = 8192
"""Pixels at once on a GPU: attention kernels take 65535 heads times pixels at most."""

MIN_SIDE = 96
"""Target pixels along a block at least, whatever the memory: smaller ones are mostly rim."""

OVERHEAD = 1.5e9
"""Bytes for the libraries and for what passes through the spatial encoders at once."""

PRIOR_RIM = 10
"""Cells of the coarsest sensor around a block that have a say in its prior."""


@dataclass(frozen=True, slots=True)
class Prior:
    """The prior alone, in place of a network: interpolation of what is clear.

    Attributes:
        config: sensors and bands; its ``skip`` is ``prior``.
    """

    config: TamrfConfig = field(default_factory=lambda: replace(PUBLISHED, skip="prior"))


@dataclass
class Encoded:
    """A block with the features of its dates, ready for any query.

    Attributes:
        block: target pixels of the area.
        bank: the features.
        clear: (N, height, width) bool, where each date of the bank is clear.
        days: of the bank's dates.
        names: sensor of each of the bank's dates.
        seen: (height, width) bool, where any date has a value.
        around: the block with a rim, as far as the area goes.
        stacks: the images of that, for networks that start from a prior.
    """

    block: Window
    bank: FeatureBank
    clear: np.ndarray
    days: tuple[float, ...]
    names: tuple[str, ...]
    seen: np.ndarray
    around: Window
    stacks: dict[str, Stack] | None = None

    def gaps(self, sensor: str, query: Sequence[float]) -> np.ndarray:
        """Days to the nearest clear image of a sensor: (Q, height, width) float32, else NaN."""
        out = np.full((len(query), *self.block.shape), np.inf, np.float32)
        for clear, day, name in zip(self.clear, self.days, self.names, strict=True):
            if name == sensor:
                for image, q in zip(out, query, strict=True):
                    np.minimum(image, np.float32(abs(day - q)), out=image, where=clear)
        return np.where(np.isfinite(out), out, np.float32(np.nan))


def encode_block(
    model: Tamrf | Prior,
    area: Area,
    block: Window,
    *,
    visible: Mapping[str, Sequence[float]] | None = None,
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
    dates = [
        (sensor, day, number)
        for sensor in area.sensors
        for day, number in zip(area.series[sensor.name].dates, area.days[sensor.name], strict=True)
        if visible is None or number in set(visible.get(sensor.name, ()))
    ]
    if not dates:
        raise DataError("no date of any sensor may be seen", fix="give at least one image")
    around = block.pad(PRIOR_RIM * area.step).clip(*area.grid.shape)
    stacks = _room(area, around, dates) if model.config.skip == "prior" else None
    clear = np.empty((len(dates), *block.shape), bool)
    seen = np.zeros(block.shape, bool)
    items = progress(dates, label, len(dates)) if label else dates
    for flags, (sensor, day, number) in zip(clear, items, strict=True):
        pad = sensor_halo(model, sensor) if isinstance(model, Tamrf) else 0
        data, valid = area.read(sensor, day, block, pad)
        if isinstance(model, Tamrf):
            encode_date(model, bank, sensor, data, number, tile=tile, around=True)
        inner = data[:, pad : pad + valid.shape[0], pad : pad + valid.shape[1]]
        flags[:] = _spread(valid, sensor.ratio)
        seen |= _spread(np.isfinite(inner).any(axis=0), sensor.ratio)
        if stacks is not None:
            stack = stacks[sensor.name]
            at = int(np.searchsorted(stack.days, number))
            stack.data[at], stack.valid[at] = area.read(sensor, day, around)
        series = area.series[sensor.name]
        series.sources[series.dates.index(day)].close()  # there may be more than may be open
    return Encoded(
        block,
        bank,
        clear,
        tuple(n for *_, n in dates),
        tuple(s.name for s, *_ in dates),
        seen,
        around,
        stacks,
    )


def _room(
    area: Area, block: Window, dates: Sequence[tuple[Sensor, date, float]]
) -> dict[str, Stack]:
    """Room for the images of a block."""
    out = {}
    for sensor in area.config.sensors:
        days = np.array([number for s, _, number in dates if s.name == sensor.name], float)
        shape = (len(days), block.height // sensor.ratio, block.width // sensor.ratio)
        data = np.empty((shape[0], len(sensor.bands), *shape[1:]), np.float32)
        out[sensor.name] = Stack(data, np.empty(shape, bool), days)
    return out


def predict_block(
    model: Tamrf | Prior,
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
        value (of the prior alone: where its sensor is never clear); and (Q, height, width) 0–1,
        or None.
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
    if encoded.stacks is not None:
        start = prior_images(
            model.config.sensors, encoded.stacks, query, context=isinstance(model, Tamrf)
        )
    if isinstance(model, Tamrf):
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
    else:
        mean = np.concatenate([s.mean for s in model.config.sensors])[list(channels)]
        out[:] = mean[:, None, None]
        paid = None
    if start is not None:
        inner = encoded.block.shift(-encoded.around.row, -encoded.around.col)
        prior, weight = (
            part[:, list(channels), *inner.slices] for part in (start.images, start.weight)
        )
        mean, deviation = (
            np.concatenate([getattr(s, k) for s in model.config.sensors])[
                list(channels), None, None
            ]
            for k in ("mean", "std")
        )
        # The network's own images are a correction in deviations: its mean is no correction.
        out -= mean.astype(np.float32)
        out *= weight
        out += (prior * deviation + mean).astype(np.float32)
    for i, channel in enumerate(channels):
        name, band = model.config.outputs[channel]
        if band in model.config.sensor(name).thermal:
            out[:, i] *= KELVIN
        if isinstance(model, Prior):
            own = [
                flags for flags, n in zip(encoded.clear, encoded.names, strict=True) if n == name
            ]
            out[:, i, ~np.any(own, axis=0)] = np.nan
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


def forecast_of(
    model: Tamrf | Prior, area: Area, block: Window
) -> Callable[[Mapping[str, Any], Sequence[float]], dict[str, np.ndarray]]:
    """The network as a function of what may be seen, for scoring.

    Args:
        model: in eval mode.
        area: of the series.
        block: the part of it that is scored.

    Returns:
        (sensor → anything with ``days``, days asked for) → sensor → (Q, band, height, width) in the
        network's unit.
    """

    def forecast(seen: Mapping[str, Any], query: Sequence[float]) -> dict[str, np.ndarray]:
        visible = {name: [float(d) for d in stack.days] for name, stack in seen.items()}
        if not any(visible.values()):
            return {}
        encoded = encode_block(model, area, block, visible=visible, label="dates seen")
        channels = range(len(model.config.outputs))
        values, _ = predict_block(model, encoded, query, list(channels), label="rows")
        out, start = {}, 0
        for s in model.config.sensors:
            part = values[:, start : start + len(s.bands)]
            part[:, [i for i, b in enumerate(s.bands) if b in s.thermal]] /= KELVIN
            out[s.name], start = part, start + len(s.bands)
        return out

    return forecast


def _pace(model: Tamrf, encoded: Encoded) -> dict[str, int]:
    """Rows and pixels at once: small for a processor's cache, large for a GPU."""
    device = next(model.parameters()).device
    if device.type != "cuda":
        return {}
    free, _ = torch.cuda.mem_get_info(device)
    token = len(encoded.bank) * (model.config.width * 6 + model.config.hidden * 2) * 4
    chunk = max(256, min(MAX_CHUNK, int(0.3 * free / max(token, 1))))
    return {"strip": max(8, chunk // max(encoded.block.width, 1)), "chunk": chunk}


def _spread(mask: np.ndarray, ratio: int) -> np.ndarray:
    """A mask on pixels ``ratio`` times smaller."""
    return mask.repeat(ratio, axis=0).repeat(ratio, axis=1)
