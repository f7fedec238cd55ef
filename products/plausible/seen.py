"""What the looks go by: a few blocks of an image, read once at full size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.core import BandSet, CubeSource, Grid, ProductError, Window
from trifuse.products.landsat.metadata import LST
from trifuse.products.sentinel2.levels import NATIVE

SIDE = (32, 256)
"""Least and greatest side of a block in pixels."""
SHARE = 0.005
"""Of the image's pixels, about what one block holds."""
BANDS = 12
"""Bands looked at, spread over those that are usable."""
_PLACES = ((0.5, 0.5), (0.27, 0.97), (0.73, 0.27), (0.27, 0.27), (0.73, 0.73))
"""Down and across. On a tile of Sentinel-2 blocks there lie in one stored block of each image."""
_BLOCKS = 2
_FEW = 100


@dataclass(frozen=True, slots=True)
class Seen:
    """What the looks go by.

    Attributes:
        name: of the source.
        bands: those looked at.
        grid: of the source.
        meta: of the source.
        values: by band, those of all blocks that are finite: (n,) float32.
        hidden: share of pixels with values that the mask takes out; NaN without values.
        empty: places that were looked at before and hold no value at all.
    """

    name: str
    bands: BandSet
    grid: Grid
    meta: Mapping[str, Any]
    values: Mapping[str, np.ndarray]
    hidden: float
    empty: int = 0

    @property
    def reflectance(self) -> bool:
        """Whether the values are reflectance, stated or by names that only such bands have."""
        quantity = self.meta.get("quantity")
        if quantity is not None:
            return str(quantity).endswith("reflectance")
        bands = [b for b in self.bands if b.name not in self._others]
        optical = all(350 < b.centre < 3000 for b in bands)  # nan is not
        return bool(bands) and (optical or {b.name for b in bands} <= set(NATIVE))

    @property
    def spectra(self) -> dict[str, np.ndarray]:
        """Values of bands of reflectance; temperatures are none."""
        if not self.reflectance:
            return {}
        return {b: v for b, v in self.values.items() if v.size >= _FEW and b not in self._others}

    @property
    def _others(self) -> set[str]:
        """Bands of other units: temperatures."""
        return {LST, *(self.meta.get("band_units") or {})}


def see(source: CubeSource) -> Seen:
    """Read the blocks; of each place the first band tells whether there is anything."""
    usable = source.meta.get("usable") or [True] * len(source.bands)
    names = [n for n, ok in zip(source.bands.names, usable, strict=True) if ok]
    names = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, BANDS).round().astype(int))]
    parts: dict[str, list[np.ndarray]] = {n: [] for n in names}
    present = hidden = blocks = empty = 0
    for window in _windows(source.grid):
        try:
            if not np.isfinite(source.read(window, names[:1]).data).any():
                empty += 1
                continue
            cube = source.read(window, names)
        except ProductError:
            continue
        finite = np.isfinite(cube.data)
        for name, plane, ok in zip(names, cube.data, finite, strict=True):
            parts[name].append(plane[ok])
        there = finite.all(axis=0)
        present, hidden = present + int(there.sum()), hidden + int((there & ~cube.valid).sum())
        if (blocks := blocks + 1) == _BLOCKS:
            break
    values = {n: np.concatenate(p) if p else np.empty(0, np.float32) for n, p in parts.items()}
    share = hidden / present if present else math.nan
    bands = source.bands.select(source.bands.indices(names))
    return Seen(source.name, bands, source.grid, source.meta, values, share, empty)


def _windows(grid: Grid) -> Iterator[Window]:
    """Blocks of a lattice of them, the middle first; each once."""
    least, most = SIDE
    side = min(most, max(least, int(math.sqrt(SHARE * grid.height * grid.width))))
    done = set()
    for down, right in _PLACES:
        row = int(down * max(0, grid.height - 1)) // side * side
        col = int(right * max(0, grid.width - 1)) // side * side
        if (row, col) not in done:
            done.add((row, col))
            yield Window(row, col, min(side, grid.height - row), min(side, grid.width - col))
