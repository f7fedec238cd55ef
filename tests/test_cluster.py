"""Units on a real Dask scheduler with two workers on this machine, one of them killed."""

import os
import signal
import subprocess
import sys
import time

import pytest

from trifuse.core import ConfigError, Manifest, MissingExtraError, PartialError, Unit, run_units

pytest.importorskip("distributed", reason="distributed is not installed")

# Workers are other processes, which cannot import this file: its functions go as they are.
import cloudpickle

cloudpickle.register_pickle_by_value(sys.modules[__name__])

UNITS = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(6)]
IDS = [u.id for u in UNITS]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing came in time"
        time.sleep(0.02)
    return found


def start(*arguments):
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    command = [sys.executable, "-m", "distributed.cli.dask_" + arguments[0], *arguments[1:]]
    return subprocess.Popen(command, **quiet)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """(address of a scheduler, function that starts a worker)."""
    folder = tmp_path_factory.mktemp("dask")
    note = folder / "scheduler.json"
    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard",
                      "--scheduler-file", str(note))  # fmt: skip
    running = [scheduler]

    def worker():
        running.append(
            start("worker", "--scheduler-file", str(note), "--nthreads", "1", "--no-nanny",
                  "--no-dashboard", "--local-directory", str(folder))
        )  # fmt: skip
        return running[-1]

    wait_for(note.exists)
    text = note.read_text()
    yield text[text.index("tcp://") :].split('"')[0], worker
    for process in running:
        process.kill()
        process.wait()


def deed(unit, folder):
    """Says who does it, and waits once where it is told to: until its worker is killed."""
    from trifuse.core import atomic_path

    if unit.payload == "bad":
        raise ConfigError("is bad", where=unit.id)
    if unit.payload == 3 and not (folder / ".caught").exists():
        (folder / ".caught.new").write_text(str(os.getpid()))
        (folder / ".caught.new").replace(folder / ".caught")
        time.sleep(60)
    with atomic_path(folder / unit.file, overwrite=True) as path:
        path.write_text(f"content of {unit.payload}")
    return {"value": unit.payload}


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name[0] != "."}


def kill_the_caught(folder, processes):
    pid = int(wait_for(lambda: (folder / ".caught").exists() and (folder / ".caught").read_text()))
    assert processes is None or pid in processes
    os.kill(pid, signal.SIGKILL)


def serial(folder):
    folder.mkdir()
    (folder / ".caught").touch()
    run_units(UNITS, deed, Manifest.open(folder, {}, IDS))
    return contents(folder)


def test_a_killed_worker_of_a_scheduler_costs_its_unit_only(tmp_path, cluster):
    address, worker = cluster
    workers = [worker(), worker()]
    killer = subprocess.Popen([sys.executable, "-c", KILLER, str(tmp_path / "a" / ".caught")])
    manifest = Manifest.open(tmp_path / "a", {}, IDS)
    run_units([*UNITS], deed, manifest, scheduler=address)
    assert killer.wait(30) == 0
    assert [w.poll() for w in workers].count(-signal.SIGKILL) == 1
    assert contents(tmp_path / "a") == serial(tmp_path / "b")
    units = [Unit("bad", "bad.txt", "bad"), UNITS[0]]
    manifest = Manifest.open(tmp_path / "c", {}, ["bad", "u0"])
    with pytest.raises(PartialError, match="1 of 2 units failed: bad: bad: is bad"):
        run_units(units, deed, manifest, scheduler=address)
    assert set(manifest.done) == {"u0"}


KILLER = """
import os, pathlib, signal, sys, time
note, end = pathlib.Path(sys.argv[1]), time.monotonic() + 30
while not note.exists() and time.monotonic() < end:
    time.sleep(0.02)
os.kill(int(note.read_text()), signal.SIGKILL)
"""


def test_no_scheduler_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("trifuse.core.cluster.PATIENCE", "0.2s")
    manifest = Manifest.open(tmp_path / "a", {}, IDS)
    for address in ("tcp://127.0.0.1:9", "nonsense://x", "127.0.0.1:99999"):
        with pytest.raises(ConfigError, match="no Dask scheduler") as e:
            run_units(UNITS, deed, manifest, scheduler=address)
        assert "\n" not in str(e.value) and e.value.where == address
    with pytest.raises(ConfigError, match="2 jobs and a scheduler"):
        run_units(UNITS, deed, manifest, scheduler="tcp://127.0.0.1:9", jobs=2)


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "trifuse.core.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    manifest = Manifest.open(tmp_path / "a", {}, IDS)
    with pytest.raises(MissingExtraError, match=r"trifuse\[cluster\]"):
        run_units(UNITS, deed, manifest, scheduler="tcp://127.0.0.1:9")
