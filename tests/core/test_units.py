import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from trifuse.core import (
    Manifest,
    OutputExistsError,
    PartialError,
    ProductError,
    StoreError,
    Unit,
    atomic_path,
    read_json,
    run_units,
    write_json,
)

UNITS = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(4)]
IDS = [u.id for u in UNITS]


def work(unit, folder):
    if unit.payload == "bad":
        raise ProductError("is damaged", where=unit.id)
    with atomic_path(folder / unit.file, overwrite=True) as path:
        path.write_text(f"content of {unit.payload}")
    return {"value": unit.payload}


def deadly_work(unit, folder):
    """Kills its process: once over u1, always over u2."""
    mark = folder / ".was_here"
    if unit.payload == 2 or (unit.payload == 1 and not mark.exists()):
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return work(unit, folder)


def contents(folder):
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


class TestAtomic:
    def test_nothing_is_left_of_a_failed_write(self, tmp_path):
        with pytest.raises(RuntimeError), atomic_path(tmp_path / "a.tif") as path:
            path.write_bytes(b"half")
            path.with_name(path.name + ".aux.xml").write_bytes(b"sidecar")
            raise RuntimeError
        assert list(tmp_path.iterdir()) == []

    def test_the_suffix_is_kept_and_stale_partials_go(self, tmp_path):
        stale = tmp_path / ".a.tif.0123abcd.partial.tif"
        stale.write_bytes(b"of a killed run")
        with atomic_path(tmp_path / "a.tif") as path:
            assert path.suffix == ".tif"
            assert not stale.exists()
            path.write_bytes(b"whole")
        assert contents(tmp_path) == {"a.tif": b"whole"}

    def test_existing_output_is_refused_before_any_work(self, tmp_path):
        (tmp_path / "a").write_text("old")
        with pytest.raises(OutputExistsError, match="--overwrite"), atomic_path(tmp_path / "a"):
            pytest.fail("the block must not run")
        assert (tmp_path / "a").read_text() == "old"

    def test_a_folder_in_the_way_is_refused_before_any_work(self, tmp_path):
        (tmp_path / "a").mkdir()
        with (
            pytest.raises(ProductError, match="is a folder"),
            atomic_path(tmp_path / "a", overwrite=True),
        ):
            pytest.fail("the block must not run")
        assert list(tmp_path.rglob("*")) == [tmp_path / "a"]

    @pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
    def test_bad_json_is_one_line(self, tmp_path, content):
        (tmp_path / "x.json").write_bytes(content)
        with pytest.raises(ProductError) as e:
            read_json(tmp_path / "x.json")
        assert "\n" not in str(e.value)

    def test_equal_values_are_equal_bytes(self, tmp_path):
        write_json(tmp_path / "a", {"b": 1, "a": [2.5]})
        write_json(tmp_path / "b", {"a": [2.5], "b": 1})
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


class TestManifest:
    def test_resumes_with_the_same_bytes(self, tmp_path):
        whole, broken = tmp_path / "whole", tmp_path / "broken"
        run_units(UNITS, work, Manifest.open(whole, {"seed": 1}, IDS))
        manifest = Manifest.open(broken, {"seed": 1}, IDS)
        run_units(UNITS[:2], work, manifest)
        (broken / "u0.txt").write_text("damaged after the fact")
        with pytest.raises(StoreError, match="2 of 4 units are missing"):
            manifest.require_complete()
        again = Manifest.open(broken, {"seed": 1}, IDS)
        assert set(again.done) == {"u1"}, "a damaged unit is done again"
        run_units(UNITS, work, again)
        assert contents(whole) == contents(broken)
        assert Manifest.load(broken).complete

    def test_jobs_do_not_change_the_result(self, tmp_path):
        run_units(UNITS, work, Manifest.open(tmp_path / "a", {}, IDS))
        run_units(UNITS, work, Manifest.open(tmp_path / "b", {}, IDS), jobs=2)
        assert contents(tmp_path / "a") == contents(tmp_path / "b")

    def test_a_killed_process_costs_its_unit_only(self, tmp_path):
        run_units(UNITS, work, Manifest.open(tmp_path / "a", {}, IDS))
        manifest = Manifest.open(tmp_path / "b", {}, IDS)
        with pytest.raises(PartialError, match=r"1 of 4.*u2: 3 workers ended.*more memory"):
            run_units(UNITS, deadly_work, manifest, jobs=2)
        assert (tmp_path / "b/.was_here").exists()
        assert set(manifest.done) == {"u0", "u1", "u3"}
        for unit in (UNITS[0], UNITS[1], UNITS[3]):
            whole, again = (tmp_path / n / unit.file for n in "ab")
            assert whole.read_bytes() == again.read_bytes()

    def test_one_bad_unit_does_not_stop_the_others(self, tmp_path):
        units = [*UNITS, Unit("bad", "bad.txt", "bad")]
        manifest = Manifest.open(tmp_path / "a", {}, [u.id for u in units])
        with pytest.raises(PartialError, match="1 of 5 units failed: bad: bad: is damaged"):
            run_units(units, work, manifest)
        assert set(manifest.done) == set(IDS)

    def test_another_configuration_is_refused_and_named(self, tmp_path):
        run_units(UNITS, work, Manifest.open(tmp_path / "a", {"seed": 1}, IDS))
        with pytest.raises(StoreError, match=r"seed is 1 there and 2 here.*--overwrite"):
            Manifest.open(tmp_path / "a", {"seed": 2}, IDS)
        fresh = Manifest.open(tmp_path / "a", {"seed": 2}, IDS, overwrite=True)
        assert fresh.done == {}
        assert not (tmp_path / "a/u0.txt").exists()

    def test_a_folder_of_other_things_is_not_touched(self, tmp_path):
        (tmp_path / "holiday.jpg").write_bytes(b"")
        with pytest.raises(StoreError, match="no manifest"):
            Manifest.open(tmp_path, {}, IDS)

    @pytest.mark.parametrize(
        "change",
        [
            lambda m: m.pop("units"),
            lambda m: m["units"]["u0"].pop("sha256"),
            lambda m: m["units"]["u0"].update(file="../../etc/passwd"),
            lambda m: m.update(units=3),
        ],
    )
    def test_a_damaged_manifest_is_one_line(self, tmp_path, change):
        run_units(UNITS, work, Manifest.open(tmp_path, {}, IDS))
        raw = json.loads((tmp_path / "manifest.json").read_text())
        change(raw)
        (tmp_path / "manifest.json").write_text(json.dumps(raw))
        with pytest.raises(StoreError):
            Manifest.load(tmp_path)


KILLED = """
import sys, time
from pathlib import Path
from trifuse.core import Manifest, Unit, atomic_path, run_units
def work(unit, folder):
    with atomic_path(folder / unit.file, overwrite=True) as path:
        path.write_text(f"content of {unit.payload}")
        time.sleep(0.3)
    return {"value": unit.payload}
units = [Unit(f"u{i}", f"u{i}.txt", i) for i in range(4)]
run_units(units, work, Manifest.open(sys.argv[1], {"seed": 1}, [u.id for u in units]))
"""


def test_a_killed_run_loses_the_unit_in_hand_and_nothing_else(tmp_path):
    folder = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)])
    deadline = time.time() + 20
    while not (folder / "u1.txt").exists() and time.time() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # The unit in hand is a partial file that no reader takes for a result.
    names = {p.name for p in folder.iterdir() if ".partial" not in p.name}
    assert {"u0.txt", "u1.txt", "manifest.json"} <= names
    assert "u3.txt" not in names
    manifest = Manifest.open(folder, {"seed": 1}, IDS)
    assert "u0" in manifest.done
    run_units(UNITS, work, manifest)
    run_units(UNITS, work, Manifest.open(tmp_path / "whole", {"seed": 1}, IDS))
    assert contents(folder) == contents(tmp_path / "whole")
    assert isinstance(folder, Path)
