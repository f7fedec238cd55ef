"""Trained weights on disk: safetensors with the card inside, and the card beside for people."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trifuse.core import ConfigError, WeightsError, atomic_path, refuse_existing, write_json
from trifuse.fusformer.card import Card
from trifuse.fusformer.model import Fusformer, build_model

KEY = "trifuse_card"
"""Key of the card in the header of the file."""


def save_weights(
    path: Path | str, model: Fusformer, card: Card, *, overwrite: bool = False
) -> None:
    """Write ``path`` and the card as JSON beside it, each atomically.

    Args:
        path: ends in ``.safetensors``.
        model: the trained network, on any device.
        card: must describe this network.
        overwrite: replace what is there.

    Raises:
        WeightsError: if the card describes another network, the name has another ending, or a
            parameter is not finite.
        OutputExistsError: if a file is in the way.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    if path.suffix != ".safetensors":
        raise WeightsError("has another ending", where=path, fix="name it *.safetensors")
    if card.config != model.config:
        raise WeightsError("the card describes another network", where=path)
    refuse_existing(path, beside, overwrite=overwrite)
    state = {k: v.detach().float().cpu().contiguous() for k, v in model.state_dict().items()}
    _require_finite(state, path)
    with atomic_path(path, overwrite=overwrite) as temporary:
        save_file(state, temporary, metadata={KEY: card.dumps()})
    write_json(beside, card.to_json(), overwrite=overwrite)


def read_card(path: Path | str) -> Card:
    """The card of weights, without the weights.

    Raises:
        WeightsError: if the file is missing, damaged, or has no card.
    """
    return _read(Path(path))[0]


def load_weights(path: Path | str) -> tuple[Fusformer, Card]:
    """Read weights onto the CPU; everything is checked before it is used.

    Returns:
        The network in evaluation mode, and its card.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, has no card, or its
            tensors are not those of the network that the card describes.
    """
    path = Path(path)
    card, state = _read(path, tensors=True)
    try:
        with torch.device("meta"):  # no memory before the shapes are known to fit
            model = build_model(card.config)
    except ConfigError as e:
        raise WeightsError(f"the card is damaged ({e.what})", where=path) from None
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
    _require_finite(state, path)
    model.load_state_dict({k: v.float() for k, v in state.items()}, assign=True)
    return model.eval(), card


def _read(path: Path, *, tensors: bool = False) -> tuple[Card, dict[str, Tensor]]:
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
    try:
        return Card.loads(text), state
    except WeightsError as e:
        raise WeightsError(e.what, where=path, fix=e.fix) from None


def _require_finite(state: dict[str, Tensor], path: Path) -> None:
    if bad := [k for k, v in state.items() if not torch.isfinite(v).all()]:
        raise WeightsError(f"{', '.join(bad[:3])} hold values that are not finite", where=path)
