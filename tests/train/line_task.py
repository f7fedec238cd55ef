"""A tiny task, learning a line, and runs of it for processes that can be killed."""

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn
from torch.utils.data import Dataset

from trifuse.core import StoreError
from trifuse.train import (
    EngineConfig,
    FusionTask,
    OptimConfig,
    RunConfig,
    TrainConfig,
    TripletDataset,
    ValidationConfig,
    fit,
)


class Line(Dataset):
    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __len__(self) -> int:
        return 10

    def __getitem__(self, draw) -> dict:
        generator = torch.Generator().manual_seed(draw.index + 1000 * draw.epoch)
        x = torch.randn(3, generator=generator)
        return {"x": x, "y": self.slope * x.sum(0, keepdim=True)}


class LineTask:
    monitor, higher_is_better = "error", False

    def __init__(self, slope: float = 2.0, dropout: float = 0.2, norm: bool = True) -> None:
        self.slope, self.dropout, self.norm = slope, dropout, norm

    def build_model(self) -> nn.Module:
        norm = nn.BatchNorm1d(8) if self.norm else nn.Identity()
        return nn.Sequential(
            nn.Linear(3, 8), norm, nn.Tanh(), nn.Dropout(self.dropout), nn.Linear(8, 1)
        )

    def dataset(self) -> Line:
        return Line(self.slope)

    def loss(self, model, batch) -> dict:
        return {"loss": (model(batch["x"]) - batch["y"]).abs().mean()}

    def validate(self, predict, device) -> dict:
        x = torch.linspace(-1, 1, 30, device=device).reshape(10, 3)
        return {"error": float((predict(x) - self.slope * x.sum(1, keepdim=True)).abs().mean())}

    def fingerprint(self) -> dict:
        return {"slope": self.slope}

    def write(self, path: Path, model, metrics, step) -> None:
        save_file(
            model.state_dict(), path, {"card": json.dumps({"metrics": metrics, "step": step})}
        )


class BrokenLine(Line):
    def __getitem__(self, draw) -> dict:
        if draw.epoch:
            raise StoreError("is truncated", where="shard.h5", fix="make it again")
        return super().__getitem__(draw)


class SuicidalTask(LineTask):
    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def loss(self, model, batch) -> dict:
        self.left -= model.training
        if self.left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().loss(model, batch)


def train(run: str, environment: dict[str, str]) -> None:
    """Four steps without dropout, as one of the processes of a launcher's environment."""
    os.environ.update(environment)
    fit(LineTask(dropout=0.0, norm=False), small_config(4), run)


def train_pair(run: str, environment: dict[str, str], at: int) -> None:
    """The same over a longer log window, killed in one update."""
    os.environ.update(environment)
    task = SuicidalTask(at)
    task.dropout, task.norm = 0.0, False
    config = small_config(9)
    run_config = dataclasses.replace(config.run, log_every=3)
    fit(task, dataclasses.replace(config, run=run_config), run)


def train_until_killed(run: str, at: int) -> None:
    fit(SuicidalTask(at), small_config(12), run)


def read_without_readers(store: str) -> None:
    """A sample and a task of a store where rasterio and spectral are not to be had."""
    assert "trifuse.train" in sys.modules
    assert not {"rasterio", "spectral"} & set(sys.modules), "imported with trifuse.train"
    sys.modules["rasterio"] = sys.modules["spectral"] = None
    assert TripletDataset(store)[0]["hrmsi"].shape == (6, 20, 20)
    task = FusionTask(TrainConfig(), store)
    batch = {k: v[None] for k, v in task.dataset()[0].items()}
    assert task.loss(task.build_model(), batch)["loss"] > 0


def small_config(steps: int) -> EngineConfig:
    return EngineConfig(
        seed=3,
        optim=OptimConfig(steps=steps, batch=4, warmup=3, lr=0.02, ema=0.9),
        validation=ValidationConfig(every=5),
        run=RunConfig(device="cpu", log_every=2, save_every=4),
    )
