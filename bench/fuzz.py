"""Mutated deliveries of every product: an error in one line, or a right read.

    python bench/fuzz.py              # five times the seeds of the suite: 850 deliveries
    python bench/fuzz.py --times 20

Runs the mutation tests of the suite with more seeds: dropped nodes, NaN, truncated files, wrong
types, text that is no UTF-8. A delivery that ends in another way than a typed error or the values
that were put in, that hangs, or that leaves files behind fails.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

PER_RUN = {
    "test_enmap_bad.py": 80,
    "test_sentinel2_bad.py": 20,
    "test_sentinel3_bad.py": 50,
    "test_landsat.py": 20,
}
"""Deliveries that the suite mutates, by test file."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=5, help="multiple of the suite's seeds")
    options = parser.parse_args()
    root = Path(__file__).resolve().parent.parent
    worst = 0
    for name, count in PER_RUN.items():
        start = time.perf_counter()
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-x",
            "-k",
            "mutated and not archives",
            str(root / "tests/products" / name),
        ]
        done = subprocess.run(
            command,
            cwd=root,
            env={**os.environ, "TRIFUSE_FUZZ": str(options.times)},
            capture_output=True,
            text=True,
            check=False,
        )
        last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr
        seconds = time.perf_counter() - start
        print(f"{name:24} {count * options.times:5} deliveries  {seconds:6.1f} s  {last}")
        worst |= done.returncode
    return worst


if __name__ == "__main__":
    sys.exit(main())
