"""Restoration by the statistics of each place, where the scene's are not everywhere true.

The restoration (:mod:`trifuse.fusformer.prior.restoration`) knows one power spectrum and one
covariance of the bands. On a lake there is less detail than on a town, and how detail in the
short-wave infrared goes with detail in the visible differs between fields and forest. Here both
are learnt around each pixel from the restored image itself, and the equations are solved again.

The prior has a part for the lowest frequencies, as before, and one for each of some bands of
frequency F_k, whose pixels are independent given the place:

    −2 log p(m) = ‖C^−½ F_0 m‖² + Σ_k Σ_x (F_k m)(x)ᵀ [e_k(x) C(x)]⁻¹ (F_k m)(x)

where F_k divides by the square root of the scene's power and Σ_k |F_k|² of the bands' windows is
one, so e_k = 1 and C(x) = C give back the stationary prior. e_k(x) is the energy of the restored
detail around x, and C(x) its covariance, over pixels of the same kind of ground
(:mod:`trifuse.fusformer.prior.kinds`) and with the posterior's added (the M step of expectation
maximisation), drawn towards the scene's C. The minimum is found by conjugate gradients from the
stationary solution with the stationary posterior as preconditioner, a fixed number of steps.
It takes two rounds, the second with statistics of what the first one found.

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

from trifuse.core import CubeSource
from trifuse.core.resample import blur_matrix
from trifuse.fusformer.prior.blockwise import BLOCK, Solver
from trifuse.fusformer.prior.kinds import SMOOTH, Kinds, average_by_kind, ground_kinds
from trifuse.fusformer.prior.planar import invert_, weigh
from trifuse.fusformer.prior.restoration import BlockRestorer
from trifuse.fusformer.prior.restoration import _fold as fold
from trifuse.fusformer.prior.restoration import _unfold as unfold
from trifuse.fusformer.prior.restored_source import RestoredSource, sharpened_meta
from trifuse.fusformer.prior.scene_statistics import Statistics
from trifuse.fusformer.prior.sharpness import Sharpness, pixel_noise
from trifuse.fusformer.prior.spectrum import (
    analysis,
    cosines,
    frequencies,
    noise_gain,
    transfer,
)

CUTS = (2.4, 1.2, 0.6)
"""Standard deviations in pixels of the Gaussians between which the bands of frequency lie."""

DETAIL = 2.8
"""Detail is what is left of an image without its Gaussian of this many pixels."""

AROUND_COVARIANCE, AROUND_ENERGY = 4.0, 1.6
"""Standard deviations in pixels of the windows that statistics are taken over."""

TRUST = 0.3
"""Weight of the scene's covariance beside the place's."""

POSTERIOR = 0.5
"""Share of the posterior covariance that is added to that of the restored detail."""

LEAST_ENERGY = 0.02
"""No place has less energy, relative to the scene."""

LEAST_SHARE = 1e-4
"""Variance added to every band, of the mean variance of the sharpest bands."""

ROUNDS = (4, 8)
"""Steps of conjugate gradients between which the statistics are taken anew."""

HALO_PERIODS = 6
"""Periods of sampling that blocks are solved beyond their pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The bands of one ratio, on one block; see :mod:`trifuse.fusformer.prior.restoration`.

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
        self._count = len(sharpness)
        chain = sharpness.ratios
        self._sharpest = [i for i, r in enumerate(sharpness.ratio) if r == chain[0]]
        self._mean = self._tensor(statistics.mean)[:, None, None]
        self._to_y, self._to_x = (self._tensor(cosines(n, chain)) for n in shape)
        f_y, f_x = (frequencies(n, chain) / (2 * n) for n in shape)
        frequency = np.hypot(f_y[:, None], f_x[None, :])
        power = statistics.density(frequency)
        self._levels = self._see(shape, sharpness, statistics)

        covariance = statistics.covariance + LEAST_SHARE * np.eye(self._count)
        self._covariance = self._tensor(covariance)
        self._inverse = self._tensor(np.linalg.inv(covariance))
        posterior = self._posterior(covariance, power)
        self._precondition = self._tensor(posterior.flatten(0, 1).permute(1, 2, 0))

        passed = [np.exp(-2 * (np.pi * frequency * s) ** 2) for s in CUTS]
        steps = [passed[0] ** 2, *(b**2 - a**2 for a, b in pairwise(passed)),
                 1 - passed[-1] ** 2]  # fmt: skip
        self._low = self._tensor(steps[0] / power)
        windows = [np.sqrt(np.maximum(w, 0)) for w in steps[1:]]
        self._windows = self._tensor(np.stack(windows))
        self._whiten = self._tensor(np.stack([w / np.sqrt(power) for w in windows]))
        # What the sharpest bands' detail has of energy in each window under the scene's prior.
        usual = covariance.diagonal()[self._sharpest].mean()
        self._usual = [float(usual * (w**2 * power).mean()) for w in windows]
        self._soft = self._tensor(np.exp(-2 * (np.pi * frequency * SMOOTH) ** 2))
        high = 1 - np.exp(-2 * (np.pi * frequency * DETAIL) ** 2)
        self._high = self._tensor(high)
        spread = torch.einsum("yxij,yx->ij", posterior, torch.as_tensor(high**2)) / high.size
        self._spread = self._tensor(POSTERIOR * spread)
        self._around = [
            [self._tensor(blur_matrix(n, s).toarray()) for n in shape]
            for s in (AROUND_COVARIANCE, AROUND_ENERGY)
        ]

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
            for steps in ROUNDS:
                found = self._solve(found, news, *self._places(found), steps)
            out = self._back(found) + self._mean
        restored: np.ndarray = out.cpu().numpy()
        return restored

    def _places(self, found: Tensor) -> tuple[Tensor, Tensor]:
        """Inverse covariance (l, l, y·x) and reciprocal energy (k, y, x) around each pixel."""
        around, near = self._around
        detail = self._back(found * self._high)
        rows, cols = torch.triu_indices(self._count, self._count)
        products = detail[rows] * detail[cols]
        if self._kinds is None:
            smooth = around[0] @ products @ around[1].T
        else:
            shares = self._kinds.shares(self._back(found * self._soft) + self._mean)
            smooth = average_by_kind(products, shares, (around[0], around[1]))
        smooth += self._spread[rows, cols][:, None, None]
        size = smooth[rows == cols][self._sharpest].mean(dim=0)
        place = torch.empty(self._count, self._count, detail[0].numel(), device=self._device)
        place[rows, cols] = (smooth / size).flatten(1)
        place[cols, rows] = place[rows, cols]
        scene, sharp = self._covariance, self._covariance.diagonal()[self._sharpest].mean()
        added = TRUST * scene / sharp + LEAST_SHARE * torch.eye(self._count, device=self._device)
        place += added[:, :, None]
        inverse = invert_(place)
        inverse *= (1 + TRUST) / sharp

        parts = self._back(found[self._sharpest] * self._windows[:, None])
        energy = near[0] @ (parts**2).mean(dim=1) @ near[1].T
        usual = torch.tensor(self._usual, device=self._device)[:, None, None]
        return inverse, 1 / (energy / usual).clamp(min=LEAST_ENERGY)

    def _solve(
        self, found: Tensor, news: Tensor, inverse: Tensor, calm: Tensor, steps: int
    ) -> Tensor:
        """Conjugate gradients on the frequencies of the bands: (l, N_y, N_x)."""

        def apply(m: Tensor) -> Tensor:
            out = torch.einsum("ij,jyx->iyx", self._inverse, m) * self._low
            parts = self._back(m * self._whiten[:, None])  # (k, l, y, x)
            pixels = weigh(inverse, parts.flatten(2)).reshape(parts.shape) * calm[:, None]
            out += (self._forward(pixels) * self._whiten[:, None]).sum(dim=0)
            for level in self._levels:
                cells = level.weight * fold(level.transfer * m[level.numbers], level.ratio)
                out[level.numbers] += level.transfer * unfold(cells, level.ratio)
            return out

        def precondition(r: Tensor) -> Tensor:
            return weigh(self._precondition, r.flatten(1)[None])[0].reshape(r.shape)

        left = news - apply(found)
        step = ready = precondition(left)
        size = (left * ready).sum(dtype=torch.float64)
        for _ in range(steps):
            if not size > 0:
                break
            turned = apply(step)
            by = size / (step * turned).sum(dtype=torch.float64)
            found = found + by.float() * step
            left = left - by.float() * turned
            ready = precondition(left)
            now = (left * ready).sum(dtype=torch.float64)
            step = ready + (now / size).float() * step
            size = now
        return found

    def _see(self, shape: tuple[int, int], s: Sharpness, statistics: Statistics) -> list[_Level]:
        """How the samples of each ratio see the frequencies, and how noisy they are."""
        chain = s.ratios
        on_pixels, on_samples = (v**2 for v in pixel_noise(s, statistics.outside))
        levels = []
        for ratio in chain:
            own = [i for i, q in enumerate(s.ratio) if q == ratio]
            axes = [[transfer(n, chain, ratio, s.sigma(i)) for i in own] for n in shape]
            seen = np.stack(axes[0])[:, :, None] * np.stack(axes[1])[:, None, :]
            gain_y, gain_x = (noise_gain(n, chain, ratio, s.upsampling) for n in shape)
            noise = (
                on_samples[own, None, None]
                + on_pixels[own, None, None] * gain_y[:, None] * gain_x[None, :]
            )
            into = [self._tensor(analysis(n, chain, ratio, s.upsampling)) for n in shape]
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


class LocallyRestoredSource(RestoredSource):
    """A source with all bands at the sharpness of its pixels, by the statistics of each place.

    Args and attributes as :class:`RestoredSource`; ``deviation`` is that of the scene's
    statistics, which places of little detail stay below.
    """

    def __init__(
        self,
        source: CubeSource,
        sharpness: Sharpness,
        statistics: Statistics,
        *,
        device: str = "auto",
        block: int = BLOCK,
        halo: int | None = None,
    ) -> None:
        halo = HALO_PERIODS * sharpness.period if halo is None else halo
        super().__init__(source, sharpness, statistics, device=device, block=block, halo=halo)
        self._kinds: Kinds | None = None
        self.meta = {**self.meta, **sharpened_meta(source, sharpness, "local restoration")}

    @property
    def deviation(self) -> np.ndarray:
        """(l,) standard deviation of the restored bands under the scene's statistics."""
        solver = self._prepared()
        assert isinstance(solver, LocalRestorer)
        deviation: np.ndarray = solver.deviation
        return deviation

    def _solver(self) -> Solver:
        if self._kinds is None:
            self._kinds = ground_kinds(self._source, self.sharpness)
        return LocalRestorer(
            self.block_shape, self.sharpness, self.statistics, self._kinds, self._device
        )
