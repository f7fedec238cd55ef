"""A network over the tiles of a scene: one by one on a CPU, in overlapping batches on a GPU."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trifuse.core import DataError, Window
from trifuse.core.runtime import Runtime
from trifuse.fusion.method import Batched, Run
from trifuse.fusion.scene import Scene
from trifuse.fusion.spectral.base import TileRun

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """Several predictions of the coarse bands, one after the other."""

    runs: Sequence[TileRun]

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """(l, y, x) finite sharp pixels → (runs · L, y, x) float32."""
        return np.concatenate([run(window, hrmsi) for run in self.runs])


class Called(nn.Module):
    """A network of any inputs, called with the sharp image and all others beside each other.

    Args:
        model: the network.
        inputs: in the order of its arguments; see :attr:`trifuse.fusformer.FusionConfig.inputs`.
    """

    def __init__(self, model: nn.Module, inputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs = model, tuple(inputs)

    def forward(self, hrmsi: Tensor, beside: Tensor) -> Tensor:
        """(B, l, H, W) and (B, views · L, H, W) → (B, L, H, W)."""
        others = iter(beside.chunk(len(self.inputs) - self.inputs.count("hrmsi"), dim=1))
        out: Tensor = self.model(*(hrmsi if n == "hrmsi" else next(others) for n in self.inputs))
        return out


class NetworkRun(Run):
    """A network, prepared for a scene.

    On a GPU the upload of a batch, the network on the one before and the download of the one
    before that go on at the same time, on streams of their own and through pinned memory.

    Args:
        model: (hrmsi, skip) → result, tensors (B, C, H, W).
        skip: what the network starts from.
        scene: the two images.
        runtime: where the network runs.
    """

    def __init__(self, model: nn.Module, skip: TileRun, scene: Scene, runtime: Runtime) -> None:
        self.model, self.skip, self.scene, self.runtime = model, skip, scene, runtime
        self._ready: _Ready | None = None

    @property
    def batched(self) -> Batched:
        """Itself."""
        return self

    def batch(self, pixels: int) -> int:
        """See :class:`trifuse.fusion.method.Batched`."""
        return self.runtime.batch(pixels)

    def look(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """The skip: (L, y, x) float32, finite."""
        return self.skip(window, hrmsi)

    def submit(
        self, windows: Sequence[Window], images: Sequence[np.ndarray], looks: Sequence[np.ndarray]
    ) -> Callable[[], list[np.ndarray]]:
        """See :class:`trifuse.fusion.method.Batched`."""
        if self._ready is None:
            self._ready = _Ready(self.model, self.runtime)
        try:
            waiting = [self._ready(images, looks)]
        except torch.OutOfMemoryError:
            waiting = [self._alone(*one) for one in zip(windows, images, looks, strict=True)]

        def result() -> list[np.ndarray]:
            fused = [tile for wait in waiting for tile in wait()]
            for window, tile in zip(windows, fused, strict=True):
                # The network mixes bands: a cell without one of them is missing in all.
                tile[:, self.scene.missing(window).any(axis=0)] = np.nan
            return fused

        return result

    def __call__(self, window: Window, hrmsi: np.ndarray) -> np.ndarray:
        """One tile: (l, y, x) finite pixels → (L, y, x) float32."""
        return self.submit([window], [hrmsi], [self.look(window, hrmsi)])()[0]

    def _alone(
        self, window: Window, image: np.ndarray, look: np.ndarray
    ) -> Callable[[], list[np.ndarray]]:
        assert self._ready is not None
        try:
            return self._ready([image], [look])
        except torch.OutOfMemoryError:
            raise DataError(
                f"a tile of {window.height}×{window.width} pixels does not fit into the "
                f"memory of {self.runtime.torch_device}",
                fix="give a smaller tile",
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        """With the parameters on the CPU: where it arrives may have another device, or none."""
        model = self.model
        if any(p.device.type != "cpu" for p in model.parameters()):
            model = copy.deepcopy(model).cpu()
        return {**self.__dict__, "model": model, "_ready": None}


class _Ready:
    """A model on its device, with the streams to feed it by."""

    def __init__(self, model: nn.Module, runtime: Runtime) -> None:
        self.runtime, self.device = runtime, runtime.torch_device
        self.model: Callable[[Tensor, Tensor], Tensor] = model.to(self.device).eval()
        if runtime.compile:
            self.model = _compiled(self.model)
        self.streams = None
        if self.device.type == "cuda":
            self.streams = torch.cuda.Stream(self.device), torch.cuda.Stream(self.device)

    def __call__(
        self, images: Sequence[np.ndarray], looks: Sequence[np.ndarray]
    ) -> Callable[[], list[np.ndarray]]:
        """Start on a batch of tiles of one shape."""
        stacks = [
            torch.from_numpy(np.stack(a).astype(np.float32, copy=False)) for a in (images, looks)
        ]
        if self.streams is None:
            with self.runtime.computing():
                out = self.model(*stacks).float()
            return lambda: list(out.numpy())
        return self._on_gpu(stacks, *self.streams)

    def _on_gpu(
        self, stacks: Sequence[Tensor], upload: Any, download: Any
    ) -> Callable[[], list[np.ndarray]]:
        now = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(upload):
            there = [s.pin_memory().to(self.device, non_blocking=True) for s in stacks]
        now.wait_stream(upload)
        with self.runtime.computing():
            out = self.model(*there).float()
        download.wait_stream(now)
        for tensor in there:
            tensor.record_stream(now)  # its memory is free again when the network is done with it
        out.record_stream(download)
        with torch.cuda.stream(download):
            host = torch.empty(out.shape, dtype=out.dtype, pin_memory=True)
            host.copy_(out, non_blocking=True)
        finished = download.record_event()

        def result() -> list[np.ndarray]:
            finished.synchronize()
            return list(host.numpy())

        return result


def _compiled(model: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """The model through torch.compile, or as it is from the first tile on that this fails for."""
    fast: Any = torch.compile(model)
    state = {"use": True}

    def call(hrmsi: Tensor, skip: Tensor) -> Tensor:
        if state["use"]:
            try:
                out: Tensor = fast(hrmsi, skip)
                return out
            except torch.OutOfMemoryError:
                raise
            except Exception as e:  # whatever a compiler that is missing or old may raise
                state["use"] = False
                reason = str(e).strip().splitlines()[0] if str(e).strip() else repr(e)
                _log.warning("the network cannot be compiled (%s): it runs as it is", reason)
        return model(hrmsi, skip)

    return call
