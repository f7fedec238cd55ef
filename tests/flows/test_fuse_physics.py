"""Fusion by physics from images to files: what is found, told and written."""

import json

import numpy as np
import pytest

import trifuse
from trifuse.core import ConfigError, MemorySource, OutputExistsError
from trifuse.products import write_cube
from trifuse.simulate import PROTOCOLS, observe, procedural_scene, scene_views

BANDS = ["Oa05", "Oa08", "Oa17", "S5"]


@pytest.fixture(scope="module")
def pair():
    """Both images as real sensors deliver them, with the truth."""
    source = MemorySource(procedural_scene((90, 120), seed=11, gsd=30))
    s2, _, s3 = scene_views(source, ratio=1)
    return observe(s2, s3.select(BANDS), 10, PROTOCOLS["real-world"], seed=4)


def error(fused, pair):
    return float(np.sqrt(np.mean((fused.data - pair.truth.data) ** 2)))


def test_physics_finds_all_and_says_so(pair):
    fused = trifuse.fuse(pair.hrmsi, pair.lrhsi, method="physics", uncertainty=True)
    plain = trifuse.fuse(pair.hrmsi, pair.lrhsi, method="regression")
    assert error(fused.cube, pair) < 0.6 * error(plain.cube, pair)
    about, found = fused.record["about"], fused.record["registration"]
    assert about["restoration"]["restored"] and set(about["residual_weight"]) == set(BANDS)
    np.testing.assert_allclose(found["shift_pixels"], pair.drawn.shift, atol=0.5)
    told = fused.record["psf_sigma_cells"] / pair.psf.sigma
    assert told == pytest.approx(pair.drawn.width, abs=0.05)
    assert "restored to the pixels: B1, B5" in fused.text
    assert "MTF 0.30 of samples of 2 pixels, 0.30 of samples of 6 pixels" in fused.text
    assert fused.deviation.bands.names == (*BANDS, "strange")
    off = np.abs(fused.cube.data - pair.truth.data) / fused.deviation.data[:-1]
    assert 0.5 < np.mean(off < 1) < 0.9
    assert json.dumps(dict(fused.record), allow_nan=False)


def test_files_of_a_whole_product(pair, tmp_path):
    s2, s3, out = (tmp_path / n for n in ("s2.tif", "s3.tif", "fused.tif"))
    write_cube(s2, pair.hrmsi, dtype="float32")
    write_cube(s3, pair.lrhsi, dtype="float32")
    options = {
        "method": "physics",
        "sharpness": "1:2:6",
        "s2_noise": 0.003,
        "s3_noise": 0.001,
        "uncertainty": True,
        "consistency": "exact",
        "dtype": "float32",
        "quicklook": False,
    }
    made = trifuse.fuse(s2, s3, out, **options)
    assert (tmp_path / "fused_std.tif") in made.files
    assert "projected onto Sentinel-3" in made.text
    sidecar = json.loads((tmp_path / "fused.tif.json").read_text())
    assert sidecar["consistency"]["rmse_after"] < 1e-6 < sidecar["consistency"]["rmse_before"]
    assert sidecar["settings"] == {
        "sharpness": "1:2:6",
        "s2_mtf": None,
        "s2_noise": 0.003,
        "s3_noise": 0.001,
        "residual": True,
    }
    std = trifuse.open_cube(tmp_path / "fused_std.tif").read()
    assert std.bands.names[-1] == "strange" and (std.data[:-1] > 0).all()
    with pytest.raises(OutputExistsError, match="fused_std"):
        out.unlink()
        trifuse.fuse(s2, s3, out, **options)


def test_options_of_other_methods_are_refused(pair):
    with pytest.raises(ConfigError, match="method regression has no sharpness"):
        trifuse.fuse(pair.hrmsi, pair.lrhsi, method="regression", sharpness="sharp")
    with pytest.raises(ConfigError, match="tells no uncertainty"):
        trifuse.fuse(pair.hrmsi, pair.lrhsi, method="bicubic", uncertainty=True)
