"""Sub-pixel co-registration of Sentinel-3 to Sentinel-2, estimated on the data.

If S3's cells lie where their grid says, a linear map of S2 in these cells explains S3 best; if
they lie elsewhere, it does so there. So the shift, and with it the width of the PSF, minimise

    mean over bands of log(mse / variance + 1e-6)

of a ridge fit on the coarse cells. The cells are Gaussian averages of S2 at any shift, and
nothing is resampled, neither here nor in the fusion that uses the result.

A shift of 0.3 S3 cells costs a regression about 20 dB, so this runs by default; but it changes
nothing where it finds nothing: see :attr:`Registration.applied`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from trifuse.align.pairing import Pair, pair
from trifuse.align.registration_fit import CoarseFit, minimise
from trifuse.align.regression import read_masked
from trifuse.core import PSF, ConfigError, Cube, CubeSource, DataError, MemorySource, Window
from trifuse.core.resample import NO_SHIFT

SEARCH = 1.6
"""Shifts are looked for up to so many coarse cells each way."""

INSIGNIFICANT = 0.05
"""Shifts below so many coarse cells are not applied."""

SIGNIFICANT_ERRORS = 3.0
"""Nor are those below so many standard errors."""

MAX_ERROR = 0.15
"""Standard error in coarse cells above which an estimate is not trusted."""

UNEXPLAINED = 0.5
"""Share of S3's variance left unexplained (geometric mean over bands) above which neither."""

EDGE = 96
"""Cells a side of the part that the estimate rests on: more would not sharpen it."""

ENOUGH = 900
"""Cells seen by both at which a part is taken without looking at others."""

CELLS_PER_COEFFICIENT = 2.0
"""Cells that must count per coefficient that the ridge leaves free. At 2 to 4, on real blocks of 54
cells with S2 restored, shifts came out within 0.01 cells (24 draws)."""

TRIES = 6
"""Parts of the scene that are looked at."""

FINENESS = 5
"""Blocks per coarse cell that S2 is averaged to; the PSF leaves nothing finer."""


@dataclass(frozen=True, slots=True)
class Registration:
    """Where S3's cells lie, as far as the two images tell.

    Attributes:
        dy: rows, in fine (S2) pixels, by which the cells lie beside where their grid says;
            positive is downwards.
        dx: columns, likewise; positive is to the right.
        gsd: (y, x) of the fine pixels, in map units.
        ratio: fine pixels per coarse cell.
        psf: width found together with the shift. Where S2's own bands are blurred it comes out
            too narrow by about a twentieth.
        before: objective without a shift, at the assumed width; lower is better.
        after: objective at the estimate.
        cells: coarse cells that counted, as a sum of weights.
        error: standard error of the shift in fine pixels, of the worse direction.
        reliable: whether the estimate can be trusted.
        reason: why not; empty if it can.
    """

    dy: float
    dx: float
    gsd: tuple[float, float]
    ratio: int
    psf: PSF
    before: float
    after: float
    cells: float
    error: float
    reliable: bool
    reason: str = ""

    @property
    def shift(self) -> tuple[float, float]:
        """(rows, columns) in fine pixels."""
        return self.dy, self.dx

    @property
    def metres(self) -> tuple[float, float]:
        """(east, north) in map units by which S3 has to be moved to fit S2."""
        return self.dx * self.gsd[1], -self.dy * self.gsd[0]

    @property
    def length(self) -> float:
        """Length of the shift in coarse cells."""
        return math.hypot(self.dy, self.dx) / self.ratio

    @property
    def significant(self) -> bool:
        """Whether the shift is told from none: 0.05 coarse cells or more, and three errors."""
        least = max(INSIGNIFICANT, SIGNIFICANT_ERRORS * self.error / self.ratio)
        return self.reliable and self.length >= least

    @property
    def applied(self) -> tuple[float, float]:
        """The shift to fuse with: that found if it is reliable and significant, else none."""
        return self.shift if self.significant else NO_SHIFT

    def to_json(self) -> dict[str, Any]:
        """Plain values; null where there is no number."""
        east, north = self.metres

        def finite(value: float, digits: int) -> float | None:
            return round(value, digits) + 0.0 if math.isfinite(value) else None

        return {
            "shift_metres": {"east": finite(east, 3), "north": finite(north, 3)},
            "shift_cells": finite(self.length, 5),
            "shift_pixels": [finite(self.dy, 4), finite(self.dx, 4)],
            "error_cells": finite(self.error / self.ratio, 5),
            "psf_mtf": finite(self.psf.mtf, 4),
            "objective_before": finite(self.before, 5),
            "objective_after": finite(self.after, 5),
            "cells": finite(self.cells, 1),
            "reliable": self.reliable,
            "significant": self.significant,
            "reason": self.reason,
        }


def register(
    s2: CubeSource | Cube, s3: CubeSource | Cube, *, psf: PSF | None = None, search: float = SEARCH
) -> Registration:
    """Find the shift of S3's cells against S2 and the width of S3's PSF.

    Of a large scene a part of 96×96 cells is used, the one S3 shows best, or the next where S2
    does not show that one. S2 is read in strips and averaged at once, so memory stays bounded.

    Args:
        s2: sharp image.
        s3: coarse image, its cells a whole number of S2 pixels.
        psf: of S3, where the search starts; default: MTF 0.3 at Nyquist.
        search: how far to look each way, in coarse cells.

    Returns:
        The estimate. It is not reliable where too few cells are seen by both, nothing is to be
        seen in them, or the best shift lies at the end of the search.

    Raises:
        GridError: if the grids do not fit.
        OverlapError: if they share no ground.
        ConfigError: if the search is not positive.
    """
    _check_search(search)
    fine = MemorySource(s2, "S2") if isinstance(s2, Cube) else s2
    coarse = MemorySource(s3, "S3") if isinstance(s3, Cube) else s3
    shared = pair(fine, coarse)
    observed = coarse.read(shared.s3_window).masked()
    best: CoarseFit | None = None
    most = -1.0
    for part in _parts(np.isfinite(observed).any(axis=0)):
        problem = _problem(fine, shared, observed, part, search)
        shown = float(
            (problem.weight * (problem.seen(NO_SHIFT, 0.5 * shared.ratio)[1] > 0.9)).sum()
        )
        if shown > most:
            best, most = problem, shown
        if most >= min(ENOUGH, 0.6 * part.height * part.width):
            break
    assert best is not None
    return _judge(best, psf, search, shared.grid.gsd)


def register_arrays(
    s2: np.ndarray,
    s3: np.ndarray,
    *,
    psf: PSF | None = None,
    search: float = SEARCH,
    gsd: tuple[float, float] = (1.0, 1.0),
) -> Registration:
    """:func:`register` of arrays over one ground.

    Args:
        s2: (l, y, x) reflectance, NaN where missing.
        s3: (L, h, w) reflectance, NaN where missing; y = ratio · h and x = ratio · w.
        psf: of S3, where the search starts; default: MTF 0.3 at Nyquist.
        search: how far to look each way, in coarse cells.
        gsd: (y, x) of the fine pixels in map units.

    Raises:
        DataError: if the sizes are no multiple of each other.
        ConfigError: if the search is not positive.
    """
    _check_search(search)
    ratio = s2.shape[1] // max(s3.shape[1], 1)
    if ratio < 1 or s2.shape[1:] != (s3.shape[1] * ratio, s3.shape[2] * ratio):
        raise DataError(f"S2 of {s2.shape[1:]} pixels over S3 of {s3.shape[1:]} cells")
    blocks = _Blocks(len(s2), s2.shape[1], s2.shape[2], _block(ratio))
    blocks.add(0, np.asarray(s2, np.float32))
    return _judge(_fit_of(blocks, s3, (0, 0), ratio), psf, search, gsd)


def _check_search(search: float) -> None:
    if not 0 < search <= 5:
        raise ConfigError(f"a search of {search} cells", fix="give more than 0 and at most 5")


def _judge(
    problem: CoarseFit, psf: PSF | None, search: float, gsd: tuple[float, float]
) -> Registration:
    """Minimise, and say whether the minimum can be trusted."""
    ratio = problem.ratio
    sigma = (PSF.from_mtf() if psf is None else psf).pixels(ratio)
    found = minimise(problem, sigma, search)
    needed = CELLS_PER_COEFFICIENT * found.coefficients
    reason = ""
    if found.cells < needed:
        reason = f"only {found.cells:.0f} cells are seen by both, {needed:.0f} are needed"
    elif max(map(abs, found.shift)) > search * ratio:
        reason = f"no best shift within {search:g} cells"
    elif found.after > math.log(UNEXPLAINED):
        reason = "Sentinel-2 explains too little of Sentinel-3 at any shift"
    elif found.error > MAX_ERROR * ratio:
        reason = "the images show too little to tell a shift"
    width = min(max(found.sigma / ratio, 0.0), 10.0)
    return Registration(
        dy=found.shift[0],
        dx=found.shift[1],
        gsd=gsd,
        ratio=ratio,
        psf=PSF(width),
        before=found.before,
        after=found.after,
        cells=found.cells,
        error=found.error,
        reliable=not reason,
        reason=reason,
    )


def _parts(shown: np.ndarray) -> list[Window]:
    """Parts of the coarse image to look at, those with most valid cells first."""
    height, width = shown.shape
    rows, cols = (_cuts(n) for n in (height, width))
    parts = [Window(r, c, h, w) for r, h in rows for c, w in cols]

    def merit(part: Window) -> tuple[int, float]:
        y, x = part.slices
        off = math.hypot(
            part.row + part.height / 2 - height / 2, part.col + part.width / 2 - width / 2
        )
        return -int(shown[y, x].sum()), off

    return sorted(parts, key=merit)[:TRIES]


def _cuts(n: int) -> list[tuple[int, int]]:
    """(start, length) of parts of at most ``EDGE`` cells that cover an axis of ``n``."""
    count = -(-n // EDGE)
    ends = [round(i * n / count) for i in range(count + 1)]
    return [(a, b - a) for a, b in pairwise(ends)]


def _block(ratio: int) -> int:
    return max(1, ratio // FINENESS)


class _Blocks:
    """Block means of the valid pixels of an image that comes in strips of whole blocks."""

    def __init__(self, bands: int, height: int, width: int, block: int) -> None:
        self.block, self._rows, self._cols = block, height // block, width // block
        self.mean = np.zeros((bands, self._rows, self._cols))
        self.there = np.zeros((self._rows, self._cols))

    def add(self, row: int, pixels: np.ndarray) -> None:
        """A strip from a row of blocks on: (l, y, x), NaN where missing."""
        k = self.block
        count = min(pixels.shape[1] // k, self._rows - row)
        cut = pixels[:, : count * k, : self._cols * k]
        valid = np.isfinite(cut).all(axis=0)
        shape = (count, k, self._cols, k)
        filled = np.where(valid, cut, 0).reshape(len(cut), *shape)
        self.mean[:, row : row + count] = filled.mean(axis=(2, 4), dtype=np.float64)
        self.there[row : row + count] = valid.reshape(shape).mean(axis=(1, 3))


def _problem(
    s2: CubeSource, shared: Pair, observed: np.ndarray, part: Window, search: float
) -> CoarseFit:
    """S2 around a part of the cells, as far as there is any, and the cells."""
    ratio, ground = shared.ratio, shared.s2_window
    rows, cols = part.slices
    first = (ground.row + part.row * ratio, ground.col + part.col * ratio)
    fine = Window(*first, part.height * ratio, part.width * ratio)
    around = fine.pad(math.ceil((search + 2) * ratio)).clip(*s2.grid.shape)
    block = _block(ratio)
    blocks = _Blocks(len(s2.bands), around.height, around.width, block)
    strip = block * max(1, 256 // block)
    for top in range(0, around.height // block * block, strip):
        window = Window(top, 0, min(strip, around.height - top), around.width)
        blocks.add(top // block, read_masked(s2, around, window))
    origin = (fine.row - around.row, fine.col - around.col)
    return _fit_of(blocks, observed[:, rows, cols], origin, ratio)


def _fit_of(
    blocks: _Blocks, observed: np.ndarray, origin: tuple[int, int], ratio: int
) -> CoarseFit:
    """The problem, of the coarse bands that most of the cells have."""
    shown = np.isfinite(observed)
    count = shown.sum(axis=(1, 2))
    kept = count > 0.5 * max(int(count.max(initial=0)), 1)
    chosen = np.asarray(observed[kept], np.float64)
    weight = shown[kept].all(axis=0).astype(np.float64) if kept.any() else np.zeros(shown.shape[1:])
    return CoarseFit(
        fine=blocks.mean,
        there=blocks.there,
        coarse=np.where(weight > 0, chosen, 0.0),
        block=blocks.block,
        origin=origin,
        ratio=ratio,
        weight=weight,
    )
