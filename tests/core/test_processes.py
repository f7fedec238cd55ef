"""Workers that are lost in any phase, and workers whose parent is lost."""

import os
import signal
import subprocess
import sys
import time

import pytest

from trifuse.core import Manifest, PartialError, ResourceError, Unit, run_units, write_bytes

UNITS = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(3)]
IDS = [u.id for u in UNITS]


class Dies:
    """Work whose process is killed in a phase, as often as it is told; else it writes its unit."""

    def __init__(self, phase, mark, times=1, ballast=0):
        self.phase, self.mark, self.times, self.ballast = phase, mark, times, bytes(ballast)

    def __setstate__(self, state):
        self.__dict__.update(state)
        self._die("start")

    def __call__(self, unit, folder):
        self._die("work")
        write_bytes(folder / unit.file, f"content of {unit.payload}".encode(), overwrite=True)
        self._die("end")
        return {}

    def _die(self, phase):
        if phase == self.phase and len(list(self.mark.iterdir())) < self.times:
            (self.mark / str(time.monotonic_ns())).touch()
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("phase", ["start", "work", "end"])
def test_a_worker_lost_in_any_phase_costs_its_unit_only(tmp_path, phase):
    """The payload exceeds a pipe: a process that is killed as it starts has not read it."""
    mark = tmp_path / "mark"
    mark.mkdir()
    manifest = Manifest.open(tmp_path / "out", {}, IDS)
    run_units(UNITS, Dies(phase, mark, ballast=4 << 20), manifest, jobs=2)
    assert len(list(mark.iterdir())) == 1
    assert manifest.complete
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "manifest.json",
        *(u.file for u in UNITS),
    }


def test_workers_that_never_start_are_told(tmp_path):
    mark = tmp_path / "mark"
    mark.mkdir()
    manifest = Manifest.open(tmp_path / "out", {}, IDS[:2])
    with pytest.raises(PartialError, match="3 workers ended"):
        run_units(UNITS[:2], Dies("start", mark, times=99), manifest, jobs=2)


def starved(unit, folder):
    raise MemoryError("Unable to allocate 9 PiB")


def surprised(unit, folder):
    raise KeyError("a bug")


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_the_machine_lacks_is_told_of_its_unit_and_a_bug_is_raised(tmp_path, jobs):
    manifest = Manifest.open(tmp_path / "a", {}, IDS[:2])
    with pytest.raises(PartialError, match="2 of 2 units failed: u0: not enough memory"):
        run_units(UNITS[:2], starved, manifest, jobs=jobs)
    with pytest.raises(ResourceError, match="not enough memory"):
        run_units(UNITS[:1], starved, Manifest.open(tmp_path / "b", {}, IDS[:1]))
    with pytest.raises(KeyError, match="a bug"):
        run_units(UNITS[:2], surprised, Manifest.open(tmp_path / "c", {}, IDS[:2]), jobs=jobs)


PARENT = """
import sys, time
from pathlib import Path
from trifuse.cli.main import Terminated, _terminate
from trifuse.core import Manifest, Unit, run_units
import signal
from tests.core.test_processes import slowly
if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _terminate)
    units = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(4)]
    try:
        run_units(units, slowly, Manifest.open(sys.argv[1], {}, [u.id for u in units]), jobs=2)
    except Terminated:
        sys.exit(143)
"""


def slowly(unit, folder):
    """Says who does it, and takes longer than this test."""
    (folder / f".pid{os.getpid()}").touch()
    time.sleep(60)


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:  # noqa: PTH123
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path, number):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    folder = tmp_path / "out"
    place = {**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, os.getcwd()])}  # noqa: PTH109
    with subprocess.Popen([sys.executable, script, folder], env=place) as process:
        end = time.monotonic() + 60
        while len(pids := list(folder.glob(".pid*"))) < 2 and time.monotonic() < end:
            time.sleep(0.05)
        assert len(pids) == 2
        process.send_signal(number)
        assert process.wait(30) == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    end = time.monotonic() + 10
    workers = [int(p.name.removeprefix(".pid")) for p in pids]
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(map(alive, workers))
