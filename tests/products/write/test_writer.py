"""Writing: what is written comes back, whole or not at all, whatever the order of windows."""

import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trifuse.core import (
    BandSet,
    ConfigError,
    Cube,
    DataError,
    Grid,
    GridError,
    MemorySource,
    OutputExistsError,
    ProductError,
    TilePlan,
    Window,
    read_json,
)
from trifuse.products import copy_source, cube_writer, open_geotiff, write_cube, write_sidecar
from trifuse.products.write.writer import NODATA, to_int16

SINUSOIDAL = "+proj=sinu +lon_0=0 +R=6371007.181 +units=m +no_defs"


def cube_of(data: np.ndarray, valid: np.ndarray | None = None, crs: str = "EPSG:32633") -> Cube:
    data = np.asarray(data, np.float32)
    bands = BandSet.of(
        [f"Oa{i:02d}" for i in range(1, len(data) + 1)],
        [400.123456789 + 17.1 * i for i in range(len(data))],
        [10 / 3] * len(data),
    )
    grid = Grid(crs, (10.1, 0.0, 399960.125, 0.0, -9.9, 5800020.0625), *data.shape[1:])
    there = np.isfinite(data).any(axis=0)
    return Cube(data, there if valid is None else valid, bands, grid, {"level": "L2A", "n": [1]})


def landscape(bands: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    data = rng.random((bands, height, width), dtype=np.float32)
    data[:, : height // 4, : width // 3] = np.nan
    data[0, -1, -1] = np.nan
    return data


def same(a: Cube, b: Cube, tolerance: float = 0.0) -> None:
    assert a.grid == b.grid and a.bands == b.bands
    np.testing.assert_array_equal(a.valid, b.valid)
    np.testing.assert_array_equal(np.isnan(a.data), np.isnan(b.data))
    if tolerance:
        assert np.nanmax(np.abs(a.data - b.data), initial=0) <= tolerance
    else:
        np.testing.assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("cog", [True, False])
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_what_is_written_comes_back(tmp_path, dtype, cog):
    cube = cube_of(landscape(4, 300, 333))
    write_cube(tmp_path / "a.tif", cube, dtype=dtype, cog=cog)
    back = open_geotiff(tmp_path / "a.tif").read()
    same(cube, back, 0.0 if dtype == "float32" else 5.01e-5)
    assert back.meta["level"] == "L2A" and back.meta["n"] == [1]
    # int16 a second time loses nothing more
    write_cube(tmp_path / "b.tif", back, dtype=dtype, cog=cog)
    same(back, open_geotiff(tmp_path / "b.tif").read())


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    hnp.arrays(
        np.float32,
        hnp.array_shapes(min_dims=3, max_dims=3, max_side=9),
        elements=st.one_of(
            st.floats(-3.25, 3.25, width=32), st.just(np.nan), st.floats(-40, 40, width=32)
        ),
    )
)
def test_int16_is_right_to_half_a_count(tmp_path, data):
    write_cube(tmp_path / "a.tif", cube_of(data), overwrite=True, cog=False)
    back = open_geotiff(tmp_path / "a.tif").read()
    np.testing.assert_array_equal(np.isnan(back.data), np.isnan(data))
    expected = np.clip(data, -3.2767, 3.2767)
    assert np.nanmax(np.abs(back.data - expected), initial=0) <= 0.5e-4 + 3e-7


def test_saturation_never_meets_nodata(tmp_path, caplog):
    data = np.array([[[-9, -3.2768, -3.2767, 3.2767, 9, np.nan, -np.inf]]], np.float32)
    stored, cut = to_int16(data, ~np.isfinite(data))
    assert stored.tolist() == [[[-32767, -32767, -32767, 32767, 32767, NODATA, NODATA]]]
    assert cut == 3
    write_cube(tmp_path / "a.tif", cube_of(data))
    assert "3 values beyond" in caplog.text
    assert open_geotiff(tmp_path / "a.tif").read().valid.tolist() == [[True] * 5 + [False] * 2]


@pytest.mark.parametrize("cog", [True, False])
def test_temperatures_fit_beside_reflectance(tmp_path, cog, caplog):
    rng = np.random.default_rng(2)
    shape = (300, 310)
    data = np.stack([rng.random(shape), rng.uniform(200, 345, shape)]).astype(np.float32)
    data[1, 3] = np.nan
    data[1, 0, 0] = 1000.0
    grid = Grid.from_origin("EPSG:32633", 600000, 5800000, 30, *shape)
    bands = BandSet.of(["B4", "LST"], [655, np.nan], [37, np.nan])
    cube = Cube(data, np.ones(shape, bool), bands, grid, {"band_units": {"LST": "K"}})
    path = tmp_path / "a.tif"
    write_cube(path, cube, cog=cog)
    assert "1 values beyond" in caplog.text
    with rasterio.open(path) as d:
        assert d.dtypes == ("int16",) * 2
        assert d.scales == (1e-4, 0.01) and d.offsets == (0.0, 273.15) and d.units == ("1", "K")
        assert d.tags(2)["offset"] == "273.15"
    back = open_geotiff(path).read()
    data[1, 0, 0] = 273.15 + 327.67
    np.testing.assert_array_equal(np.isnan(back.data), np.isnan(data))
    error = np.nanmax(np.abs(back.data - data), axis=(1, 2))
    assert error[0] <= 5.01e-5 and error[1] <= 5.1e-3
    write_cube(tmp_path / "b.tif", back, cog=cog)
    np.testing.assert_array_equal(open_geotiff(tmp_path / "b.tif").read().data, back.data)


@pytest.mark.parametrize(("dtype", "cog"), [("int16", True), ("float32", True), ("int16", False)])
def test_values_under_clouds_come_back_with_their_mask(tmp_path, dtype, cog):
    data = landscape(3, 300, 333)
    valid = np.isfinite(data).all(axis=0)
    valid[100:150, 50:200] = False
    cube = cube_of(data, valid)
    write_cube(tmp_path / "a.tif", cube, dtype=dtype, cog=cog, keep_invalid=True)
    source = open_geotiff(tmp_path / "a.tif")
    same(cube, source.read(), 0.0 if dtype == "float32" else 5.01e-5)
    window = Window(90, 40, 30, 30)
    same(cube.crop(window), source.read(window), 0.0 if dtype == "float32" else 5.01e-5)
    write_cube(tmp_path / "b.tif", cube, dtype=dtype, cog=cog)
    assert np.isnan(open_geotiff(tmp_path / "b.tif").read().data[:, ~valid]).all()


@pytest.mark.parametrize("cog", [True, False])
def test_order_and_shape_of_windows_leave_no_trace(tmp_path, cog):
    cube = cube_of(landscape(3, 290, 310))
    digests = set()
    for seed, tile in enumerate((64, 100, 290, 310)):
        tiles = list(TilePlan(290, 310, tile=tile))
        random.Random(seed).shuffle(tiles)
        path = tmp_path / f"{tile}.tif"
        with cube_writer(path, cube.grid, cube.bands, cog=cog) as out:
            for t in tiles:
                rows, cols = t.write.slices
                out.write(t.write, cube.data[:, rows, cols], cube.valid[rows, cols])
        digests.add(hashlib.sha256(path.read_bytes()).hexdigest())
    assert len(digests) == 1
    same(cube, open_geotiff(path).read(), 5.01e-5)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_gdal_finds_a_cog_with_everything_in_its_tags(tmp_path, dtype):
    cube = cube_of(landscape(3, 700, 900))
    write_cube(tmp_path / "a.tif", cube, dtype=dtype, tags={"SOURCE": "here"})
    with rasterio.open(tmp_path / "a.tif") as d:
        structure = d.tags(ns="IMAGE_STRUCTURE")
        assert structure["LAYOUT"] == "COG" and structure["COMPRESSION"] == "DEFLATE"
        assert structure["PREDICTOR"] == ("2" if dtype == "int16" else "3")
        assert d.block_shapes[0] == (512, 512) and d.overviews(1) == [2]
        assert d.dtypes[0] == dtype and d.descriptions == ("Oa01", "Oa02", "Oa03")
        assert d.scales == ((1e-4,) * 3 if dtype == "int16" else (1.0,) * 3)
        assert d.offsets == (0.0,) * 3 and d.units == ("1",) * 3
        assert d.nodata == -32768 if dtype == "int16" else np.isnan(d.nodata)
        tags = d.tags(2)
        assert tags["name"] == "Oa02" and float(tags["wavelength"]) == cube.bands[1].centre
        assert tags["wavelength_units"] == "Nanometers" and float(tags["fwhm"]) == 10 / 3
        assert float(tags["scale"]) == d.scales[0] and float(tags["offset"]) == 0
        assert float(d.tags(2, ns="IMAGERY")["CENTRAL_WAVELENGTH_UM"]) == pytest.approx(0.41722346)
        assert d.tags()["TIFFTAG_SOFTWARE"].startswith("TriFuse") and d.tags()["SOURCE"] == "here"
        # overviews are means of the values that are there
        half = d.read(2, out_shape=(350, 450)).astype(float) * d.scales[0]
    x = cube.data[1].reshape(350, 2, 450, 2)[200:, :, 200:]
    np.testing.assert_allclose(half[200:, 200:], x.mean(axis=(1, 3)), atol=1.1e-4)


def test_blocks_of_many_bands_stay_small(tmp_path):
    write_cube(tmp_path / "a.tif", cube_of(landscape(224, 40, 50)))
    with rasterio.open(tmp_path / "a.tif") as d:
        rows, cols = d.block_shapes[0]
    assert rows * cols * 224 * 2 <= 16 << 20


def test_what_is_not_written_is_nodata(tmp_path):
    cube = cube_of(landscape(2, 300, 300))
    with cube_writer(tmp_path / "a.tif", cube.grid, cube.bands) as out:
        out.write(Window(250, 250, 10, 20), np.full((2, 10, 20), 0.5, np.float32))
    back = open_geotiff(tmp_path / "a.tif").read()
    assert back.valid.sum() == 200 and np.isfinite(back.data).sum() == 400


def test_invalid_pixels_are_nodata_in_every_band(tmp_path):
    data = np.full((2, 5, 6), 0.25, np.float32)
    valid = np.ones((5, 6), bool)
    valid[1, 2] = False
    write_cube(tmp_path / "a.tif", cube_of(data, valid))
    with rasterio.open(tmp_path / "a.tif") as d:
        assert (d.read()[:, 1, 2] == NODATA).all() and (d.read() == NODATA).sum() == 2


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:3035", SINUSOIDAL, ""])
def test_any_grid_comes_back_as_it_was(tmp_path, crs):
    cube = cube_of(landscape(1, 20, 30), crs=crs)
    write_cube(tmp_path / "a.tif", cube, dtype="float32")
    same(cube, open_geotiff(tmp_path / "a.tif").read())
    loose = Grid("", (1.0, 0.0, 0.0, 0.0, -1.0, 0.0), 20, 30)
    write_cube(tmp_path / "b.tif", Cube(cube.data, cube.valid, cube.bands, loose))
    assert open_geotiff(tmp_path / "b.tif").grid == loose


def test_a_source_is_copied_window_by_window(tmp_path):
    cube = cube_of(landscape(2, 600, 530))
    copy_source(tmp_path / "a.tif", MemorySource(cube), dtype="float32")
    same(cube, open_geotiff(tmp_path / "a.tif").read())


def test_a_cut_out_image_keeps_its_lattice_in_its_file(tmp_path):
    whole = cube_of(landscape(2, 40, 50)).with_meta(native_gsd={"Oa01": 10.1, "Oa02": 20.2})
    ways = {
        "whole": lambda path: write_cube(path, whole),
        "cube": lambda path: write_cube(path, whole[Window(3, 5, 20, 30)]),
        "source": lambda path: copy_source(path, MemorySource(whole)[Window(3, 5, 20, 30)]),
    }
    for name, write in ways.items():
        path = tmp_path / f"{name}.tif"
        write(path)
        with open_geotiff(path) as source:
            origin = (0, 0) if name == "whole" else (-3, -5)
            assert source.sampling.values("gsd") == (10.1, 20.2)
            assert source.sampling.values("origin") == (origin,) * 2
            assert ("native_origin" in source.meta) == (name != "whole")
            inner = source.read(Window(2, 1, 4, 4), ["Oa02"]).sampling
            assert inner.values("origin") == ((origin[0] - 2, origin[1] - 1),)


def test_an_error_leaves_nothing_behind(tmp_path):
    cube = cube_of(landscape(2, 50, 50))
    for name in ("a.tif", "a[1].tif"):  # glob characters are part of names
        with (
            pytest.raises(RuntimeError, match="half way"),
            cube_writer(tmp_path / name, cube.grid, cube.bands) as out,
        ):
            out.write(Window(0, 0, 50, 50), cube.data, cube.valid)
            raise RuntimeError("half way")
    assert list(tmp_path.iterdir()) == []


KILLED = """
import sys, numpy as np
from trifuse.core import BandSet, Grid, Window
from trifuse.products import cube_writer
grid = Grid.from_origin("EPSG:32633", 0, 0, 10, 600, 600)
with cube_writer(sys.argv[1], grid, BandSet.of(["a"])) as out:
    out.write(Window(0, 0, 300, 600), np.ones((1, 300, 600), np.float32))
    print("half", flush=True)
    sys.stdin.read()
"""


def test_a_killed_writer_leaves_no_file_and_the_next_cleans_up(tmp_path):
    path = tmp_path / "a.tif"
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"half\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not path.exists()
    left = [p.name for p in tmp_path.iterdir()]
    assert any(".partial" in name for name in left)
    assert all(name.startswith(".") for name in left)
    cube = cube_of(landscape(1, 60, 60))
    write_cube(path, cube)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]
    same(cube, open_geotiff(path).read(), 5.01e-5)


def test_an_existing_file_is_kept_unless_told(tmp_path):
    path, cube = tmp_path / "a.tif", cube_of(landscape(1, 20, 20))
    path.write_bytes(b"mine")
    with pytest.raises(OutputExistsError) as caught:
        write_cube(path, cube)
    assert caught.value.exit_code == 5 and path.read_bytes() == b"mine"
    write_cube(path, cube, overwrite=True)
    assert open_geotiff(path).grid == cube.grid
    missing = Path("/proc/none/a.tif")
    with pytest.raises(ProductError, match="cannot be written"):
        write_cube(missing, cube)


def test_wrong_use_is_refused(tmp_path):
    cube = cube_of(landscape(2, 20, 20))
    path = tmp_path / "a.tif"
    with cube_writer(path, cube.grid, cube.bands) as out:
        with pytest.raises(DataError, match="for a window of"):
            out.write(Window(0, 0, 20, 20), cube.data[:1])
        with pytest.raises(DataError, match="for a window of"):
            out.write(Window(0, 0, 20, 20), cube.data, cube.valid[:4])
        with pytest.raises(DataError, match="leaves an image"):
            out.write(Window(10, 0, 20, 20), cube.data)
    with pytest.raises(ConfigError, match="uint8"):
        write_cube(tmp_path / "b.tif", cube, dtype="uint8")
    with pytest.raises(GridError, match="no coordinate system"):
        write_cube(tmp_path / "c.tif", cube_of(cube.data, crs="EPSG:1"))
    assert [p.name for p in tmp_path.iterdir()] == ["a.tif"]


def test_a_damaged_tag_is_left_out(tmp_path, caplog):
    path, cube = tmp_path / "a.tif", cube_of(landscape(1, 20, 20))
    write_cube(path, cube, cog=False)
    with rasterio.open(path, "r+") as d:
        d.update_tags(TRIFUSE_META='{"level": ', TRIFUSE_CRS="nonsense")
    source = open_geotiff(path)
    assert "level" not in source.meta and "TRIFUSE_META" in caplog.text
    assert source.grid == cube.grid


def test_the_sidecar_lies_beside_the_product(tmp_path):
    path = write_sidecar(tmp_path / "a.tif", {"valid_share": 0.5})
    assert path.name == "a.tif.json"
    record = read_json(write_sidecar(tmp_path / "a.tif", {"valid_share": 1.0}))
    assert record["valid_share"] == 1.0 and record["software"].startswith("TriFuse")
