"""Train the small TAMRF network on synthetic series, on a CPU; start it again to go on.

    OMP_NUM_THREADS=1 python bench/tamrf_train_small.py RUN [--set optim.steps=3000]

Two seconds of one core an update; the scenes take five minutes before. The best weights are
RUN/best.safetensors.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from trifuse.simulate import procedural_series
from trifuse.train.config import load_config
from trifuse.train.temporal import TamrfTrainConfig, temporal_table, train_tamrf
from trifuse.train.temporal_data import MemoryScene

SMALL = Path(__file__).with_name("tamrf_small.yaml")
TRAIN_SEEDS = range(96)
VAL_SEEDS = range(1000, 1010)


def scenes(seeds: range, size: int) -> list[MemoryScene]:
    """Each seed is another place, in another year."""
    return [MemoryScene.of(procedural_series(size, s, year=2017 + s % 7)) for s in seeds]


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    config = load_config(TamrfTrainConfig, SMALL, args.set)
    result = train_tamrf(config, scenes(TRAIN_SEEDS, 72), scenes(VAL_SEEDS, 48), args.run)
    print(f"{result.stopped} at {result.step}, best at {result.best_step}")
    print(temporal_table(result.metrics))


if __name__ == "__main__":
    main()
