"""A short attack: a few kills, full disks, rivals and damaged inputs on quick commands."""

import json
import os
import random
import subprocess
import sys

import pytest

from trifuse.core import EXIT_CODES


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
def test_a_short_attack_finds_nothing_wrong(repository):
    command = [sys.executable, "-m", "bench.attack", "--commands", "ndvi"]
    kinds = ["--only", "kills", "disk", "writers", "mutations", "--count", "2", "--minutes", "4"]
    place = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [*command, *kinds], cwd=repository, env=place, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    counted = json.loads(done.stdout.splitlines()[-1])
    assert set(counted["tried"]) == {"kills", "disk", "writers", "mutations"}
    assert all(counted["tried"].values()) and not any(counted["wrong"].values())
    seen = {int(code) for codes in counted["codes"].values() for code in codes}
    assert seen <= {*EXIT_CODES, -9}


def test_mutants_are_other_files_and_repeat(repository, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(repository)
    from bench.attack.mutants import mutate

    content = json.dumps({"a": [1, 2, {"b": "words"}], "c": 0.5}).encode()
    made = []
    for _ in range(2):
        rng = random.Random(3)
        for n in range(40):
            path = tmp_path / f"{n}.json"
            path.write_bytes(content)
            made.append((mutate(path, rng), path.read_bytes()))
    assert made[:40] == made[40:]
    assert len({how for how, _ in made}) > 6
    assert sum(after != content for _, after in made) > 60
