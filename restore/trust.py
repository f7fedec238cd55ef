"""How far a network's corrections hold in a scene that it has never seen.

One scale down the scene is its own truth (:mod:`trifuse.restore.one_scale_down`). There the
network's corrections d and the errors e that they should undo are both known, so the share of the
corrections to heed is a regression, band by band:

    α = (Σ d e + c s²) / (Σ d² + c s²),   0 ≤ α ≤ 1.25

where s is the restoration's standard deviation: c pixels with corrections of that size vouch for
the network before the scene is looked at. Where the network has learnt nothing that holds here, a
band stays as it was restored.

Source: Wald, Ranchin and Mangolini 1997, PE&RS 63(6), 691–699 (one scale down); the regression is
that of stacking, Breiman 1996, doi:10.1007/BF00117832.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from trifuse.restore.one_scale_down import Lesson, halved, seen_again, whole_windows
from trifuse.restore.restored_source import RestoredSource

SIZE, LEAST_SIZE, MOST = 240, 48, 4
"""Edge in pixels of the windows that are looked at, at most and at least, and how many of them."""

PIXELS, MOST_DRAWS = 5000, 4
"""Pixels one scale down that are enough; windows that are smaller are seen with several draws of
noise."""

VOUCHED = 10.0
"""The constant c."""

LIMIT = 1.25
"""Largest share."""

Correct = Callable[[Lesson], np.ndarray]
"""A lesson → the network's result for it: (l, y, x)."""


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
