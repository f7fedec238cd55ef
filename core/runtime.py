"""Where a network runs, and in which arithmetic."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from trifuse.core import ConfigError

Precision = Literal["32", "bf16", "16"]
BATCH_PIXELS = 1 << 19
"""Pixels that a GPU gets at once: eight tiles of 256×256, 23 of 150×150."""

_DTYPES = {"bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True, slots=True)
class Runtime:
    """A device and an arithmetic.

    Attributes:
        device: ``cpu``, ``cuda``, ``cuda:1``, or ``auto``: the GPU where there is one.
        precision: ``32``, or autocast to ``bf16`` or ``16`` (CUDA); sums with the skip stay
            float32.
        compile: whether networks go through ``torch.compile``, which takes a minute and then
            saves time on large scenes; where it cannot, they run as they are.

    Raises:
        ConfigError: if the device is not there or cannot do the arithmetic.
    """

    device: str = "auto"
    precision: Precision = "32"
    compile: bool = False

    def __post_init__(self) -> None:
        if self.precision not in ("32", *_DTYPES):
            raise ConfigError(f"precision {self.precision!r}", fix="give 32, bf16 or 16")
        try:
            kind = self.torch_device
        except RuntimeError:
            raise ConfigError(f"unknown device {self.device!r}", fix="give cpu or cuda") from None
        if kind.type not in ("cpu", "cuda"):
            raise ConfigError(f"device {self.device!r} is not supported", fix="give cpu or cuda")
        if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
            raise ConfigError(f"no device {self.device!r} here", fix="give cpu")
        if kind.type == "cpu" and self.precision == "16":
            raise ConfigError("precision 16 needs CUDA", fix="give 32, or bf16")

    @property
    def torch_device(self) -> torch.device:
        """The device."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    @property
    def readers(self) -> int:
        """Threads that read ahead: on a CPU the network needs the cores, a GPU wants feeding."""
        return 1 if self.torch_device.type == "cpu" else min(8, os.cpu_count() or 1)

    def batch(self, pixels: int) -> int:
        """Tiles of so many pixels to compute at once: caches hold one, a GPU wants many."""
        return 1 if self.torch_device.type == "cpu" else max(1, BATCH_PIXELS // pixels)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Inference with this arithmetic."""
        dtype, kind = _DTYPES.get(self.precision), self.torch_device.type
        # TF32 would cost the equality of tiles and whole image: it rounds to 10 bits.
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=dtype is not None)
        with torch.inference_mode(), exact, torch.autocast(kind, dtype, enabled=dtype is not None):
            yield
