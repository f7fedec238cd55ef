"""TAMRF: irregular series of several sensors in, every band on any date out.

    each date   → spatial encoder of its sensor            (64 features on the target grid)
    tokens      = [features, time encoding, sensor token]  (per pixel and date)
    tokens      → transformer over the dates of a pixel
    query token = [learned, time encoding of the query, query sensor token]
    query       → one cross-attention over the tokens → two convolutions → all bands

Everything between the convolutions is per pixel. The network never sees a cloud mask.

Source: Michel and Inglada 2025, "Temporal Attention Multi-Resolution Fusion of Satellite Image
Time Series", doi:10.1016/j.rse.2025.115159.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trifuse.core import DataError
from trifuse.temporal.config import Sensor, TamrfConfig
from trifuse.temporal.encoding import encode_time
from trifuse.temporal.renamed import warn_renamed
from trifuse.temporal.spatial import SLOPE, SpatialDecoder, SpatialEncoder


class Dates(NamedTuple):
    """The images of one sensor.

    Attributes:
        data: (B, T, bands, h, w) standardised, finite.
        days: (B, T) days since the origin of the series.
    """

    data: Tensor
    days: Tensor

    @property
    def doy(self) -> Tensor:
        """Old name of ``days``."""
        warn_renamed("Dates.doy", "days")
        return self.days


class CrossAttention(nn.Module):
    """Query tokens attend to the tokens of a pixel, or to nothing (a zero key and value)."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(
            width, heads, dropout=dropout, add_zero_attn=True, batch_first=True
        )
        self.linear1 = nn.Linear(width, hidden)
        self.linear2 = nn.Linear(hidden, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, tokens: Tensor) -> Tensor:
        """(P, Q, C) and (P, N, C) → (P, Q, C)."""
        seen, _ = self.attention(query, tokens, tokens, need_weights=False)
        return self.feed_forward(self.norm1(query + seen))

    def feed_forward(self, x: Tensor) -> Tensor:
        """Second half of the block."""
        hidden = self.dropout(F.relu(self.linear1(x)))
        out: Tensor = self.norm2(x + self.dropout(self.linear2(hidden)))
        return out


class Tamrf(nn.Module):
    """The network; see the module and :class:`TamrfConfig`."""

    def __init__(self, config: TamrfConfig) -> None:
        super().__init__()
        self.config = config
        c = config
        self.spatial = nn.ModuleDict(
            {
                s.name: SpatialEncoder(len(s.bands), c.features, c.growth, c.blocks, s.ratio)
                for s in c.sensors
            }
        )
        self.sensor_tokens = nn.ParameterDict(
            {s.name: nn.Parameter(torch.rand(c.sensor_token)) for s in c.sensors}
        )
        layer = nn.TransformerEncoderLayer(
            c.width, c.heads, c.hidden, c.dropout, batch_first=True, norm_first=False
        )
        self.temporal = nn.TransformerEncoder(layer, c.layers, enable_nested_tensor=False)
        self.query_token = nn.Parameter(torch.zeros(c.features))
        self.query_sensor_token = nn.Parameter(torch.rand(c.sensor_token))
        self.cross = CrossAttention(c.width, c.heads, c.hidden, c.dropout)
        self.decoder = SpatialDecoder(c.width, len(c.outputs))
        if c.context:
            self.context = nn.Sequential(
                nn.Conv2d(c.context, c.hidden, 1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(c.hidden, c.width, 1),
            )
        for s in c.sensors:
            self.register_buffer(f"{s.name}_mean", torch.tensor(s.mean))
            self.register_buffer(f"{s.name}_std", torch.tensor(s.std))

    def standardise(self, sensor: Sensor, data: Tensor) -> Tensor:
        """(…, bands, h, w) in the network's unit → standardised; missing (NaN) becomes 0.

        Zero is the mean: a raw zero would be 24 deviations off for a temperature.
        """
        mean, std = self.statistics(sensor)
        return torch.nan_to_num((data - mean) / std)

    def statistics(self, sensor: Sensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of a sensor's bands, each (bands, 1, 1)."""
        mean, std = (self.get_buffer(f"{sensor.name}_{k}") for k in ("mean", "std"))
        return mean[:, None, None], std[:, None, None]

    def date_features(self, sensor: Sensor, data: Tensor) -> Tensor:
        """(B, T, bands, h, w) → (B, T, features, H, W)."""
        b, t = data.shape[:2]
        out: Tensor = self.spatial[sensor.name](data.flatten(0, 1)).unflatten(0, (b, t))
        return out

    def date_constants(self, sensor: Sensor, days: Tensor) -> Tensor:
        """(B, T) → (B, T, features + sensor_token): the part of a token that all pixels share."""
        token = self.sensor_tokens[sensor.name].expand(*days.shape, -1)
        return torch.cat([encode_time(days, self.config.features), token], dim=-1)

    def query_tokens(self, days: Tensor) -> Tensor:
        """(B, Q) → (B, Q, width)."""
        learned = self.query_token.expand(*days.shape, -1)
        token = self.query_sensor_token.expand(*days.shape, -1)
        return torch.cat([learned, encode_time(days, self.config.features), token], dim=-1)

    def tokens(self, series: Mapping[str, Dates]) -> Tensor:
        """All dates of all sensors as tokens: (B, N, width, H, W).

        Raises:
            DataError: if there is no date, or the sensors do not cover the same pixels.
        """
        parts = []
        for sensor in self.config.sensors:
            if sensor.name not in series or series[sensor.name].data.shape[1] == 0:
                continue
            data, days = series[sensor.name]
            feature = self.date_features(sensor, data)
            constant = self.date_constants(sensor, days)[..., None, None]
            shared = constant.expand(*constant.shape[:3], *feature.shape[-2:])
            parts.append(torch.cat([feature, shared], dim=2))
        if not parts:
            raise DataError("no date of any sensor", fix="give at least one image")
        if len({p.shape[-2:] for p in parts}) > 1:
            shapes = [tuple(p.shape[-2:]) for p in parts]
            raise DataError(f"sensors cover {shapes} target pixels", fix="crop to the same ground")
        return torch.cat(parts, dim=1)

    def forward(
        self, series: Mapping[str, Dates], query: Tensor, context: Tensor | None = None
    ) -> Tensor:
        """Predict.

        Args:
            series: dates of each sensor by name; sensors may be absent or empty.
            query: (B, Q) days since the same origin.
            context: (B, Q, ``config.context``, H, W), for networks with a skip.

        Returns:
            (B, Q, channels, H, W) standardised, channels as in ``config.outputs``.
        """
        tokens = self.tokens(series)
        b, _, _, height, width = tokens.shape
        pixels = tokens.permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B·H·W, N, C)
        encoded = self.temporal(pixels)
        asked = self.query_tokens(query)
        asked = asked[:, None].expand(-1, height * width, -1, -1).flatten(0, 1)
        decoded = self.cross(asked, encoded)
        maps = decoded.unflatten(0, (b, height, width)).permute(0, 3, 4, 1, 2)
        maps = maps.flatten(0, 1)
        if context is not None:
            maps = maps + self.context(context.flatten(0, 1))
        out: Tensor = self.decoder(maps).unflatten(0, (b, query.shape[1]))
        return out

    def split(self, out: Tensor) -> dict[str, Tensor]:
        """(B, Q, channels, H, W) standardised → per sensor, in the network's unit."""
        parts = torch.split(out, [len(s.bands) for s in self.config.sensors], dim=2)
        result = {}
        for sensor, part in zip(self.config.sensors, parts, strict=True):
            mean, std = self.statistics(sensor)
            result[sensor.name] = part * std + mean
        return result


@torch.no_grad()
def attend_nearby(net: Tamrf) -> None:
    """Let the cross-attention of a fresh network look at dates near the one asked for.

    Queries and keys of each head read some frequencies of the time encoding, so their product is
    a sum of cosines of the distance in time; the heads differ in how fast it falls.
    """
    c = net.config
    head = c.width // c.heads
    # Periods from about twelve days to a year: pairs of sine and cosine.
    periods = 2 * math.pi * 365.0 ** (2 * np.arange(c.features // 2) / c.features)
    useful = np.flatnonzero((periods > 12) & (periods < 400))
    if not len(useful):
        return
    pairs = useful[np.linspace(0, len(useful) - 1, max(head // 2, 1)).astype(int)]
    columns = c.features + np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel()[:head]
    weight = net.cross.attention.in_proj_weight
    for h in range(c.heads):
        sharp = (1.0 + h) / math.sqrt(len(pairs) / 4)
        rows = torch.arange(h * head, h * head + len(columns))
        for offset in (0, c.width):
            weight[offset + h * head : offset + (h + 1) * head] *= 0.3
            weight[offset + rows, torch.from_numpy(columns)] += math.sqrt(sharp)
