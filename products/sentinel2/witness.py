"""What the pixels of a Sentinel-2 product say against its metadata.

Whether the offset of −1000 is still in the counts is stated by items, and wrongly so in many
catalogues: counts so low that taking the offset out would leave impossible reflectance say that
it is out already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from trifuse.core import Grid, ProductError, Window
from trifuse.products.sentinel2.metadata import Sentinel2Metadata

WRAPPED = 64_000
"""Counts of uint16 from here to 65534 are below zero: 400 − 1000 is stored as 64936. As reflectance
they would be 6.4 and more."""
IMPOSSIBLE = -0.05
"""Reflectance that no surface has; atmospheric correction goes a few hundredths below 0."""
OFFSET = -0.05
"""Offsets below this are the agency's −0.1."""
SOME, MOST_BANDS, MANY = 0.01, 0.75, 0.10
"""The offset is out already if a hundredth of the pixels is impossible in most bands (water and
shadow are dark in all), or a tenth of all pixels."""
_SIDE = 256
_PLACES = ((0.5, 0.5), (0.25, 0.75), (0.75, 0.25), (0.25, 0.25), (0.75, 0.75))
_BLOCKS = 2
_FILLED = 0.05


class Readable(Protocol):
    """An image of one band."""

    @property
    def grid(self) -> Grid:
        """Where it lies."""
        ...

    def read(
        self,
        numbers: Sequence[int],
        window: Window | None = None,
        size: tuple[int, int] | None = None,
    ) -> np.ndarray:
        """Stored values, (1, y, x)."""
        ...


def sample(image: Readable, nodata: float | None) -> np.ndarray:
    """Stored values of two blocks that hold some, at full size, without fill: (n,)."""
    blocks: list[np.ndarray] = []
    for window in _windows(*image.grid.shape):
        values = image.read([1], window)[0]
        seen = values[np.isfinite(values)] if nodata is None else values[values != nodata]
        if seen.size > _FILLED * values.size:
            blocks.append(seen)
        if len(blocks) == _BLOCKS:
            break
    return np.concatenate(blocks) if blocks else np.empty(0)


def _windows(height: int, width: int) -> Iterator[Window]:
    """Blocks of a grid of them, the middle first; each once."""
    done = set()
    for down, right in _PLACES:
        row = int(down * max(0, height - 1)) // _SIDE * _SIDE
        col = int(right * max(0, width - 1)) // _SIDE * _SIDE
        if (row, col) not in done:
            done.add((row, col))
            yield Window(row, col, min(_SIDE, height - row), min(_SIDE, width - col))


def settle_offset(metadata: Sentinel2Metadata, images: Mapping[str, Readable]) -> Sentinel2Metadata:
    """The metadata with the offset that the counts bear out.

    Only an offset of about −0.1 is doubted, and only if the counts cannot be with it.
    """
    shares, count, pixels = {}, 0, 0
    for band, image in images.items():
        if metadata.offset[band] > OFFSET:
            continue
        try:
            stored = sample(image, metadata.nodata)
        except ProductError:  # whoever reads there is told what is damaged
            continue
        kept = stored[(stored < WRAPPED) | (stored == 0)] if stored.dtype.kind == "u" else stored
        if not kept.size:
            continue
        values = kept * metadata.scale[band] + metadata.offset[band]
        below = int((values < IMPOSSIBLE).sum())
        shares[band] = below / kept.size
        count, pixels = count + below, pixels + kept.size
    if not shares:
        return metadata
    some = sum(s >= SOME for s in shares.values()) / len(shares)
    if some < MOST_BANDS and count < MANY * pixels:
        return metadata
    note = (
        f"the metadata state an offset of {min(metadata.offset.values()):g}, with which "
        f"{100 * count / pixels:.0f} % of the pixels looked at would be below {IMPOSSIBLE:g}: "
        "the offset is out of the counts already and is not taken again"
    )
    return replace(
        metadata,
        offset={b: 0.0 if b in shares else v for b, v in metadata.offset.items()},
        origin=f"{metadata.origin}; {note}",
        notes=(*metadata.notes, note),
    )
