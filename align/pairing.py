"""The ground that two images share."""

from __future__ import annotations

from dataclasses import dataclass

from trifuse.core import Cube, CubeSource, Grid, GridError, Window
from trifuse.core.resample import NO_SHIFT


@dataclass(frozen=True, slots=True)
class Pair:
    """Where a fine and a coarse image show the same ground, in whole coarse cells.

    Attributes:
        s2_window: the shared ground in pixels of the fine image.
        s3_window: the same in cells of the coarse image.
        ratio: fine pixels per coarse cell; ``s2_window`` is ``ratio`` times ``s3_window``.
        grid: fine grid of the shared ground.
        overlap: share (0–1] of the fine image's ground that is shared.
        shift: (rows, columns) in fine pixels by which the coarse cells lie beside where their
            grid says; what :func:`trifuse.align.register` finds.
    """

    s2_window: Window
    s3_window: Window
    ratio: int
    grid: Grid
    overlap: float
    shift: tuple[float, float] = NO_SHIFT

    @property
    def coarse_grid(self) -> Grid:
        """Coarse grid of the shared ground."""
        return self.grid.zoom_out(self.ratio)


def pair(
    s2: CubeSource | Cube, s3: CubeSource | Cube, *, shift: tuple[float, float] = NO_SHIFT
) -> Pair:
    """Find the common ground of a fine (S2) and a coarse (S3) image.

    Args:
        s2: fine image.
        s3: coarse image.
        shift: of the coarse cells, see :class:`Pair`; it moves no window.

    Raises:
        GridError: if CRS differ or the cells are not nested in whole fine pixels.
        OverlapError: if they share no whole coarse cell.
    """
    try:
        fine, coarse, ratio = s2.grid.common(s3.grid)
    except GridError as e:
        names = [x.name for x in (s2, s3) if isinstance(x, CubeSource)]
        raise type(e)(e.what, where=" and ".join(names) or None, fix=e.fix) from None
    overlap = fine.height * fine.width / (s2.grid.height * s2.grid.width)
    return Pair(fine, coarse, ratio, s2.grid.window(fine), overlap, shift)
