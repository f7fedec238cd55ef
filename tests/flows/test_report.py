import json

import numpy as np
import pytest

from trifuse.cli.main import run
from trifuse.core import BandError, Cube, MemorySource
from trifuse.flows.fuse import fuse
from trifuse.flows.landcover import CLASSES, PATCH, classify, cut, patch_features
from trifuse.flows.report import report
from trifuse.products import open_cube, write_cube
from trifuse.simulate import procedural_layers, write_scene
from trifuse.srf_data import load


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scene")
    made = write_scene(folder / "scene", size=60, seed=3, ratio=10)
    fuse(made.s2, made.s3, folder / "fused.tif", method="regression", quicklook=False)
    return folder, made


def test_a_page_with_every_figure(scene, tmp_path):
    folder, made = scene
    cover = procedural_layers(60, 3).landcover
    with open_cube(made.truth) as source:
        grid = source.grid
    classes = Cube(
        cover[None].astype(np.float32), cover > 0, load("S2A_MSI").bands.select([0]), grid
    )
    write_cube(tmp_path / "cover.tif", classes, dtype="float32")
    done = report(
        folder / "fused.tif",
        tmp_path / "page.html",
        truth=made.truth,
        landcover=tmp_path / "cover.tif",
    )
    page = done.path.read_text()
    assert page.count("<img ") == len(done.record["figures"]) == 8
    assert "http" not in page.replace("http-equiv", "")  # refers to nothing outside
    facts = json.loads((tmp_path / "page.html.json").read_text())["facts"]
    assert facts["scores"]["regression"]["psnr"] > facts["scores"]["bicubic"]["psnr"] + 20
    assert 0.9 < facts["ndvi"]["jaccard_fused_truth"] <= 1
    assert 0 < facts["ndvi"]["landcover"]["images"]["fused"]["jaccard"] < 1
    assert facts["transforms"]["high_frequency_ratio"] == pytest.approx(1, abs=0.1)
    assert all(1 <= v <= len(CLASSES) for v in facts["inception_score"].values())
    assert "left_out" not in facts
    with open_cube(folder / "fused.tif") as fused:
        data = fused.read().masked()
    row, col = facts["places"]["brightest"]
    assert data[:, row, col].mean() == pytest.approx(np.nanmax(data.mean(axis=0)))


def test_a_fused_image_alone(scene, tmp_path, capsys):
    """Without its inputs the page has what the image itself tells."""
    folder, _ = scene
    alone = tmp_path / "<b>fused.tif"
    alone.write_bytes((folder / "fused.tif").read_bytes())
    assert run(["report", str(alone)]) == 0
    assert "NDVI" not in capsys.readouterr().err
    page = (tmp_path / "<b>fused.html").read_text()
    assert "<b>" not in page and "&lt;b&gt;fused.tif" in page
    assert run(["report", str(alone)]) == 5  # in the way
    assert run(["report", str(alone), "--overwrite", "--dry-run"]) == 0
    assert run(["report", str(tmp_path / "none.tif"), "--overwrite"]) == 3


def test_patches():
    planes = np.arange(2 * 40 * 33, dtype=float).reshape(2, 40, 33)
    blocks = cut(planes)
    assert blocks.shape == (4, 2, PATCH, PATCH)
    np.testing.assert_array_equal(blocks[1, 0], planes[0, :16, 16:32])


def test_classifier_knows_water_and_forest():
    bands = load("S2A_MSI").select(["B2", "B3", "B4", "B8A"]).bands
    rng = np.random.default_rng(0)
    # Crowns shade each other, so a forest is rough; a lake is not.
    spectra = {
        "water": (0.03, (0.03, 0.03, 0.015, 0.004)),
        "forest": (0.2, (0.015, 0.03, 0.015, 0.25)),
    }
    for name, (rough, values) in spectra.items():
        light = rng.uniform(1 - rough, 1 + rough, (1, 32, 32))
        data = np.array(values)[:, None, None] * light
        grid = procedural_layers(32, 0).cube.grid
        cube = Cube(data.astype(np.float32), np.ones((32, 32), bool), bands, grid)
        probability = classify(cube)
        np.testing.assert_allclose(probability.sum(axis=1), 1)
        assert CLASSES[probability.mean(axis=0).argmax()] == name
    holed = cube.data.copy()
    holed[0, 0, 0] = np.nan
    assert len(patch_features(Cube(holed, cube.valid, bands, grid))) == 3
    with pytest.raises(BandError):
        patch_features(MemorySource(cube).read(bands=["B2", "B3"]))
