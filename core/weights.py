"""Tensors on disk with a description inside: safetensors with a card in the header.

Imports torch; nothing of core imports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from trifuse.core.atomic import atomic_path, refuse_existing, write_json
from trifuse.core.errors import WeightsError

KEY = "trifuse_card"
"""Key of the card in the header of the file."""


def write_weights(
    path: Path | str,
    model: nn.Module,
    card: Mapping[str, Any],
    text: str,
    *,
    overwrite: bool = False,
) -> None:
    """Write ``path`` and the card as JSON beside it, each atomically.

    Args:
        path: ends in ``.safetensors``.
        model: the trained network, on any device.
        card: plain JSON values, for the file beside.
        text: the same as one line, for the header.
        overwrite: replace what is there.

    Raises:
        WeightsError: if the name has another ending or a parameter is not finite.
        OutputExistsError: if a file is in the way.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    if path.suffix != ".safetensors":
        raise WeightsError("has another ending", where=path, fix="name it *.safetensors")
    refuse_existing(path, beside, overwrite=overwrite)
    state = {k: v.detach().float().cpu().contiguous() for k, v in model.state_dict().items()}
    require_finite(state, path)
    with atomic_path(path, overwrite=overwrite) as temporary:
        save_file(state, temporary, metadata={KEY: text})
    write_json(beside, card, overwrite=overwrite)


def read_weights(path: Path, *, tensors: bool = False) -> tuple[str, dict[str, Tensor]]:
    """The card's text, and the tensors on request.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, or has no card.
    """
    if not path.is_file():
        raise WeightsError("no such file", where=path, fix="give a *.safetensors file")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(KEY)
            state = {k: file.get_tensor(k) for k in file.keys()} if tensors else {}
    except (SafetensorError, OSError, ValueError) as e:
        reason = str(e).splitlines()[0]
        raise WeightsError(
            f"truncated or no safetensors file ({reason})", where=path, fix="fetch it again"
        ) from None
    if text is None:
        raise WeightsError("holds no card", where=path, fix="give weights written by TriFuse")
    return text, state


def fill_model(model: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Put tensors into a network made on the meta device, once their names and shapes fit.

    Raises:
        WeightsError: if they are not those of the network, or not finite.
    """
    expected = {k: tuple(v.shape) for k, v in model.state_dict().items()}
    found = {k: tuple(v.shape) for k, v in state.items()}
    if found != expected:
        differ = sorted(k for k in {*found, *expected} if found.get(k) != expected.get(k))
        first = differ[0]
        raise WeightsError(
            f"{len(differ)} tensors do not fit the network of the card, first {first}: "
            f"{found.get(first, 'missing')} instead of {expected.get(first, 'none')}",
            where=path,
            fix="give the file as it was written",
        )
    require_finite(state, path)
    model.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)


def require_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse tensors that hold NaN or infinity.

    Raises:
        WeightsError: naming the first of them.
    """
    if bad := [k for k, v in state.items() if not torch.isfinite(v).all()]:
        raise WeightsError(f"{', '.join(bad[:3])} hold values that are not finite", where=path)
