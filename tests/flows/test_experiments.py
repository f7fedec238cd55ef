import json

import numpy as np
import pytest
from scipy.io import savemat
from scipy.ndimage import gaussian_filter

from trifuse.cli.main import run
from trifuse.simulate import write_scene


def test_wide_field(tmp_path, capsys):
    arguments = [
        "experiment",
        "wide-field",
        "-o",
        str(tmp_path / "field"),
        "--size",
        "180",
        "--method",
        "regression",
        "--json",
    ]
    assert run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tiles"] == 4 and found["selfcheck"]["cells"] == 36
    assert found["selfcheck"]["cosine"] > 0.999 and found["selfcheck"]["rmse"] < 0.01
    assert (tmp_path / "field" / "fused.html").exists()
    assert run(arguments) == 5


@pytest.mark.parametrize("more", [["--seed", "3"], ["--size", "200"]])
def test_fields_that_are_none(tmp_path, more, capsys):
    assert run(["experiment", "wide-field", "-o", str(tmp_path / "f"), *more]) == 12
    assert not (tmp_path / "f").exists()
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
def test_shells(tmp_path, capsys):
    # As the paper compares them, at a hundredth of the size; CAVE's images as one finds them.
    rng = np.random.default_rng(0)
    for name in ("beads", "cloth"):
        share = gaussian_filter(rng.random((3, 120, 150)), (0, 2, 2))
        curves = rng.uniform(0.1, 0.9, (31, 3)).cumsum(axis=0) / 31
        savemat(tmp_path / f"{name}.mat", {"rad": np.tensordot(share, curves, (0, 1))})
    scenes = [tmp_path / "beads.mat", tmp_path / "cloth.mat"]
    land = [write_scene(tmp_path / f"e{i}", size=60, seed=i).enmap for i in range(2)]
    arguments = [
        "experiment",
        "shells",
        *scenes,
        "-o",
        tmp_path / "shells",
        "--steps",
        2,
        "--size",
        120,
        "--set",
        "model.width=12",
        "--json",
    ]
    for path in land:
        arguments += ["--enmap", path]
    assert run([str(a) for a in arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"EO-trained", "CAVE-trained"} <= set(found["scores"])
    assert set(found["jsd_of_mean_spectra"]) == {"EO-trained", "CAVE-trained"}
    assert all(np.isfinite(v) for v in found["jsd_of_mean_spectra"].values())
    assert (tmp_path / "shells" / "spectra.png").stat().st_size > 1000
