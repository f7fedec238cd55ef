"""Generalised Laplacian pyramid with MTF-matched filter (MTF-GLP), as hypersharpening."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from trifuse.core import BandSet, ConfigError
from trifuse.core.runtime import Runtime
from trifuse.fusion.classical.cells import Modulation, coarse_cells, injection
from trifuse.fusion.method import Method, Run
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.base import Masked

FLOOR = 0.005
"""Reflectance below which a quotient of two bands gives way to a difference."""


@dataclass(frozen=True, slots=True)
class MtfGlpHs(Method):
    """What S3's MTF takes from the synthetic sharp band is added to S3.

    With ``global`` gains: fused_k = up(S3_k) + g_k · (P_k − up(P_L,k)), and g_k = cov(S3_k, P_L,k)
    / var(P_L,k) over the coarse cells. The filter is S3's own PSF and the pyramid one step of the
    scene's ratio. With a synthetic sharp band fitted by plain least squares g_k is 1 and this *is*
    the regression with upsampled residual; a ridge makes it slightly larger. With ``hpm`` (high-
    pass modulation) the gain is up(S3_k) / up(P_L,k) at each pixel, guarded where that is small.

    Sources: Aiazzi et al. 2006, doi:10.14358/PERS.72.5.591 (filter, gains); Selva et al. 2015,
    doi:10.1109/JSTARS.2015.2440092 (a sharp band for each); Vivone et al. 2015,
    doi:10.1109/TGRS.2014.2361734 (high-pass modulation).

    Attributes:
        ridge: of the synthetic sharp bands, see :func:`trifuse.align.fit_map`.
        gain: ``global`` or ``hpm``.
        floor: reflectance, see :func:`trifuse.fusion.classical.cells.Modulation`; of ``hpm``.
    """

    ridge: float | str = "gcv"
    gain: Literal["global", "hpm"] = "global"
    floor: float = FLOOR
    name: str = field(default="mtf-glp-hs", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if self.gain not in ("global", "hpm"):
            raise ConfigError(f"gain {self.gain!r}", fix="give global or hpm")
        check_floor(self.floor)

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Fit synthetic sharp bands and gains to the coarse cells."""
        cells = coarse_cells(scene, self.ridge)
        if self.gain == "hpm":
            return Masked(scene, Modulation(scene, cells, self.floor))
        gain = cells.gain(cells.sharp)
        return Masked(scene, injection(scene, cells, gain, cells.sharp))


def check_floor(floor: float) -> None:
    """Refuse a floor that guards nothing.

    Raises:
        ConfigError: if it is not within (0, 1] reflectance.
    """
    if not 0 < floor <= 1:
        raise ConfigError(f"a floor of {floor:g}", fix="give a reflectance above 0, at most 1")
