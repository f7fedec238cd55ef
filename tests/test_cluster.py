"""One result from any place of work: a Dask cluster with a worker killed, processes, ranks."""

import json
import os
import signal
import socket
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
    scheduler = start(
        "scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(note),
    )
    running = [scheduler]

    def worker():
        running.append(
            start(
                "worker",
                "--scheduler-file",
                str(note),
                "--nthreads",
                "1",
                "--no-nanny",
                "--no-dashboard",
                "--local-directory",
                str(folder),
            )
        )
        return running[-1]

    wait_for(note.exists)
    yield json.loads(note.read_text())["address"], worker
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


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """(options of a fusion with a network, product of it done here)."""
    import numpy as np
    import torch

    from trifuse.core import BandSet, Cube, Grid, degrade
    from trifuse.flows.fuse import fuse
    from trifuse.fusformer import Card, FusformerConfig, build_model, save_weights
    from trifuse.products import write_cube

    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    grid = Grid.from_origin("EPSG:32633", 600_000, 5_800_000, 10, 90, 140)
    data = (0.05 + 0.4 * rng.random((3, 90, 140))).astype(np.float32)
    hr, lr = BandSet.of(["B2", "B4", "B8A"]), BandSet.of(["Oa04", "Oa08"])
    seen = degrade(data[:2] + 0.1 * data[1:], 10)
    write_cube(folder / "s2.tif", Cube(data, np.ones(grid.shape, bool), hr, grid))
    coarse = Cube(seen, np.ones(seen.shape[1:], bool), lr, grid.zoom_out(10))
    write_cube(folder / "s3.tif", coarse)
    torch.manual_seed(1)
    model = build_model(FusformerConfig(3, 2, width=12, encoder=1, decoder=1))
    torch.nn.init.normal_(model.head[2].weight, std=0.05)
    save_weights(folder / "w.safetensors", model, Card(model.config, hr, lr))
    options = {
        "s2": folder / "s2.tif",
        "s3": folder / "s3.tif",
        "tile": 48,
        "device": "cpu",
        "weights": folder / "w.safetensors",
    }
    fuse(**options, out=folder / "here.tif")
    return options, (folder / "here.tif").read_bytes()


@pytest.mark.slow
def test_a_fusion_is_the_same_from_a_cluster_and_from_processes(images, cluster, tmp_path):
    from trifuse.flows.fuse import fuse

    options, expected = images
    address, worker = cluster
    worker()
    for name, place in (("cluster", {"scheduler": address}), ("jobs", {"jobs": 2})):
        out = tmp_path / f"{name}.tif"
        fuse(**options, **place, out=out)
        assert out.read_bytes() == expected
    assert not list(tmp_path.glob(".*")), "the parts are gone"
    assert fuse(**options, jobs=2, dry_run=True).cube is None


@pytest.fixture(scope="module")
def blurred(tmp_path_factory):
    """Files of images whose bands are restored in two blocks, by the default method."""
    from trifuse.core import MemorySource
    from trifuse.products import write_cube
    from trifuse.simulate import procedural_scene, scene_views
    from trifuse.simulate.observation import PROTOCOLS, observe

    folder = tmp_path_factory.mktemp("blurred")
    s2, _, s3 = scene_views(MemorySource(procedural_scene((60, 252), 904, gsd=20.0)))
    seen = observe(s2, s3, 6, PROTOCOLS["real-world"], seed=1)
    write_cube(folder / "s2.tif", seen.hrmsi, dtype="float32")
    write_cube(folder / "s3.tif", seen.lrhsi, dtype="float32")
    return {"s2": folder / "s2.tif", "s3": folder / "s3.tif", "tile": 48, "device": "cpu"}


@pytest.mark.slow
def test_the_default_method_is_the_same_from_a_cluster_and_from_processes(
    blurred, cluster, tmp_path, monkeypatch
):
    from trifuse.flows.fuse import fuse

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    address, worker = cluster
    worker()
    found = {}
    for name, place in (("here", {}), ("cluster", {"scheduler": address}), ("jobs", {"jobs": 2})):
        out = tmp_path / f"{name}.tif"
        done = fuse(**blurred, **place, out=out)
        assert done.record["method"] == "refined"
        assert done.record["about"]["restoration"]["restored"]
        found[name] = out.read_bytes()
    assert found["cluster"] == found["here"]
    assert found["jobs"] == found["here"]


def test_tiles_change_nothing_of_the_default_method(blurred):
    import numpy as np

    from trifuse.flows.fuse import fuse

    small, whole = (fuse(**{**blurred, "tile": tile}).cube for tile in (48, 1000))
    np.testing.assert_array_equal(small.valid, whole.valid)
    np.testing.assert_allclose(small.data, whole.data, rtol=0, atol=1e-6)


def launched(script, *arguments):
    """(code, output, errors) of two processes of a launcher."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        **os.environ,
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "TORCHELASTIC_RUN_ID": "test",
        "OMP_NUM_THREADS": "1",
    }
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", script, *arguments],
            env={**common, "RANK": r, "LOCAL_RANK": r},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for r in "01"
    ]
    said = [p.communicate(timeout=100) for p in pair]
    return [(p.returncode, *texts) for p, texts in zip(pair, said, strict=True)]


def test_a_fusion_is_the_same_from_the_ranks_of_a_launcher(images, tmp_path):
    options, expected = images
    out = tmp_path / "ranks.tif"
    given = [f"--{name}={value}" for name, value in options.items()]
    (code, first, first_errors), (other, second, second_errors) = launched(
        TWICE, "fuse", *given, "-o", str(out), "--json"
    )
    assert [code, other] == [0, 0], (first_errors, second_errors)
    assert out.read_bytes() == expected
    said, codes = first.rsplit("\n", 2)[:2]
    assert json.loads(said)["files"][0] == str(out)
    assert codes == "[0, 5]" and "exists already" in first_errors
    assert second.strip() == "[0, 13]" and "the first of 2 processes failed" in second_errors


def test_a_plan_run_by_the_ranks_of_a_launcher_is_run_once(images, tmp_path):
    options, expected = images
    out = tmp_path / "ranks.tif"
    given = json.dumps({**options, "out": out}, default=str)
    (code, first, first_errors), (other, second, second_errors) = launched(PLANNED, given)
    assert [code, other] == [0, 0], (first_errors, second_errors)
    assert out.read_bytes() == expected
    assert first == second == f"{out}\n"


PLANNED = """
import json, sys
from trifuse.flows.fuse import FuseOptions, plan_fusion, run
given = json.loads(sys.argv[1])
with plan_fusion(given.pop("s2"), given.pop("s3"), FuseOptions(**given)) as plan:
    print(run(plan).path)
"""

TWICE = """
import sys
from trifuse.cli.main import run
print([run(sys.argv[1:]), run(sys.argv[1:])])
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


def test_a_fusion_asks_for_its_scheduler_before_it_opens_anything(tmp_path, monkeypatch, capsys):
    from trifuse.cli.main import run

    monkeypatch.setattr("trifuse.core.cluster.PATIENCE", "0.2s")
    command = ["fuse", "--s2", "no.tif", "--s3", "no.tif", "-o", str(tmp_path / "out.tif")]
    assert run([*command, "--scheduler", "tcp://127.0.0.1:9"]) == 12
    assert run([*command, "--scheduler", "tcp://127.0.0.1:9", "--jobs", "2"]) == 12
    first, second = capsys.readouterr().err.splitlines()
    assert "no Dask scheduler answers" in first and "2 jobs and a scheduler" in second
    monkeypatch.delitem(sys.modules, "trifuse.core.cluster", raising=False)
    monkeypatch.delattr("trifuse.core.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert run([*command, "--scheduler", "tcp://127.0.0.1:9"]) == 14


def test_without_the_package_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "trifuse.core.cluster", raising=False)
    monkeypatch.delattr("trifuse.core.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    manifest = Manifest.open(tmp_path / "a", {}, IDS)
    with pytest.raises(MissingExtraError, match=r"trifuse\[cluster\]"):
        run_units(UNITS, deed, manifest, scheduler="tcp://127.0.0.1:9")
