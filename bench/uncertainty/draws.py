"""Scenes with a truth, observed with errors, and all that is known of what fusion made of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.fusion import scenes
from trifuse.align import register
from trifuse.core import MemorySource, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion import get_method
from trifuse.fusion.physics import placed
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.chain import ChainRun
from trifuse.simulate import PROTOCOLS, Observed, observe

CACHE = Path("out/uncertainty/scenes")

RATIO = 10

DARK, BRIGHT = 0.05, 0.25
"""Reflectance of B8 below which a pixel counts as dark (water, shade), and mean reflectance of all
sharp bands above which it counts as bright (sand, roofs, bare soil)."""


@dataclass(frozen=True, slots=True, eq=False)
class Draw:
    """A fused draw.

    Attributes:
        seen: the images, with the truth.
        chain: fitted to them.
        pixels: (l, y, x) the restored image.
    """

    seen: Observed
    chain: ChainRun
    pixels: np.ndarray

    @property
    def whole(self) -> Window:
        """All pixels."""
        return self.chain.scene.grid.whole

    @property
    def left(self) -> np.ndarray:
        """Truth less the result: (L, y, x)."""
        return np.asarray(self.seen.truth.masked() - self.chain(self.whole, self.pixels))

    @property
    def unrestored(self) -> np.ndarray:
        """What restoration should return less the restored image: (l, y, x)."""
        return np.asarray(self.seen.sharp.masked() - self.pixels)

    @property
    def dark(self) -> np.ndarray:
        """(y, x) bool."""
        names = self.seen.sharp.bands.names
        return np.asarray(self.seen.sharp.masked()[names.index("B8")] < DARK)

    @property
    def bright(self) -> np.ndarray:
        """(y, x) bool."""
        return np.asarray(self.seen.sharp.masked().mean(axis=0) > BRIGHT)


def draw(
    scene: str, protocol: str, seed: int, method: str, block: Window | None = None, **options: Any
) -> Draw:
    """Observe a scene, or a block of it, and fit a method to it."""
    how: Any = get_method(method, **options)
    views = scenes.load_views(scene, CACHE)
    s2, s3 = views.s2, views.s3
    if block is not None:
        s2, s3 = s2.crop(block), s3.crop(block)
    seen = observe(s2, s3, RATIO, PROTOCOLS[protocol], seed)
    view = how.view(MemorySource(seen.hrmsi, scene), Runtime("cpu"))
    coarse = MemorySource(seen.lrhsi, "coarse")
    shift, psf = placed(register(view.source, coarse, psf=seen.psf), seen.psf)
    both = Scene(view, coarse, view.source.bands.names, coarse.bands.names, psf, shift)
    chain = how.prepare(both, Runtime("cpu")).chain
    return Draw(seen, chain, both.read_filled(both.grid.whole)[0])


def blocks(scene: str) -> tuple[Window, Window]:
    """Two blocks of the size of the real scenes.

    Returns:
        One of which a fifth is water, as nearly as there is such, and one far from it.
    """
    s2 = scenes.load_views(scene, CACHE).s2
    dark = s2.masked()[s2.bands.names.index("B8")] < DARK
    rows, cols = scenes.BLOCK
    spots = [
        (r, c)
        for r in range(0, s2.grid.height - rows + 1, 20)
        for c in range(0, s2.grid.width - cols + 1, 10)
    ]
    share = np.array([dark[r : r + rows, c : c + cols].mean() for r, c in spots])
    wet = spots[int(np.argmin(np.abs(share - 0.2)))]
    far = max(spots, key=lambda s: abs(s[0] - wet[0]) + abs(s[1] - wet[1]))
    return Window(*wet, rows, cols), Window(*far, rows, cols)
