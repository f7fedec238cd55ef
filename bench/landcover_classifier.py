"""Train the land-cover classifier that reports use for the inception score.

    python bench/landcover_classifier.py -o flows/landcover.safetensors

Procedural scenes of 10 m, Sentinel-2A's four bands; a patch's class is the one that covers most of
it. Half of the scenes' patches are blurred by up to two pixels, so that a soft image is judged by
its land cover and not by its sharpness alone. About a minute.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage
from torch import nn

from trifuse.core import MemorySource, Window
from trifuse.flows.landcover import CLASSES, PATCH, cut, features_of
from trifuse.simulate import convolve
from trifuse.simulate.ground import LANDCOVER, procedural_layers
from trifuse.srf_data import integrate, load

TRAINING, VALIDATION = range(1000, 1020), range(900, 905)


def scene(seed: int, size: int, blurred: bool) -> tuple[np.ndarray, np.ndarray]:
    """Features and classes of the patches of a scene."""
    made = procedural_layers(size, seed, gsd=10.0)
    source = MemorySource(made.cube)
    operator = integrate(
        load("S2A_MSI").select(["B2", "B3", "B4", "B8A"]),
        source.bands,
        usable=made.cube.meta["usable"],
        detectors=made.cube.meta["detectors"],
    )
    planes = convolve(source, operator, Window(0, 0, size, size)).masked()
    if blurred:
        sigma = np.random.default_rng(seed).uniform(0, 2)
        planes = ndimage.gaussian_filter(planes, (0, sigma, sigma))
    cover = cut(made.landcover[None])[:, 0].reshape(-1, PATCH * PATCH)
    codes = [LANDCOVER.index(c) for c in CLASSES]
    share = np.stack([(cover == c).mean(axis=1) for c in codes], axis=1)
    known = share.max(axis=1) > 0.5
    return features_of(planes)[known], share.argmax(axis=1)[known]


def gather(seeds: range, size: int) -> tuple[np.ndarray, np.ndarray]:
    parts = [scene(s, size, b) for s in seeds for b in (False, True)]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--steps", type=int, default=2000)
    o = parser.parse_args()
    x, y = gather(TRAINING, o.size)
    vx, vy = gather(VALIDATION, o.size)
    mean, std = x.mean(axis=0), x.std(axis=0) + 1e-6
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(x.shape[1], 48), nn.ReLU(), nn.Linear(48, len(CLASSES)))
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, o.steps)
    inputs = torch.from_numpy(((x - mean) / std).astype(np.float32))
    labels = torch.from_numpy(y)
    frequency = np.bincount(y, minlength=len(CLASSES)) / len(y)
    loss = nn.CrossEntropyLoss(torch.from_numpy(1 / np.sqrt(frequency + 1e-3)).float())
    for _ in range(o.steps):
        batch = torch.randint(len(inputs), (512,))
        optimiser.zero_grad()
        loss(net(inputs[batch]), labels[batch]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        guess = net(torch.from_numpy(((vx - mean) / std).astype(np.float32))).argmax(1).numpy()
    per_class = {
        c: round(float((guess == vy)[vy == i].mean()), 3)
        for i, c in enumerate(CLASSES)
        if (vy == i).any()
    }
    state = {"mean": mean.astype(np.float32), "std": std.astype(np.float32)}
    for i, layer in enumerate((net[0], net[2])):
        state[f"weight{i}"] = np.ascontiguousarray(layer.weight.detach().numpy().T)
        state[f"bias{i}"] = layer.bias.detach().numpy()
    from safetensors.numpy import save_file

    card = {
        "accuracy": round(float((guess == vy).mean()), 3),
        "patches": len(vy),
        "per_class": per_class,
        "trained_on": f"{len(y)} patches of procedural scenes",
        "limits": "knows procedural land cover only",
    }
    save_file(state, o.output, metadata={"card": json.dumps(card)})
    print(json.dumps(card, indent=2))


if __name__ == "__main__":
    main()
