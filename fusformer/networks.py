"""The networks of this room, and their weights on disk.

A network of another kind is a line of ``FUSION``: it can then be trained, saved and used.
"""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from trifuse.core import weights
from trifuse.core.card import NetworkKind
from trifuse.fusformer.base import FusionNetwork
from trifuse.fusformer.card import FusionCard
from trifuse.fusformer.refiner import REFINER, Refiner, RefinerCard

FUSION: tuple[NetworkKind[Any, FusionNetwork, FusionCard[Any]], ...] = tuple(
    resolve_name(where)
    for where in (
        "trifuse.fusformer.model:FUSFORMER",  # with a token mixer of choice
        "trifuse.fusformer.model:FUSFORMER_PAPER",  # as published
    )
)
"""Networks that fuse."""

REFINERS = (REFINER,)
"""Networks that refine restored bands."""


def load_weights(path: Path | str) -> tuple[FusionNetwork, FusionCard[Any]]:
    """A network that fuses, of the kind that its card names.

    See :func:`trifuse.core.weights.load_weights`.

    Raises:
        WeightsError: if the file cannot be used.
    """
    return weights.load_weights(path, FUSION)


def read_card(path: Path | str) -> FusionCard[Any]:
    """The card of a network that fuses, without its weights.

    Raises:
        WeightsError: if the file is missing, damaged, or has no card of one.
    """
    return weights.read_card(path, FUSION)


def load_refiner(path: Path | str) -> tuple[Refiner, RefinerCard]:
    """A network that refines restored bands; see :func:`trifuse.core.weights.load_weights`.

    Raises:
        WeightsError: if the file cannot be used.
    """
    return weights.load_weights(path, REFINERS)
