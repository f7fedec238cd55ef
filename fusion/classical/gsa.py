"""Gram–Schmidt adaptive (GSA), a component substitution, as hypersharpening."""

from __future__ import annotations

from dataclasses import dataclass, field

from trifuse.align import fit_map
from trifuse.core import BandSet
from trifuse.core.runtime import Runtime
from trifuse.fusion.classical.cells import coarse_cells, injection, require_cells
from trifuse.fusion.method import Method, Run
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.base import Masked


@dataclass(frozen=True, slots=True)
class Gsa(Method):
    """Each band's intensity, mixed from all bands of S3, is replaced by its synthetic sharp band.

    The weights of the intensity I_k = Σ_j w_kj · S3_j + c_k come from the regression of the
    synthetic sharp band, as S3 sees it, on the bands of S3; the gain is that of Gram–Schmidt
    orthogonalisation:

        fused_k = up(S3_k) + cov(S3_k, I_k) / var(I_k) · (P_k − up(I_k))

    Statistics are those of the coarse cells. The low-pass view is here a mixture of S3 itself, so
    aliasing and displacement of S3 do not enter the detail; what of S2 no mixture of S3 explains
    does, as in any component substitution.

    Sources: Aiazzi, Baronti, Selva 2007, doi:10.1109/TGRS.2007.901007 (weights by regression, gain
    by covariance); Selva et al. 2015, doi:10.1109/JSTARS.2015.2440092 (a sharp band for each).

    Attributes:
        ridge: of both regressions, see :func:`trifuse.align.fit_map`.
    """

    ridge: float | str = "gcv"
    name: str = field(default="gsa", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Fit synthetic sharp bands, intensities and gains to the coarse cells.

        Raises:
            DataError: if fewer cells than coefficients are seen by both.
        """
        cells = coarse_cells(scene, self.ridge)
        require_cells(cells, len(cells.s3) + 1, "the intensity of GSA")
        weights = cells.trust.min(axis=0)
        intensity = fit_map(cells.s3, cells.sharp, ridge=self.ridge, weights=weights).apply(
            cells.s3
        )
        return Masked(scene, injection(scene, cells, cells.gain(intensity), intensity))
