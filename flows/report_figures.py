"""The figures of a report on a fused image (extra ``plot``)."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trifuse.core import BandError, Cube, upsample
from trifuse.flows.panels import require_matplotlib, rgb, rgb_stretch
from trifuse.metrics import amplitude, differing_frequencies, radial_power

RED_NM = 665.0
"""The band whose Fourier transforms are compared, as in the paper."""

COLOURS = {
    "Sentinel-2": "tab:green",
    "Sentinel-3": "tab:orange",
    "fused": "tab:blue",
    "truth": "black",
    "bicubic": "tab:red",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the page.

    Attributes:
        title: short.
        caption: what is to be seen, in a sentence or two.
        png: the picture.
    """

    title: str
    caption: str
    png: bytes

    @property
    def data_url(self) -> str:
        """For the page, which refers to no other file."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


def render(figure: Any) -> bytes:
    """A matplotlib figure as PNG; the figure is closed."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=100, format="png", metadata={"Software": "TriFuse"})
    require_matplotlib().close(figure)
    return buffer.getvalue()


def pictures(images: Mapping[str, Cube]) -> Figure:
    """True-colour composites beside each other, each sensor with a stretch of its own.

    Args:
        images: name → cube; coarse ones are shown in blocks.
    """
    plt = require_matplotlib()
    stretch = rgb_stretch(images["fused"])
    figure, axes = plt.subplots(
        1, len(images), figsize=(4.4 * len(images), 4.6), squeeze=False, layout="constrained"
    )
    for axis, (name, cube) in zip(axes[0], images.items(), strict=True):
        own = rgb_stretch(cube) if name == "Sentinel-2" else stretch
        axis.imshow(rgb(cube, own), interpolation="nearest")
        axis.set_title(name)
        axis.set_axis_off()
    return Figure(
        "True colour",
        "Composites near 665, 560 and 490 nm. Sentinel-2 has a stretch of "
        "its own, the others share one.",
        render(figure),
    )


def spectra(
    places: Mapping[str, tuple[int, int]], images: Mapping[str, Cube], ratio: int
) -> Figure:
    """Spectra at places: one panel a place, one line an image.

    Args:
        places: name → (row, column) of the fused image.
        images: name → cube; those ``ratio`` times coarser are read at the cell of the place.
        ratio: fused pixels per coarse cell.
    """
    plt = require_matplotlib()
    cols = min(3, len(places))
    rows = -(-len(places) // cols)
    figure, axes = plt.subplots(
        rows, cols, figsize=(4.6 * cols, 3.2 * rows), squeeze=False, layout="constrained"
    )
    height = images["fused"].grid.height
    for axis in axes.ravel():
        axis.set_axis_off()
    for axis, (place, (row, col)) in zip(axes.ravel(), places.items(), strict=False):
        axis.set_axis_on()
        for name, cube in images.items():
            coarse = cube.grid.height < height
            at = (row // ratio, col // ratio) if coarse else (row, col)
            values = cube.masked()[:, at[0], at[1]]
            order = np.argsort(cube.bands.centres)
            style = "o--" if coarse else ("s" if name == "Sentinel-2" else ".-")
            axis.plot(
                np.asarray(cube.bands.centres)[order],
                values[order],
                style,
                markersize=4,
                color=COLOURS.get(name),
                label=name,
                linewidth=1,
            )
        axis.set_title(f"{place} (row {row}, column {col})", fontsize=10)
        axis.set(xlabel="wavelength (nm)", ylabel="reflectance")
        axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]))
    axes[0, 0].legend(fontsize=8)
    return Figure(
        "Spectra",
        "At the pixels with the highest and lowest NDVI, the brightest, the "
        "darkest and the median one. Sentinel-3's is that of the whole cell.",
        render(figure),
    )


def transforms(
    fused: Cube, sharp: Cube, coarse: Cube, ratio: int, truth: Cube | None = None
) -> tuple[Figure, dict[str, float]]:
    """Fourier transforms of the red band: two-dimensional amplitudes and power by frequency.

    Args:
        fused: the image.
        sharp: Sentinel-2 on the same pixels.
        coarse: Sentinel-3 over the same ground.
        ratio: fused pixels per coarse cell.
        truth: what the fused image should be.

    Returns:
        The figure; and ``band_nm``, ``high_frequency_ratio``: amplitude of the fused image over
        that of Sentinel-2 above half of Nyquist.

    Raises:
        BandError: if an image has no band near 665 nm.

    Source: Cristille et al. 2024, doi:10.3390/rs16163107, figure 17.
    """
    plt = require_matplotlib()
    planes = {"Sentinel-2": _red(sharp), "fused": _red(fused)}
    if truth is not None:
        planes["truth"] = _red(truth)
    blocks = upsample(np.nan_to_num(_red(coarse), nan=float(np.nanmean(_red(coarse))))[None], ratio)
    planes["bicubic"] = blocks[0][: fused.grid.height, : fused.grid.width]
    there = np.logical_and.reduce([np.isfinite(p) for p in planes.values()])
    figure, axes = plt.subplots(1, 4, figsize=(17, 4.2), layout="constrained")
    for axis, name in zip(axes, ("Sentinel-2", "fused"), strict=False):
        axis.imshow(np.log10(amplitude(planes[name], there) + 1e-8), cmap="magma")
        axis.set_title(f"{name}, log amplitude")
        axis.set_axis_off()
    axes[2].imshow(
        differing_frequencies(planes["fused"], planes["Sentinel-2"], there),
        cmap="gray_r",
        interpolation="nearest",
    )
    axes[2].set_title("2 % that differ most")
    axes[2].set_axis_off()
    powers = {name: radial_power(plane, there) for name, plane in planes.items()}
    for name, p in powers.items():
        axes[3].loglog(p.frequency, p.power, label=name, color=COLOURS[name])
    axes[3].set_ylim(bottom=1e-3 * float(powers["Sentinel-2"].power.min()))
    axes[3].axvline(0.5 / ratio, color="gray", linestyle=":", linewidth=1)
    axes[3].set(xlabel="cycles per pixel", ylabel="power", title="power by frequency")
    axes[3].legend(fontsize=8)
    high = powers["fused"].frequency > 0.25
    share = np.sqrt(powers["fused"].power[high].sum() / powers["Sentinel-2"].power[high].sum())
    text = (
        "The dotted line is Sentinel-3's Nyquist frequency: what lies to its right comes from "
        "Sentinel-2. Above half of its own Nyquist frequency the fused image has "
        f"{share:.2f} times the amplitude of Sentinel-2's red band."
    )
    facts = {"band_nm": RED_NM, "high_frequency_ratio": float(share)}
    return Figure("Fourier transforms of the red band", text, render(figure)), facts


def per_band(
    bands: Sequence[str], lines: Mapping[str, np.ndarray], *, title: str, unit: str, caption: str
) -> Figure:
    """A value of every band, one line a method."""
    plt = require_matplotlib()
    figure, axis = plt.subplots(figsize=(9, 3.4), layout="constrained")
    for name, values in lines.items():
        axis.plot(range(len(bands)), values, ".-", label=name, color=COLOURS.get(name))
    axis.set_xticks(range(len(bands)), bands, rotation=60, fontsize=8)
    axis.set(ylabel=unit)
    axis.grid(alpha=0.3)
    if len(lines) > 1:
        axis.legend(fontsize=8)
    return Figure(title, caption, render(figure))


def maps(
    planes: Mapping[str, np.ndarray],
    *,
    title: str,
    caption: str,
    cmap: str,
    limits: tuple[float, float],
    unit: str,
) -> Figure:
    """Planes beside each other with one colour bar."""
    plt = require_matplotlib()
    figure, axes = plt.subplots(
        1, len(planes), figsize=(4.6 * len(planes) + 0.8, 4.4), squeeze=False, layout="constrained"
    )
    for axis, (name, plane) in zip(axes[0], planes.items(), strict=True):
        shown = axis.imshow(
            plane, cmap=cmap, vmin=limits[0], vmax=limits[1], interpolation="nearest"
        )
        axis.set_title(name)
        axis.set_axis_off()
    figure.colorbar(shown, ax=list(axes[0]), label=unit, shrink=0.8)
    return Figure(title, caption, render(figure))


def _red(cube: Cube) -> np.ndarray:
    try:
        number = cube.bands.nearest(RED_NM, tolerance=25.0)
    except BandError as e:
        raise BandError(e.what, fix="give an image with a red band") from None
    plane: np.ndarray = cube.masked()[number]
    return plane
