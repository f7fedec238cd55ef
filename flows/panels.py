"""Figures: response curves and the panel that shows a fusion at a glance (extra ``plot``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from trifuse.core import Cube, MissingExtraError, atomic_file

if TYPE_CHECKING:
    from trifuse.srf_data import SensorSRF

RGB_NM = (665.0, 560.0, 490.0)
"""Red, green and blue: the wavelengths of a true-colour composite."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of a panel.

    Attributes:
        title: what is shown.
        pixels: (y, x, 3) in 0–1, or (y, x) to be drawn with a colour bar.
        cmap: matplotlib colour map for (y, x) pixels.
        limits: value range of (y, x) pixels.
        unit: label of the colour bar.
        log: whether the colours go by the logarithm, within ``limits``.
    """

    title: str
    pixels: np.ndarray
    cmap: str = "viridis"
    limits: tuple[float, float] | None = None
    unit: str = ""
    log: bool = False


def rgb(cube: Cube, stretch: Sequence[tuple[float, float]] | None = None) -> np.ndarray:
    """True-colour composite: (y, x, 3) in 0–1, white where invalid.

    Args:
        cube: with bands near 665, 560 and 490 nm.
        stretch: (low, high) reflectance per colour; default: 2nd to 98th percentile of this cube.
            Give one stretch to several cubes to compare them by eye.
    """
    bands = cube.masked()[[cube.bands.nearest(nm) for nm in RGB_NM]]
    limits = stretch or rgb_stretch(cube)
    out = [
        np.clip((b - low) / max(high - low, 1e-6), 0, 1)
        for b, (low, high) in zip(bands, limits, strict=True)
    ]
    composite: np.ndarray = np.nan_to_num(np.stack(out, axis=-1), nan=1.0)
    return composite


def rgb_stretch(cube: Cube) -> list[tuple[float, float]]:
    """2nd and 98th percentile of red, green and blue."""
    bands = cube.masked()[[cube.bands.nearest(nm) for nm in RGB_NM]]
    limits = [np.nanpercentile(b, [2, 98]) for b in bands]
    return [(float(low), float(high)) for low, high in limits]


def draw_panel(pictures: Sequence[Picture], path: Path | str, *, overwrite: bool = False) -> None:
    """Draw pictures in rows of three into a PNG.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputExistsError: if the file exists and ``overwrite`` is False.
    """
    plt = require_matplotlib()
    rows = -(-len(pictures) // 3)
    figure, axes = plt.subplots(
        rows, min(3, len(pictures)), figsize=(13.5, 4.4 * rows), squeeze=False, layout="constrained"
    )
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, picture in zip(axes.ravel(), pictures, strict=False):
        axis.set_title(picture.title, fontsize=11)
        low, high = picture.limits or (None, None)
        shown = axis.imshow(
            picture.pixels if not picture.log else np.clip(picture.pixels, low, high),
            cmap=picture.cmap,
            norm="log" if picture.log else "linear",
            vmin=low,
            vmax=high,
            interpolation="nearest",
        )
        if picture.pixels.ndim == 2:
            figure.colorbar(shown, ax=axis, label=picture.unit, shrink=0.8)
    _save(figure, path, overwrite)


def draw_srf(table: SensorSRF, path: Path | str, *, overwrite: bool = False) -> None:
    """Draw the response curves of a sensor into a PNG.

    Raises:
        MissingExtraError: if matplotlib is not installed.
        OutputExistsError: if the file exists and ``overwrite`` is False.
    """
    plt = require_matplotlib()
    figure, axis = plt.subplots(figsize=(11, 4), layout="constrained")
    for band in table.bands:
        wavelength, response = table.curve(band.name)
        line = axis.plot(wavelength, response / np.max(response), linewidth=1)[0]
        axis.fill_between(
            wavelength, response / np.max(response), alpha=0.15, color=line.get_color()
        )
        axis.annotate(band.name, (band.centre, 1.02), ha="center", fontsize=7, rotation=90)
    axis.set(xlabel="wavelength (nm)", ylabel="relative response", ylim=(0, 1.2))
    axis.set_title(f"{table.name} ({table.source})", fontsize=10)
    _save(figure, path, overwrite)


def require_matplotlib() -> Any:
    """matplotlib.pyplot, drawing to files.

    Raises:
        MissingExtraError: if matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError(
            "matplotlib is not installed", fix="pip install 'trifuse[plot]'"
        ) from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, path: Path | str, overwrite: bool) -> None:
    with atomic_file(path, overwrite=overwrite) as sink:
        figure.savefig(sink, dpi=110, metadata={"Software": "TriFuse"}, format="png")
    require_matplotlib().close(figure)
