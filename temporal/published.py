"""Published TAMRF checkpoints: their parameter names, and their statistics.

The release stores a training checkpoint with everything in it. Only tensors are read, without
executing anything in the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trifuse.core import WeightsError
from trifuse.temporal.config import LANDSAT, SENTINEL2, TamrfConfig
from trifuse.temporal.model import Tamrf

_SENSOR = {"lr": "landsat", "hr": "sentinel2"}
_DENSE = r"module\.block_(\d)\.module\.module\.(\d)\.conv\.(weight|bias)"
_LAYER = r"(self_attn\.in_proj_weight|self_attn\.in_proj_bias|(?:self_attn\.out_proj|linear[12]|norm[12])\.(?:weight|bias))"  # noqa: E501


def our_name(key: str) -> str | None:
    """Name of a published tensor in :class:`Tamrf`; None for what it has no use for.

    Args:
        key: without the prefix ``the_modules.``.
    """
    if m := re.fullmatch(r"encoder\.(lr|hr)_sensor_token", key):
        return f"sensor_tokens.{_SENSOR[m[1]]}"
    if m := re.fullmatch(r"encoder\.(lr|hr)_encoder\.model\.(.*)", key):
        where = f"spatial.{_SENSOR[m[1]]}."
        if n := re.fullmatch(r"encoder\.blocks\.(\d+)\.(weight|bias)", m[2]):
            return where + ("first." if n[1] == "0" else "last.") + n[2]
        if n := re.fullmatch(rf"encoder\.blocks\.(\d+)\.{_DENSE}", m[2]):
            return f"{where}blocks.{int(n[1]) - 1}.dense.{n[2]}.convs.{n[3]}.{n[4]}"
        if n := re.fullmatch(r"upsampling\.0\.block\.0\.(weight|bias)", m[2]):
            return f"{where}upsampling.{n[1]}"
        return None
    if m := re.fullmatch(
        rf"encoder\.transformer_encoder\.transformer_encoder\.layers\.(\d+)\.{_LAYER}", key
    ):
        return f"temporal.layers.{m[1]}.{m[2]}"
    if key == "decoder.query_sensor_token":
        return "query_sensor_token"
    if key == "decoder.imputer.default_token":
        return "query_token"
    if m := re.fullmatch(r"decoder\.attention\.(.*)", key):
        return f"cross.{m[1]}"
    if m := re.fullmatch(r"decoder\.decoder\.model\.decoder\.([02])\.(weight|bias)", key):
        return f"decoder.{'first' if m[1] == '0' else 'last'}.{m[2]}"
    return None


def from_published(state: Mapping[str, Tensor]) -> Tamrf:
    """A network with the weights of a published state dictionary.

    Args:
        state: ``state_dict`` of the checkpoint; parts ``._orig_mod`` are ignored. Statistics are
            taken from its buffers ``hr_mean hr_std lr_mean lr_std`` where it has them.

    Raises:
        WeightsError: if tensors are missing, unknown or of another shape.
    """
    state = {k.replace("._orig_mod", ""): v for k, v in state.items()}
    layers = len({m[1] for k in state if (m := re.search(r"encoder\.layers\.(\d+)\.", k))})
    blocks = len(
        {m[1] for k in state if (m := re.search(r"hr_encoder\..*blocks\.(\d+)\.scale", k))}
    )
    token = state.get("the_modules.decoder.query_sensor_token", torch.empty(0)).numel()
    sensors = []
    for short, sensor in (("lr", LANDSAT), ("hr", SENTINEL2)):
        if f"{short}_mean" in state:
            values = {k: tuple(state[f"{short}_{k}"].flatten().tolist()) for k in ("mean", "std")}
            sensor = replace(sensor, mean=values["mean"], std=values["std"])
        sensors.append(sensor)
    if not layers or not blocks:
        raise WeightsError("holds no TAMRF encoder", fix="give a published TAMRF checkpoint")
    model = Tamrf(
        TamrfConfig(tuple(sensors), sensor_token=token, blocks=blocks, layers=layers)
    ).eval()
    mine = model.state_dict()
    found = {}
    for key, value in state.items():
        if key.startswith("the_modules.") and (name := our_name(key.removeprefix("the_modules."))):
            if name not in mine or mine[name].shape != value.shape:
                raise WeightsError(f"tensor of shape {tuple(value.shape)} does not fit", where=key)
            found[name] = value
    buffers = {name for name, _ in model.named_buffers()}
    if missing := sorted(set(mine) - set(found) - buffers):
        raise WeightsError(f"{len(missing)} tensors are missing, the first is {missing[0]}")
    model.load_state_dict({**{k: mine[k] for k in buffers}, **found})
    return model


def load_published(path: Path | str) -> Tamrf:
    """Read a published ``.ckpt``; tensors only, nothing in the file is executed.

    Raises:
        WeightsError: if the file is damaged or no TAMRF checkpoint.
    """
    try:
        raw = torch.load(path, map_location="cpu", weights_only=True)
        state = raw["state_dict"]
    except Exception as e:
        reason = " ".join(str(e).split())[:200]
        raise WeightsError(f"cannot be read as a checkpoint ({reason})", where=path) from None
    return from_published(state)
