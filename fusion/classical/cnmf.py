"""Coupled non-negative matrix factorisation (CNMF)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import nnls

from trifuse.core import BandSet, ConfigError, DegradeAccumulator, TilePlan, Window, fill_nearest
from trifuse.core.runtime import Runtime
from trifuse.fusion.classical.sure_cells import sure_cells
from trifuse.fusion.classical.unmixing import (
    successive_projections,
    update_abundances,
    update_endmembers,
    with_sum,
)
from trifuse.fusion.method import Method, Predicted, Run
from trifuse.fusion.scene import Scene

LEAST = 1e-4
"""Abundances start at no less, since multiplicative updates never leave zero."""

TRUSTED = 3e-3
"""Misfit of the coupling, in reflectance, below which bands of S2 count alike."""

_TILE = 256
_CHUNK = 1 << 14  # pixels whose abundances stay in the processor's cache


@dataclass(frozen=True, slots=True)
class Cnmf(Method):
    """Endmembers of S3 with abundances of S2.

    Both images are unmixed in turn, X ≈ W·H_c (S3) and Y ≈ R·W·H (S2):

    1. Endmembers W start at spectra of S3's cells chosen by successive projections, abundances
       H_c at 1/M; multiplicative updates of both.
    2. H starts at the upsampled H_c and is updated with R·W held.
    3. H seen by S3 (its PSF, where its cells lie) becomes H_c; updates of W, then of both; back
       to 2, for so many rounds.

    The result is W·H. R, S2's bands as sums of S3's, comes from non-negative least squares on
    the cells; a band of S2 counts by how well it is explained there, so that one beside S3's
    bands does not mislead.

    All that depends on the scene is done on its cells; with W and H_c given, each pixel of H is on
    its own. H is therefore never held but computed again in each pass over S2 (``rounds`` passes),
    and tiles change the result by rounding alone. Missing S3 cells are bridged for the start.

    Source: Yokoya, Yairi, Iwasaki 2012, doi:10.1109/TGRS.2011.2161320.

    Attributes:
        endmembers: M at most; no more than S3 has independent bands.
        rounds: passes over S2, the last one being the result.
        iterations: multiplicative updates in each step of each round.
    """

    endmembers: int = 20
    rounds: int = 3
    iterations: int = 300
    name: str = field(default="cnmf", init=False)
    halo: int | None = field(default=0, init=False)
    alignment: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        if min(self.endmembers, self.rounds, self.iterations) < 1:
            raise ConfigError(
                f"{self.endmembers} endmembers, {self.rounds} rounds, {self.iterations} iterations",
                fix="give at least one of each",
            )

    def bands(self, hr: BandSet, lr: BandSet) -> tuple[list[str], list[str]]:
        """All bands."""
        return list(hr.names), list(lr.names)

    def prepare(self, scene: Scene, runtime: Runtime) -> Run:
        """Find endmembers and coarse abundances.

        Raises:
            DataError: if no cells are seen by both images.
        """
        unmixed = _unmix(scene, self)
        members = unmixed.members.astype(np.float32)

        def run(window: Window, hrmsi: np.ndarray) -> np.ndarray:
            planes = unmixed.abundances(scene, window, hrmsi)
            fused = np.tensordot(members, planes, axes=1)
            # Abundances mix bands: a cell without one of them is missing in all.
            fused[:, scene.missing(window).any(axis=0)] = np.nan
            return fused

        return Predicted(run)


@dataclass(frozen=True, slots=True, eq=False)
class _Unmixed:
    """What is known of a scene.

    Attributes:
        members: (L, M) W.
        cells: (M, h, w) float32 H_c.
        sharp: (l, M) R·W, rows weighted.
        trust: (l,) the weights.
        iterations: updates of the pixels' abundances.
    """

    members: np.ndarray
    cells: np.ndarray
    sharp: np.ndarray
    trust: np.ndarray
    iterations: int

    def abundances(self, scene: Scene, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """H over a window: (M, y, x) float32."""
        planes: np.ndarray = np.maximum(scene.moved(self.cells, window), LEAST)
        start = planes.reshape(len(planes), -1)
        pixels = np.maximum(hrmsi, 0).reshape(len(hrmsi), -1)
        weight, sharp = self.trust[:, None].astype(np.float32), with_sum(self.sharp)
        for first in range(0, start.shape[1], _CHUNK):
            part = np.s_[:, first : first + _CHUNK]
            start[part] = update_abundances(
                with_sum(pixels[part] * weight), sharp, start[part], self.iterations
            )
        return planes


def _unmix(scene: Scene, options: Cnmf) -> _Unmixed:
    sure = sure_cells(scene)
    use = np.flatnonzero(sure)
    spectra, seen = (
        np.maximum(fill_nearest(image).reshape(len(image), -1), 0).astype(np.float64)
        for image in (scene.lrhsi, scene.hr_coarse[0])
    )
    response, trust = couple(seen[:, use], spectra[:, use])
    members = spectra[:, use[successive_projections(spectra[:, use], options.endmembers)]]
    members = np.maximum(members, 1e-6)
    cells = np.full((members.shape[1], spectra.shape[1]), 1 / members.shape[1])
    summed, chosen = with_sum(spectra), spectra[:, use]

    def unmix(members: np.ndarray, cells: np.ndarray) -> _Unmixed:
        for _ in range(options.iterations):
            cells = update_abundances(summed, with_sum(members), cells)
            members = update_endmembers(chosen, members, cells[:, use])
        planes = cells.reshape(-1, *sure.shape).astype(np.float32)
        sharp = trust[:, None] * (response @ members)
        return _Unmixed(members, planes, sharp, trust, options.iterations)

    unmixed = unmix(members, cells)
    for _ in range(options.rounds - 1):
        members, cells = unmixed.members, _seen_abundances(scene, unmixed)
        for _ in range(options.iterations):
            members = update_endmembers(chosen, members, cells[:, use])
        unmixed = unmix(members, cells)
    return unmixed


def _seen_abundances(scene: Scene, unmixed: _Unmixed) -> np.ndarray:
    """H of the whole scene as S3's cells see it: (M, cells), > 0."""
    height, width = scene.grid.shape
    count = len(unmixed.cells)
    view = DegradeAccumulator(count, height, width, scene.ratio, scene.psf, shift=scene.pair.shift)
    for tile in TilePlan(height, width, _TILE):
        hrmsi, _ = scene.read_filled(tile.write)
        view.add(tile.write, unmixed.abundances(scene, tile.write, hrmsi))
    planes = fill_nearest(view.result(min_share=0.0)).reshape(count, -1)
    return np.maximum(planes.astype(np.float64), LEAST)


def couple(sharp: np.ndarray, spectra: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sharp bands as non-negative sums of the others.

    Args:
        sharp: (l, n) reflectance.
        spectra: (L, n) reflectance of the same cells.

    Returns:
        (l, L) coefficients; and (l,) weights in (0, 1], the inverse of each band's root mean
        square misfit relative to the best band's.
    """
    response = np.stack([nnls(spectra.T, band)[0] for band in sharp])
    misfit = np.sqrt(((sharp - response @ spectra) ** 2).mean(axis=1))
    trust = 1 / np.maximum(misfit, TRUSTED)
    return response, trust / trust.max()
