"""Runs commands of `trifuse`, each in a process of its own, without loading torch for each.

Started with one thread a library, it loads what is not TriFuse's, and for every line of JSON on
stdin splits off a process that is then as `python -m trifuse.cli` at its start: TriFuse itself is
loaded anew each time, from wherever PYTHONPATH says. To each it answers with a line of JSON.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

NO_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
LOADED = ("numpy", "scipy.ndimage", "scipy.optimize", "torch", "timm", "rasterio", "h5py")


@dataclass(frozen=True, slots=True)
class Ran:
    """What came of a command.

    Attributes:
        code: its exit code.
        seconds: of the CPU, its own processes included.
        out: what it printed.
        err: what it said on stderr.
    """

    code: int
    seconds: float
    out: str
    err: str


class Commands:
    """Runs them in a folder; made by :func:`commands`."""

    def __init__(self, process: subprocess.Popen[str], said: Path) -> None:
        self._process, self._said = process, said

    def __call__(self, arguments: Sequence[object]) -> Ran:
        """Run one and wait for it."""
        return self._ask([str(a) for a in arguments])

    def home(self) -> Path:
        """Where the commands are from: the file of `trifuse.cli`."""
        told = self._ask(None)
        if told.code or not told.out.strip():
            raise SystemExit(f"Python finds no trifuse.cli: {told.err.strip()[-200:]}")
        return Path(told.out.strip())

    def _ask(self, what: Sequence[str] | None) -> Ran:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit("the process that runs the commands has ended")
        done = json.loads(answer)
        out, err = ((self._said / name).read_text(encoding="utf-8") for name in ("out", "err"))
        return Ran(done["code"], done["seconds"], out, err)


@contextlib.contextmanager
def commands(
    folder: Path, said: Path, path: Sequence[Path], loaded: Sequence[str] = LOADED
) -> Iterator[Commands]:
    """What runs commands in a folder.

    Args:
        folder: where they run.
        said: an existing folder for what they print.
        path: searched for packages before PYTHONPATH.
        loaded: modules that are loaded once for all.
    """
    given = [Path(p).absolute() for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p]
    searched = os.pathsep.join(map(str, [*path, *given]))
    process = subprocess.Popen(
        [sys.executable, __file__, str(said), *loaded],
        cwd=folder,
        env={**os.environ, **NO_THREADS, "PYTHONPATH": searched, "CUDA_VISIBLE_DEVICES": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield Commands(process, said)
        assert process.stdin is not None
        process.stdin.close()


def serve(said: Path, loaded: Sequence[str]) -> None:
    """Run what stdin says, until it ends."""
    sys.path[0] = str(Path.cwd())  # as `python -m` has it, not the folder of this file
    for name in loaded:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            become(json.loads(line), said)
        _, status, used = os.wait4(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(json.dumps({"code": code, "seconds": used.ru_utime + used.ru_stime}), flush=True)


def become(arguments: Sequence[str] | None, said: Path) -> None:
    """Turn into the command, or without one tell where it is from; ends the process."""
    for number, name in ((1, "out"), (2, "err")):
        target = os.open(said / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(target, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if arguments is None:
        spec = importlib.util.find_spec("trifuse.cli")
        print(spec.origin if spec else "")
        sys.exit()
    sys.argv = ["trifuse", *arguments]
    runpy.run_module("trifuse.cli", run_name="__main__", alter_sys=True)
    sys.exit()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), sys.argv[2:])
