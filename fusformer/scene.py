"""Two images over one ground, as the fusion methods see them.

The sharp image is read window by window and never held; the coarse one is held, it has ratio²
times fewer pixels. What is missing is filled before a method sees it, in a way that depends on
the scene alone and never on the tile, and is nodata again in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from trifuse.core import (
    PSF,
    BandSet,
    CubeSource,
    DataError,
    DegradeAccumulator,
    Grid,
    TilePlan,
    Window,
    fill_nearest,
    upsample,
)


class Scene:
    """The shared ground of a sharp (S2) and a coarse (S3) image.

    Windows are pixels of ``grid``.

    Args:
        s2: the sharp source.
        s3: the coarse source, its cells an integer number of S2 pixels.
        hr_names: bands of S2 to use, in order.
        lr_names: bands of S3 to use, in order.
        psf: of the coarse sensor.

    Attributes:
        grid: sharp pixels over the shared ground, whole coarse cells.
        bands: of the result.
        ratio: sharp pixels per coarse cell.
        lrhsi: (L, h, w) float32 coarse image, NaN where missing.

    Raises:
        GridError: if the grids do not fit or do not overlap.
        BandError: if a band is missing.
        DataError: if no coarse cell is valid.
    """

    def __init__(
        self,
        s2: CubeSource,
        s3: CubeSource,
        hr_names: Sequence[str],
        lr_names: Sequence[str],
        psf: PSF,
    ) -> None:
        self.s2_window, s3_window, self.ratio = s2.grid.common(s3.grid)
        self.grid, self.psf = s2.grid.window(self.s2_window), psf
        self.s2, self.hr_names = s2, list(hr_names)
        self.hr_bands: BandSet = s2.bands.select(s2.bands.indices(hr_names))
        coarse = s3.read(s3_window, lr_names)
        self.bands: BandSet = coarse.bands
        self.coarse_grid: Grid = coarse.grid
        self.lrhsi = coarse.masked()
        self._missing = np.isnan(self.lrhsi)
        if self._missing.all():
            raise DataError("no valid pixel over the shared ground", where=s3.name)
        self._bridged = fill_nearest(self.lrhsi)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sharp pixels as they are.

        Returns:
            (l, y, x) float32 with NaN where missing, and (y, x) bool, True where every band is
            there.
        """
        cube = self.s2.read(window.shift(self.s2_window.row, self.s2_window.col), self.hr_names)
        data = cube.masked()
        return data, np.asarray(np.isfinite(data).all(axis=0))

    def read_filled(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sharp pixels, finite everywhere: :meth:`read`, filled with what S3's cells would see."""
        data, valid = self.read(window)
        if not valid.all():
            data = np.where(np.isfinite(data), data, upsample(self._hr_bridged, self.ratio, window))
        return data, valid

    def upsampled(self, window: Window) -> np.ndarray:
        """Coarse image by cubic convolution, finite everywhere: (L, y, x) float32."""
        return upsample(self._bridged, self.ratio, window)

    def missing(self, window: Window) -> np.ndarray:
        """Where the coarse image has no value: (L, y, x) bool, over whole cells."""
        rows, cols = window.slices
        y = np.arange(rows.start, rows.stop) // self.ratio
        x = np.arange(cols.start, cols.stop) // self.ratio
        there: np.ndarray = self._missing[:, y[:, None], x]
        return there

    @cached_property
    def hr_coarse(self) -> np.ndarray:
        """The sharp image as the coarse sensor sees it: (l, h, w) float32.

        NaN where less than half of what a cell sees is there. Costs one pass over S2, made when
        it is first asked for.
        """
        height, width = self.grid.shape
        seen = DegradeAccumulator(len(self.hr_names), height, width, self.ratio, self.psf)
        for tile in TilePlan(height, width, tile=1024):
            seen.add(tile.write, self.read(tile.write)[0])
        coarse: np.ndarray = seen.result()
        return coarse

    @cached_property
    def _hr_bridged(self) -> np.ndarray:
        return fill_nearest(self.hr_coarse)
