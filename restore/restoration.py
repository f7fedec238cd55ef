"""All bands of an image at its finest sampling: multi-band MAP restoration in closed form.

The sharp image m is a stationary Gaussian field about the scene's mean, of spectral density
p(|f|)·C: the power of the sharp bands over spatial frequency times the covariance of the bands.
Band b is seen as x_b = U(D_b m_b + n) + n': blurred, sampled, interpolated. The restored image is
the posterior mean, found without iteration: U is undone by least squares; with reflecting borders
the cosine transform then splits the equations into groups of at most period² frequencies
(:mod:`trifuse.restore.spectrum`), and within a group the bands are taken in rising ratio:
given the sharper ones, the samples of a ratio are independent from frequency to frequency, so each
step is one small matrix per frequency. It is the exact solution of the normal equations.

Sources: Hunt and Kübler 1984, doi:10.1109/TASSP.1984.1164414 (multi-channel Wiener restoration);
Lanaras et al. 2018, doi:10.1016/j.isprsjprs.2018.09.018 (the task for Sentinel-2); Rasmussen and
Williams 2006, appendix A.2 (conditioning of Gaussians).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trifuse.core import DataError
from trifuse.restore.blockwise import lattice, solve_block
from trifuse.restore.sample_noise import sample_noise
from trifuse.restore.scene_statistics import Statistics
from trifuse.restore.sharpness import Sharpness
from trifuse.restore.spectrum import analysis, cosines, frequencies, transfer


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """The bands of one ratio, on one block.

    Attributes:
        ratio: pixels per sample.
        numbers: of the bands.
        transfer: (k, N_y, N_x) how fine frequencies enter the samples'.
        gain: (l, k, N_y, N_x) what the samples' news add to each frequency of each band.
        into_y: (n_y, N_y) pixels to frequencies of the samples.
        into_x: likewise.
    """

    ratio: int
    numbers: list[int]
    transfer: Tensor
    gain: Tensor
    into_y: Tensor
    into_x: Tensor


class BlockRestorer:
    """The restoration of blocks of one size; made once, applied to many.

    Args:
        shape: (rows, columns) of a block, multiples of the period.
        sharpness: of each band.
        statistics: of the scene, same bands.
        device: where to compute.

    Attributes:
        deviation: (l,) standard deviation of the posterior, averaged over the pixels.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        sharpness: Sharpness,
        statistics: Statistics,
        device: torch.device | str = "cpu",
    ) -> None:
        if any(n % sharpness.period for n in shape) or len(statistics.mean) != len(sharpness):
            raise DataError(
                f"blocks of {shape} pixels and {len(sharpness)} bands do not fit a period of "
                f"{sharpness.period} and statistics of {len(statistics.mean)} bands"
            )
        self.shape, self.sharpness = shape, sharpness
        self._device = torch.device(device)
        self._mean = self._tensor(statistics.mean)[:, None, None]
        self._chain = tuple(sorted(set(sharpness.steps)))
        back = [cosines(n, self._chain).T for n in shape]
        self._back_y, self._back_x = (self._tensor(b) for b in back)
        self._levels, variance = self._solve(statistics)
        self.deviation = np.sqrt(np.maximum(variance, 0))

    def __call__(self, block: np.ndarray) -> np.ndarray:
        """(l, y, x) finite pixels of the block's shape → the restored ones, float32."""
        with torch.inference_mode():
            x = torch.as_tensor(np.ascontiguousarray(block, np.float32), device=self._device)
            x = x - self._mean
            found = torch.zeros_like(x)
            for level in self._levels:
                news = level.into_y @ x[level.numbers] @ level.into_x.T
                news -= _fold(level.transfer * found[level.numbers], level.ratio)
                found += (level.gain * _unfold(news, level.ratio)).sum(dim=1)
            out = self._back_y @ found @ self._back_x.T + self._mean
        restored: np.ndarray = out.cpu().numpy()
        return restored

    def _solve(self, statistics: Statistics) -> tuple[list[_Level], np.ndarray]:
        """Gains of all levels, and the posterior variance of each band."""
        s, chain = self.sharpness, self._chain
        f_y, f_x = (frequencies(n, chain) / (2 * n) for n in self.shape)
        power = torch.as_tensor(statistics.density(np.hypot(f_y[:, None], f_x[None, :])))
        prior = torch.as_tensor(statistics.covariance)
        numbers = {r: [i for i, q in enumerate(s.steps) if q == r] for r in chain}

        def seen(ratio: int) -> Tensor:
            axes = [
                [transfer(n, chain, ratio, s.sigma(i)) for i in numbers[ratio]] for n in self.shape
            ]
            return torch.as_tensor(np.stack(axes[0])[:, :, None] * np.stack(axes[1])[:, None, :])

        transfers = {r: seen(r) for r in chain}
        # Covariance of every frequency of every band with the samples of each ratio, given those
        # of the ratios before: (l, k, N_y, N_x).
        with_samples = {
            r: prior[:, numbers[r], None, None] * power * transfers[r][None] for r in chain
        }
        variance = prior.diagonal() * power.mean()
        levels = []
        for at, ratio in enumerate(chain):
            own, h, cov = numbers[ratio], transfers[ratio], with_samples[ratio]
            noise = torch.as_tensor(sample_noise(s, statistics, self.shape, chain, ratio))
            total = _fold(h[:, None] * cov[own], ratio) + torch.diag_embed(
                noise.movedim(0, -1)
            ).movedim((-2, -1), (0, 1))
            inverse = torch.linalg.inv(total.movedim((0, 1), (-2, -1))).movedim((-2, -1), (0, 1))
            gain = torch.einsum("lkyx,kjyx->ljyx", cov, _unfold(inverse, ratio))
            for later in chain[at + 1 :]:
                shared = _fold(h[:, None] * with_samples[later][own], ratio)
                with_samples[later] -= torch.einsum("lkyx,kjyx->ljyx", gain, _unfold(shared, ratio))
            variance = variance - (gain * cov).sum(dim=1).mean(dim=(1, 2))
            into = [analysis(n, chain, ratio, s.kernel(ratio)) for n in self.shape]
            levels.append(
                _Level(ratio, own, self._tensor(h), self._tensor(gain), *map(self._tensor, into))
            )
        return levels, variance.numpy()

    def _tensor(self, values: np.ndarray | Tensor) -> Tensor:
        return torch.as_tensor(values).to(self._device, torch.float32).contiguous()


def _fold(values: Tensor, ratio: int) -> Tensor:
    """Sum of the frequencies that fall together: (…, N_y, N_x) → (…, N_y / ratio, N_x / ratio)."""
    *lead, n_y, n_x = values.shape
    return values.reshape(*lead, ratio, n_y // ratio, ratio, n_x // ratio).sum(dim=(-4, -2))


def _unfold(values: Tensor, ratio: int) -> Tensor:
    """Each sample frequency for all that fall onto it; the transpose of :func:`_fold`."""
    return values.repeat(*(1,) * (values.ndim - 2), ratio, ratio)


def restore(
    image: np.ndarray,
    sharpness: Sharpness | None,
    statistics: Statistics | None,
    *,
    device: torch.device | str = "cpu",
) -> np.ndarray:
    """Bring all bands of an image to the sharpness of its pixels.

    One block: for images of up to about 500 pixels; larger ones are read through
    :class:`trifuse.restore.RestoredSource`.

    Args:
        image: (l, y, x) reflectance; NaN is bridged from its neighbours and is NaN in the result.
        sharpness: of each band; None returns the image as it is.
        statistics: of the scene, see :func:`scene_statistics`.
        device: where to compute.

    Returns:
        (l, y, x) float32.

    Raises:
        DataError: if the statistics are those of other bands.
    """
    if sharpness is None or not sharpness.blurred or statistics is None:
        return np.array(image, np.float32)
    spans = [
        lattice(n, sharpness.period, sys.maxsize, 0, at)[0]
        for n, at in zip(image.shape[1:], sharpness.origin, strict=True)
    ]
    shape = spans[0].size, spans[1].size
    before = -spans[0].start, -spans[1].start
    restorer = BlockRestorer(shape, sharpness, statistics, device)
    return solve_block(np.asarray(image, np.float32), shape, restorer, before)
