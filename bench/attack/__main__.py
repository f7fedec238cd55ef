"""Kills, full disks, lost workers and schedulers, rivals, little memory, damaged inputs.

    python -m bench attack
    python -m bench attack -- --minutes 15 --only kills disk
    python -m bench attack -- --soak 500

Runs commands of the command line on small inputs and disturbs each in every way, at moments drawn
at random. What is counted: corrupt files under a final name, exit code 1 or a traceback, hangs over
60 s, orphans after 10 s, inputs that were changed, what is left over after a rerun that succeeded,
and results that are not the same bytes as undisturbed ones (times and paths in records apart). The
last line is one of JSON. The exit code is 1 if any of these is not 0.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from bench.attack import attacks, children, soak, work
from bench.attack.tally import Tally

GOALS = {
    "kills": 300,
    "disk": 100,
    "workers": 20,
    "scheduler": 10,
    "writers": 30,
    "memory": 30,
    "mutations": 2000,
}
"""Attacks of each class that a full run wants."""

SHARES = {
    "kills": 0.36,
    "disk": 0.16,
    "workers": 0.07,
    "scheduler": 0.04,
    "writers": 0.09,
    "memory": 0.04,
    "mutations": 0.24,
}
"""Of the time; what a class does not need goes to the next."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.attack",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="for all classes together")
    parser.add_argument("--only", nargs="+", choices=list(GOALS), default=list(GOALS))
    parser.add_argument("--commands", nargs="+", help="names of the commands to attack")
    parser.add_argument("--count", type=int, help="attacks of each class; default: GOALS")
    parser.add_argument("--soak", type=int, metavar="UNITS", help="mixed work instead")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    children.load()
    with tempfile.TemporaryDirectory(prefix="attack-") as folder:
        base = Path(folder).resolve()
        before = time.monotonic()
        bench = work.prepare(base, options.commands)
        took = time.monotonic() - before
        print(f"{len(bench.commands)} commands, made and repeated in {took:.0f} s", flush=True)
        tally = Tally(bench)
        if options.soak:
            soak.soak(bench, tally, options.soak, options.seed, options.minutes * 60)
        else:
            whole = sum(SHARES[kind] for kind in options.only)
            spare = 0.0
            for n, kind in enumerate(options.only):
                begun = time.monotonic()
                share = options.minutes * 60 * SHARES[kind] / whole
                goal = options.count or GOALS[kind]
                getattr(attacks, kind)(bench, tally, goal, options.seed + n, share + spare)
                spare += share - (time.monotonic() - begun)
                print(tally.line(kind), flush=True)
        tally.check_inputs()
    for problem in tally.problems:
        print(problem)
    print(json.dumps(tally.to_json(), sort_keys=True))
    return int(bool(tally.problems))


if __name__ == "__main__":
    sys.exit(main())
