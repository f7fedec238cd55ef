"""`trifuse fuse --adapt`: what is trained on the scene, kept or refused, and told."""

import json

import numpy as np
import pytest

from trifuse.core import MemorySource
from trifuse.products import open_cube, write_cube
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import PROTOCOLS, observe
from trifuse.train import adapt as adapting

BLURRED = ("--sharpness", "1:2:6", "--s2-noise", "0.003")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Options that name two files, as sensors see 96×96 pixels."""
    folder = tmp_path_factory.mktemp("pair")
    s2, _, s3 = scene_views(MemorySource(procedural_scene(96, 901, gsd=20.0)))
    seen = observe(s2, s3.select(["Oa05", "Oa08", "Oa17", "S5"]), 6, PROTOCOLS["real-world"], 2)
    write_cube(folder / "s2.tif", seen.hrmsi, dtype="float32")
    write_cube(folder / "s3.tif", seen.lrhsi, dtype="float32")
    return ("--s2", folder / "s2.tif", "--s3", folder / "s3.tif", "-t", "float32")


@pytest.fixture
def fused(trifuse, as_json, pair, tmp_path):
    """Fuse the pair: (record, pixels)."""

    def run(name, *options):
        out = tmp_path / f"{name}.tif"
        code, text, err = trifuse("fuse", *pair, "-o", out, "--json", *options)
        assert code == 0, err
        return as_json(text), open_cube(out).read().data

    return run


def test_a_better_network_makes_the_product_in_all_processes(fused, monkeypatch):
    monkeypatch.setattr(adapting, "_cells", lambda *_: ((0.002, 0.001), 3.0))
    errors = iter([2.0, 1.0])  # of the network as it came, and of the adapted one
    monkeypatch.setattr(adapting, "_error", lambda *_: next(errors))
    record, pixels = fused("adapted", *BLURRED, "--adapt", "0.5", "-j", 2)
    told = record["adaptation"]
    assert told["kept"] and told["seconds"] == 0.5 and told["updates"] >= 1
    assert told["gain_db"] == pytest.approx(3.01, abs=0.01) and told["cells_rmse"] == [0.002, 0.001]
    assert len(told["weights_sha256"]) == 64 and record["timings"]["adaptation"] > 0.5
    plain, without = fused("plain", *BLURRED)
    assert "adaptation" not in plain
    assert 0 < np.abs(pixels - without).max() < 0.05


def test_a_network_that_is_no_better_leaves_no_trace(trifuse, fused, monkeypatch, pair, tmp_path):
    monkeypatch.setattr(adapting, "_error", lambda *_: 1.0)
    out = tmp_path / "refused.tif"
    code, text, _ = trifuse("fuse", *pair, "-o", out, *BLURRED, "--adapt", "0.2")
    assert code == 0
    assert "updates: +0.00 dB one scale down" in text and "not kept, no better" in text
    told = json.loads((tmp_path / "refused.tif.json").read_text())["adaptation"]
    assert not told["kept"] and "weights_sha256" not in told
    np.testing.assert_array_equal(open_cube(out).read().data, fused("plain", *BLURRED)[1])


def test_weights_of_a_refiner_are_taken_and_recorded(fused, fails, pair, tmp_path):
    given = (*BLURRED, "--method", "refined")
    record, pixels = fused("shipped", *given)
    assert record["model"]["network"] == "refiner" and len(record["model"]["sha256"]) == 64
    plain, without = fused("without", *given, "--weights", "none")
    assert plain["model"] is None and 0 < np.abs(pixels - without).max() < 0.05
    out = tmp_path / "none.tif"
    fails(
        6,
        "w.safetensors",
        "fuse",
        *pair,
        *given,
        "--weights",
        tmp_path / "w.safetensors",
        "-o",
        out,
    )


def test_sharp_bands_leave_nothing_to_adapt(trifuse, pair, tmp_path):
    options = ("--sharpness", "sharp", "--adapt", "5", "-o", tmp_path / "a.tif")
    code, text, _ = trifuse("fuse", *pair, *options)
    assert code == 0
    assert "network not adapted to the scene: no band was restored" in text


def test_methods_without_a_network_are_refused(fails, pair, tmp_path):
    given = ("fuse", *pair, "-o", tmp_path / "a.tif")
    fails(12, "method physics cannot be adapted", *given, "--method", "physics", "--adapt", "5")
    fails(12, "an adaptation of nan s", *given, "--adapt", "nan")
    assert not (tmp_path / "a.tif").exists()
