"""Restored bands refined by a small network, block by block."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from trifuse.core import CubeSource, DataError, Window, canonical_name
from trifuse.core.runtime import Runtime
from trifuse.fusformer.refiner import BANDS, Refiner
from trifuse.restore.blockwise import LatticeSource, Span
from trifuse.restore.one_scale_down import Lesson
from trifuse.restore.view import RestoredSource

BLOCK = 384
"""Pixels along a side of what the network makes at once; it sees its halo beyond them."""


class RefinedSource(LatticeSource):
    """Restored bands, refined block by block; other bands than Sentinel-2's stay as restored.

    Blocks are computed with the network's halo, so where they lie changes no pixel by more than
    rounding. Pixels without value are shown to the network as the scene's mean.

    Args:
        restored: the restored image.
        raw: what was restored.
        network: in any mode.
        device: ``cpu``, ``cuda`` or ``auto``.
        flips: also see the image turned and mirrored, 8 ways, and take the mean.

    Attributes:
        restored: the restored image.
        network: in evaluation mode.
        slots: number of a band → its plane in the network.
        share: (l,) of the network's corrections that are heeded; 1 until it is set.

    Raises:
        DataError: if the network's reach is not finite, or no band is one of Sentinel-2's.
    """

    def __init__(
        self,
        restored: RestoredSource,
        raw: CubeSource,
        network: Refiner,
        *,
        device: str = "auto",
        flips: bool = False,
    ) -> None:
        planes = {n: i for i, n in enumerate(BANDS)}
        at = [planes.get(canonical_name(n), -1) for n in restored.bands.names]
        self.slots = {i: slot for i, slot in enumerate(at) if slot >= 0}
        self._numbers, self._slots = list(self.slots), list(self.slots.values())
        if network.halo is None or not self._numbers:
            raise DataError("bands that no network of finite reach can refine", where=restored.name)
        super().__init__(restored, network.alignment, BLOCK, 0, restored.sharpness.origin)
        self.restored, self._raw = restored, raw
        self._halo, self._step = network.halo, network.alignment
        self._flips = flips
        self._runtime = Runtime(device)
        place = self._runtime.torch_device
        self.network = laid_out(network.to(place))
        deviation = torch.zeros(1, len(BANDS))
        deviation[0, self._slots] = torch.as_tensor(
            restored.deviation[self._numbers], dtype=torch.float32
        )
        present = torch.zeros(1, len(BANDS))
        present[0, self._slots] = 1.0
        self._deviation, self._present = deviation.to(place), present.to(place)
        self._mean = restored.statistics.mean.astype(np.float32)[:, None, None]
        self.share = np.ones(len(self.bands), np.float32)
        row, col = restored.sharpness.origin
        self._origin = row % self._step, col % self._step

    def with_network(self, network: Refiner) -> RefinedSource:
        """The same view with another network, all of it heeded; what is restored is shared."""
        other = copy.copy(self)
        other.network = laid_out(network.to(self._runtime.torch_device))
        if (network.halo, network.alignment) != (self._halo, self._step):
            raise DataError("the other network has another reach", where=self.name)
        other.share = np.ones_like(self.share)
        other.forget()
        return other

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.network = laid_out(self.network)

    def close(self) -> None:
        """See :meth:`CubeSource.close`."""
        super().close()
        self._raw.close()

    def _solved(self, row: Span, col: Span) -> tuple[np.ndarray, np.ndarray]:
        window = Window(row.first, col.first, row.stop - row.first, col.stop - col.first)
        valid = self.restored.read(window).valid
        return np.ascontiguousarray(self._part(window)), valid

    def _part(self, window: Window) -> np.ndarray:
        """All bands of a small window, refined."""
        spans = []
        for start, size, total, origin in zip(
            (window.row, window.col), window.shape, self.grid.shape, self._origin, strict=True
        ):
            first = start - self._halo
            first -= (first - origin) % self._step
            if first < 0:
                # The scene's border lies where a token starts, or is filled up to it.
                first = origin - self._step if origin else 0
            spans.append((first, min(start + size + self._halo, total)))
        (top, bottom), (left, right) = spans
        seen = Window(max(top, 0), max(left, 0), bottom - max(top, 0), right - max(left, 0))
        restored = self.restored.read(seen).data
        raw = self._raw.read(seen, self.bands.names).data
        missing = np.isnan(restored) | np.isnan(raw)
        out = restored.copy()
        restored, raw = (np.where(missing, self._mean, v) for v in (restored, raw))
        pad = ((0, 0), (seen.row - top, 0), (seen.col - left, 0))
        planes = [np.zeros((len(BANDS), bottom - top, right - left), np.float32) for _ in range(2)]
        for plane, values in zip(planes, (restored, raw), strict=True):
            plane[self._slots] = np.pad(values[self._numbers], pad, mode="edge")
        refined = self._refine(self._deviation, *planes)[self._slots]
        refined = refined[:, seen.row - top :, seen.col - left :]
        change = self.share[self._numbers, None, None] * (refined - restored[self._numbers])
        out[self._numbers] += np.where(missing[self._numbers], 0, change)
        inner = np.s_[
            :,
            window.row - seen.row : window.row - seen.row + window.height,
            window.col - seen.col : window.col - seen.col + window.width,
        ]
        result: np.ndarray = out[inner]
        return result

    def correct(self, lesson: Lesson) -> np.ndarray:
        """What the network makes of restored pixels, all of its corrections heeded: (l, y, x)."""
        planes = np.zeros((2, len(BANDS), *lesson.raw.shape[1:]), np.float32)
        planes[0, self._slots] = lesson.restored[self._numbers]
        planes[1, self._slots] = lesson.raw[self._numbers]
        deviation = torch.zeros_like(self._deviation)
        told = torch.as_tensor(lesson.deviation[self._numbers], dtype=torch.float32)
        deviation[0, self._slots] = told.to(deviation.device)
        out = lesson.restored.copy()
        out[self._numbers] = self._refine(deviation, *planes)[self._slots]
        return out

    def _refine(self, deviation: torch.Tensor, restored: np.ndarray, raw: np.ndarray) -> np.ndarray:
        """(1, 12), and (12, y, x) twice → (12, y, x)."""
        place = self._runtime.torch_device
        z, x = (torch.from_numpy(v)[None].to(place) for v in (restored, raw))
        with self._runtime.computing():
            if not self._flips:
                out = self.network(z, x, deviation, self._present)
            else:
                out = refine_turned(self.network, z, x, deviation, self._present)
        refined: np.ndarray = out[0].float().cpu().numpy()
        return refined


def laid_out(network: Refiner) -> Refiner:
    """The network to infer with, its weights in the one order in memory.

    Sums are taken in another order for another layout or alignment; files and pickles keep
    neither, and all workers are to end with the same bytes.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in network.parameters():
        parameter.data = parameter.data.clone()
    return network.eval()


def refine_turned(
    network: Refiner,
    restored: torch.Tensor,
    raw: torch.Tensor,
    deviation: torch.Tensor,
    present: torch.Tensor,
) -> torch.Tensor:
    """Mean over the eight ways to turn and mirror an image; arguments of :class:`Refiner`.

    Images whose size is no multiple of the network's alignment are filled up by their edges.
    """
    height, width = restored.shape[2:]
    step = network.alignment
    pad = (0, -width % step, 0, -height % step)
    z, x = (torch.nn.functional.pad(v, pad, mode="replicate") for v in (restored, raw))
    total = torch.zeros_like(z)
    for turns in range(4):
        for mirror in (False, True):
            seen = [torch.rot90(v, turns, (2, 3)) for v in (z, x)]
            seen = [v.flip(3) for v in seen] if mirror else seen
            out = network(*seen, deviation, present)
            out = out.flip(3) if mirror else out
            total += torch.rot90(out, -turns, (2, 3))
    return total[:, :, :height, :width] / 8
