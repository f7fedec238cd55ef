"""The card of networks that fuse: which bands they need, and what their training began with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, TypeVar

from trifuse.core import BandSet, WeightsError, canonical_name
from trifuse.core.card import Card
from trifuse.fusformer.base import FusionConfig

C = TypeVar("C", bound=FusionConfig)

LIMITS = (
    "Input is surface reflectance 0–1, not digital numbers.",
    "Trained on synthetic triplets made from EnMAP; judge it against the regression on your scene.",
)
"""What is true of every network trained here."""


@dataclass(frozen=True, slots=True)
class FusionCard(Card[C]):
    """Description of a trained network that fuses.

    Attributes:
        hr_bands: bands of the sharp input in the network's order, with centre and FWHM in nm.
        lr_bands: bands of the coarse input and of the result.
        store: content hash of the training store; empty if there is none.
        prior: what the network was shown as ``prior``, if its configuration asks for that.
        limits: sentences on what it must not be used for.

    Raises:
        WeightsError: if the bands do not fit the configuration.
    """

    APART: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "normalisation": ("input_offset", "input_scale", "output_scale")
    }

    hr_bands: BandSet
    lr_bands: BandSet
    _: KW_ONLY
    store: str = ""
    prior: str = "regression"
    limits: tuple[str, ...] = LIMITS

    def __post_init__(self) -> None:
        named = (len(self.hr_bands), len(self.lr_bands))
        built = (self.config.hr_bands, self.config.lr_bands)
        if named != built:
            raise WeightsError(f"the card names {named} bands for a network of {built}")


def check_bands(card: FusionCard[Any], hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
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
