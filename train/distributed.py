"""Processes and arithmetic: how Lightning Fabric is set up."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
from typing import Any

import numpy as np
import torch

from trifuse.core import ConfigError


def make_fabric(device: str, precision: str) -> Any:
    """A Fabric for this process: alone, or one of those that ``torchrun`` started.

    Args:
        device: ``auto``, ``cpu`` or ``cuda``.
        precision: ``32-true``, ``bf16-mixed`` or ``16-mixed``.

    Raises:
        ConfigError: if there is no GPU and one is needed.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.plugins import MixedPrecision

    class NetworkPrecision(MixedPrecision):
        """Autocast inside the network only.

        Fabric would also round the inputs. Reflectance in bfloat16 is wrong by 0.2 %, and a skip
        connection hands that on to the result.
        """

        def convert_input(self, data: Any) -> Any:
            return data

    # Fabric reports its set-up on a handler of its own.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("torch sees no GPU", where="run.device", fix="give cpu")
    if device == "cpu" and precision == "16-mixed":
        raise ConfigError("16-mixed needs a GPU", where="optim.precision", fix="give 32-true")
    local, world = 1, 1
    if torch.distributed.is_available() and torch.distributed.is_torchelastic_launched():
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        world = int(os.environ.get("WORLD_SIZE", str(local)))
    exact = precision == "32-true"
    return Fabric(
        accelerator=device,
        devices=local,
        num_nodes=world // local,
        strategy="auto",
        precision="32-true" if exact else None,
        plugins=None if exact else [NetworkPrecision(precision, device)],  # type: ignore[arg-type]
    )


def gather(fabric: Any, value: Any) -> list[Any]:
    """The value of every process, in order of rank, in every process."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def start_method() -> str:
    """How workers start: not by a plain fork, which HDF5 handles and threads do not survive."""
    known = multiprocessing.get_all_start_methods()
    return "forkserver" if "forkserver" in known else "spawn"


def seed_everything(seed: int) -> None:
    """Seed the generators of torch, numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the generator that libraries may draw from
    random.seed(seed)
