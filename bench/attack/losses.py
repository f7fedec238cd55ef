"""Work whose workers, or whose scheduler, are lost; run as processes of their own."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trifuse.core import Manifest, Unit, run_units, write_bytes

UNITS = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(6)]
CONTENT = b"content\n" * 1000


class Dies:
    """Work whose process is killed once, in a phase; its payload is larger than a pipe."""

    def __init__(self, phase: str, mark: Path) -> None:
        self.phase, self.mark, self.ballast = phase, mark, bytes(2 << 20)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._die("start")

    def __call__(self, unit: Unit, folder: Path) -> Mapping[str, Any]:
        self._die("work")
        write_bytes(folder / unit.file, CONTENT, overwrite=True)
        self._die("end")
        if self.phase == "parent":
            self.mark.touch()
            time.sleep(5.0)
        return {}

    def _die(self, phase: str) -> None:
        if phase == self.phase and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)


def plainly(unit: Unit, folder: Path) -> Mapping[str, Any]:
    """A unit that takes a while."""
    time.sleep(0.2)
    write_bytes(folder / unit.file, CONTENT, overwrite=True)
    return {}


def _manifest(folder: Path) -> Manifest:
    return Manifest.open(folder, {}, [u.id for u in UNITS])


def finish(folder: Path) -> None:
    """What the next run does: sweep, and go on."""
    from trifuse.core import sole_writer

    with sole_writer(folder):
        manifest = Manifest.open(folder, {}, [u.id for u in UNITS], overwrite=True)
        run_units(UNITS, plainly, manifest)


def workers_lost() -> None:
    """``FOLDER PHASE N``: two processes, of which one is killed in the phase; or the parent is."""
    folder, phase = Path(sys.argv[1]), sys.argv[2]
    mark = folder / ".lost"
    if phase == "parent":

        def kill() -> None:
            while not mark.exists():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGKILL)

        threading.Thread(target=kill, daemon=True).start()
    run_units(UNITS, Dies(phase, mark), _manifest(folder), jobs=2)


def scheduler_lost() -> None:
    """``FOLDER SEED``: a scheduler that is killed while units are done."""
    import cloudpickle

    from trifuse.core.failures import understood

    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    folder, rng = Path(sys.argv[1]), random.Random(int(sys.argv[2]))
    note = folder.parent / "scheduler.json"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    parts = [*start, "--port", "0", "--no-dashboard", "--scheduler-file", str(note)]
    scheduler = subprocess.Popen(parts, **quiet)
    try:
        while not note.exists():
            time.sleep(0.05)
        address = json.loads(note.read_text())["address"]
        start = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-dashboard"]
        options = ["--nthreads", "1", "--no-nanny", "--local-directory", str(folder.parent)]
        worker = subprocess.Popen([*start, *options, "--death-timeout", "5"], **quiet)
        wanted = rng.randrange(0, 4)

        def kill() -> None:
            while len(list(folder.glob("u*.txt"))) < wanted:
                time.sleep(0.02)
            (folder / ".lost").touch()
            scheduler.kill()

        threading.Thread(target=kill, daemon=True).start()
        try:
            run_units(UNITS, plainly, _manifest(folder), scheduler=address)
        finally:
            worker.kill()
            worker.wait()
    except Exception as e:
        known = understood(e)
        if known is None:
            raise
        print(f"Error: {known}", file=sys.stderr)
        sys.exit(known.exit_code)
    finally:
        scheduler.kill()
        scheduler.wait()
