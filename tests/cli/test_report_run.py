"""The page on a training run, of each kind of training, from start to end by the command line."""

import json

import numpy as np
import pytest

from trifuse.core import ProductError
from trifuse.simulate import write_series_pair
from trifuse.train.examples import Example, load_examples, save_examples

BRIEF = "optim.warmup=0 run.log_every=1 run.device=cpu optim.steps=3 optim.accumulate=2"
KINDS = {
    "fusformer": "optim.batch=1 validation.every=2 data.val_samples=2 model.width=12 "
    "model.heads=3 model.encoder=1 model.decoder=1 model.mixer=none model.skip=bicubic",
    "refiner": "pool.land=0 pool.recoloured=0 pool.mosaics=2 pool.real=0 pool.size=48 crop=16 "
    "val_scenes=1 optim.batch=1 validation.every=2 model.width=8 model.blocks=1",
    "tamrf": "model.features=8 model.growth=4 model.layers=1 model.hidden=16 model.heads=4 "
    "data.crop=6 data.dates=8 data.per_scene=2 loss.border=4 loss.structure=0 validation.every=2",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run of a kind, made when it is first asked for."""
    return tmp_path_factory.mktemp("runs"), {}


def trained(kind, runs, trifuse, request):
    root, done = runs
    if kind not in done:
        data = []
        if kind == "fusformer":
            from trifuse.core import Cube, Grid, MemorySource
            from trifuse.simulate import SimulateConfig, simulate_store
            from trifuse.srf_data import load

            scenes = []
            for i in range(2):
                rng = np.random.default_rng(i)
                tone = np.linspace(0.1, 0.5, 224, dtype=np.float32)
                cube = tone[:, None, None] * (0.5 + rng.random((1, 40, 40), np.float32))
                grid = Grid.from_origin("EPSG:32633", 3e5 + 1e4 * i, 5.8e6, 30, 40, 40)
                meta = {"product_id": f"S{i}"}
                bands = load("ENMAP").bands
                scenes.append(MemorySource(Cube(cube, np.ones((40, 40), bool), bands, grid, meta)))
            how = SimulateConfig(patch=20, split=(0.5, 0.5, 0))
            data = [simulate_store(scenes, root / "store", how).path]
        if kind == "tamrf":
            write_series_pair(root / "series", 24, seed=1, cog=False)
            data = [root / "series", "--val", root / "series"]
        sets = [p for s in f"{BRIEF} {KINDS[kind]}".split() for p in ("--set", s)]
        code, _, err = trifuse("train", kind, *data, "-o", root / kind, *sets)
        assert code == 0, err
        done[kind] = root / kind
    return done[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_of_a_run(kind, runs, trifuse, as_json, request, tmp_path):
    run = trained(kind, runs, trifuse, request)
    code, out, err = trifuse("report", run, "--dry-run")
    assert code == 0 and not (run / "report.html").exists(), err
    code, out, err = trifuse("report", run, "-o", tmp_path / "page.html", "--json")
    assert code == 0, err
    found = as_json(out)
    assert found["figures"][:2] == ["Losses and learning rate", "Scores on validation data"]
    assert len(found["figures"]) >= 3, "validation images"
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/png;base64,") == len(found["figures"])
    assert "3 updates, finished" in page and "What it was trained on" in page
    assert "http" not in page.replace("http-equiv", "")
    samples = {"tamrf": 2, "fusformer": 2, "refiner": 2}[kind] * 3
    assert f"{samples} samples seen" in page
    for example in load_examples(run / "examples.npz"):
        first, *others = example.planes.values()
        assert np.isfinite(first).any() and len({p.shape for p in example.planes.values()}) == 1
        assert all(np.abs(p - first)[np.isfinite(first)].max() < 2 for p in others)


def test_a_run_that_is_not_finished(runs, trifuse, request, tmp_path, fails):
    run = trained("fusformer", runs, trifuse, request)
    part = tmp_path / "part"
    part.mkdir()
    lines = (run / "metrics.jsonl").read_text().splitlines()
    (part / "metrics.jsonl").write_text("\n".join([*lines[:2], '{"kind": "tra']))
    code, out, err = trifuse("report", part)
    assert code == 0, err
    assert "not finished" in out and "never validated" in out and "no validation images" in out
    assert sorted(p.name for p in part.iterdir()) == [
        "metrics.jsonl",
        "report.html",
        "report.html.json",
    ]
    fails(5, "report.html", "report", part)
    assert json.loads((part / "report.html.json").read_text())["last"]["step"] == 2
    code, _, err = trifuse("report", part, "--s2", run, "--overwrite")
    assert code == 2 and "--s2 of a training run" in err
    (part / "metrics.jsonl").write_text("")
    fails(3, "holds no record of a run", "report", part, "--overwrite")
    (part / "metrics.jsonl").write_text("\n".join(lines))
    (part / "examples.npz").write_bytes(b"PK nothing")
    fails(3, "examples.npz", "report", part, "--overwrite")


def test_examples_come_back(tmp_path):
    rng = np.random.default_rng(0)
    made = [
        Example("a/b ü", {"truth": rng.random((3, 4, 5), np.float32)}),
        Example("", {"x": np.full((1, 2, 2), np.nan, np.float32), "y": np.ones((1, 2, 2))}),
    ]
    save_examples(tmp_path / "e.npz", made)
    for a, b in zip(made, load_examples(tmp_path / "e.npz"), strict=True):
        assert a.title == b.title and list(a.planes) == list(b.planes)
        for name, plane in a.planes.items():
            np.testing.assert_array_equal(plane, b.planes[name])
    assert load_examples(tmp_path / "none.npz") == []
    np.savez(tmp_path / "o.npz", titles=np.array("[]"), x=np.ones(3))
    with pytest.raises(ProductError, match="holds no pictures"):
        load_examples(tmp_path / "o.npz")
