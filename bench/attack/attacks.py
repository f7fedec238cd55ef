"""The classes of attacks: each disturbs commands in one way, for a number or a time."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from bench.attack.children import Child, Ended, run, size_of, start
from bench.attack.mutants import mutate
from bench.attack.tally import Tally
from bench.attack.work import OUT, Bench

WRITING = (
    *("ndvi", "fuse", "refined", "sharpen", "simulate", "train", "report", "scene", "make"),
    *("build", "interpolate", "course"),
)
PRODUCTS = ("ndvi", "fuse", "refined", "sharpen", "report")
"""Commands whose outputs are replaced file by file with ``--overwrite``."""


def _rounds(bench: Bench, names: tuple[str, ...], until: float) -> Iterator[str]:
    """Names of commands in turn, until the time is over."""
    for name in itertools.cycle([n for n in names if n in bench.commands]):
        if time.monotonic() > until:
            return
        yield name


def kills(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """SIGKILL, now and then SIGTERM or SIGINT, at any moment; then the same command again."""
    rng = random.Random(seed)
    for number, name in enumerate(_rounds(bench, WRITING, time.monotonic() + seconds)):
        if tally.counts["kills"] >= goal:
            return
        folder = bench.place(f"kill-{name}")
        how = rng.choice([signal.SIGKILL] * 4 + [signal.SIGTERM, signal.SIGINT])
        jobs = ("--jobs", "2") if bench.commands[name].jobs and number % 3 == 0 else ()
        child = start([*bench.commands[name].words, *jobs], folder, folder / "said")
        # Early moments are as likely as late ones; with processes, their start comes before all.
        moment = rng.uniform(0.02, 1.0) * (bench.seconds[name] + 4.0 * bool(jobs))
        effective = not child.wait(moment)
        if effective:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, how)
        ended = child.end()
        effective = effective and ended.code != 0
        tally.note("kills", name, effective=effective)
        tally.ended("kills", name, ended, killed=effective)
        if ended.code == 0:
            tally.whole("kills", name, folder)
        else:
            tally.published("kills", name, folder)
            tally.rerun("kills", name, folder)


def disk(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """A disk that is too small, or a limit on the size of files, over old files and none."""
    rng = random.Random(seed)
    mounts = _can_mount()
    for number, name in enumerate(_rounds(bench, WRITING, time.monotonic() + seconds)):
        if tally.counts["disk"] >= goal:
            return
        folder = bench.place(f"disk-{name}")
        old = name in PRODUCTS and number % 2 == 1
        limit = int(bench.sizes[name] * rng.uniform(0.0, 1.3))
        more = ["--overwrite"] if old else []
        with _small(folder / OUT, 2 * limit + 4096, mounts and number % 3 > 0) as small:
            if old:
                source = bench.base / "runs" / f"expected-{name}" / OUT
                if small and _bytes(source) > 2 * limit:
                    old, more = False, []
                else:
                    shutil.copytree(source, folder / OUT, dirs_exist_ok=True)
            limits = {} if small else {resource.RLIMIT_FSIZE: limit}
            command = [*bench.commands[name].words, *more]
            ended = run(command, folder, folder / "said", limits=limits)
            tally.note("disk", name, effective=ended.code != 0)
            tally.ended("disk", name, ended)
            if ended.code == 0:
                tally.whole("disk", name, folder)
            else:
                tally.published("disk", name, folder, all_of_it=old)


def memory(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """A limit on the address space, a little above what is loaded."""
    rng = random.Random(seed)
    loaded = size_of()
    for name in _rounds(bench, WRITING, time.monotonic() + seconds):
        if tally.tried["memory"] >= goal:
            return
        folder = bench.place(f"memory-{name}")
        limits = {resource.RLIMIT_AS: loaded + int(rng.uniform(1, 160) * (1 << 20))}
        ended = run(bench.commands[name].words, folder, folder / "said", limits=limits)
        tally.note("memory", name, effective=ended.code != 0)
        tally.ended("memory", name, ended)
        if ended.code == 0:
            tally.whole("memory", name, folder)
        else:
            tally.published("memory", name, folder)
            tally.rerun("memory", name, folder)


def writers(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """Two processes with one output, at moments close to each other."""
    rng = random.Random(seed)
    for name in _rounds(bench, WRITING, time.monotonic() + seconds):
        if tally.counts["writers"] >= goal:
            return
        folder = bench.place(f"writers-{name}")
        words = [*bench.commands[name].words]
        if name in PRODUCTS:
            words.append("--overwrite")
        first = start(words, folder, folder / "said")
        met = not first.wait(rng.uniform(0.0, 0.9) * bench.seconds[name])
        second = start(words, folder, folder / "said-too")
        both = first.end(), second.end()
        tally.note("writers", name, effective=met)
        for ended in both:
            tally.ended("writers", name, ended)
        if all(ended.code for ended in both):
            said = "; ".join(ended.error for ended in both)
            tally.problem("rerun failed", "writers", name, f"neither of two succeeded: {said}")
        else:
            tally.whole("writers", name, folder)


def mutations(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """Inputs with damage of every kind: one line, or a result."""
    rng = random.Random(seed)
    names = tuple(c.name for c in bench.commands.values() if c.inputs)
    weights = {n: 1.0 / (0.1 + bench.seconds[n]) for n in names}
    until = time.monotonic() + seconds
    while tally.counts["mutations"] < goal and time.monotonic() < until:
        name = rng.choices(names, [weights[n] for n in names])[0]
        command = bench.commands[name]
        folder = bench.place(f"mutant-{name}")
        (folder / "in").unlink()
        shutil.copytree(bench.inputs, folder / "in", copy_function=os.link)
        files = sorted({p for pattern in command.inputs for p in (folder / "in").glob(pattern)})
        target = rng.choice([p for p in files if p.is_file()])
        how = mutate(target, rng)
        before = _inventory(folder / "in")
        ended = run(command.words, folder, folder / "said")
        label = f"{name} ({how} of {target.name})"
        tally.note("mutations", name, effective=True)
        tally.ended("mutations", label, ended)
        if _inventory(folder / "in") != before:
            tally.problem("input changed", "mutations", label, "")
        if ended.code and (left := _published(folder / OUT)) and name in PRODUCTS:
            tally.problem("corrupt", "mutations", label, f"{left} after {ended.error}")


def workers(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """Workers that are killed as they start, work or end; and the parent, whose workers end."""
    until = time.monotonic() + seconds
    phases = itertools.cycle(("start", "work", "end", "parent"))
    code = "from bench.attack.losses import workers_lost; workers_lost()"
    while tally.counts["workers"] < goal and time.monotonic() < until:
        phase = next(phases)
        folder = bench.place("workers")
        ended = _python(code, folder, phase, str(tally.tried["workers"] % 3))
        _judge_units(tally, "workers", phase, folder, ended, killed=phase == "parent")


def scheduler(bench: Bench, tally: Tally, goal: int, seed: int, seconds: float) -> None:
    """A Dask scheduler that is killed while its workers work."""
    until = time.monotonic() + seconds
    code = "from bench.attack.losses import scheduler_lost; scheduler_lost()"
    while tally.counts["scheduler"] < goal and time.monotonic() < until:
        folder = bench.place("scheduler")
        ended = _python(code, folder, str(seed + tally.tried["scheduler"]))
        _judge_units(tally, "scheduler", "units", folder, ended)
        if ended.code != 12:
            tally.problem("undocumented code", "scheduler", "units", f"{ended.code}: {ended.said}")


def _judge_units(
    tally: Tally, kind: str, phase: str, folder: Path, ended: Ended, *, killed: bool = False
) -> None:
    from bench.attack.losses import CONTENT, finish

    tally.note(kind, phase, effective=(folder / OUT / ".lost").exists())
    tally.ended(kind, phase, ended, killed=killed)
    finish(folder / OUT)
    for path in (folder / OUT).glob("*.txt"):
        if path.read_bytes() != CONTENT:
            tally.problem("corrupt", kind, phase, path.name)
    left = [p.name for p in (folder / OUT).glob(".*") if p.name != ".lost"]
    if left or len(list((folder / OUT).glob("*.txt"))) != 6:
        tally.problem("leftover", kind, phase, ", ".join(left))


def _python(code: str, folder: Path, *arguments: str) -> Ended:
    """A Python process of its own, as a session."""
    root = str(Path(__file__).resolve().parents[2])
    said = folder / "said"
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}
    with said.open("w") as handle:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(folder / OUT), *arguments],
            cwd=folder,
            env=place,
            stdout=subprocess.DEVNULL,
            stderr=handle,
            start_new_session=True,
        )
    ended = Child(process.pid, said).end()
    process.returncode = ended.code
    return ended


def _can_mount() -> bool:
    """Whether small disks can be made here."""
    with tempfile.TemporaryDirectory() as folder:
        mounted = _mount(Path(folder), 1 << 16)
        if mounted:
            _unmount(Path(folder))
        return mounted


def _mount(folder: Path, size: int) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    with contextlib.suppress(FileNotFoundError):
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", str(folder)], capture_output=True, check=True)


@contextlib.contextmanager
def _small(folder: Path, size: int, wanted: bool) -> Iterator[bool]:
    """Whether a folder is a disk of its own of a size."""
    mounted = wanted and _mount(folder, size)
    try:
        yield mounted
    finally:
        if mounted:
            _unmount(folder)


def _bytes(folder: Path) -> int:
    return sum(p.stat().st_size + 4096 for p in folder.rglob("*") if p.is_file())


def _published(folder: Path) -> list[str]:
    return [p.name for p in folder.rglob("*.tif") if not p.name.startswith(".")]


def _inventory(folder: Path) -> dict[str, tuple[int, int]]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p): (p.stat().st_size, p.stat().st_mtime_ns) for p in files}
