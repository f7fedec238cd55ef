"""The networks of this room, and their weights on disk."""

from __future__ import annotations

from pathlib import Path

from trifuse.core import weights
from trifuse.core.card import NetworkKind
from trifuse.core.weights import save_weights
from trifuse.temporal.card import TamrfCard
from trifuse.temporal.config import TamrfConfig
from trifuse.temporal.model import Tamrf

__all__ = ["SERIES", "SHIPPED", "TAMRF", "load_weights", "read_card", "save_weights"]

SHIPPED = Path(__file__).with_name("shipped") / "tamrf.safetensors"
"""Weights that come with TriFuse."""

TAMRF = NetworkKind("a TAMRF", TamrfConfig, Tamrf, TamrfCard)

SERIES = (TAMRF,)
"""Networks that see series."""


def load_weights(path: Path | str) -> tuple[Tamrf, TamrfCard]:
    """A network that sees series; see :func:`trifuse.core.weights.load_weights`.

    Raises:
        WeightsError: if the file cannot be used.
    """
    return weights.load_weights(path, SERIES)


def read_card(path: Path | str) -> TamrfCard:
    """The card of a network that sees series, without its weights.

    Raises:
        WeightsError: if the file is missing, damaged, or has no card of one.
    """
    return weights.read_card(path, SERIES)
