"""Trained refiners on disk: safetensors with the card inside, and the card beside for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from trifuse.core import ConfigError, WeightsError
from trifuse.core.weights import fill_model, read_weights, write_weights
from trifuse.fusformer.card import finite, software
from trifuse.fusformer.refiner import BANDS, Refiner, RefinerConfig

FORMAT = 2
"""Version of the card's layout and of what the network is shown."""

LIMITS = (
    "For Sentinel-2 surface reflectance 0–1 that was restored by the method named in the card.",
    "Trained on synthetic errors: white noise, Gaussian blur by band, gain and offset.",
)


@dataclass(frozen=True, slots=True)
class RefinerCard:
    """Description of trained weights.

    Attributes:
        config: the network.
        restoration: what was done to the bands before: ``local`` or ``stationary``.
        protocol: on what and how it was trained; plain JSON values.
        metrics: what was measured; plain JSON values.
        limits: sentences on what it must not be used for.
        software: version of TriFuse that wrote it.
    """

    config: RefinerConfig
    restoration: str = "local"
    protocol: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = LIMITS
    software: str = field(default_factory=software)

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite become null."""
        plain: dict[str, Any] = finite(
            {
                "format": FORMAT,
                "network": "refiner",
                "model": self.config.to_json(),
                "bands": list(BANDS),
                "restoration": self.restoration,
                "protocol": self.protocol,
                "metrics": self.metrics,
                "limits": self.limits,
                "software": self.software,
            }
        )
        return plain

    def dumps(self) -> str:
        """One line of JSON with sorted keys: equal cards are equal text."""
        return json.dumps(self.to_json(), sort_keys=True, ensure_ascii=False, allow_nan=False)

    @classmethod
    def loads(cls, text: str) -> RefinerCard:
        """Inverse of :meth:`dumps`.

        Raises:
            WeightsError: if the text is no card of a refiner that this version can read.
        """
        try:
            raw = dict(json.loads(text))
            if (raw.get("format"), raw.get("network")) != (FORMAT, "refiner"):
                raise WeightsError(
                    "is no card of a refiner that this version can read",
                    fix="install the version of TriFuse that wrote it",
                )
            if list(raw["bands"]) != list(BANDS):
                raise WeightsError(f"was trained on bands {raw['bands']}")
            return cls(
                RefinerConfig.from_json(raw["model"]),
                str(raw["restoration"]),
                dict(raw["protocol"]),
                dict(raw["metrics"]),
                tuple(map(str, raw["limits"])),
                str(raw["software"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            if isinstance(e, WeightsError):
                raise
            what = e.what if isinstance(e, ConfigError) else repr(e)
            raise WeightsError(f"the card is damaged ({what})") from None


def save_refiner(
    path: Path | str, model: Refiner, card: RefinerCard, *, overwrite: bool = False
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
    if card.config != model.config:
        raise WeightsError("the card describes another network", where=path)
    write_weights(path, model, card.to_json(), card.dumps(), overwrite=overwrite)


def load_refiner(path: Path | str) -> tuple[Refiner, RefinerCard]:
    """Read weights onto the CPU; everything is checked before it is used.

    Returns:
        The network in evaluation mode, and its card.

    Raises:
        WeightsError: if the file is missing, truncated or no safetensors, has no card, or its
            tensors are not those of the network that the card describes.
    """
    path = Path(path)
    text, state = read_weights(path, tensors=True)
    try:
        card = RefinerCard.loads(text)
        with torch.device("meta"):  # no memory before the shapes are known to fit
            model = Refiner(card.config)
    except WeightsError as e:
        raise WeightsError(e.what, where=path, fix=e.fix) from None
    except ConfigError as e:
        raise WeightsError(f"the card is damaged ({e.what})", where=path) from None
    fill_model(model, state, path)
    return model.eval(), card
