"""What tasks show of their validation data: the truth, the network, and what costs nothing.

Each function is handed its task, which imports it when a run ends.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from trifuse.core import BandError, BandSet
from trifuse.fusformer.refiner import BANDS
from trifuse.temporal.methods import get_series_method
from trifuse.temporal.scoring import as_seen
from trifuse.train.examples import Example
from trifuse.train.prior import bicubic_image
from trifuse.train.refining_data import INPUTS
from trifuse.train.task import Predict

MOST = 3
"""Samples that are shown."""

RGB_NM = (665.0, 560.0, 490.0)


def fusion_examples(task: Any, predict: Predict, device: torch.device) -> list[Example]:
    """Validation triplets: truth, network, bicubic."""
    data, out = task.validation, []
    bands = colours(task.store.lr_bands)
    for index in evenly(0 if data is None else len(data)):
        assert data is not None
        sample = data[index]
        batch = {k: v[None].to(device) for k, v in sample.items()}
        with torch.no_grad():
            made = predict(*task.shown(batch))[0].float().cpu().numpy()
        hidden = sample["valid"][0].numpy() == 0
        planes = {
            "truth": np.where(hidden, np.float32(np.nan), sample["hrhsi"].numpy())[bands],
            "network": made[bands],
            "bicubic": bicubic_image(batch)[0].cpu().numpy()[bands],
        }
        scene = data.triplet(index).provenance
        names = " ".join(task.store.lr_bands.names[i] for i in bands)
        out.append(Example(f"{scene['unit']}, triplet {index}: {names}", planes))
    return out


def refiner_examples(task: Any, predict: Predict, device: torch.device) -> list[Example]:
    """Scenes held back: sharp, refined, restored, in the coarsest band that is always there."""
    band, out = BANDS.index("B11"), []
    for index in evenly(len(task.held_back)):
        sample = task.held_back.tensors(index, task.held_back.planes(index))
        batch = {k: v[None].to(device) for k, v in sample.items()}
        with torch.no_grad():
            refined = predict(*(batch[k] for k in INPUTS))[0].float().cpu().numpy()
        planes = {"sharp": sample["sharp"], "refined": refined, "restored": sample["restored"]}
        cut = {k: np.asarray(v)[[band]] for k, v in planes.items()}
        out.append(Example(f"scene {index}: B11", cut))
    return out


def series_examples(task: Any, predict: Predict, device: torch.device) -> list[Example]:
    """Of each validation scene the clearest hidden date: observed, network, linear."""
    fine, out = min(task.sensors, key=lambda s: s.ratio), []
    bands = [fine.bands.index(b) for b in ("B4", "B3", "B2") if b in fine.bands]
    bands = bands if len(bands) == 3 else [0]
    for scene in task.val[:MOST]:
        images = task.images(scene)
        chosen = task.hiding(images)["gap-filling"]
        hidden = images[fine.name].only(chosen.hidden(fine.name))
        if not len(hidden.days) or not hidden.valid.any():
            continue
        at = int(hidden.valid.mean(axis=(1, 2)).argmax())
        day = float(hidden.days[at])
        seen = {s.name: images[s.name].only(chosen.visible.get(s.name, ())) for s in task.sensors}
        made = task.forecast(predict, device, seen, [day])
        linear = get_series_method("linear", sensors=task.sensors)
        plain = linear.predict(seen, {fine.name: [day]})[fine.name]
        observed = np.where(hidden.valid[at], hidden.data[at], np.float32(np.nan))
        planes = {
            "observed": observed[bands],
            "network": as_seen(made[fine.name], fine)[0][bands],
            "linear": plain[0][bands],
        }
        names = " ".join(fine.bands[i] for i in bands)
        out.append(Example(f"{scene.name}, day {day:g} hidden: {fine.name} {names}", planes))
    return out


def evenly(count: int) -> list[int]:
    """Some of so many numbers, evenly spaced."""
    shown = min(MOST, count)
    return [int((i + 0.5) * count / shown) for i in range(shown)]


def colours(bands: BandSet) -> list[int]:
    """Red, green and blue, or the first band if one of them is missing."""
    try:
        return [bands.nearest(nm, tolerance=30.0) for nm in RGB_NM]
    except BandError:
        return [0]
