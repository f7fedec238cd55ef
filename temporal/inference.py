"""Prediction that equals the plain forward and costs a fraction of it.

* Each image goes through its spatial encoder once, padded by reflection; the features are kept
  per date, in half precision or on disk, so later queries cost only the decoder.
* The temporal stage is strictly per pixel: it runs on strips of rows, with memory independent of
  the image's height.
* What all pixels of a date share (time encoding, sensor token) enters the first projection as a
  per-date constant; keys and values of the cross-attention are folded into the few queries.
* All dates asked for are decoded at once, and only the bands asked for.

Source of the network: Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, §3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from trifuse.core import DataError, Window
from trifuse.temporal.config import Sensor
from trifuse.temporal.model import Tamrf
from trifuse.temporal.observation import reflect
from trifuse.temporal.renamed import warn_renamed

MARGIN = 2
"""Target pixels around the area whose tokens the spatial decoder sees."""


@dataclass
class FeatureBank:
    """Features of every date of an area.

    Attributes:
        height: rows of the area in target pixels.
        width: columns.
        dtype: of the stored features; float16 halves memory and costs about 1e-3 of a deviation.
        folder: where to keep them as memory-mapped files; None keeps them in memory.
        constants: per date (features + sensor token,), the shared part of its tokens.
        features: per date (height + 2·MARGIN, width + 2·MARGIN, features), or the file of it.
    """

    height: int
    width: int
    dtype: str = "float32"
    folder: Path | None = None
    constants: list[Tensor] = field(default_factory=list)
    features: list[np.ndarray | Path] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.features)

    def rows(self, start: int, stop: int, device: torch.device) -> Tensor:
        """Features of rows of the padded area: (pixels, dates, features) float32."""
        # Files are mapped for this strip only, so that what was read does not stay in memory.
        images = (f if isinstance(f, np.ndarray) else np.load(f, "r") for f in self.features)
        strip = np.stack([image[start:stop] for image in images], axis=2)
        return torch.from_numpy(strip).to(device, torch.float32).flatten(0, 1)

    def add(self, constant: Tensor, feature: Tensor) -> None:
        """Keep a date: its shared part and its features (features, H, W)."""
        values = feature.permute(1, 2, 0).to("cpu").numpy().astype(self.dtype)
        self.constants.append(constant)
        if self.folder is None:
            self.features.append(np.ascontiguousarray(values))
            return
        path = self.folder / f"features_{len(self.features):04d}.npy"
        np.save(path, values)
        self.features.append(path)


@torch.inference_mode()
def encode_date(
    model: Tamrf,
    bank: FeatureBank,
    sensor: Sensor,
    data: np.ndarray,
    day: float,
    *,
    tile: int = 256,
    around: bool = False,
) -> None:
    """Add one image to a bank.

    Args:
        model: in eval mode.
        bank: of the same area.
        sensor: of the image.
        data: (bands, height / ratio, width / ratio) in the network's unit; NaN where missing.
        day: days since the origin of the series.
        tile: edge in pixels of the sensor that goes through the encoder at once; exact.
        around: ``data`` also holds the :func:`sensor_halo` pixels around the area on each side,
            as a part of a larger image does; otherwise the image is reflected there.

    Raises:
        DataError: if the image does not cover the area.
    """
    shape = (len(sensor.bands), bank.height // sensor.ratio, bank.width // sensor.ratio)
    pad = sensor_halo(model, sensor)
    needed = (shape[0], *(n + 2 * pad for n in shape[1:])) if around else shape
    if data.shape != needed:
        raise DataError(f"image {data.shape} where {needed} is needed", where=sensor.name)
    device = next(model.parameters()).device
    encoder = model.spatial[sensor.name]
    rim = -(-MARGIN // sensor.ratio)
    halo = pad - rim
    image = torch.from_numpy(np.ascontiguousarray(data, np.float32)).to(device)
    image = model.standardise(sensor, image)
    if not around:
        image = reflect(image, pad)
    rows, cols = (n + 2 * rim for n in shape[1:])
    out = torch.empty(
        (model.config.features, rows * sensor.ratio, cols * sensor.ratio), device="cpu"
    )
    for row in range(0, rows, tile):
        for col in range(0, cols, tile):
            height, width = min(tile, rows - row), min(tile, cols - col)
            part = image[None, :, row : row + height + 2 * halo, col : col + width + 2 * halo]
            # Channels last: a fifth less time on a CPU, the same numbers to rounding.
            feature = encoder(part.contiguous(memory_format=torch.channels_last))[0]
            inner = Window(row, col, height, width)
            cut, put = halo * sensor.ratio, [s * sensor.ratio for s in (inner.row, inner.col)]
            size = (height * sensor.ratio, width * sensor.ratio)
            out[:, put[0] : put[0] + size[0], put[1] : put[1] + size[1]] = feature[
                :, cut : cut + size[0], cut : cut + size[1]
            ].cpu()
    off = rim * sensor.ratio - MARGIN
    area = out[:, off : off + bank.height + 2 * MARGIN, off : off + bank.width + 2 * MARGIN]
    when = torch.tensor([[day]], device=device)
    bank.add(model.date_constants(sensor, when)[0, 0], area)


def sensor_halo(model: Tamrf, sensor: Sensor) -> int:
    """Pixels of a sensor around an area that have a say in it, on each side."""
    halo = int(model.spatial[sensor.name].halo)  # type: ignore[arg-type]
    return halo + -(-MARGIN // sensor.ratio)


def context(model: Tamrf, sensor: Sensor) -> int:
    """Old name of :func:`sensor_halo`; what networks with a skip are shown is their context."""
    warn_renamed("context()", "sensor_halo()")
    return sensor_halo(model, sensor)


@torch.inference_mode()
def decode(
    model: Tamrf,
    bank: FeatureBank,
    query: Sequence[float],
    channels: Sequence[int],
    sink: Callable[[Window, np.ndarray], None],
    *,
    strip: int = 8,
    chunk: int = 64,
    clear: np.ndarray | None = None,
    mass: Callable[[Window, np.ndarray], None] | None = None,
    context: np.ndarray | None = None,
) -> None:
    """Predict dates from a bank, strip by strip from top to bottom.

    Args:
        model: in eval mode, on any device.
        bank: at least one date.
        query: days since the origin of the series.
        channels: positions in ``model.config.outputs``.
        sink: called with (window, (dates, channels, rows, width) float32 in the network's unit).
        strip: rows at once.
        chunk: pixels in the temporal stage at once; small ones stay in the processor's cache.
        clear: (N, height, width) bool, where each date of the bank is clear.
        mass: if ``clear`` is given, called with (window, (dates, rows, width) float32): the share
            of its attention, 0–1 and averaged over heads, that each prediction pays to clear dates.
        context: for networks with a skip: (dates, ``config.context``, height + 2·MARGIN,
            width + 2·MARGIN) float32.

    Raises:
        DataError: if the bank or the query is empty.
    """
    if not len(bank) or not len(query):
        raise DataError("no date to predict from or none asked for")
    device = next(model.parameters()).device
    stage = TemporalStage(model, torch.stack(bank.constants), torch.tensor(list(query)))
    wanted = torch.tensor(list(channels), device=device)
    mean, std = _output_statistics(model, wanted)
    padded_rows = bank.height + 2 * MARGIN
    padded_cols = bank.width + 2 * MARGIN
    edge = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
    clear = None if clear is None else np.pad(clear, edge)
    kept = torch.empty(0)
    done = 0  # rows of the padded area whose tokens are decoded
    for top in range(0, bank.height, strip):
        bottom = min(top + strip, bank.height)
        first, done = done, bottom + 2 * MARGIN
        rows = bank.rows(first, done, device).split(chunk)
        if clear is None or mass is None:
            new = torch.cat([stage(part) for part in rows])
        else:
            seen = torch.from_numpy(clear[:, first:done].reshape(len(clear), -1).T.copy())
            pairs = [
                stage.with_mass(part, flags.to(device))
                for part, flags in zip(rows, seen.split(chunk), strict=True)
            ]
            new = torch.cat([tokens for tokens, _ in pairs])
            _hand_on(torch.cat([m for _, m in pairs]), first, bank, mass)
        new = new.unflatten(0, (-1, padded_cols)).permute(2, 3, 0, 1)  # (Q, C, rows, cols)
        if context is not None:
            new = new + model.context(torch.from_numpy(context[:, :, first:done]).to(device))
        tokens = torch.cat([kept, new], dim=2) if kept.numel() else new
        out = model.decoder(tokens, wanted)
        # Inside the padded area the two convolutions spoil MARGIN pixels at each edge.
        out = out[:, :, MARGIN : MARGIN + bottom - top, MARGIN:-MARGIN] * std + mean
        sink(Window(top, 0, bottom - top, bank.width), out.float().cpu().numpy())
        kept = tokens[:, :, bottom - top :].clone()
    assert done == padded_rows


class TemporalStage:
    """Transformer over the dates of a pixel and cross-attention, for one set of dates and queries.

    Args:
        model: the network.
        constants: (N, features + sensor token), the shared parts of the tokens.
        query: (Q,) days.
    """

    def __init__(self, model: Tamrf, constants: Tensor, query: Tensor) -> None:
        device = constants.device
        self.model, self.constants = model, constants
        self.heads = model.config.heads
        self.first = model.config.features
        weight = model.temporal.layers[0].self_attn.in_proj_weight
        bias = model.temporal.layers[0].self_attn.in_proj_bias
        self.weight0 = weight[:, : self.first].T.contiguous()
        self.bias0 = constants @ weight[:, self.first :].T + bias  # (N, 3C)
        asked = model.query_tokens(query.to(device)[None])[0]  # (Q, C)
        self._fold(asked)

    def _fold(self, asked: Tensor) -> None:
        """Keys seen by the queries, and values seen by the output: no projection per token."""
        attention = self.model.cross.attention
        width = asked.shape[-1]
        head = width // self.heads
        w_q, w_k, w_v = attention.in_proj_weight.chunk(3)
        b_q, b_k, b_v = attention.in_proj_bias.chunk(3)
        q = ((asked @ w_q.T + b_q) / head**0.5).unflatten(-1, (self.heads, head))
        keys = w_k.unflatten(0, (self.heads, head))
        self.scores = torch.einsum("qhd,hdc->qhc", q, keys).flatten(0, 1).T.contiguous()
        self.score_bias = torch.einsum("qhd,hd->qh", q, b_k.unflatten(0, (self.heads, head)))
        self.score_bias = self.score_bias.flatten()
        out = attention.out_proj.weight.unflatten(1, (self.heads, head))
        values = w_v.unflatten(0, (self.heads, head))
        self.values = torch.einsum("ohd,hdc->hco", out, values).flatten(0, 1).contiguous()
        self.value_bias = torch.einsum("ohd,hd->ho", out, b_v.unflatten(0, (self.heads, head)))
        self.out_bias, self.asked = attention.out_proj.bias, asked

    def __call__(self, features: Tensor) -> Tensor:
        """(P, N, features) → (P, Q, width)."""
        return self._cross(self._encode(features))[0]

    def with_mass(self, features: Tensor, clear: Tensor) -> tuple[Tensor, Tensor]:
        """The same, and the attention (P, Q) paid to the dates that are clear (P, N) bool."""
        tokens, weight = self._cross(self._encode(features))
        paid = torch.bmm(clear[:, None].to(weight.dtype), weight)[:, 0]
        return tokens, paid.unflatten(-1, (-1, self.heads)).mean(dim=-1)

    def _encode(self, features: Tensor) -> Tensor:
        shared = self.constants.expand(len(features), -1, -1)
        x = torch.cat([features, shared], dim=-1)
        qkv = features @ self.weight0 + self.bias0
        for i, layer in enumerate(self.model.temporal.layers):
            if i:
                qkv = F.linear(x, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias)
            x = layer.norm1(x + self._attend(qkv, layer.self_attn.out_proj))
            x = layer.norm2(x + layer.linear2(F.relu_(layer.linear1(x))))
        return x

    def _attend(self, qkv: Tensor, project: torch.nn.Linear) -> Tensor:
        p, n, _ = qkv.shape
        q, k, v = qkv.view(p, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v)
        out: Tensor = project(seen.transpose(1, 2).reshape(p, n, -1))
        return out

    def _cross(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(P, N, C) → (P, Q, C), and the attention (P, N, Q·heads)."""
        score = x @ self.scores + self.score_bias  # (P, N, Q·heads)
        # The extra key is zero: its score is 0 and its value is 0.
        top = score.amax(dim=1, keepdim=True).clamp_(min=0)
        weight = (score - top).exp_()
        weight = weight / (weight.sum(dim=1, keepdim=True) + (-top).exp())
        mixed = torch.bmm(weight.transpose(1, 2), x)  # (P, Q·heads, C)
        mass = weight.sum(dim=1).unflatten(-1, (-1, self.heads))  # (P, Q, heads)
        seen = mixed.unflatten(1, (-1, self.heads)).flatten(2) @ self.values
        seen = seen + mass @ self.value_bias + self.out_bias
        cross = self.model.cross
        return cross.feed_forward(cross.norm1(self.asked + seen)), weight


def _hand_on(
    values: Tensor, first: int, bank: FeatureBank, sink: Callable[[Window, np.ndarray], None]
) -> None:
    """Give a sink the part of (P, Q) values, rows of the padded area, that lies in the area."""
    maps = values.unflatten(0, (-1, bank.width + 2 * MARGIN)).permute(2, 0, 1)
    top = max(first - MARGIN, 0)
    maps = maps[:, top + MARGIN - first :, MARGIN:-MARGIN][:, : bank.height - top]
    if maps.shape[1]:
        sink(Window(top, 0, maps.shape[1], bank.width), maps.float().cpu().numpy())


def _output_statistics(model: Tamrf, channels: Tensor) -> tuple[Tensor, Tensor]:
    pairs = [model.statistics(s) for s in model.config.sensors]
    mean, std = (torch.cat([pair[i] for pair in pairs])[channels] for i in (0, 1))
    return mean, std
