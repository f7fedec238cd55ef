"""Restoration by the statistics of each place, where the scene's are not everywhere true.

The restoration (:mod:`trifuse.restore.restoration`) knows one power spectrum and one
covariance of the bands. On a lake there is less detail than on a town, and how detail in the
short-wave infrared goes with detail in the visible differs between fields and forest. Here both
are learnt around each pixel from the restored image itself, and the equations are solved again.

The prior has a part for the lowest frequencies, as before, and one for each of some bands of
frequency F_k, whose pixels are independent given the place:

    −2 log p(m) = ‖C^−½ F_0 m‖² + Σ_k Σ_x (F_k m)(x)ᵀ [e_k(x) C(x)]⁻¹ (F_k m)(x)

where F_k divides by the square root of the scene's power and Σ_k |F_k|² of the bands' windows is
one, so e_k = 1 and C(x) = C give back the stationary prior. e_k(x) is the energy of the restored
detail around x, and C(x) its covariance, over pixels of the same kind of ground
(:class:`trifuse.restore.places.Kinds`) and with the posterior's added (the M step of
expectation maximisation), drawn towards the scene's C. The minimum is found by conjugate gradients
from the stationary solution with the stationary posterior as preconditioner, a fixed number of
steps.
It takes two rounds, the second with statistics of what the first one found. C(x) is one for each
cell of 2×2 pixels, and what the lower bands of frequency hold of F_k m is taken at their middles.

Sources: Portilla et al. 2003, doi:10.1109/TIP.2003.818640 (Gaussian scale mixtures: energy that
varies from place to place); Yu, Sapiro and Mallat 2012, doi:10.1109/TIP.2011.2176743 (restoration
with local Gaussian models by expectation maximisation).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from trifuse.restore.places import (
    LEAST_SHARE,
    SMOOTH,
    Covariances,
    Energies,
    Kinds,
    from_cells,
    to_cells,
    weigh,
)
from trifuse.restore.restoration import BlockRestorer
from trifuse.restore.restoration import _fold as fold
from trifuse.restore.restoration import _unfold as unfold
from trifuse.restore.sample_noise import sample_noise
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.spectrum import analysis, cosines, frequencies, transfer

CUTS = (1.8, 0.6)
"""Standard deviations in pixels of the Gaussians between which the bands of frequency lie."""

DETAIL = 2.8
"""Detail is what is left of an image without its Gaussian of this many pixels."""

POSTERIOR = 0.5
"""Share of the posterior covariance that is added to that of the restored detail."""

ROUNDS = (5, 10)
"""Steps of conjugate gradients between which the statistics are taken anew."""

HALO_PERIODS = 4
"""Periods of sampling that blocks are solved beyond their pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The bands of one ratio, on one block; see :mod:`trifuse.restore.restoration`.

    Attributes:
        ratio: pixels per sample.
        numbers: of the bands.
        transfer: (k, N_y, N_x) how fine frequencies enter the samples'.
        weight: (k, n_y, n_x) reciprocal variance of the samples' noise.
        into_y: (n_y, N_y) pixels to frequencies of the samples.
        into_x: likewise.
    """

    ratio: int
    numbers: list[int]
    transfer: Tensor
    weight: Tensor
    into_y: Tensor
    into_x: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class _Window:
    """A band of frequency; a lower one lives on a coarser grid, which holds all of it.

    Attributes:
        grid: pixels of the block along a pixel of its grid.
        seen: of the block's frequencies those that the grid holds.
        plain: (N_y, N_x) what passes, of those.
        white: the same divided by the square root of the scene's power.
        back_y: (y, N_y) frequencies to pixels of the grid.
        back_x: likewise.
        calm: one over the energy of its detail around each pixel of the grid.
    """

    grid: int
    seen: tuple[slice, slice]
    plain: Tensor
    white: Tensor
    back_y: Tensor
    back_x: Tensor
    calm: Energies

    def back(self, m: Tensor, passed: Tensor) -> Tensor:
        """(l, N_y, N_x) of the block → (l, y, x) of the grid."""
        y, x = self.seen
        return self.back_y @ (m[:, y, x] * passed) @ self.back_x.T

    def forward_onto(self, out: Tensor, pixels: Tensor) -> None:
        """The transpose of :meth:`back` with ``white``, added to frequencies of the block."""
        y, x = self.seen
        out[:, y, x].addcmul_(self.back_y.T @ pixels @ self.back_x, self.white)


class LocalRestorer:
    """Solver of blocks of one size; made once, applied to many.

    Args:
        shape: (rows, columns) of a block, multiples of the period.
        sharpness: of each band.
        statistics: of the scene, same bands.
        kinds: of its ground, same bands; None for no difference.
        device: where to compute.

    Attributes:
        deviation: (l,) standard deviation of the stationary posterior; this one's is smaller.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        sharpness: Sharpness,
        statistics: Statistics,
        kinds: Kinds | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self._kinds = kinds
        self.start = BlockRestorer(shape, sharpness, statistics, device)
        self.deviation = self.start.deviation
        self._device = torch.device(device)
        self._mean = self._tensor(statistics.mean)[:, None, None]
        # Cells of 2×2 pixels, if frequencies can be ordered so that those of the cells come first.
        self._cell = 2 if all(r % 2 == 0 for r in sharpness.ratios if r > 1) else 1
        self._chain = tuple(sorted({*sharpness.steps, self._cell}))
        self._to_y, self._to_x = (self._tensor(cosines(n, self._chain)) for n in shape)
        f_y, f_x = (frequencies(n, self._chain) / (2 * n) for n in shape)
        frequency = np.hypot(f_y[:, None], f_x[None, :])
        power = statistics.density(frequency)
        self._levels = self._see(shape, sharpness, statistics)

        covariance = statistics.covariance + LEAST_SHARE * np.eye(len(sharpness))
        self._inverse = self._tensor(np.linalg.inv(covariance))
        posterior = self._posterior(covariance, power)
        self._precondition = self._tensor(posterior.flatten(0, 1).permute(1, 2, 0))

        sharpest = [i for i, r in enumerate(sharpness.ratio) if r == sharpness.ratios[0]]
        self._sharpest = sharpest
        usual = float(covariance.diagonal()[sharpest].mean())
        lowest, *passed = self._bands(frequency, shape)
        self._low = self._tensor(lowest / power)
        self._windows = [self._window(shape, w, power, usual) for w in passed]
        self._soft = self._tensor(np.exp(-2 * (np.pi * frequency * SMOOTH) ** 2))
        high = 1 - np.exp(-2 * (np.pi * frequency * DETAIL) ** 2)
        self._high = self._tensor(high)
        spread = torch.einsum("yxij,yx->ij", posterior, torch.as_tensor(high**2)) / high.size
        self._covariances = Covariances(
            shape, self._cell, self._tensor(covariance), self._tensor(POSTERIOR * spread), sharpest
        )

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """(l, y, x) finite pixels of the block's shape → the restored ones, float32."""
        first = self.start(block)
        with torch.inference_mode():
            seen = self._tensor(block) - self._mean
            news = torch.zeros_like(seen)
            for level in self._levels:
                samples = level.weight * (level.into_y @ seen[level.numbers] @ level.into_x.T)
                news[level.numbers] = level.transfer * unfold(samples, level.ratio)
            found = self._forward(self._tensor(first) - self._mean)
            image = self._back(found * self._soft) + self._mean
            shares = self._covariances.shares(image, self._kinds)
            for steps in ROUNDS:
                found = self._solve(found, news, *self._places(found, shares), steps)
            out = self._back(found) + self._mean
        restored: np.ndarray = out.cpu().numpy()
        return restored

    def _places(self, found: Tensor, shares: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Inverse covariance (l, l, cells), and one over the energy of each window (y, x)."""
        detail = self._back(found * self._high)
        inverse = self._covariances(detail, shares)
        sharp = found[self._sharpest]
        return inverse, [w.calm(w.back(sharp, w.plain)) for w in self._windows]

    def _solve(
        self, found: Tensor, news: Tensor, inverse: Tensor, calm: list[Tensor], steps: int
    ) -> Tensor:
        """Conjugate gradients on the frequencies of the bands: (l, N_y, N_x)."""

        def apply(m: Tensor) -> Tensor:
            out = torch.einsum("ij,jyx->iyx", self._inverse, m).mul_(self._low)
            for window, quiet in zip(self._windows, calm, strict=True):
                cell = self._cell // window.grid
                parts = to_cells(window.back(m, window.white), cell)
                pixels = from_cells(weigh(inverse, parts), quiet.shape, cell)
                window.forward_onto(out, pixels.mul_(quiet))
            for level in self._levels:
                cells = level.weight * fold(level.transfer * m[level.numbers], level.ratio)
                out[level.numbers] += level.transfer * unfold(cells, level.ratio)
            return out

        def precondition(r: Tensor) -> Tensor:
            return weigh(self._precondition, r.flatten(1)[None])[0].reshape(r.shape)

        found, left = found.clone(), news - apply(found)
        step = precondition(left)
        size = torch.dot(left.flatten(), step.flatten())
        for _ in range(steps):
            if not size > 0:
                break
            turned = apply(step)
            by = size / torch.dot(step.flatten(), turned.flatten())
            found.addcmul_(step, by)
            left.addcmul_(turned, by, value=-1)
            ready = precondition(left)
            now = torch.dot(left.flatten(), ready.flatten())
            step = ready.addcmul_(step, now / size)
            size = now
        return found

    def _bands(self, frequency: np.ndarray, shape: tuple[int, int]) -> list[np.ndarray]:
        """What passes into each band of frequency, the lowest first; squares sum to one.

        The second ends where the frequencies of cells do; what it would hold beyond is the next's.
        """
        passed = [np.exp(-2 * (np.pi * frequency * s) ** 2) ** 2 for s in CUTS]
        bands = [passed[0], *(b - a for a, b in pairwise(passed)), 1 - passed[-1]]
        inside = np.zeros(shape, np.bool_)
        inside[: shape[0] // self._cell, : shape[1] // self._cell] = True
        bands[2] = bands[2] + np.where(inside, 0, bands[1])
        bands[1] = np.where(inside, bands[1], 0)
        return [bands[0], *(np.sqrt(np.maximum(b, 0)) for b in bands[1:])]

    def _window(
        self, shape: tuple[int, int], passed: np.ndarray, power: np.ndarray, usual: float
    ) -> _Window:
        """A band of frequency on the coarsest grid that holds it."""
        grid = self._cell if not passed[shape[0] // self._cell :].any() else 1
        rows, cols = (n // grid for n in shape)
        chain = tuple(r // grid for r in self._chain if r % grid == 0)
        plain, power = passed[:rows, :cols], power[:rows, :cols]
        back_y, back_x = (self._tensor(cosines(n, chain).T) for n in (rows, cols))
        calm = Energies(shape, grid, usual * float((plain**2 * power).mean()), self._device)
        return _Window(
            grid,
            np.s_[:rows, :cols],
            self._tensor(plain),
            self._tensor(plain / np.sqrt(power)),
            back_y,
            back_x,
            calm,
        )

    def _see(self, shape: tuple[int, int], s: Sharpness, statistics: Statistics) -> list[_Level]:
        """How the samples of each ratio see the frequencies, and how noisy they are."""
        chain = self._chain
        levels = []
        for ratio in sorted(set(s.steps)):
            own = [i for i, q in enumerate(s.steps) if q == ratio]
            axes = [[transfer(n, chain, ratio, s.sigma(i)) for i in own] for n in shape]
            seen = np.stack(axes[0])[:, :, None] * np.stack(axes[1])[:, None, :]
            noise = sample_noise(s, statistics, shape, chain, ratio)
            into = [self._tensor(analysis(n, chain, ratio, s.kernel(ratio))) for n in shape]
            levels.append(
                _Level(ratio, own, self._tensor(seen), self._tensor(1 / noise), into[0], into[1])
            )
        return levels

    def _posterior(self, covariance: np.ndarray, power: np.ndarray) -> Tensor:
        """Covariance of the bands' errors at each frequency, as if none fell onto another."""
        precision = np.broadcast_to(np.linalg.inv(covariance), (*power.shape, *covariance.shape))
        precision = precision / power[..., None, None]
        for level in self._levels:
            own = (level.transfer**2 * unfold(level.weight, level.ratio)).cpu().double().numpy()
            for i, values in zip(level.numbers, own, strict=True):
                precision[..., i, i] += values
        return torch.as_tensor(np.linalg.inv(precision))

    def _forward(self, pixels: Tensor) -> Tensor:
        return self._to_y @ pixels @ self._to_x.T

    def _back(self, frequencies_: Tensor) -> Tensor:
        return self._to_y.T @ frequencies_ @ self._to_x

    def _tensor(self, values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values).to(self._device, torch.float32).contiguous()
