"""Which token mixer refines restored bands best for the same time on one core.

    python -m bench refiner_mixers -- scenes validation --minutes 4 --out bench/refiner_mixers.json

``scenes`` and ``validation`` are pools of :func:`trifuse.train.refining_data.make_pool` (the
folders of the same names in a run of ``trifuse train refiner``). Every network gets the same
processor time, the same crops and losses, and a learning rate that falls to zero within it; gains
are over the locally restored bands, as Sentinel-3 sees them, on the validation pool and on Jasper
Ridge (real, never trained on) where the real samples are found.

    python bench/refiner_mixers.py scenes validation --only 3 --bent --more others --keep weights

trains one of them alone, on several pools, and without the procedural landscapes as they are: what
it learns of their materials does not hold on real ones.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from trifuse.core import write_json
from trifuse.core.weights import save_weights
from trifuse.fusformer.refiner import BANDS, Refiner, RefinerCard, RefinerConfig
from trifuse.train.batches import Draw
from trifuse.train.refining import RefinerTask, RefinerTrainConfig
from trifuse.train.refining_data import (
    PLANES,
    VALIDATION,
    RefiningDataset,
    RefiningPool,
    observe_restored,
)

PAIRS = {"width": 64, "shuffle": 2}

NETWORKS: dict[str, tuple[RefinerConfig, float]] = {
    "dense convolution 3×3, 64 × 6, 2×2 pixels a token": (
        RefinerConfig(mixer="conv", norm=False, **PAIRS),
        1e-3,
    ),
    "gated depth-wise convolution 7×7, 64 × 6, 2×2 pixels": (RefinerConfig(**PAIRS), 2e-3),
    "gated depth-wise convolution 7×7, 40 × 6, 1 pixel": (RefinerConfig(), 2e-3),
    "window attention 8×8, 64 × 6, 2×2 pixels": (RefinerConfig(mixer="window", **PAIRS), 1e-3),
    "channel attention + depth-wise convolution 7×7, 64 × 6, 2×2 pixels": (
        RefinerConfig(mixer="channel", **PAIRS),
        1e-3,
    ),
    "spectral tokens (8 a pixel) + depth-wise convolution 7×7, 64 × 6, 2×2 pixels": (
        RefinerConfig(mixer="spectral", heads=8, **PAIRS),
        1e-3,
    ),
}
"""Networks and their learning rates."""

BATCH, DECAY, WARMUP = 8, 0.995, 100


def train(
    task: RefinerTask, config: RefinerConfig, rate: float, seconds: float
) -> tuple[Refiner, int]:
    """As many updates as the processor time allows; the moving average of the weights."""
    torch.manual_seed(0)
    model = Refiner(config)
    mean = copy.deepcopy(model)
    data = RefiningDataset(task.pool, 48)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-3)
    rng = np.random.default_rng(0)
    start, step = time.process_time(), 0
    while (done := (time.process_time() - start) / seconds) < 1:
        warm = min(1.0, (step + 1) / WARMUP)
        for group in optimizer.param_groups:
            group["lr"] = rate * warm * 0.5 * (1 + math.cos(math.pi * done))
        crops = [data[Draw(int(i), step, step)] for i in rng.integers(0, len(data), BATCH)]
        batch = {k: torch.stack([c[k] for c in crops]) for k in crops[0]}
        with torch.autocast("cpu", torch.bfloat16):
            loss = task.loss(model, batch)["loss"]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(DECAY, step / (step + 10))
        with torch.no_grad():
            for a, b in zip(mean.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 1 - keep)
    return mean.eval(), step


def shrink(model: Refiner, share: float) -> None:
    """Keep a share of the corrections: what is learnt on made scenes holds in part on real ones."""
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter.mul_(share)


class Joined:
    """Several pools as one, without the landscapes as they are if they are to be left out."""

    def __init__(self, folders: list[Path], bent: bool) -> None:
        pools = [RefiningPool(f) for f in folders]
        self.config = {f.name: dict(p.config) for f, p in zip(folders, pools, strict=True)}
        self._scenes = [
            (p, i) for p in pools for i, kind in enumerate(kinds(p)) if kind or not bent
        ]

    def __len__(self) -> int:
        return len(self._scenes)

    def planes(self, index: int) -> np.ndarray:
        pool, number = self._scenes[index]
        return pool.planes(number)

    def tensors(self, index: int, planes: np.ndarray) -> dict[str, torch.Tensor]:
        pool, number = self._scenes[index]
        return pool.tensors(number, planes)


def kinds(pool: RefiningPool) -> list[int]:
    """By scene of a pool: 0 for a landscape as it is, then recoloured, mosaics, real images."""
    known = pool.config
    counts = [known[k] for k in ("land", "recoloured", "mosaics")]
    counts += [known["real"]] * len(known["images"])
    order = sorted(((i + 0.5) / n, k) for k, n in enumerate(counts) for i in range(n))
    return [k for _, k in order][: known.get("first") or None]


class Seen:
    """Four draws of the protocol on a real scene, as a pool."""

    def __init__(self, scene: str) -> None:
        from bench.fusion.scenes import load_views

        image = load_views(scene).s2.select(BANDS).data[:, :96, :96]
        height, width = (n - n % 6 for n in image.shape[1:])
        made = [
            observe_restored(image[:, :height, :width], VALIDATION, np.random.default_rng(s))
            for s in range(4)
        ]
        self._planes = [planes for planes, _ in made]
        self._about = [about for _, about in made]

    def __len__(self) -> int:
        return len(self._planes)

    def planes(self, index: int) -> np.ndarray:
        return self._planes[index]

    def tensors(self, index: int, planes: np.ndarray) -> dict[str, torch.Tensor]:
        about = {k: torch.tensor(v) for k, v in self._about[index].items()}
        return dict(zip(PLANES, torch.from_numpy(planes), strict=True)) | about


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    parser.add_argument("validation", type=Path)
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="folder for the trained weights")
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the networks, from 1")
    parser.add_argument("--more", type=Path, nargs="+", default=[], help="further pools")
    parser.add_argument("--bent", action="store_true", help="without landscapes as they are")
    parser.add_argument("--shrink", type=float, default=1.0, help="share of corrections to keep")
    options = parser.parse_args()
    torch.set_num_threads(1)
    pool: Any = Joined([options.pool, *options.more], options.bent)
    task = RefinerTask(RefinerTrainConfig(), pool, RefiningPool(options.validation))
    real = RefinerTask(RefinerTrainConfig(), pool, Seen("jasper-whole"))  # type: ignore[arg-type]
    rows = []
    for number, (name, (config, rate)) in enumerate(NETWORKS.items(), start=1):
        if options.only and number not in options.only:
            continue
        model, steps = train(task, config, rate, 60 * options.minutes)
        shrink(model, options.shrink)
        start = time.process_time()
        scores = {}
        for where, judge in (("procedural", task), ("jasper", real)):
            with torch.inference_mode():
                scores[where] = judge.validate(model, torch.device("cpu"))
        rows.append(
            {
                "network": name,
                "parameters": sum(p.numel() for p in model.parameters()),
                "halo": model.halo,
                "steps": steps,
                "minutes": options.minutes,
                "rate": rate,
                "seconds_to_score": round(time.process_time() - start, 2),
                **{k: {b: round(v, 3) for b, v in s.items()} for k, s in scores.items()},
            }
        )
        if options.keep:
            options.keep.mkdir(parents=True, exist_ok=True)
            protocol = {"scenes": pool.config, "updates": steps, "shrunk": options.shrink}
            card = RefinerCard(config=config, protocol=protocol, metrics=scores)
            save_weights(options.keep / f"{number}.safetensors", model, card, overwrite=True)
        gains = ", ".join(f"{k} {s['gain']:+.3f} dB" for k, s in scores.items())
        print(f"{name}: {rows[-1]['parameters'] / 1e3:.0f} k, {steps} updates, {gains}", flush=True)
        if options.out:
            write_json(options.out, {"scenes": len(pool), "networks": rows}, overwrite=True)
    if not options.out:
        print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
