"""The public names, and the flow of the README in Python on real and embedded scenes."""

import ast
import pydoc
import re
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

import trifuse as tf
from trifuse.core import (
    BandError,
    DataError,
    MemorySource,
    MetadataError,
    OutputExistsError,
    Window,
)
from trifuse.products import open_geotiff
from trifuse.simulate import scene_views


def test_every_public_name_resolves():
    for name in tf.__all__:
        assert getattr(tf, name) is not None
    assert dir(tf) == sorted(tf.__all__)
    with pytest.raises(AttributeError, match="no_such"):
        _ = tf.no_such


def test_type_checkers_see_the_names_that_python_finds(repository):
    tree = ast.parse((repository / "api/__init__.py").read_text())
    seen = {
        name.asname or name.name: (node.module, name.name)
        for top in tree.body
        if isinstance(top, ast.If)
        for node in top.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    assert {*seen, "__version__"} == set(tf.__all__)
    for public, (module, name) in seen.items():
        assert getattr(tf, public) is getattr(import_module(module), name)


def test_help_shows_what_is_public():
    text = pydoc.render_doc(tf, renderer=pydoc.plaintext)
    for name in set(tf.__all__) - {"__version__"}:
        assert name in text
    assert f"VERSION\n    {tf.__version__}" in text
    assert "    import_module(" not in text


def test_rooms_can_be_called_whatever_was_imported_before():
    from trifuse.simulate import TripletStore

    assert callable(tf.simulate)
    assert callable(tf.train)
    assert tf.simulate.TripletStore is TripletStore


def test_the_readme_flow_is_at_most_twelve_lines_and_runs(repository, tmp_path, monkeypatch):
    readme = (repository / "README.md").read_text()
    code = re.search(r"## In Python\n\n```python\n(.*?)```", readme, re.S)[1]
    lines = [line for line in code.splitlines() if line.strip()]
    assert len(lines) <= 12
    ast.parse(code)
    monkeypatch.chdir(tmp_path)
    from trifuse.simulate import write_scene

    made = write_scene("scene", size=120, seed=5)
    for path, name in ((made.s2, "s2.tif"), (made.s3, "s3.tif"), (made.truth, "truth.tif")):
        (tmp_path / name).write_bytes((tmp_path / path).read_bytes())
    other = write_scene("other", size=120, seed=6)
    code = code.replace('"ENMAP01-a.ZIP"', repr(str(made.enmap)))
    code = code.replace('"ENMAP01-b.ZIP"', repr(str(other.enmap)))
    code = code.replace("optim.steps=2000", "optim.steps=2")
    code = code.replace(
        '"model.skip=prior"',
        '"model.skip=prior", "model.width=8", "model.heads=1", "optim.warmup=0", "optim.batch=2"',
    )
    names = {}
    exec(code, names)
    assert names["rgb"].shape == (3, 120, 120)
    assert (tmp_path / "ndvi.tif").is_file()


@pytest.fixture(scope="module")
def views(data_dir):
    tiles = sorted((data_dir / "1_enmap/potsdam_L2A_real/tiles").glob("*.tif"))
    return scene_views(open_geotiff(tiles), window=Window(0, 0, 60, 120))


class TestPotsdam:
    """The real block, 60×120 pixels at ratio 10."""

    def test_bands_come_out_as_in_the_paper(self, views):
        hrmsi, lrhsi, hrhsi = views
        assert len(hrmsi.bands) == 12
        assert lrhsi.bands.names == hrhsi.bands.names
        assert len(lrhsi.bands) == 19

    def test_baselines_agree_with_an_independent_run(self, views):
        hrmsi, lrhsi, hrhsi = views
        done = tf.evaluate(truth=hrhsi, s2=hrmsi, s3=lrhsi)
        bicubic, regression = done.scores["bicubic"], done.scores["regression"]
        assert bicubic.psnr == pytest.approx(18.9, abs=0.5)
        assert bicubic.sam == pytest.approx(13.9, abs=0.3)
        assert regression.psnr == pytest.approx(56.7, abs=0.5)
        assert regression.sam == pytest.approx(2.7, abs=0.2)

    def test_the_fused_cube_is_the_sentinel_3_image_again(self, views):
        hrmsi, lrhsi, _ = views
        fused = tf.fuse(hrmsi, lrhsi)
        assert fused.selfcheck.rmse < 2e-3
        assert fused.selfcheck.cells > 0
        assert "seen by Sentinel-3 again" in fused.text


def test_in_memory_and_on_disk_are_one(tmp_path):
    from trifuse.simulate import procedural_scene

    s2, s3, truth = scene_views(MemorySource(procedural_scene(120, seed=1)), ratio=10)
    kept = tf.fuse(s2, s3)
    written = tf.fuse(s2, s3, tmp_path / "f.tif", dtype="float32")
    with tf.open_cube(written.path) as source:
        np.testing.assert_array_equal(source.read().data, kept.cube.data)
    with pytest.raises(OutputExistsError):
        tf.fuse(s2, s3, tmp_path / "f.tif")
    with pytest.raises(DataError, match="nothing to compare"):
        tf.evaluate(s2=s2, s3=s3)
    both = tf.evaluate(kept.cube, truth=truth, s3=s3)
    assert both.selfcheck.rmse == pytest.approx(kept.selfcheck.rmse, rel=1e-3)
    ndvi = tf.ndvi(kept.cube).cube
    assert np.nanmax(np.abs(ndvi.data)) <= 1


def test_only_the_bands_asked_for_and_both_images_of_one_level():
    from trifuse.simulate import procedural_scene

    s2, s3, _ = scene_views(MemorySource(procedural_scene(120, seed=1)), ratio=10)
    fused = tf.fuse(s2, s3, bands=["Oa17", "Oa08"])
    assert fused.cube.bands.names == ("Oa17", "Oa08")
    with pytest.raises(BandError, match="Oa01"):
        tf.fuse(s2, s3, bands=["Oa01"])
    above = replace(s3, meta={**s3.meta, "quantity": "toa_reflectance"})
    below = replace(s2, meta={**s2.meta, "quantity": "reflectance"})
    with pytest.raises(MetadataError, match="top of the atmosphere"):
        tf.fuse(below, above)
