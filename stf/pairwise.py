"""What every pairwise method is given and gives back.

A fine sensor that saw the ground on some days and a coarse one that also saw it on another: what
would the fine one have seen then? Each method is a file of this room with a function
``fuse(references, target, options) -> Fused`` and a frozen dataclass ``Options``; it joins by a
line in :data:`trifuse.stf.PAIRWISE_METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.core import Cube, DataError, GridError


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """One ground on one day, seen by both sensors.

    Attributes:
        fine: reflectance; missing where clouds are, see :meth:`trifuse.core.Cube.masked`.
        coarse: the same bands in the same order, in cells of whole fine pixels over the same
            ground.
        day: since any origin, the same for all.
    """

    fine: Cube
    coarse: Cube
    day: float

    @property
    def ratio(self) -> int:
        """Fine pixels per cell.

        Raises:
            GridError: if the cells are not nested, or not over the same ground.
        """
        fine = self.fine.grid
        ratio = fine.nested_ratio(self.coarse.grid)
        if fine.locate(self.coarse.grid.zoom_in(ratio)) != fine.whole:
            raise GridError(
                f"{fine.shape} fine pixels under {self.coarse.grid.shape} cells of {ratio}",
                fix="crop both to the same ground",
            )
        return ratio


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """The day to predict.

    Attributes:
        coarse: what the coarse sensor saw; bands and grid as of the references.
        day: since the origin of the references.
    """

    coarse: Cube
    day: float


@dataclass(frozen=True, slots=True, eq=False)
class Fused:
    """What a method makes of it.

    Attributes:
        image: bands and grid of the fine images; NaN where it cannot tell.
        deviation: (band, y, x) standard deviation of its error, by methods that know one.
    """

    image: Cube
    deviation: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class PairwiseOptions:
    """What the options of every method say.

    Attributes:
        pairs: references that it makes use of at most.
    """

    pairs: int = 1

    @property
    def halo(self) -> int | None:
        """Fine pixels around one that have a say in it; None: the whole image has."""
        return None


Fuse = Callable[[Sequence[Pair], Target, Any], Fused]
"""(references, target, options of the method) → the fine image of the day."""


@dataclass(frozen=True, slots=True)
class Pairwise:
    """A method with its options; call it with references and target.

    Attributes:
        name: in :data:`trifuse.stf.PAIRWISE_METHODS`.
        fuse: the method.
        options: its options.
    """

    name: str
    fuse: Fuse
    options: PairwiseOptions

    def __call__(self, references: Sequence[Pair], target: Target) -> Fused:
        """Predict the day of the target.

        Args:
            references: other days, at least one; a method takes the nearest of more than it needs.
            target: the day.

        Raises:
            DataError: if there is no reference or bands do not fit, or if the method finds too
                little that is clear.
            GridError: if grids do not fit.
        """
        check_pairs(references, target)
        near = sorted(references, key=lambda pair: abs(pair.day - target.day))
        return self.fuse(near[: self.options.pairs], target, self.options)


def check_pairs(references: Sequence[Pair], target: Target) -> None:
    """Refuse images that do not fit each other.

    Raises:
        DataError: if there is no reference, or the numbers of bands differ.
        GridError: if grids differ or are not nested.
    """
    if not references:
        raise DataError("no reference", fix="give at least one day that the fine sensor saw")
    first = references[0]
    for pair in references:
        counts = len(pair.fine.bands), len(pair.coarse.bands), len(target.coarse.bands)
        if len({*counts, len(first.fine.bands)}) > 1:
            raise DataError(
                f"{counts[0]} fine bands, {counts[1]} coarse ones and {counts[2]} of the target",
                where=f"day {pair.day:g}",
                fix="give the same bands of both sensors",
            )
        if pair.fine.grid != first.fine.grid or pair.coarse.grid != target.coarse.grid:
            raise GridError(
                "another grid than the other days", where=f"day {pair.day:g}", fix="crop all alike"
            )
    _ = first.ratio
