"""A cube for the eye: which bands are shown, and how they are stretched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from trifuse.core.bands import BandSet
from trifuse.core.errors import BandError, MissingExtraError
from trifuse.core.grid import Grid

RGB_NM = (665.0, 560.0, 490.0)
"""Red, green and blue of a true-colour picture."""

STRETCH = (2.0, 98.0)
"""Percentiles of the valid pixels that become black and full colour."""

_NAMED = (("B4", "B3", "B2"), ("Oa08", "Oa06", "Oa04"))


def choose_rgb(bands: BandSet) -> tuple[str, ...]:
    """Bands of a true-colour picture.

    Those nearest to 665, 560 and 490 nm where these are within 40 nm; else those known by name
    (Sentinel-2, Sentinel-3); else the first three, or the first alone.
    """
    try:
        return tuple(bands[bands.nearest(nm, tolerance=40.0)].name for nm in RGB_NM)
    except BandError:
        pass
    for names in _NAMED:
        try:
            return bands.select(names).names
        except BandError:
            continue
    return bands.names[:3] if len(bands) >= 3 else bands.names[:1]


def stretch(planes: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values between the percentiles of :data:`STRETCH`, and where they are seen.

    Args:
        planes: (n, y, x) of values.
        valid: (y, x) bool.

    Returns:
        (n, y, x) from 0 to 1, 0 where a plane has no value; (y, x) bool: where all have one.
    """
    seen = valid & np.isfinite(planes).all(axis=0)
    made = np.zeros_like(planes)
    for value, band in zip(made, planes, strict=True):
        low, high = np.percentile(band[seen], STRETCH) if seen.any() else (0.0, 1.0)
        span = float(high - low)
        # A band of one value is mid-grey, not noise blown up.
        level = (band - low) / span if span > 1e-9 else np.full_like(band, 0.5)
        value[seen] = np.clip(level, 0, 1)[seen]
    return made, seen


def draw(
    planes: np.ndarray, valid: np.ndarray, names: Sequence[str], grid: Grid, ax: Any = None
) -> Any:
    """Draw one band, or red, green and blue, over its ground.

    Args:
        planes: (1 or 3, y, x).
        valid: (y, x) bool; clear where False.
        names: of the planes.
        grid: of the image.
        ax: matplotlib axes; default: new ones.

    Returns:
        The axes.

    Raises:
        BandError: if they are not one or three.
        MissingExtraError: if matplotlib is not installed.
    """
    if len(names) not in (1, 3):
        raise BandError(f"{len(names)} bands for a picture", fix="give one, or red, green, blue")
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtraError(
            "matplotlib is not installed", fix="pip install 'trifuse[plot]'"
        ) from None
    ax = plt.subplots()[1] if ax is None else ax
    west, south, east, north = grid.bounds
    place = {"extent": (west, east, south, north), "interpolation": "nearest"}
    if len(names) == 1:
        shown = np.where(valid, planes[0], np.nan)
        low, high = np.nanpercentile(shown, STRETCH) if np.isfinite(shown).any() else (0.0, 1.0)
        image = ax.imshow(shown, vmin=low, vmax=high, **place)
        ax.figure.colorbar(image, ax=ax, label=names[0])
    else:
        made, seen = stretch(planes, valid)
        ax.imshow(np.dstack([*made, seen.astype(float)]), **place)
        ax.set_title(", ".join(names))
    ax.set_xlabel(f"x ({grid.crs or 'pixels'})"[:60])
    ax.set_ylabel("y")
    return ax
