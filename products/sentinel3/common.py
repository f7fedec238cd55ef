"""What the readers of Sentinel-3 products share."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from trifuse.core import MetadataError, ProductError
from trifuse.products.files.hdf5 import Variable, variable_names
from trifuse.products.sentinel3.delivery import Delivery
from trifuse.products.sentinel3.flags import Mask
from trifuse.products.sentinel3.geometry import Geolocation
from trifuse.products.sentinel3.manifest import ProductFacts

_log = logging.getLogger(__name__)


class Inventory:
    """The variables that a product must have; what is missing is said in one message.

    Args:
        delivery: where they are looked for.
    """

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._missing: list[str] = []
        self._damaged: list[str] = []

    def variable(self, file: str, name: str) -> Variable | None:
        """A variable; None, and a note for :meth:`finish`, if it cannot be had."""
        if not self._delivery.has(file):
            self._missing.append(file)
            return None
        try:
            return self._delivery.variable(file, name)
        except ProductError as e:
            self._damaged.append(f"{file} {e.what}")
            return None

    def found(self, variables: Iterable[Variable | None]) -> list[Variable]:
        """Those that are there."""
        return [v for v in variables if v is not None]

    def either(self, *choices: tuple[str, tuple[str, ...]]) -> list[Variable]:
        """The variables of the first file that is there."""
        for file, names in choices:
            if self._delivery.has(file):
                return self.found([self.variable(file, name) for name in names])
        self._missing.append(" or ".join(file for file, _ in choices))
        return []

    def flags(self, file: str, names: Sequence[str]) -> list[Variable]:
        """The flag variables of a file: the first must be there, the others came later."""
        first = self.variable(file, names[0])
        if first is None:
            return []
        known = variable_names(self._delivery.path(file), self._delivery.where(file))
        return self.found([first, *(self.variable(file, n) for n in names[1:] if n in known)])

    def finish(self, otherwise: str) -> None:
        """Raise if anything is amiss.

        Raises:
            ProductError: names all of it.
        """
        what = [f"lacks {', '.join(self._missing)}"] if self._missing else []
        what += self._damaged
        if what:
            raise ProductError(
                f"is incomplete: {', '.join(what)}",
                where=self._delivery.place,
                fix=f"get the product again; {otherwise}",
            )


def require_kind(delivery: Delivery, kind: str) -> None:
    """Refuse a product of another type.

    Raises:
        ProductError: names the type it is.
    """
    if delivery.kind != kind:
        readers = {"SY_2_SYN": "open_sentinel3", "OL_1_EFR": "open_olci"}
        other = readers.get(delivery.kind)
        raise ProductError(
            f"is {delivery.kind or 'of unknown type'}, not {kind}",
            where=delivery.place,
            fix=f"open it with {other}"
            if other
            else "give SY_2_SYN (surface reflectance) or OL_1_EFR (top of atmosphere)",
        )


def common_shape(delivery: Delivery, variables: Sequence[Variable]) -> tuple[int, int]:
    """Rows and columns of the swath.

    Raises:
        MetadataError: if images differ in size.
    """
    images = list(variables)
    rows, cols = images[0].shape if len(images[0].shape) == 2 else (0, 0)
    wrong = [
        f"{v.name} is {'×'.join(map(str, v.shape))}" for v in images if v.shape != (rows, cols)
    ]
    if wrong or min(rows, cols) < 2:
        raise MetadataError(
            f"{images[0].name} is {'×'.join(map(str, images[0].shape))}, {', '.join(wrong)}",
            where=delivery.place,
            fix="get the product again",
        )
    return rows, cols


def common_meta(
    facts: ProductFacts,
    mask: Mask,
    geolocation: Geolocation,
    variables: Sequence[Variable],
    notes: Sequence[str],
) -> dict[str, Any]:
    """What all Sentinel-3 products say of themselves."""

    def once(values: list[Any]) -> Any:
        return values[0] if len(set(values)) == 1 else values

    return {
        "product_id": facts.name,
        "start_time": facts.start_time,
        "stop_time": facts.stop_time,
        "baseline": facts.baseline,
        "timeliness": facts.timeliness,
        "geolocation": geolocation.origin,
        "mask": [*mask.terms, *mask.missing],
        "mask_flags": dict(mask.terms),
        "calibration": {
            "scale": once([v.scale if v.scale is not None else 1.0 for v in variables]),
            "offset": once([v.offset or 0.0 for v in variables]),
            "fill": once([v.fill for v in variables]),
            "from": "the files",
        },
        "notes": list(notes),
    }


def notes_of(
    facts: ProductFacts, mask: Mask, geolocation: Geolocation, baselines: Sequence[str]
) -> list[str]:
    """What a user should know of a product; also logged as warnings."""
    notes = list(facts.notes)
    if facts.baseline not in baselines:
        notes.append(
            f"baseline {facts.baseline or 'unknown'} is none of those that were tried "
            f"({', '.join(baselines)}): check values and flags"
        )
    if geolocation.lon is None:
        notes.append(
            "the places of the pixels are missing: tie points serve, which do not know "
            "the terrain and are off by up to kilometres in mountains"
        )
    if mask.missing:
        notes.append(f"the flags know no {', '.join(mask.missing)}: nothing is masked for that")
    for note in notes:
        _log.warning("%s: %s", facts.name, note)
    return notes
