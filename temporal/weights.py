"""Trained TAMRF weights on disk: safetensors with the card inside, and the card beside."""

from __future__ import annotations

from pathlib import Path

import torch

from trifuse.core import ConfigError, WeightsError
from trifuse.core.weights import fill_model, read_weights, write_weights
from trifuse.temporal.card import Card
from trifuse.temporal.model import Tamrf

SHIPPED = Path(__file__).with_name("shipped") / "tamrf.safetensors"
"""Weights that come with TriFuse."""

MAX_FEATURES = 4096
"""Sizes beyond are no network but a damaged card."""


def save_weights(path: Path | str, model: Tamrf, card: Card, *, overwrite: bool = False) -> None:
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
    if card.config != model.config:
        raise WeightsError("the card describes another network", where=path)
    write_weights(path, model, card.to_json(), card.dumps(), overwrite=overwrite)


def read_card(path: Path | str) -> Card:
    """The card of weights, without the weights.

    Raises:
        WeightsError: if the file is missing, damaged, or has no card.
    """
    text, _ = read_weights(Path(path))
    return _card(text, Path(path))


def load_weights(path: Path | str) -> tuple[Tamrf, Card]:
    """Read weights onto the CPU; everything is checked before it is used.

    Returns:
        The network in evaluation mode, and its card.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, has no card, or its
            tensors are not those of the network that the card describes.
    """
    path = Path(path)
    text, state = read_weights(path, tensors=True)
    card = _card(text, path)
    c = card.config
    if max(c.features, c.growth, c.hidden, c.sensor_token, c.blocks, c.layers) > MAX_FEATURES:
        raise WeightsError("the card is damaged (a size beyond reason)", where=path)
    try:
        with torch.device("meta"):  # no memory before the shapes are known to fit
            model = Tamrf(c)
    except (ConfigError, RuntimeError, TypeError) as e:
        raise WeightsError(f"the card is damaged ({e})", where=path) from None
    fill_model(model, state, path)
    return model.eval(), card


def _card(text: str, path: Path) -> Card:
    try:
        return Card.loads(text)
    except WeightsError as e:
        raise WeightsError(e.what, where=path, fix=e.fix) from None
