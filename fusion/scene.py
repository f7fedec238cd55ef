"""Two images over one ground, as the fusion methods see them.

The sharp image is read window by window and never held; the coarse one is held, it has ratio²
times fewer pixels. What is missing is filled before a method sees it, in a way that depends on
the scene alone and never on the tile, and is nodata again in the result.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from trifuse.align import coarse_view, missing_pixels, pair
from trifuse.core import PSF, CubeSource, DataError, Window, fill_nearest, upsample
from trifuse.core.resample import NO_SHIFT
from trifuse.restore.view import RestoredView, as_view

FLAT = 1e-6
"""Range of reflectance below which cells are all the same."""

_log = logging.getLogger(__name__)


class Scene:
    """The shared ground of a sharp (S2) and a coarse (S3) image.

    Windows are pixels of ``grid``.

    Args:
        s2: the sharp source, or a method's view of it, which knows its errors.
        s3: the coarse source, its cells an integer number of S2 pixels.
        hr_names: bands of S2 to use, in order.
        lr_names: bands of S3 to use, in order.
        psf: of the coarse sensor.
        shift: (rows, columns) in sharp pixels by which the coarse cells lie beside their grid.

    Attributes:
        view: the sharp image, and what is known of the errors of its bands.
        s2: the bands of it to use.
        grid: sharp pixels over the shared ground, whole coarse cells.
        bands: of the result.
        sensors: names of the response tables of both images, None where they do not tell.
        ratio: sharp pixels per coarse cell.
        lrhsi: (L, h, w) float32 coarse image, NaN where missing.

    Raises:
        GridError: if the grids do not fit or do not overlap.
        BandError: if a band is missing.
        DataError: if no coarse cell is valid.
    """

    def __init__(
        self,
        s2: CubeSource | RestoredView,
        s3: CubeSource,
        hr_names: Sequence[str],
        lr_names: Sequence[str],
        psf: PSF,
        shift: tuple[float, float] = NO_SHIFT,
    ) -> None:
        self.view = as_view(s2)
        sharp = self.view.source
        self.pair = pair(sharp, s3, shift=shift)
        self.psf, self.ratio, self.grid = psf, self.pair.ratio, self.pair.grid
        self.s2 = sharp.select(hr_names)
        coarse = s3.select(lr_names).read(self.pair.s3_window)
        self.sensors: tuple[str | None, str | None] = (
            sharp.meta.get("sensor"),
            s3.meta.get("sensor"),
        )
        self.bands = coarse.bands
        self.lrhsi = coarse.masked()
        self._missing = np.isnan(self.lrhsi)
        if self._missing.all():
            raise DataError("no valid pixel over the shared ground", where=s3.name)
        if empty := [n for n, m in zip(self.bands.names, self._missing, strict=True) if m.all()]:
            _log.warning("%s: %s has no value and stays missing", s3.name, ", ".join(empty))
        self._bridged = fill_nearest(self.lrhsi)

    def read(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sharp pixels as they are.

        Returns:
            (l, y, x) float32 with NaN where missing, and (y, x) bool, True where every band is
            there.
        """
        ground = self.pair.s2_window
        data = self.s2.read(window.shift(ground.row, ground.col)).masked()
        return data, np.asarray(np.isfinite(data).all(axis=0))

    def read_filled(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """Sharp pixels, finite everywhere: :meth:`read`, filled with what S3's cells would see."""
        data, valid = self.read(window)
        if not valid.all():
            data = np.where(np.isfinite(data), data, self.moved(self._hr_bridged, window))
        return data, valid

    def upsampled(self, window: Window) -> np.ndarray:
        """Coarse image by cubic convolution, finite everywhere: (L, y, x) float32."""
        return self.moved(self._bridged, window)

    def missing(self, window: Window) -> np.ndarray:
        """Where the coarse image has no value: (L, y, x) bool, over whole cells."""
        return missing_pixels(self._missing, self.pair, window)

    def moved(self, cells: np.ndarray, window: Window) -> np.ndarray:
        """Planes of coarse cells at sharp pixels, by cubic convolution from where the cells lie."""
        return upsample(cells, self.ratio, window, shift=self.pair.shift)

    @cached_property
    def hr_coarse(self) -> tuple[np.ndarray, np.ndarray]:
        """The sharp image as the coarse sensor sees it, see :func:`trifuse.align.coarse_view`.

        Costs one pass over S2, made when it is first asked for.
        """
        cells, seen = coarse_view(self.s2, self.pair, psf=self.psf)
        there = [plane[np.isfinite(plane)] for plane in cells]
        ranges = [float(np.ptp(values)) for values in there if values.size > 1]
        if ranges and max(ranges) < FLAT:
            what = "%s: every band has one value everywhere: no detail comes from it"
            _log.warning(what, self.view.source.name)
        return cells, seen

    @cached_property
    def _hr_bridged(self) -> np.ndarray:
        return fill_nearest(self.hr_coarse[0])
