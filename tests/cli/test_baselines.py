"""The names of fusion methods on the command line."""

import numpy as np
import pytest

from trifuse.fusion import METHODS
from trifuse.products import open_cube


@pytest.mark.parametrize("path", [("fuse",), ("evaluate", "fused")])
def test_help_lists_every_method(trifuse, path):
    code, out, _ = trifuse(*path, "-h")
    assert code == 0
    # Lines may break within names.
    assert all(name in "".join(out.split()) for name in METHODS)


def test_a_scene_fused_by_a_classical_method_beside_others(trifuse, as_json, scene, tmp_path):
    fused, inputs = tmp_path / "f.tif", ("--s2", scene.s2, "--s3", scene.s3)
    code, _, err = trifuse("fuse", *inputs, "-o", fused, "--method", "gsa", "-t", "float32")
    assert code == 0, err
    with open_cube(fused) as source:
        assert np.isfinite(source.read().data).all()
    given = ("evaluate", fused, "--truth", scene.truth, *inputs)
    code, out, _ = trifuse(*given, "--baselines", "gsa,bicubic,gsa", "--json")
    assert code == 0
    scores = as_json(out)["scores"]
    assert list(scores) == ["gsa", "bicubic", "fused"]
    assert scores["fused"]["psnr"] == pytest.approx(scores["gsa"]["psnr"], abs=0.5)
    assert scores["fused"]["psnr"] > scores["bicubic"]["psnr"] + 15
    scores = as_json(trifuse(*given, "--json")[1])["scores"]
    assert list(scores) == ["bicubic", "regression", "gsa"]


def test_baselines_that_cannot_be_made(fails, scene):
    images = ("--truth", scene.truth, "--s2", scene.s2, "--s3", scene.s3)
    fails(12, "unknown method 'magic'", "evaluate", *images, "--baselines", "magic")
    fails(12, "without weights", "evaluate", *images, "--baselines", "network")
    fails(
        13,
        "baselines without their images",
        "evaluate",
        scene.truth,
        "--s3",
        scene.s3,
        "--baselines",
        "gsa",
    )
