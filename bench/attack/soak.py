"""Mixed work for long, disturbed at random: the same bytes, and nothing that grows."""

from __future__ import annotations

import os
import random
import resource
import signal
import tempfile
import time
from pathlib import Path

from bench.attack.children import run, size_of, start
from bench.attack.tally import Tally
from bench.attack.work import OUT, Bench

WAYS = ("undisturbed", "killed", "disk", "terminated", "no memory")


def soak(bench: Bench, tally: Tally, units: int, seed: int, seconds: float) -> None:
    """Do units of mixed work, each disturbed at random and then run again.

    Then one process does all commands time and again, and is watched for growth.
    """
    rng = random.Random(seed)
    names = [n for n in bench.commands if bench.expected.get(n)]
    until = time.monotonic() + 0.8 * seconds
    before = _open_files(), len(_temporary())
    for _ in range(units):
        if time.monotonic() > until:
            break
        name, way = rng.choice(names), rng.choice(WAYS)
        folder = bench.place("soak")
        limits = {}
        if way == "disk":
            limits = {resource.RLIMIT_FSIZE: int(rng.uniform(0, 1.2) * bench.sizes[name])}
        if way == "no memory":
            limits = {resource.RLIMIT_AS: size_of() + rng.randrange(1 << 20, 160 << 20)}
        child = start(bench.commands[name].words, folder, folder / "said", limits=limits)
        if way in ("killed", "terminated"):
            if not child.wait(rng.uniform(0, 1) * bench.seconds[name]):
                os.kill(child.pid, signal.SIGKILL if way == "killed" else signal.SIGTERM)
        ended = child.end()
        tally.note(f"soak {way}", name, effective=ended.code != 0)
        tally.ended("soak", name, ended, killed=way == "killed")
        if ended.code == 0:
            tally.whole("soak", name, folder)
        else:
            tally.published("soak", name, folder)
            tally.rerun("soak", name, folder)
    after = _open_files(), len(_temporary())
    for what, a, b in zip(("open files", "temporary files"), before, after, strict=True):
        if b > a:
            tally.problem("leftover", "soak", what, f"{a} before, {b} after")
    _watch(bench, tally)


def _watch(bench: Bench, tally: Tally, rounds: int = 12) -> None:
    """One process that does the quick commands again and again, with its memory after each."""
    quick = [n for n in ("ndvi", "fuse", "course") if n in bench.commands]
    folder = bench.place("watch")
    note = folder / "sizes"

    def again() -> None:
        from trifuse.cli.main import run as command

        with note.open("w") as out:
            for number in range(rounds):
                for name in quick:
                    command([*bench.commands[name].words, "--overwrite"])
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                out.write(f"{number} {_resident()} {_open_files()} {peak}\n")

    ended = run(["methods"], folder, folder / "said", before=again)
    lines = [[int(v) for v in line.split()] for line in note.read_text().splitlines()]
    if len(lines) < rounds:
        tally.problem("rerun failed", "soak", "watch", ended.said[-250:])
        return
    middle, end = lines[rounds // 2], lines[-1]
    if end[1] > 1.05 * middle[1] + (8 << 20):
        tally.problem("leftover", "soak", "memory", f"{middle[1] >> 20} → {end[1] >> 20} MiB")
    if end[2] > middle[2]:
        tally.problem("leftover", "soak", "open files", f"{middle[2]} → {end[2]}")
    left = [p.name for p in (folder / OUT).rglob(".*")]
    if left:
        tally.problem("leftover", "soak", "watch", ", ".join(left))


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _temporary() -> list[str]:
    return [p.name for p in Path(tempfile.gettempdir()).glob("trifuse-*")]
