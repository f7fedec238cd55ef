"""What must be known of weights to use them: the card that travels with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from trifuse.core import BandError, BandSet, ConfigError, WeightsError, canonical_name
from trifuse.fusformer.config import FusformerConfig

FORMAT = 1
"""Version of the card's layout."""

NORMALISATION = ("input_offset", "input_scale", "output_scale")

LIMITS = (
    "Input is surface reflectance 0–1, not digital numbers.",
    "Trained on synthetic triplets made from EnMAP; judge it against the regression on your scene.",
)
"""What is true of every network trained here."""


def software() -> str:
    """The installed version of TriFuse."""
    try:
        return version("trifuse")
    except PackageNotFoundError:
        return "unknown"


@dataclass(frozen=True, slots=True)
class Card:
    """Description of trained weights.

    Attributes:
        config: the network.
        hr_bands: bands of the sharp input in the network's order, with centre and FWHM in nm.
        lr_bands: bands of the coarse input and of the result.
        store: content hash of the training store; empty if there is none.
        prior: what the skip was, if the configuration's skip is ``prior``.
        protocol: how the training pairs were made (ratio, PSF, augmentation); plain JSON values.
        metrics: what was measured, by name of the data; plain JSON values.
        limits: sentences on what it must not be used for.
        software: version of TriFuse that wrote it.

    Raises:
        WeightsError: if the bands do not fit the configuration.
    """

    config: FusformerConfig
    hr_bands: BandSet
    lr_bands: BandSet
    store: str = ""
    prior: str = "regression"
    protocol: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = LIMITS
    software: str = field(default_factory=software)

    def __post_init__(self) -> None:
        named = (len(self.hr_bands), len(self.lr_bands))
        built = (self.config.hr_bands, self.config.lr_bands)
        if named != built:
            raise WeightsError(f"the card names {named} bands for a network of {built}")

    def to_json(self) -> dict[str, Any]:
        """Plain values; numbers that are not finite become null."""
        model = self.config.to_json()
        normalisation = {name: model.pop(name) for name in NORMALISATION}
        plain: dict[str, Any] = finite(
            {
                "format": FORMAT,
                "network": "fusformer",
                "model": model,
                "normalisation": normalisation,
                "hr_bands": self.hr_bands.to_json(),
                "lr_bands": self.lr_bands.to_json(),
                "store": self.store,
                "prior": self.prior,
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
            if raw.pop("format", None) != FORMAT or raw.pop("network", None) != "fusformer":
                raise WeightsError(
                    "is no card of a Fusformer that this version can read",
                    fix="install the version of TriFuse that wrote it",
                )
            model, normalisation = dict(raw.pop("model")), dict(raw.pop("normalisation"))
            if set(normalisation) != set(NORMALISATION):
                raise WeightsError(f"the card's normalisation has keys {sorted(normalisation)}")
            card = cls(
                config=FusformerConfig.from_json(model | normalisation),
                hr_bands=BandSet.from_json(raw.pop("hr_bands")),
                lr_bands=BandSet.from_json(raw.pop("lr_bands")),
                store=str(raw.pop("store")),
                prior=str(raw.pop("prior")),
                protocol=dict(raw.pop("protocol")),
                metrics=dict(raw.pop("metrics")),
                limits=tuple(map(str, raw.pop("limits"))),
                software=str(raw.pop("software")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as e:
            if isinstance(e, WeightsError):
                raise
            what = e.what if isinstance(e, ConfigError | BandError) else repr(e)
            raise WeightsError(f"the card is damaged ({what})") from None
        if raw:
            raise WeightsError(f"the card has unknown keys {', '.join(sorted(raw))}")
        return card


def check_bands(card: Card, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
    """Find a network's bands in two images, by name.

    Names ignore case and leading zeros. A band of the right name must also lie where the network
    learnt it: within 5 nm or a quarter of its FWHM, which sister satellites keep.

    Args:
        card: of the network.
        hr: bands of the sharp image; more than needed is fine.
        lr: bands of the coarse image; more than needed is fine.

    Returns:
        Names of the sharp and of the coarse image's bands, in the network's order.

    Raises:
        WeightsError: if bands are missing or lie elsewhere; names each.
    """
    return _find(card.hr_bands, hr, "sharp"), _find(card.lr_bands, lr, "coarse")


def _find(wanted: BandSet, there: BandSet, which: str) -> list[str]:
    known = {canonical_name(b.name): b for b in there}
    if missing := [b.name for b in wanted if canonical_name(b.name) not in known]:
        raise WeightsError(
            f"the weights need bands {', '.join(missing)}, which the {which} image lacks "
            f"(it has {', '.join(there.names)})",
            fix="give weights that were trained for these bands, or the product that has them",
        )
    found = [known[canonical_name(b.name)] for b in wanted]
    moved = [
        f"{w.name} at {f.centre:.1f} instead of {w.centre:.1f} nm"
        for w, f in zip(wanted, found, strict=True)
        if abs(w.centre - f.centre) > max(5.0, 0.25 * (w.fwhm if math.isfinite(w.fwhm) else 0.0))
    ]
    if moved:
        raise WeightsError(
            f"bands of the {which} image lie elsewhere than those of the weights: "
            + ", ".join(moved),
            fix="give weights that were trained for this sensor",
        )
    return [f.name for f in found]


def finite(value: Any) -> Any:
    """JSON has no NaN: a metric that does not exist is null."""
    if isinstance(value, Mapping):
        return {str(k): finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
