"""Weights of the original Fusformer release under the names used here."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from trifuse.core import WeightsError
from trifuse.fusformer.config import FusformerConfig
from trifuse.fusformer.model import Fusformer

UNUSED = ("T_E.pos_embedding", "T_D.pos_embedding")
"""Tables that the release stores and never adds; 393,216 of its 504,463 numbers."""

_LEAVES = {"to_qkv": "qkv", "to_out.0": "out", "net.0": "fc1", "net.3": "fc2"}


def rename_original(key: str) -> str:
    """Name here of a parameter of the original release.

    >>> rename_original("T_D.layers.1.2.fn.fn.net.3.weight")
    'decoder.5.fn.fc2.weight'
    """
    match = re.fullmatch(r"T_([ED])\.layers\.(\d+)\.(\d+)\.fn\.(?:(norm)|fn\.(.+))\.(\w+)", key)
    if match is None:
        return re.sub(r"^Embedding\.0\.", "embedding.", re.sub(r"^refine\.", "head.", key))
    part, layer, branch, norm, leaf, kind = match.groups()
    stack, per_layer = ("encoder", 2) if part == "E" else ("decoder", 3)
    inner = norm or f"fn.{_LEAVES.get(leaf, leaf)}"
    return f"{stack}.{int(layer) * per_layer + int(branch)}.{inner}.{kind}"


def load_original_state(state: Mapping[str, Tensor]) -> Fusformer:
    """The original network with weights of the release.

    Args:
        state: parameters by their original names; band counts are read from the shapes. The
            unused positional tables are dropped.

    Returns:
        A network of :meth:`FusformerConfig.original`.

    Raises:
        WeightsError: if a parameter is missing, unknown or of another shape.
    """
    used = {rename_original(k): v for k, v in state.items() if k not in UNUSED}
    try:
        lr_bands = used["head.2.weight"].shape[0]
        width, bands = used["embedding.weight"].shape
    except (KeyError, ValueError) as e:
        raise WeightsError(f"no weights of the original Fusformer ({e!r})") from None
    model = Fusformer(FusformerConfig.original(bands - lr_bands, lr_bands, width=width))
    try:
        model.load_state_dict({k: torch.as_tensor(v) for k, v in used.items()})
    except RuntimeError as e:
        raise WeightsError(f"no weights of the original Fusformer: {e}") from None
    return model
