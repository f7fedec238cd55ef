"""The card of TAMRF weights: what they were trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from trifuse.core.card import Card
from trifuse.temporal.config import TamrfConfig

LIMITS = (
    "Input is surface reflectance 0–1 and temperature in kelvin / 1000.",
    "Days count from the first of January of the first image's year.",
)
"""What is true of every network trained here."""


@dataclass(frozen=True, slots=True)
class TamrfCard(Card[TamrfConfig]):
    """Description of trained weights; the configuration holds the sensors and their statistics.

    Attributes:
        data: what it was trained on; plain JSON values.
        limits: sentences on what it must not be used for.
    """

    _: KW_ONLY
    data: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = LIMITS
