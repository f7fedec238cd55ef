"""Blocks of a scene that stand for all of it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from trifuse.core import CubeSource, DataError, Window
from trifuse.restore.sharpness import Sharpness

BLOCK, MOST_BLOCKS = 240, 36
"""Pixels of a block, and blocks that are looked at, spread evenly over the scene."""

MAX_MISSING = 0.25
"""Blocks that lack more of their pixels are left out, as long as there are others."""


def sample_blocks(source: CubeSource, sharpness: Sharpness) -> Iterator[np.ndarray]:
    """Blocks spread evenly over a scene, one at a time: (l, y, x) float32, NaN where missing.

    Args:
        source: the image, in reflectance.
        sharpness: of its bands; blocks are whole periods of it.

    Raises:
        DataError: if the image holds no native pixel of the coarsest bands, or no valid one.
    """
    if len(sharpness) != len(source.bands):
        raise DataError(
            f"sharpness of {len(sharpness)} bands for {len(source.bands)}", where=source.name
        )
    if min(source.grid.shape) < 4 * sharpness.period:
        raise DataError(
            f"{source.grid.height}×{source.grid.width} pixels are too few to learn from where "
            f"native pixels have {sharpness.period}",
            where=source.name,
            fix="give a larger image",
        )
    spoilt: list[tuple[float, Window]] = []
    given = 0
    for window in sample_windows(source.grid.shape, sharpness.period, sharpness.origin):
        data = source.read(window).masked()
        share = float(np.isnan(data).any(axis=0).mean())
        if share > MAX_MISSING:
            spoilt.append((share, window))
            continue
        given += 1
        yield data
    if not given:
        # All are holed: the least holed quarter has to do.
        spoilt.sort(key=lambda s: s[0])
        for share, window in spoilt[: max(1, len(spoilt) // 4)]:
            if share < 1:
                given += 1
                yield source.read(window).masked()
    if not given:
        raise DataError("no pixel is valid in all bands", where=source.name)


def sample_windows(
    shape: tuple[int, int], period: int, origin: tuple[int, int] = (0, 0)
) -> list[Window]:
    """At most MOST_BLOCKS windows of BLOCK pixels, spread evenly, on multiples of the period."""
    spans = []
    for total, at in zip(shape, origin, strict=True):
        first = at % period
        n = total - first
        size = min(BLOCK - BLOCK % period, n - n % period)
        count = -(-n // size)
        last = n - n % period - size
        starts = [
            first + round(last / period * i / max(count - 1, 1)) * period for i in range(count)
        ]
        spans.append([(s, size) for s in starts])
    all_ = [Window(r, c, h, w) for r, h in spans[0] for c, w in spans[1]]
    if len(all_) <= MOST_BLOCKS:
        return all_
    chosen = np.linspace(0, len(all_) - 1, MOST_BLOCKS).round().astype(int)
    return [all_[i] for i in chosen]
