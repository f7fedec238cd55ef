"""A source whose bands are restored as they are read."""

from __future__ import annotations

from typing import Any

import numpy as np

from trifuse.core import CubeSource, Window
from trifuse.core.runtime import Runtime
from trifuse.restore.blockwise import BLOCK, BlockwiseSource, Solver
from trifuse.restore.restoration import BlockRestorer
from trifuse.restore.restored_errors import REACH, RestoredErrors, restored_errors
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness, sharpness_of
from trifuse.restore.sharpness_check import learn


class RestoredSource(BlockwiseSource):
    """A source with all bands at the sharpness of its pixels.

    ``meta["restored"]`` tells what was done; ``meta["native_gsd"]`` is that of the pixels.

    Args:
        source: the image.
        sharpness: of its bands.
        statistics: of the scene.
        device: ``cpu``, ``cuda`` or ``auto``.
        block: pixels of a solved block at most.
        halo: pixels that a block is solved beyond those it gives; default: five periods, which
            leaves seams of a tenth of the noise.

    Attributes:
        sharpness: of the bands as they were.
        statistics: of the scene.
    """

    def __init__(
        self,
        source: CubeSource,
        sharpness: Sharpness,
        statistics: Statistics,
        *,
        device: str = "auto",
        block: int = BLOCK,
        halo: int | None = None,
    ) -> None:
        super().__init__(source, sharpness.period, block, halo, sharpness.origin)
        self.sharpness, self.statistics = sharpness, statistics
        self._device = Runtime(device).torch_device
        self.meta = {**source.meta, **sharpened_meta(source, sharpness, "restoration")}
        self._errors: RestoredErrors | None = None

    @property
    def deviation(self) -> np.ndarray:
        """(l,) standard deviation of the restored bands under the model (reflectance)."""
        restorer = self._prepared()
        assert isinstance(restorer, BlockRestorer)
        deviation: np.ndarray = restorer.deviation
        return deviation

    @property
    def errors(self) -> RestoredErrors:
        """Those of the restored bands; learnt when they are first asked for."""
        if self._errors is None:
            self._errors = restored_errors(self.sharpness, self.statistics)
        return self._errors

    def deviations(self, window: Window) -> np.ndarray:
        """Standard deviations of the errors at each pixel: (l, y, x) float32, finite everywhere.

        Seen in the restored pixels around; no window changes them by more than rounding.

        Args:
            window: of the scene.
        """
        top, left = max(window.row - REACH, 0), max(window.col - REACH, 0)
        bottom = min(window.row + window.height + REACH, self.grid.height)
        right = min(window.col + window.width + REACH, self.grid.width)
        around = self.read(Window(top, left, bottom - top, right - left)).data
        deviation = self.errors.deviation(around)
        rows, cols = window.shift(-top, -left).slices
        return deviation[:, rows, cols]

    def _solver(self) -> Solver:
        return BlockRestorer(self.block_shape, self.sharpness, self.statistics, self._device)


def sharpened_meta(source: CubeSource, sharpness: Sharpness, method: str) -> dict[str, Any]:
    """What changes in the metadata of an image whose bands were sharpened."""
    names = source.bands.names
    facts = zip(names, sharpness.ratio, sharpness.mtf, sharpness.noise, strict=True)
    done = {n: {"ratio": r, "mtf": m, "noise": e} for n, r, m, e in facts}
    return {
        "native_gsd": dict.fromkeys(names, source.grid.gsd[1]),
        "restored": {"method": method, "bands": done},
    }


def restored(
    source: CubeSource,
    *,
    mtf: float | None = None,
    noise: float | None = None,
    force: bool = False,
    device: str = "auto",
) -> CubeSource:
    """A source with all bands at the sharpness of its pixels, by its metadata and its own pixels.

    Args:
        source: the image.
        mtf: of blurred bands at their native Nyquist frequency, in place of what is found.
        noise: standard deviation (reflectance), in place of what is found.
        force: restore also bands that the pixels say are sharp.
        device: ``cpu``, ``cuda`` or ``auto``.

    Returns:
        The restored source; the very source given where it is sharp, or nothing is told of its
        sharpness.

    Raises:
        DataError: if the image is too small to learn from, or holds no valid pixel.
        MetadataError, GridError, ConfigError: see :func:`sharpness_of`.
    """
    told = sharpness_of(source, mtf=mtf, noise=noise)
    if told is None:
        return source
    sharpness, statistics, _ = learn(
        source, told, force=force, find_mtf=mtf is None, find_noise=noise is None
    )
    if not sharpness.blurred:
        return source
    return RestoredSource(source, sharpness, statistics, device=device)
