"""A scene as its own truth: restored bands averaged over pixels, and seen again by the sensor.

The restored image, averaged over blocks of two pixels, is a sharp image of the same ground, almost
free of noise, whose 20 m bands are as good as measured. Seen again with the scene's own blur and
noise, and restored again, it shows how far off a restoration of such ground is (Wald's protocol).

So it tells, too, how far a network's corrections hold in a scene that it has never seen. The
corrections d and the errors e that they should undo are both known there, so the share of the
corrections to heed is a regression, band by band:

    α = (Σ d e + c s²) / (Σ d² + c s²),   0 ≤ α ≤ 1.25

where s is the restoration's standard deviation: c pixels with corrections of that size vouch for
the network before the scene is looked at. Where the network has learnt nothing that holds here, a
band stays as it was restored.

Source: Wald, Ranchin and Mangolini 1997, PE&RS 63(6), 691–699; the regression is that of stacking,
Breiman 1996, doi:10.1007/BF00117832.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter

from trifuse.core import Cube, CubeSource, Grid, MemorySource, Window
from trifuse.core.native import native_field, native_view
from trifuse.restore.local import LocalRestorer
from trifuse.restore.places import ground_kinds
from trifuse.restore.scene_statistics import scene_statistics
from trifuse.restore.sharpness import pixel_noise
from trifuse.restore.view import RestoredSource

SIZE, LEAST_SIZE, MOST = 240, 48, 4
"""Edge in pixels of the windows that are looked at, at most and at least, and how many of them."""

PIXELS, MOST_DRAWS = 5000, 4
"""Pixels one scale down that are enough; windows that are smaller are seen with several draws of
noise."""

VOUCHED = 10.0
"""The constant c."""

LIMIT = 1.25
"""Largest share."""


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """A part of the scene, one scale down.

    Attributes:
        restored: (l, y, x) float32 reflectance.
        raw: what was restored, likewise.
        sharp: what it should be, likewise.
        deviation: (l,) standard deviation as the restoration tells it.
    """

    restored: np.ndarray
    raw: np.ndarray
    sharp: np.ndarray
    deviation: np.ndarray


Correct = Callable[[Lesson], np.ndarray]
"""A lesson → the network's result for it: (l, y, x)."""


def whole_windows(view: CubeSource, size: int, least: int, period: int, most: int) -> list[Window]:
    """Windows without gaps, spread over a scene.

    Args:
        view: the restored image.
        size: edge in pixels at most.
        least: edge in pixels at least.
        period: edges are multiples of this, twice the sampling's, and four of it at least: what
            is learnt of an image takes as much of it one scale down.
        most: so many windows at most.

    Returns:
        The windows; none where the scene is smaller, or gaps are everywhere.
    """
    edges = [min(size, n) - min(size, n) % period for n in view.grid.shape]
    if min(edges) < max(least, 4 * period):
        return []
    counts = [max(1, n // s) for n, s in zip(view.grid.shape, edges, strict=True)]
    starts = [
        [round(i * (n - s) / max(c - 1, 1)) for i in range(c)]
        for n, s, c in zip(view.grid.shape, edges, counts, strict=True)
    ]
    every = [Window(r, c, *edges) for r in starts[0] for c in starts[1]]
    order = np.linspace(0, len(every) - 1, min(len(every), 4 * most)).round().astype(int)
    chosen: list[Window] = []
    for i in order:
        if len(chosen) < most and np.isfinite(view.read(every[i]).masked()).all():
            chosen.append(every[i])
    return chosen


def halved(image: np.ndarray) -> np.ndarray:
    """Means over blocks of two pixels: (l, y, x), even → (l, y / 2, x / 2)."""
    bands, height, width = image.shape
    return np.asarray(image.reshape(bands, height // 2, 2, width // 2, 2).mean(axis=(2, 4)))


def seen_again(view: RestoredSource, sharp: np.ndarray, rng: np.random.Generator) -> Lesson:
    """A sharp image seen as the scene was, and restored place by place.

    Args:
        view: the restored scene.
        sharp: (l, y, x) finite pixels, its bands; edges are multiples of the sampling's period.
        rng: draws the noise.
    """
    sharpness = view.sharpness
    on_pixels, on_samples = pixel_noise(sharpness, view.statistics.outside)
    ratios = sharpness.ratio
    if sharpness.laid == "blurred":
        ratios = sharpness.steps
        raw = np.stack([gaussian_filter(p, sharpness.sigma(i)) for i, p in enumerate(sharp)])
    else:
        raw = native_view(sharp, ratios, list(sharpness.mtf))
    for i, ratio in enumerate(ratios):
        raw[i] += native_field((1, *raw.shape[1:]), [ratio], float(on_samples[i]), rng)[0]
        raw[i] += on_pixels[i] * rng.standard_normal(raw.shape[1:], np.float32)
    shape = raw.shape[1], raw.shape[2]
    grid = Grid.from_origin(view.grid.crs, 0.0, 0.0, view.grid.gsd[0], *shape)
    cube = Cube(raw.astype(np.float32), np.ones(shape, np.bool_), view.bands, grid)
    source = MemorySource(cube)
    statistics = scene_statistics(source, sharpness)
    restorer = LocalRestorer(shape, sharpness, statistics, ground_kinds(source, sharpness))
    return Lesson(restorer(cube.data), cube.data, np.asarray(sharp, np.float32), restorer.deviation)


def trusted_share(view: RestoredSource, correct: Correct) -> np.ndarray:
    """The share of the network's corrections to heed, by band.

    Args:
        view: the restored scene.
        correct: the network.

    Returns:
        (l,) float32, 0 to LIMIT; 1 where the scene has no window to tell by.
    """
    rng = np.random.default_rng(0)
    products, squares = np.zeros((2, len(view.bands)))
    unit = VOUCHED * np.square(view.deviation)
    for window in whole_windows(view, SIZE, LEAST_SIZE, 2 * view.sharpness.period, MOST):
        sharp = halved(view.read(window).data)
        for _ in range(int(np.clip(np.ceil(PIXELS / sharp[0].size), 1, MOST_DRAWS))):
            lesson = seen_again(view, sharp, rng)
            change = (correct(lesson) - lesson.restored).astype(np.float64)
            products += (change * (lesson.sharp - lesson.restored)).sum(axis=(1, 2))
            squares += (change**2).sum(axis=(1, 2))
    share = (products + unit) / np.maximum(squares + unit, 1e-30)
    return np.asarray(np.where(unit > 0, share.clip(0, LIMIT), 1), np.float32)
