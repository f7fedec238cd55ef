"""Training throughput: triplets per second with the loader against without one.

    python bench/training.py                       # default network and augmentation, CPU
    python bench/training.py --device cuda --workers 8 --patch 150

Without a loader the same batch is used again and again. What a triplet costs to load is told too:
a model that takes less than that, divided by the cores that load, will wait.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from trifuse.simulate import SimulateConfig, simulate_store, write_scene
from trifuse.train import TrainConfig, load_config
from trifuse.train.engine import fit
from trifuse.train.fusion import FusionTask


class Timed(FusionTask):
    """Notes when each update begins."""

    def __init__(self, *given: object, again: bool = False) -> None:
        super().__init__(*given)
        self.starts: list[float] = []
        if again:
            samples = [self._train[i] for i in range(min(4, len(self._train)))]
            self._train = Again(samples, len(self._train))

    def loss(self, model, batch):
        if self._cuda(batch):
            torch.cuda.synchronize()
        self.starts.append(time.perf_counter())
        return super().loss(model, batch)

    @staticmethod
    def _cuda(batch) -> bool:
        return batch["hrmsi"].is_cuda


class Again(torch.utils.data.Dataset):
    """Samples that lie in memory."""

    def __init__(self, samples: list, length: int) -> None:
        self.samples, self.length = samples, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, draw):
        return self.samples[draw.index % len(self.samples)]


def rate(config: TrainConfig, store: Path, folder: Path, again: bool) -> float:
    """Triplets per second, from the median update."""
    task = Timed(config, store, again=again)
    fit(task, config, folder / ("again" if again else "loaded"), overwrite=True, resume=False)
    first = len(task.starts) // 3  # by then the loader's queue is as full as it gets
    seconds = (task.starts[-1] - task.starts[first]) / (len(task.starts) - 1 - first)
    return config.optim.batch / seconds


def cost(config: TrainConfig, store: Path) -> float:
    """CPU seconds of one triplet from the store to tensors."""
    dataset = FusionTask(config, store).dataset()
    for i in range(3):
        dataset[i % len(dataset)]
    start = time.process_time()
    count = 40
    for i in range(count):
        dataset[i % len(dataset)]
    return (time.process_time() - start) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patch", type=int, default=60)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    parser.add_argument("--json", action="store_true", help="only JSON, one line")
    options = parser.parse_args()
    base = load_config(TrainConfig, None, options.overrides)
    base = replace(
        base,
        optim=replace(
            base.optim,
            steps=options.steps,
            batch=options.batch,
            warmup=1,
            precision=options.precision,
        ),
        validation=replace(base.validation, every=10**6),
        data=replace(base.data, val_samples=1),
        run=replace(base.run, device=options.device, log_every=10**6, save_every=10**6),
    )
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stderr(sys.stderr):
        folder = Path(name)
        scene = write_scene(folder / "scene", max(300, 2 * options.patch), seed=1)
        how = SimulateConfig(patch=options.patch, split=(1.0, 0.0, 0.0))
        simulate_store(scene.enmap, folder / "store", how)
        store = folder / "store"
        found = {
            "patch": options.patch,
            "batch": options.batch,
            "device": options.device,
            "load_cpu_seconds": cost(base, store),
        }
        runs: dict[str, list[float]] = {}
        for _ in range(options.repeat):  # in turn, so that all see the same machine
            runs.setdefault("none", []).append(rate(base, store, folder, True))
            for workers in options.workers:
                config = replace(base, run=replace(base.run, workers=workers))
                runs.setdefault(str(workers), []).append(rate(config, store, folder, False))
    best = {k: max(v) for k, v in runs.items()}
    found |= {
        "triplets_per_second": best,
        "share": {k: v / best["none"] for k, v in best.items() if k != "none"},
    }
    if options.json:
        print(json.dumps(found))
        return
    print(
        f"{options.patch}² triplets, batches of {options.batch}, {options.device}; "
        f"to load one: {1e3 * found['load_cpu_seconds']:.1f} ms of a core"
    )
    print(f"no loader   {best.pop('none'):8.2f} triplets/s")
    for workers, value in best.items():
        share = 100 * found["share"][workers]
        print(f"{workers} workers   {value:8.2f} triplets/s  {share:6.1f} %")


if __name__ == "__main__":
    main()
