"""Put a trained refiner into the package, with what it gains on scenes it never saw in its card.

    python -m bench refiner_ship -- run/best.safetensors

Gains are over the local restoration, as Sentinel-3 sees them, all corrections heeded: on the
validation scenes of the run, and on Jasper Ridge and Berlin, real scenes that no network was
trained on (the kinds of its training scenes were chosen looking at both).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.refiner_mixers import Seen
from trifuse.core.weights import save_weights
from trifuse.fusformer import load_refiner
from trifuse.fusformer.refiner import LIMITS
from trifuse.fusion.refined import SHIPPED
from trifuse.train.refining import RefinerTask, RefinerTrainConfig

REAL = {"jasper": "jasper-whole", "berlin": "berlin"}

MORE = (
    "Not every band gains on every scene: B11 and B12 lose over Berlin. Heed the corrections as "
    "far as they prove right one scale down, as the method refined does.",
    "Trained on made landscapes and mosaics, and on one desert tile of Sentinel-2; clouds, snow "
    "and open sea are not among them.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=SHIPPED)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, card = load_refiner(options.weights)
    scores: dict[str, dict[str, float]] = {"procedural": dict(card.metrics["validation"])}
    for name, scene in REAL.items():
        pool: Any = Seen(scene)
        with torch.inference_mode():
            gains = RefinerTask(RefinerTrainConfig(), pool, pool).validate(
                model, torch.device("cpu")
            )
        scores[name] = {k: round(v, 4) for k, v in gains.items()}
        print(f"{name}: {gains['gain']:+.3f} dB")
    card = replace(card, metrics=scores, limits=(*LIMITS, *MORE))
    save_weights(options.output, model, card, overwrite=True)
    print(f"wrote {options.output}")


if __name__ == "__main__":
    main()
