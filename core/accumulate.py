"""Degradation of an image that is never held whole."""

from __future__ import annotations

import numpy as np

from trifuse.core.grid import Window
from trifuse.core.resample import NO_SHIFT, PSF, apply_separable, degrade_matrix, reach


class DegradeAccumulator:
    """Degradation of an image that comes in pieces: equal to :func:`degrade` of the whole.

    The operator is linear, so each piece adds its share to the coarse cells it reaches. Memory is
    that of the coarse image.

    Args:
        bands: planes of the image.
        height: rows of the whole fine image.
        width: columns of the whole fine image.
        ratio: fine pixels per coarse cell.
        psf: default: MTF 0.3 at Nyquist.
        shift: displacement (rows, columns) of the coarse cells in fine pixels.

    Attributes:
        reach: (y // ratio, x // ratio) in 0–1, how much of what a displaced cell sees lies inside
            the image; 1 without a shift.
    """

    def __init__(
        self,
        bands: int,
        height: int,
        width: int,
        ratio: int,
        psf: PSF | None = None,
        *,
        shift: tuple[float, float] = NO_SHIFT,
    ) -> None:
        sigma = (PSF.from_mtf() if psf is None else psf).pixels(ratio)
        self._along_y = degrade_matrix(height, ratio, sigma, shift[0]).tocsc()
        self._along_x = degrade_matrix(width, ratio, sigma, shift[1]).tocsc()
        self.reach = np.outer(
            reach(height, ratio, sigma, shift[0]), reach(width, ratio, sigma, shift[1])
        )
        shape = (bands, height // ratio, width // ratio)
        self._total, self._share = np.zeros(shape), np.zeros(shape)

    def add(self, window: Window, values: np.ndarray) -> None:
        """Add a piece that no other piece overlaps.

        Args:
            window: where the piece lies in the whole.
            values: (band, y, x) float; NaN is left out.
        """
        rows, cols = window.slices
        along_y, along_x = self._along_y[:, rows], self._along_x[:, cols]
        i = np.unique(along_y.indices)
        j = np.unique(along_x.indices)
        if not len(i) or not len(j):
            return
        at = np.s_[:, i[0] : i[-1] + 1, j[0] : j[-1] + 1]
        along_y, along_x = along_y[i[0] : i[-1] + 1], along_x[j[0] : j[-1] + 1]
        there = ~np.isnan(values)
        self._total[at] += apply_separable(
            np.where(there, values, 0).astype(np.float64), along_y, along_x
        )
        if there.all():
            self._share[at] += np.outer(along_y.sum(axis=1), along_x.sum(axis=1))
        else:
            self._share[at] += apply_separable(there.astype(np.float64), along_y, along_x)

    @property
    def share(self) -> np.ndarray:
        """How much of what each cell sees was added: (band, y // ratio, x // ratio) in 0–1."""
        return self._share

    def result(self, min_share: float = 2 / 3) -> np.ndarray:
        """(band, y // ratio, x // ratio) float32; NaN as in :func:`degrade`.

        Cells that a shift moves out of the image to more than ``min_share`` allows are NaN too.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = self._total / self._share
        keep = self._share * self.reach > max(min_share - 1e-9, 1e-9)
        return np.where(keep, mean, np.nan).astype(np.float32)
