"""The two levels of Sentinel-2 products that are read, and what differs between them.

Source: Sentinel-2 Products Specification Document (S2-PDGS-TAS-DI-PSD).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NATIVE = {
    "B1": 60,
    "B2": 10,
    "B3": 10,
    "B4": 10,
    "B5": 20,
    "B6": 20,
    "B7": 20,
    "B8": 10,
    "B8A": 20,
    "B9": 60,
    "B11": 20,
    "B12": 20,
}
"""Sampling in metres at which each band of a L2A product is measured."""
NATIVE_L1C = {
    **{b: m for b, m in NATIVE.items() if b not in ("B11", "B12")},
    "B10": 60,
    "B11": 20,
    "B12": 20,
}
"""Likewise of a L1C product, which has B10 too: it sees cirrus and no ground."""


@dataclass(frozen=True, slots=True)
class Level:
    """A level of processing.

    Attributes:
        name: ``L2A`` or ``L1C``.
        native: sampling in metres by band, in order.
        quantity: what the values are.
        divisor: tag of the counts that make 1.
        added: tag of what is added to the counts, by band.
        metadata: name of the product's metadata file.
    """

    name: str
    native: Mapping[str, int]
    quantity: str
    divisor: str
    added: str
    metadata: str

    @property
    def bands(self) -> tuple[str, ...]:
        """Names in order."""
        return tuple(self.native)


L2A = Level(
    "L2A", NATIVE, "reflectance", "BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET", "MTD_MSIL2A.xml"
)
L1C = Level(
    "L1C",
    NATIVE_L1C,
    "toa_reflectance",
    "QUANTIFICATION_VALUE",
    "RADIO_ADD_OFFSET",
    "MTD_MSIL1C.xml",
)
