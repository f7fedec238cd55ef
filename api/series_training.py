"""Series on disk as scenes to train on."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from trifuse.core import Series, Window
from trifuse.products.series_find import open_sensors
from trifuse.train.temporal_data import Scene, SeriesScene

_LOOK = 512
"""Pixels along each side that tell whether clouds were kept."""


def open_scene(folder: Path | str) -> Scene:
    """Series of an area as a scene to train on.

    Args:
        folder: of :func:`trifuse.products.series_build.build_series`, or an area of LS2S2.

    Raises:
        ProductError: if it cannot be read.
    """
    found = open_sensors(folder)
    clouded = any(map(_keeps_clouds, found.values()))
    return cast(Scene, SeriesScene(Path(folder).name, found, clouded=clouded))


def _keeps_clouds(series: Series) -> bool:
    """Whether pixels that are not clear have values; told by the first such pixels."""
    window = Window(0, 0, *(min(n, _LOOK) for n in series.grid.shape))
    for _, source in series:
        cube = source.read(window)
        if not cube.valid.all():
            return bool(np.isfinite(cube.data[:, ~cube.valid]).any())
    return False
