"""Runs of the command line as forks of a process that has loaded everything.

A start costs seconds of imports; a fork of a loaded process costs none, so that hundreds of runs
fit into minutes. Each run is a session of its own, by which what it started is found.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

HANG = 60.0
"""Seconds after which a run hangs."""

ORPHAN = 10.0
"""Seconds after which what a run started is an orphan."""

LOADED = (
    *("numpy", "scipy.ndimage", "scipy.sparse", "rasterio", "rasterio.shutil", "h5py", "torch"),
    *("safetensors.torch", "PIL.Image", "matplotlib.pyplot", "yaml", "lightning.fabric"),
    *("trifuse.flows.fuse", "trifuse.flows.ndvi", "trifuse.flows.sharpen", "trifuse.flows.report"),
    *("trifuse.flows.interpolate", "trifuse.flows.evaluate", "trifuse.flows.verify"),
    *("trifuse.simulate", "trifuse.train.networks", "trifuse.train.fusion", "trifuse.products"),
    *("trifuse.cli.main", "trifuse.cli.options"),
)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended.

    Attributes:
        code: exit code; that of a signal is negative.
        seconds: that it took.
        said: its stderr.
        hung: whether it had to be ended.
        orphans: processes that it left.
    """

    code: int
    seconds: float
    said: str = ""
    hung: bool = False
    orphans: int = 0

    @property
    def error(self) -> str:
        """Its one line, if it failed."""
        return next((s for s in self.said.splitlines() if s.startswith("Error: ")), "")


@dataclass
class Child:
    """A run that is under way."""

    pid: int
    said: Path
    started: float = field(default_factory=time.monotonic)
    status: int | None = None

    def poll(self) -> bool:
        """Whether it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = status if pid else None
        return self.status is not None

    def wait(self, seconds: float) -> bool:
        """Whether it ends within a time."""
        end = time.monotonic() + seconds
        while not self.poll() and time.monotonic() < end:
            time.sleep(0.002)
        return self.poll()

    def end(self) -> Ended:
        """Wait for its end, and for that of what it started."""
        hung = not self.wait(HANG)
        if hung:
            kill_session(self.pid)
            self.wait(HANG)
        seconds = time.monotonic() - self.started
        stop = time.monotonic() + ORPHAN
        while (left := session(self.pid)) and time.monotonic() < stop:
            time.sleep(0.05)
        if left:
            kill_session(self.pid)
        code = os.waitstatus_to_exitcode(self.status or 0)
        said = self.said.read_text(encoding="utf-8", errors="replace")
        return Ended(code, seconds, said, hung, len(left))


def load() -> None:
    """Load what runs need, so that forks have it."""
    for name in LOADED:
        with contextlib.suppress(ImportError):
            import_module(name)
    from trifuse.cli.registry import COMMANDS

    for name in COMMANDS:
        import_module(f"trifuse.cli.{name}")


def start(
    command: Sequence[str],
    folder: Path,
    said: Path,
    *,
    limits: Mapping[int, int] | None = None,
    before: Callable[[], None] | None = None,
) -> Child:
    """Start a command in a fork.

    Args:
        command: what follows ``trifuse``.
        folder: to run it in.
        said: file for its stderr.
        limits: of :mod:`resource`, each soft.
        before: called in the fork first.
    """
    said.parent.mkdir(parents=True, exist_ok=True)
    pid = os.fork()
    if pid:
        return Child(pid, said)
    code = 70
    try:
        os.setsid()
        os.chdir(folder)
        handle = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(handle, 2)
        sys.argv = ["trifuse", *command]
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for kind, soft in (limits or {}).items():
            resource.setrlimit(kind, (soft, resource.getrlimit(kind)[1]))
        if before is not None:
            before()
        from trifuse.cli.main import main

        main()
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(command: Sequence[str], folder: Path, said: Path, **options: object) -> Ended:
    """Run a command to its end; options as of :func:`start`."""
    return start(command, folder, said, **options).end()  # type: ignore[arg-type]


def session(leader: int) -> list[int]:
    """Living processes of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, IndexError, ValueError):
            parts = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(parts[3]) == leader and parts[0] not in "ZX":
                found.append(int(entry.name))
    return found


def kill_session(leader: int) -> None:
    """Kill what is left of a session that we started."""
    for pid in session(leader):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def size_of(pid: int | None = None) -> int:
    """Bytes of address space of a process."""
    pages = int(Path(f"/proc/{pid or 'self'}/statm").read_text().split()[0])
    return pages * resource.getpagesize()
