"""What the pixels of a Sentinel-2 product say against its metadata.

Whether the offset of −1000 is still in the counts is stated by items, and wrongly so in many
catalogues: counts so low that taking the offset out would leave impossible reflectance say that
it is out already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

import numpy as np

from trifuse.core import ProductError, Window
from trifuse.products.files.layers import Readable
from trifuse.products.sentinel2.metadata import OFFSET_SINCE, SATURATED, Sentinel2Metadata

WRAPPED = 64_000
"""Counts of uint16 from here to 65534 are below zero: 400 − 1000 is stored as 64936. As reflectance
they would be 6.4 and more."""
GLARING = 20_000
"""Counts that an average over many pixels does not reach: clouds and snow stay below."""
IMPOSSIBLE = -0.05
"""Reflectance that no surface has; atmospheric correction goes a few hundredths below 0."""
AGENCY = -0.1
"""The agency's offset since baseline 04.00, in reflectance."""
OFFSET = -0.05
"""Offsets below this are the agency's −0.1."""
SOME, MOST_BANDS, MANY = 0.01, 0.75, 0.10
"""The offset is out already if a hundredth of the pixels is impossible in most bands (water and
shadow are dark in all), or a tenth of all pixels."""
_SIDE = 256
_PLACES = ((0.5, 0.5), (0.25, 0.75), (0.75, 0.25), (0.25, 0.25), (0.75, 0.75))
_BLOCKS = 2
_FILLED = 0.05


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


def averages_wrapped(small: np.ndarray, image: Readable, nodata: float | None) -> bool:
    """Whether the averages of an image seem to contain counts below zero that went round.

    Args:
        small: averaged counts, as an overview holds them.
        image: at full size; two of its blocks are looked at if the averages say nothing.
        nodata: fill value.
    """
    if small.dtype != np.uint16:
        return False
    if ((small >= GLARING) & (small < SATURATED)).any():
        return True
    stored = sample(image, nodata)
    return bool(((stored >= WRAPPED) & (stored < SATURATED)).any())


def settle_offset(metadata: Sentinel2Metadata, images: Mapping[str, Readable]) -> Sentinel2Metadata:
    """The metadata with the offset that the files and their counts bear out.

    JPEG 2000 is the agency's own file, whose counts no provider has changed: what an item says of
    its COGs does not hold for it. Else only an offset of about −0.1 is doubted, and only if the
    counts cannot be with it.
    """
    metadata = _as_delivered(metadata, images)
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


def _as_delivered(metadata: Sentinel2Metadata, images: Mapping[str, Readable]) -> Sentinel2Metadata:
    """The metadata with the offset that the baseline gives to files as the agency delivers them."""
    major = metadata.baseline[:2]
    if not (major.isdigit() and OFFSET_SINCE <= int(major) < 99):
        return metadata
    own = [
        band
        for band, image in images.items()
        if image.name.lower().endswith(".jp2") and metadata.offset[band] == 0
    ]
    if not own:
        return metadata
    note = (
        f"the item says that the offset is out of the counts; {', '.join(own)} are JPEG 2000, so "
        f"as delivered: it is in theirs since baseline 04.00, and {AGENCY:g} is taken"
    )
    return replace(
        metadata,
        offset={**metadata.offset, **dict.fromkeys(own, AGENCY)},
        origin=f"{metadata.origin}; {note}",
        notes=(*metadata.notes, note),
    )
