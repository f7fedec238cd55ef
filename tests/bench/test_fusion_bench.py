"""The fusion benchmark: what is trained on is never scored, runs go on, tables are fair."""

import importlib
import json
from dataclasses import replace

import numpy as np
import pytest

SCENE = "procedural-900x48"
BICUBIC, REGRESSION = "bicubic@coregister=off", "regression@coregister=off"


@pytest.fixture
def bench(repository, monkeypatch):
    monkeypatch.syspath_prepend(repository)
    return importlib.import_module


def arguments(out, *more):
    return [
        "--scenes",
        SCENE,
        "--protocols",
        "clean",
        "cloudy",
        "--ratios",
        "6",
        "--seeds",
        "2",
        "--methods",
        "limits",
        BICUBIC,
        REGRESSION,
        "--out",
        str(out),
        "--pairs",
        f"{REGRESSION}:{BICUBIC}",
        *more,
    ]


def test_a_run_writes_its_table_and_goes_on_where_it_was(bench, tmp_path, capsys):
    main = bench("bench.fusion.__main__").main
    assert main(arguments(tmp_path)) == 0
    first = capsys.readouterr()
    assert "3/3 draws" in first.err  # one clean, two cloudy
    records = tmp_path / "records.jsonl"
    lines = records.read_text().splitlines()
    assert len(lines) == 3 * 5
    # A run that was killed while it wrote has lost its last line.
    records.write_text("\n".join(lines)[:-20])
    assert main(arguments(tmp_path, "--per-band")) == 0
    again = capsys.readouterr()
    assert "1/1 draws" in again.err
    kept = [json.loads(x)["method"] for x in records.read_text().splitlines() if x.endswith("}")]
    assert len(kept) == 15
    rows = json.loads((tmp_path / "table.json").read_text())
    best = {r["method"]: r for r in rows if r.get("method") and r["protocol"] == "clean"}
    assert best["limit"]["psnr"] > best[REGRESSION]["psnr"] > best[BICUBIC]["psnr"]
    assert {r["kind"] for r in rows} == {"procedural"}
    assert all(r["finite"] == 1 for r in rows if "finite" in r)  # half-hidden pixels do not count
    assert "Oa21" in again.out and f"{REGRESSION} − {BICUBIC}" in again.out


def test_seeds_serve_one_purpose(bench):
    scenes = bench("bench.fusion.scenes")
    purposes = [set(s) for s in (scenes.TRAIN, scenes.VALIDATION, scenes.TEST)]
    assert not set.union(*(a & b for a in purposes for b in purposes if a is not b))
    with pytest.raises(SystemExit, match="for training"):
        scenes.load_views(f"procedural-{scenes.TRAIN.start}x48")
    with pytest.raises(SystemExit, match="no scene"):
        scenes.load_views("atlantis")
    names = scenes.expand(["validation", "choose", "procedural"])
    assert scenes.TEST_ONLY not in names
    assert all(scenes.seed_of(n) in scenes.VALIDATION for n in scenes.expand(["validation"]))


def test_a_scene_from_the_cache_is_the_same(bench, tmp_path):
    load = bench("bench.fusion.scenes").load_views
    made, kept = load(SCENE, tmp_path), load(SCENE, tmp_path)
    for a, b in ((made.s2, kept.s2), (made.s3, kept.s3)):
        assert np.array_equal(a.masked(), b.masked(), equal_nan=True)
        assert a.bands == b.bands and a.grid == b.grid and np.array_equal(a.valid, b.valid)


def test_the_best_ridge_is_chosen_by_its_mean_over_draws(bench):
    results, tables = bench("bench.fusion.results"), bench("bench.fusion.tables")
    fixed = bench("bench.fusion.methods").FIXED
    one = results.Record(
        "jasper", 10, "real-world", 0, fixed[0], "c", 30.0, 3.0, ("Oa03",), (30.0,), 0.1, 0.0, 1.0
    )
    psnr = {fixed[0]: (40.0, 10.0), fixed[1]: (29.0, 30.0), fixed[2]: (20.0, 20.0)}
    records = [
        replace(one, method=m, seed=s, psnr=v) for m, p in psnr.items() for s, v in enumerate(p)
    ]
    found = tables.Results(records)
    best = found.draws("jasper", 10, "real-world", "regression-best")
    assert [r.psnr for r in best] == [29.0, 30.0]
    difference, _ = found.paired("jasper", 10, "real-world", fixed[0], fixed[1])
    assert difference.tolist() == [11.0, -20.0]
    assert not tables.Results(records[:2]).draws("jasper", 10, "real-world", "regression-best")


def test_options_of_methods_are_read_as_values(bench):
    parse = bench("bench.fusion.methods").parse
    assert parse("regression@ridge=1e-4,coregister=off") == (
        "regression",
        {"ridge": 1e-4, "coregister": False},
    )
    with pytest.raises(SystemExit, match="key=value"):
        parse("regression@ridge")
