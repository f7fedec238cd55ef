"""trifuse sharpen, from product to product."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from trifuse.core import MemorySource
from trifuse.core.native import native_view
from trifuse.products import open_cube, open_sentinel2, write_cube, write_sentinel2_safe
from trifuse.restore import SHARPENERS
from trifuse.simulate import procedural_scene, scene_views
from trifuse.simulate.observation import native_ratios
from trifuse.srf_data import S2_L2A


@pytest.fixture(scope="module")
def truth():
    s2, _, _ = scene_views(MemorySource(procedural_scene(150, 4, gsd=10.0)))
    return s2.select(S2_L2A)


@pytest.fixture(scope="module")
def safe(truth, tmp_path_factory):
    # Blurred before the product averages: the mean of a native pixel is then nearly the sample.
    folder = tmp_path_factory.mktemp("safe")
    seen = native_view(truth.data, native_ratios(truth.bands), 0.35)
    return write_sentinel2_safe(folder, type(truth)(seen, truth.valid, truth.bands, truth.grid))


def errors(cube, truth):
    names = [n for n, r in zip(truth.bands.names, native_ratios(truth.bands), strict=True) if r > 1]
    a, b = cube.select(names).data, truth.select(names).data
    return np.sqrt(((a - b).astype(np.float64) ** 2).mean(axis=(1, 2)))


def test_a_product_sharpened(trifuse, as_json, truth, safe, tmp_path):
    found = {}
    for method in ("bicubic", "injection", "restore"):
        out = tmp_path / f"{method}.tif"
        code, text, err = trifuse(
            "sharpen",
            safe,
            "-o",
            out,
            "--method",
            method,
            "--json",
            "--dtype",
            "float32",
            "--noise",
            "0.001",
        )
        assert code == 0, err
        record = as_json(text)
        assert record["sharpness"]["B9"]["ratio"] == 6 and not record["warnings"]
        with open_cube(out) as source:
            assert source.bands.names == truth.bands.names and source.grid == truth.grid
            cube = source.read()
        found[method] = errors(cube, truth)
        # The 10 m bands are those of the product.
        with open_sentinel2(safe) as product:
            np.testing.assert_allclose(
                cube.select(["B2", "B8"]).data, product.read(None, ["B2", "B8"]).data, atol=1e-6
            )
        assert out.with_suffix(".png").exists() and (tmp_path / f"{out.name}.json").exists()
    assert np.median(found["bicubic"] / found["injection"]) > 1.8
    assert np.median(found["bicubic"] / found["restore"]) > 3
    assert (found["restore"] < found["bicubic"]).all()


def test_bands_and_area(trifuse, as_json, safe, tmp_path):
    whole, part = tmp_path / "whole.tif", tmp_path / "part.tif"
    assert trifuse("sharpen", safe, "-o", whole, "-t", "float32")[0] == 0
    with open_cube(whole) as source:
        from rasterio.warp import transform_bounds

        west, south, east, north = source.grid.bounds
        inner = west + 333, south + 215, east - 527, north - 401
        box = transform_bounds(source.grid.crs, "EPSG:4326", *inner)
        whole_cube = source.read()
    code, text, err = trifuse(
        "sharpen",
        safe,
        "-o",
        part,
        "-t",
        "float32",
        "--json",
        "--bands",
        "B11,B5",
        "--bbox",
        ",".join(f"{v:.8f}" for v in box),
        "--denoise",
    )
    assert code == 0, err
    assert set(as_json(text)["expected_error"]) == {"B11", "B5"}
    with open_cube(part) as source:
        assert source.bands.names == ("B11", "B5") and source.grid.height < 100
        cube = source.read()
    expected = whole_cube.select(["B11", "B5"]).crop(whole_cube.grid.locate(cube.grid))
    np.testing.assert_array_equal(cube.data, expected.data)


def test_an_image_that_is_sharp_is_refused(trifuse, fails, as_json, truth, tmp_path):
    path = tmp_path / "sharp.tif"
    write_cube(path, truth, dtype="float32")
    fails(13, "sharp as their pixels already", "sharpen", path, "-o", tmp_path / "a.tif")
    out = tmp_path / "b.tif"
    code, text, err = trifuse("sharpen", path, "-o", out, "--force", "--json")
    assert code == 0, err
    assert len(as_json(text)["warnings"]) == 1


def test_what_cannot_be_sharpened(fails, truth, tmp_path):
    other = tmp_path / "other.tif"
    renamed = truth.select(["B2", "B3"])
    write_cube(other, renamed)
    fails(13, "nothing to sharpen", "sharpen", other, "-o", tmp_path / "a.tif")
    unnamed = tmp_path / "unnamed.tif"
    bands = type(truth.bands).of(["mean", "range"])
    write_cube(unnamed, type(truth)(renamed.data, renamed.valid, bands, renamed.grid))
    fails(7, "how many metres", "sharpen", unnamed, "-o", tmp_path / "a.tif")
    fails(3, "nowhere", "sharpen", tmp_path / "nowhere", "-o", tmp_path / "a.tif")


def test_ways_are_those_of_the_registry(trifuse, fails, safe, tmp_path, monkeypatch):
    monkeypatch.setitem(SHARPENERS, "mine", SHARPENERS["bicubic"])
    text = " ".join(trifuse("sharpen", "--help")[1].split())
    assert "[restore, injection, bicubic, mine]" in text
    out = tmp_path / "a.tif"
    assert trifuse("sharpen", safe, "-o", out, "--method", "mine", "--dry-run")[0] == 0
    fails(12, "unknown method 'magic'", "sharpen", safe, "-o", out, "--method", "magic")


def test_dry_run_writes_nothing(trifuse, safe, tmp_path):
    code, text, _ = trifuse("sharpen", safe, "-o", tmp_path / "a.tif", "--dry-run")
    assert code == 0 and "dry run" in text and not list(tmp_path.iterdir())


def test_a_blur_is_restored_or_refused_in_a_line(trifuse, fails, as_json, truth, tmp_path):
    ratios = native_ratios(truth.bands)
    data = np.stack(
        [
            gaussian_filter(p, 0.5 * r) if r > 1 else p
            for p, r in zip(truth.masked(), ratios, strict=True)
        ]
    )
    path, out = tmp_path / "blurred.tif", tmp_path / "sharp.tif"
    write_cube(path, replace(truth, data=data), dtype="float32")
    code, text, err = trifuse("sharpen", path, "-o", out, "--blur", "1.18", "--json")
    assert code == 0, err
    assert "never sampled, as given" in as_json(text)["sampling"]["lines"][0]
    with open_cube(out) as source:
        made = source.read().data
    at = ratios.index(2)
    assert np.std(made[at] - truth.data[at]) < 0.6 * np.std(data[at] - truth.data[at])
    other = tmp_path / "other.tif"
    fails(
        12,
        "both --blur and --sharpness",
        "sharpen",
        path,
        "-o",
        other,
        "--blur",
        "1",
        "--sharpness",
        "1:2:6",
    )
    fails(12, "native pixels", "sharpen", path, "-o", other, "--blur", "wide")
