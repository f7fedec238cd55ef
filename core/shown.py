"""Values in a line: what their ``repr`` says in place of arrays and addresses."""

from __future__ import annotations

from trifuse.core.bands import BandSet
from trifuse.core.grid import Grid

_SHORT = 40


def told(bands: BandSet, grid: Grid) -> str:
    """Shape, bands, coordinate system and GSD: ``12 × 60 × 90, B1 … B12, EPSG:32633, 10 m``."""
    crs = grid.crs if len(grid.crs) <= _SHORT else f"{grid.crs[: _SHORT - 1]}…"
    return ", ".join(
        (
            f"{len(bands)} × {grid.height} × {grid.width}",
            named(bands),
            crs or "no coordinate system",
            pixels(grid),
        )
    )


def named(bands: BandSet) -> str:
    """First and last band; both of two."""
    names = bands.names
    return f"{names[0]} … {names[-1]}" if len(names) > 2 else ", ".join(names) or "no bands"


def pixels(grid: Grid) -> str:
    """Size of a pixel."""
    y, x = (f"{v:.6g}" for v in grid.gsd)
    unit = "°" if grid.crs in ("EPSG:4326", "EPSG:4258") else "m" if grid.crs else "px"
    return f"{x} {unit}" if x == y else f"{x} × {y} {unit}"
