"""Is a synthetic Sentinel view like the one that was observed?

Source: Cristille et al. 2024, doi:10.3390/rs16163107: synthetic data are held against real
Sentinel-2 and Sentinel-3 images by spectral angle and structural similarity.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from trifuse.core import BandError, Cube, Grid, GridError, canonical_name
from trifuse.metrics import sam_map, ssim_bands

MAX_SAM = math.degrees(0.1)
"""Spectral angle in degrees above which a pixel is flagged: 0.1 rad, 5.7°."""

MIN_SSIM = 0.8
"""Structural similarity below which a band is flagged."""


@dataclass(frozen=True, slots=True)
class FidelityReport:
    """What :func:`fidelity` finds.

    Attributes:
        bands: names of the bands compared, in the synthetic cube's order.
        left_out: names that only one of the cubes has.
        sam: mean spectral angle in degrees.
        sam_share: share (0–1) of the compared pixels whose angle exceeds :data:`MAX_SAM`, 5.7°.
        ssim: structural similarity of each band, NaN where there is none.
        pixels: pixels compared.
        of: pixels of the grid.
    """

    bands: tuple[str, ...]
    left_out: tuple[str, ...]
    sam: float
    sam_share: float
    ssim: tuple[float, ...]
    pixels: int
    of: int

    @property
    def checked(self) -> float:
        """Share (0–1) of the grid that could be compared."""
        return self.pixels / self.of

    @property
    def flagged_bands(self) -> tuple[str, ...]:
        """Bands whose structural similarity is below 0.8."""
        return tuple(n for n, s in zip(self.bands, self.ssim, strict=True) if s < MIN_SSIM)

    @property
    def flags(self) -> tuple[str, ...]:
        """What is wrong, in words; empty if nothing is."""
        found = []
        if self.sam > MAX_SAM:
            found.append(f"mean spectral angle of {self.sam:.2f}° is above {MAX_SAM:.1f}°")
        low = [f"{n} {s:.3f}" for n, s in zip(self.bands, self.ssim, strict=True) if s < MIN_SSIM]
        if low:
            found.append(f"SSIM is below {MIN_SSIM:g} in {', '.join(low)}")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """Plain values with the flags; null where there is no number."""
        return {
            **asdict(self),
            "sam": _finite(self.sam),
            "sam_share": _finite(self.sam_share),
            "ssim": {n: _finite(s) for n, s in zip(self.bands, self.ssim, strict=True)},
            "flags": list(self.flags),
        }


def fidelity(synthetic: Cube, observed: Cube) -> FidelityReport:
    """Compare a synthetic image with an observed one in the bands they share.

    Pixels count that are valid in both images and have every shared band; the angle is that of
    the spectra of these bands. Bands are matched by name (``B8A`` = ``B08A``).

    Args:
        synthetic: made from spectral data, reflectance.
        observed: the sensor's own image on the same grid, reflectance.

    Raises:
        GridError: if the grids differ.
        BandError: if no band is shared.
        DataError: if no pixel is valid in both.
    """
    if not _same_ground(synthetic.grid, observed.grid):
        raise GridError(
            f"grids differ: {_words(synthetic.grid)} against {_words(observed.grid)}",
            fix="bring the observed image onto the synthetic one's grid",
        )
    known = {canonical_name(n) for n in observed.bands.names}
    shared = [n for n in synthetic.bands.names if canonical_name(n) in known]
    if not shared:
        raise BandError(
            f"no band is shared: {', '.join(synthetic.bands.names)} against "
            f"{', '.join(observed.bands.names)}"
        )
    ours = {canonical_name(n) for n in shared}
    left_out = [
        n
        for cube in (synthetic, observed)
        for n in cube.bands.names
        if canonical_name(n) not in ours
    ]
    truth, estimate = observed.select(shared).data, synthetic.select(shared).data
    valid = synthetic.valid & observed.valid
    valid &= np.isfinite(truth).all(axis=0) & np.isfinite(estimate).all(axis=0)
    structure = ssim_bands(truth, estimate, valid)
    angles = sam_map(truth, estimate, valid)
    angles = angles[np.isfinite(angles)]
    return FidelityReport(
        bands=tuple(shared),
        left_out=tuple(left_out),
        sam=float(angles.mean()) if angles.size else math.nan,
        sam_share=float((angles > MAX_SAM).mean()) if angles.size else math.nan,
        ssim=tuple(structure.tolist()),
        pixels=int(valid.sum()),
        of=valid.size,
    )


def _same_ground(a: Grid, b: Grid) -> bool:
    """Whether the pixels coincide, to a hundredth of a pixel."""
    return a.is_nested(b) and a.nested_ratio(b) == 1 and a.locate(b) == a.whole


def _words(grid: Grid) -> str:
    west, south, east, north = grid.bounds
    crs = grid.crs if len(grid.crs) <= 40 else grid.crs[:37] + "…"
    return (
        f"{grid.height}×{grid.width} pixels in {crs or 'no CRS'}, "
        f"x {west:g}…{east:g}, y {south:g}…{north:g}"
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
