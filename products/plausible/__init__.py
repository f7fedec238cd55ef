"""Cheap looks at a source that is open: what its values say against what is stated of it.

A few blocks are read at full size; each look is a small function that finds nothing in healthy
products, or one contradiction that it puts into words. What makes every result wrong is told by
:attr:`Look.stops`, for the commands that go by the values.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from trifuse.core import CubeSource, DataError
from trifuse.products.plausible.seen import Seen, see
from trifuse.products.plausible.table import LOOKS, Look

__all__ = [
    "LOOKS",
    "Doubt",
    "Look",
    "Seen",
    "doubts",
    "require_no_wrong",
    "require_plausible",
    "see",
]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Doubt:
    """What a look found: its name, a line of text, and whether results would be wrong."""

    look: str
    text: str
    stops: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"look": self.look, "text": self.text, "stops": self.stops}


def doubts(source: CubeSource) -> list[Doubt]:
    """What speaks against a source; empty if nothing does.

    Raises:
        ProductError: never for what a block holds: damage is told by whoever reads there.
    """
    seen = see(source)
    return [Doubt(k.name, text, k.stops) for k in LOOKS if (text := k.find(seen))]


def require_plausible(source: CubeSource, *, unless: Collection[str] = ()) -> list[Doubt]:
    """The same, for what goes by the values themselves; what does not stop it is said in a line.

    Args:
        source: to look at.
        unless: looks that do not matter to the result, by name: a ratio needs no scale.

    Raises:
        DataError: if with what was found the result would be wrong.
    """
    found = doubts(source)
    require_no_wrong(found, source.name, unless=unless)
    if found:
        _log.warning("%s: %s", source.name, "; ".join(d.text for d in found))
    return found


def require_no_wrong(
    found: Iterable[Doubt], name: str, *, unless: Collection[str] = (), fix: str = ""
) -> None:
    """Stop at what makes results wrong, of what was found before.

    Args:
        found: by the looks.
        name: of the source.
        unless: as of :func:`require_plausible`.
        fix: what else may be done, in words.

    Raises:
        DataError: if there is such a thing.
    """
    if wrong := [d for d in found if d.stops and d.look not in unless]:
        also = f", or {fix}" if fix else ""
        raise DataError(
            wrong[0].text,
            where=name,
            fix=f"correct its metadata, or write it with the scale and offset that are right{also}",
        )
