"""A refiner adapted to one scene, without any truth: one scale down, the scene is its own.

The refined image one scale down (:mod:`trifuse.restore.one_scale_down`) makes training pairs in
the scene's own materials and textures. What is learnt there need not hold one scale up: networks
that gained 0.2 dB one scale down were seen to lose as much on the scene. So the adapted network is
kept only if it is better on ground that it was not adapted on, and clearly better on coarse cells
of Sentinel-3 that were held back from the spectral map.

Source: Shocher, Cohen and Irani 2018, doi:10.1109/CVPR.2018.00329 (training on the image itself).
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trifuse.align import cells_inside
from trifuse.core import PSF, CubeSource, DataError, MemorySource, Window
from trifuse.core.resample import NO_SHIFT
from trifuse.fusformer.refiner import BANDS, Refiner
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.empirical_bayes import fit_bayes_cells
from trifuse.fusion.spectral.spectral_prior import spectral_prior
from trifuse.restore.one_scale_down import Lesson, halved, seen_again, whole_windows
from trifuse.restore.refined_source import RefinedSource
from trifuse.train.refining import INPUTS, LEAST, relative_losses
from trifuse.train.refining_data import to_s3

SIZE, MOST = 240, 6
"""Pixels of a window of the scene (one scale down: half), and windows at most."""

LEAST_SIZE = 72
"""Windows below this many pixels teach nothing."""

DRAWS = 3
"""Of the noise, for each window."""

CROP, BATCH, RATE = 48, 4, 2e-4

HELD_BACK = 4
"""One coarse cell of so many judges the adapted network."""

FEWEST_CELLS = 40
"""Fewer coarse cells than this cannot judge."""

JUDGED = 720
"""Pixels along a side of the middle of the scene, whose cells judge for all of it."""

CLEARLY = 2.0
"""Standard errors by which the mean square error on cells held back must fall."""


@dataclass(frozen=True, slots=True, eq=False)
class Adapted:
    """A refined view and how it came about.

    Attributes:
        view: with the adapted network if that is better, else the view given.
        kept: whether it is the adapted one.
        why: in words.
        steps: updates done.
        gain: on ground held back, one scale down: dB of the adapted network over the given one.
        cells: root mean square error on coarse cells held back, with the network given and with
            the adapted one; NaN if there are too few.
        clearly: standard errors by which their mean square error fell.
    """

    view: RefinedSource
    kept: bool
    why: str
    steps: int
    gain: float
    cells: tuple[float, float]
    clearly: float


def adapt(
    view: RefinedSource,
    s3: CubeSource,
    *,
    psf: PSF,
    shift: tuple[float, float] = NO_SHIFT,
    seconds: float = 60.0,
    steps: int | None = None,
    seed: int = 0,
) -> Adapted:
    """Adapt the network of a view to its scene, and keep the better of the two.

    Args:
        view: the refined image.
        s3: the coarse image, for the judgement.
        psf: of it.
        shift: (rows, columns) in sharp pixels by which its cells lie beside their grid.
        seconds: of wall time for the updates.
        steps: number of updates, in place of the time: then the result does not depend on the
            machine.
        seed: of noise and crops.

    Raises:
        DataError: if the scene has no window without gaps that is large enough.
    """
    rng = np.random.default_rng([seed, 3])
    windows = whole_windows(view, SIZE, LEAST_SIZE, 2 * view.restored.sharpness.period, MOST)
    if not windows:
        raise DataError(
            f"no window of {LEAST_SIZE}×{LEAST_SIZE} pixels without gaps to adapt to",
            where=view.name,
            fix="leave adaptation out",
        )
    train, judge = [], []
    for window in windows:
        sharp = halved(view.read(window).data)
        for _ in range(DRAWS):
            sample = _sample(view, seen_again(view.restored, sharp, rng))
            parts = _split(
                sample, last=len(windows) == 1 or window == windows[-1], only=len(windows) == 1
            )
            train += parts[0]
            judge += parts[1]
    network, done = _train(view.network, train, rng, seconds, steps)
    before, after = (_error(n, judge) for n in (view.network, network))
    gain = 10 * float(np.log10(before / after))
    other = view.with_network(network)
    cells, clearly = _cells(view, other, s3, psf, shift)
    if gain <= 0:
        kept, why = False, "no better on ground held back"
    elif not np.isfinite(cells).all():
        kept, why = False, "too few coarse cells to judge"
    elif clearly < CLEARLY:
        kept, why = False, "not clearly better on coarse cells held back"
    else:
        kept, why = True, "better on ground and on coarse cells held back"
    return Adapted(other if kept else view, kept, why, done, gain, cells, clearly)


def _sample(view: RefinedSource, lesson: Lesson) -> dict[str, Tensor]:
    """A lesson as a pool gives its scenes: in the network's planes, with mean squares."""
    numbers, slots = list(view.slots), list(view.slots.values())
    sample: dict[str, Tensor] = {}
    for name in ("restored", "raw", "sharp"):
        values: np.ndarray = getattr(lesson, name)
        planes = np.zeros((len(BANDS), *values.shape[1:]), np.float32)
        planes[slots] = values[numbers]
        sample[name] = torch.from_numpy(planes)
    deviation, present = np.zeros((2, len(BANDS)), np.float32)
    deviation[slots], present[slots] = lesson.deviation[numbers], 1
    error = sample["restored"] - sample["sharp"]
    mapped = torch.einsum("kb,byx->kyx", torch.from_numpy(to_s3()), error)
    return sample | {
        "deviation": torch.from_numpy(deviation),
        "present": torch.from_numpy(present),
        "square": error.square().mean(dim=(1, 2)),
        "mapped": mapped.square().mean(dim=(1, 2)),
    }


def _split(
    sample: dict[str, Tensor], *, last: bool, only: bool
) -> tuple[list[dict[str, Tensor]], list[dict[str, Tensor]]]:
    """Samples to train on and to judge by: the last window judges, or a third of the only one."""
    if not last:
        return [sample], []
    if not only:
        return [], [sample]
    width = sample["sharp"].shape[2]
    cut = 2 * (width // 3)

    def part(columns: slice) -> dict[str, Tensor]:
        return {k: v[:, :, columns] if v.ndim == 3 else v for k, v in sample.items()}

    return [part(slice(0, cut))], [part(slice(cut, width))]


def _train(
    network: Refiner,
    samples: Sequence[dict[str, Tensor]],
    rng: np.random.Generator,
    seconds: float,
    steps: int | None,
) -> tuple[Refiner, int]:
    """A copy of the network, trained on the samples; and the number of updates."""
    place = next(network.parameters()).device
    adapted = copy.deepcopy(network).train()
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=RATE, weight_decay=0.0)
    mapping = torch.from_numpy(to_s3())
    start, done = time.monotonic(), 0
    while True:
        share = (time.monotonic() - start) / seconds if steps is None else done / max(steps, 1)
        if share >= 1 or steps == 0:
            break
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - share)
        crops = [_crop(samples[int(rng.integers(len(samples)))], rng) for _ in range(BATCH)]
        batch = {k: torch.stack([c[k] for c in crops]).to(place) for k in crops[0]}
        loss = relative_losses(adapted(*(batch[k] for k in INPUTS)), batch, mapping, 2.0)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(adapted.parameters(), 1.0)
        optimizer.step()
        done += 1
    return adapted.eval(), done


def _crop(sample: dict[str, Tensor], rng: np.random.Generator) -> dict[str, Tensor]:
    """A part of a sample, turned and mirrored."""
    height, width = sample["sharp"].shape[1:]
    size = min(CROP, height - height % 2, width - width % 2)
    row, col = (2 * int(rng.integers((n - size) // 2 + 1)) for n in (height, width))
    turns, mirror = int(rng.integers(4)), bool(rng.random() < 0.5)

    def cut(v: Tensor) -> Tensor:
        v = torch.rot90(v[:, row : row + size, col : col + size], turns, (1, 2))
        return v.flip(2) if mirror else v

    return {k: cut(v) if v.ndim == 3 else v for k, v in sample.items()}


def _error(network: Refiner, samples: Sequence[dict[str, Tensor]]) -> float:
    """Relative error as Sentinel-3 sees it, mean over the samples."""
    place = next(network.parameters()).device
    mapping = torch.from_numpy(to_s3())
    found = []
    with torch.inference_mode():
        for sample in samples:
            batch = {k: v[None].to(place) for k, v in sample.items()}
            refined = network(*(batch[k] for k in INPUTS))
            found.append(float(relative_losses(refined, batch, mapping, 1.0)["mapped"]))
    return float(np.mean(found))


def _cells(
    first: CubeSource, second: CubeSource, s3: CubeSource, psf: PSF, shift: tuple[float, float]
) -> tuple[tuple[float, float], float]:
    """Errors of both views' spectral maps on cells that they were not fitted to.

    Returns:
        Root mean squares of both; and by how many standard errors the mean square of the second
        is smaller, over the cells, bands counting alike.
    """
    fine, coarse, ratio = first.grid.common(s3.grid)
    rows, cols = (min(n, max(1, JUDGED // ratio)) for n in coarse.shape)
    row, col = (coarse.height - rows) // 2, (coarse.width - cols) // 2
    pixels = Window(fine.row + row * ratio, fine.col + col * ratio, rows * ratio, cols * ratio)
    cells = MemorySource(s3.read(Window(coarse.row + row, coarse.col + col, rows, cols)))
    found: list[np.ndarray] = []
    for view in (first, second):
        near = MemorySource(view.read(pixels))
        scene = Scene(near, cells, view.bands.names, s3.bands.names, psf, shift)
        observed = scene.lrhsi
        number = np.arange(observed[0].size).reshape(observed[0].shape)
        back = number % HELD_BACK == number // observed.shape[2] % HELD_BACK
        if back.sum() * HELD_BACK < FEWEST_CELLS:
            return (float("nan"), float("nan")), 0.0
        names = scene.sensors
        prior = spectral_prior(view.bands, scene.bands, s2=names[0], s3=names[1])
        inside = cells_inside(scene.s2.grid, scene.pair, psf)
        seen, share = scene.hr_coarse
        shown = np.where(back, np.float32(np.nan), observed)
        fit, _, _ = fit_bayes_cells(seen, share, shown, prior, inside=inside)
        off = (fit.spectral.apply(seen) - observed)[:, back]
        found.append(np.square(off, dtype=np.float64))
    there = np.isfinite(found[0]).any(axis=0)
    before, after = (squares[:, there] for squares in found)
    usual = np.nanmean(before, axis=1, keepdims=True) + LEAST
    fell = np.nanmean((before - after) / usual, axis=0)
    spread = float(fell.std()) / np.sqrt(len(fell))
    rms = float(np.sqrt(np.nanmean(before))), float(np.sqrt(np.nanmean(after)))
    return rms, float(fell.mean()) / spread if spread > 0 else 0.0
