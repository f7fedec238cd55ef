"""What must be known of TAMRF weights to use them: the card that travels with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trifuse.core import ConfigError, WeightsError
from trifuse.temporal.config import TamrfConfig

FORMAT = 1
"""Version of the card's layout."""

NETWORK = "tamrf"

LIMITS = (
    "Input is surface reflectance 0–1 and temperature in kelvin / 1000.",
    "Days count from the first of January of the first image's year.",
)
"""What is true of every network trained here."""


def _software() -> str:
    try:
        return version("trifuse")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Card:
    """Description of trained weights.

    Attributes:
        config: the network with its sensors, their statistics and sharpness.
        data: what it was trained on; plain JSON values.
        protocol: how; plain JSON values.
        metrics: what was measured, by name of the data; plain JSON values.
        limits: sentences on what it must not be used for.
        software: version of TriFuse that wrote it.
    """

    config: TamrfConfig
    data: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = LIMITS
    software: str = field(default_factory=_software)

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite become null."""
        plain: dict[str, Any] = _plain(
            {
                "format": FORMAT,
                "network": NETWORK,
                "model": self.config.to_json(),
                "data": self.data,
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
    def loads(cls, text: str) -> Card:
        """Inverse of :meth:`dumps`.

        Raises:
            WeightsError: if the text is no card of this version, or has unknown keys.
        """
        try:
            raw = dict(json.loads(text))
            if raw.pop("format", None) != FORMAT or raw.pop("network", None) != NETWORK:
                raise WeightsError(
                    "is no card of a TAMRF that this version can read",
                    fix="install the version of TriFuse that wrote it",
                )
            card = cls(
                config=TamrfConfig.from_json(raw.pop("model")),
                data=dict(raw.pop("data")),
                protocol=dict(raw.pop("protocol")),
                metrics=dict(raw.pop("metrics")),
                limits=tuple(map(str, raw.pop("limits"))),
                software=str(raw.pop("software")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            if isinstance(e, WeightsError):
                raise
            what = e.what if isinstance(e, ConfigError) else repr(e)
            raise WeightsError(f"the card is damaged ({what})") from None
        if raw:
            raise WeightsError(f"the card has unknown keys {', '.join(sorted(raw))}")
        return card


def _plain(value: Any) -> Any:
    """JSON has no NaN: a metric that does not exist is null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
